"""Transfer learning for images, text and speech: one engine, scores with intervals, runs that cannot be lost.

    import mmtransfer as mmt
    run = mmt.fit(task="text-classification", train="train.csv", test="test.csv", backbone="path/to/bert")
    run.metrics["test"]["accuracy"]

Public names load at first use (PEP 562): `import mmtransfer` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "fit": ("mmtransfer.api", "fit"),
    "load": ("mmtransfer.api", "load"),
    "embed": ("mmtransfer.embedding", "embed"),
    "repeat": ("mmtransfer.repeats", "repeat"),
    "Run": ("mmtransfer.api", "Run"),
    "RunConfig": ("mmtransfer.config", "RunConfig"),
    "MMTransferError": ("mmtransfer.errors", "MMTransferError"),
    "heads": ("mmtransfer.heads", None),
    "tasks": ("mmtransfer.tasks", None),
    "backbones": ("mmtransfer.backbones", None),
    "strategies": ("mmtransfer.strategies", None),
    "metrics": ("mmtransfer.metrics", None),
}
__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmtransfer' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _PUBLIC[name]
    found = import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return __all__
