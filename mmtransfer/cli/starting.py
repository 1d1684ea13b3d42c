"""What keeps the start of a verb short."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmtransfer.cli.installation import check_trio


@contextmanager
def quickly() -> Iterator[None]:
    """Nobody looks for garbage meanwhile, nor later among what there is by then, the first time: imports make none,
    looking takes a tenth of the start, and a quarter of a second each time after it."""
    leave_pandas()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
        gc.enable()


def libraries() -> None:
    """Imports what a training needs; raises MMTransferError for libraries that do not fit each other."""
    with quickly():
        check_trio()
        importlib.import_module("mmtransfer.fitting")


def leave_pandas() -> None:
    """Keeps pyarrow from importing pandas, which takes a second, where nobody has: to make an array it asks, once,
    whether its values are a Series. What needs pandas, such as `to_pandas`, still gets it."""
    if "pandas" in sys.modules:
        return
    import pyarrow

    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)  # a finder needs no more
    try:
        pyarrow.array([None])
    finally:
        sys.meta_path.remove(finder)


class _WithoutPandas:
    """Says that pandas is not there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
