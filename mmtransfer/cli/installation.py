"""Whether the libraries that were installed fit each other: asked before anything is trained."""

from __future__ import annotations

import importlib
import importlib.util
from importlib import metadata

from mmtransfer.errors import MMTransferError


def check_trio() -> None:
    """Raises MMTransferError where torch, torchvision and torchaudio are not built for each other.

    torchaudio may be missing, which only Deep Speech needs; one that is there and broken stops transformers too.
    """
    names = ["torch", "torchvision", *(["torchaudio"] if importlib.util.find_spec("torchaudio") else [])]
    try:
        for name in names:
            importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        raise MMTransferError(
            f"The torch packages do not fit each other ({str(error).splitlines()[0]})",
            ", ".join(f"{name} {metadata.version(name)}" for name in names),
            "pip install torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0, or another trio built together; without "
            "Deep Speech, pip uninstall torchaudio",
        ) from error
