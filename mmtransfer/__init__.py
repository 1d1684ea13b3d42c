"""Transfer learning for images, text and speech: one engine, scores with intervals, runs that cannot be lost.

    >>> import mmtransfer as mmt
    >>> data = {"train": "train.csv", "test": "test.csv"}
    >>> run = mmt.fit(task="text-classification", **data, backbone="path/to/bert", strategy="linear-probe")
    >>> print(run.metrics["test"]["accuracy"])
    1.0000 (0.7847 to 1.0000)
    >>> run.predict("a great plot").label
    'positive'

Public names load at first use (PEP 562): `import mmtransfer` loads neither torch nor transformers.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_PUBLIC = {
    "fit": ("mmtransfer.api", "fit"),
    "load": ("mmtransfer.api", "load"),
    "embed": ("mmtransfer.embedding", "embed"),
    "evaluate": ("mmtransfer.scoring", "evaluate"),
    "repeat": ("mmtransfer.repeats", "repeat"),
    "compare": ("mmtransfer.comparing", "compare"),
    "rank": ("mmtransfer.rank", "rank"),
    "report": ("mmtransfer.pages", "report"),
    "soup": ("mmtransfer.soup", "soup"),
    "sweep": ("mmtransfer.sweep", "sweep"),
    "push": ("mmtransfer.push", "push"),
    "dry_run": ("mmtransfer.rehearsal", "dry_run"),
    "auto": ("mmtransfer.auto", "auto"),
    "Classifier": ("mmtransfer.estimator", "Classifier"),
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
__version__ = "0.2.0.dev0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmtransfer' has no attribute {name!r}; it has {', '.join(__all__)}")
    place, attribute = _PUBLIC[name]
    module = import_module(place)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """`mmtransfer.rank` is the function, also after something has imported the module of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and _PUBLIC.get(name, ("", None))[1] is not None):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
