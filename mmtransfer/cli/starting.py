"""What keeps the start of a verb short that reads a run and a few files."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quickly() -> Iterator[None]:
    """Nobody looks for garbage meanwhile, of which imports make none: looking takes a tenth of the start."""
    leave_pandas()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
