"""What others' checkpoints would have run, and what is said instead: their code is never run, their pickles never read.

The library asks on the terminal where it is not told `trust_remote_code=False`, and a "y" runs what it has downloaded.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mmtransfer.errors import MMTransferError


def code_named(settings: Mapping[str, Any], kind: str) -> str:
    """The code that a configuration names for `AutoTokenizer` or `AutoModel`; empty where it names none.

    `settings`: config.json or tokenizer_config.json; a list in `auto_map` is the old form, which names tokenizers.
    """
    found = settings.get("auto_map")
    if isinstance(found, Mapping):
        found = found.get(kind)
    names = [found] if isinstance(found, str) else found if isinstance(found, list | tuple) else []
    return ", ".join(str(name) for name in names if name)


def refusal(what: str, code: str, where: str) -> MMTransferError:
    """The error for `what` (the tokenizer, the model) that is code of a checkpoint's own."""
    return MMTransferError(
        f"{what} is code of the checkpoint's own ({code}, named by auto_map), and such code is never run",
        where,
        "take a checkpoint whose model and tokenizer are classes of transformers",
    )


def tokenizer(name: str | Path, where: str, local: bool = True) -> Any:
    """The tokenizer of a folder or a hub name; of what is on this machine alone if `local`.

    Raises MMTransferError where it is code; OSError or ValueError where it cannot be read.
    """
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        code = code_named(get_tokenizer_config(name, local_files_only=local), "AutoTokenizer")
        if code:  # transformers would take the class that the model type suggests, and number words differently
            raise refusal("The tokenizer", code, where)
        return AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except (MMTransferError, OSError, ValueError):
        raise
    except Exception as error:  # whatever a file that it cannot parse makes the library of tokenizers raise
        raise ValueError(f"the tokenizer's files: {type(error).__name__}: {error}") from None


@contextmanager
def pickles(name: str) -> Iterator[None]:
    """What goes wrong while the library unpickles a checkpoint's weights becomes an MMTransferError that names them.

    Other errors pass: of safetensors, of files that are not there.
    """
    folder = Path(name)
    files = [] if any(folder.glob("*.safetensors")) else sorted(path.name for path in folder.glob("*.bin"))
    try:
        yield
    except (MMTransferError, OSError, ValueError, KeyError, SafetensorError):
        raise
    except Exception as error:
        if not files and not isinstance(error, pickle.UnpicklingError):
            raise
        raise MMTransferError(
            f"Not readable: {', '.join(files) or 'the weights'}: {pickled(error)}",
            f"--backbone {name}",
            "take a checkpoint in safetensors, or where you trust it save it as such: save_pretrained(FOLDER)",
        ) from None


def pickled(error: Exception) -> str:
    """What an error of torch's unpickler is about: the object that is no tensor, or its first line."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        return f"it holds more than tensors: {found[1]}, which is never unpickled"
    return next(iter(str(error).splitlines()), type(error).__name__)
