"""Finished runs side by side as a frame of pandas, which prints itself in the width of a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from mmtransfer import comparison
from mmtransfer.terminal import visible

NARROWEST = 12
"""Characters of a line that names have at least; for that the last columns are left out."""


class Standings(pandas.DataFrame):
    """A row a configuration, the best first. What pandas makes of it, such as a part of it, is an ordinary frame."""

    def __repr__(self) -> str:
        """Name, score with its interval, difference to the best with its p, and seconds; all columns where one of these
        is no more."""
        metric = self.attrs.get("metric")
        shown = ["name", metric, "low", "high", "difference", "p", "seconds"]
        if not len(self) or not set(shown) <= set(self.columns):
            return super().__repr__()
        columns = [[name, *(_written(name, value) for value in self[name])] for name in shown]
        widths, room = [max(map(len, column)) for column in columns], shutil.get_terminal_size().columns
        while len(widths) > 2 and room - sum(widths[1:]) - 2 * len(widths[1:]) < NARROWEST:
            widths.pop()
        widths[0] = min(widths[0], max(NARROWEST, room - sum(widths[1:]) - 2 * len(widths[1:])))
        rows = zip(*columns[: len(widths)], strict=True)
        lines = [line for row in rows for line in _folded(row, widths)]
        others = ", ".join(str(name) for name in self.columns if name not in shown[: len(widths)])
        told = f"{self.attrs['task']}, {self.attrs['split']}: p is of the difference to the best; also {others}"
        return "\n".join([*lines, *textwrap.wrap(told, room)])


def _written(name: str, value: Any) -> str:
    if name == "name":
        return visible(str(value))
    forms: Mapping[str, Callable[[float], str]] = {"p": "{:.2g}".format, "seconds": "{:.0f}".format}
    return "-" if pandas.isna(value) else forms.get(name, "{:.4f}".format)(value)


def _folded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of a row: a name that is too long is folded, numbers are set to the right."""
    first, *more = textwrap.wrap(row[0], widths[0]) or [""]
    numbers = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return ["  ".join([f"{first:<{widths[0]}}", *numbers]), *(f"  {line}" for line in more)]


def compare(folders: Sequence[str | Path], all_pairs: bool = False) -> Standings:
    """Compares finished runs of one task on one test set: a frame of pandas with a row a configuration, the best first.

    Runs that differ in nothing but their seed are one configuration. Columns: `name`, the settings in which they
    differ; `run`; `seeds`; the score that decides, with its 95 % interval `low`, `high`; `difference` to the best with
    `difference_low`, `difference_high`, its `p`, adjusted for the comparisons that were asked for (Holm 1979), and
    whether it is `shown`, p below 0.05; the other scores; `seconds`, `train_seconds`, `examples_per_second`,
    `trainable` and all `parameters`, `peak_bytes`. `attrs` has `task`, `split`, `metric`, `best` and `verdicts`, a
    sentence a pair. `mmtransfer.comparison.compare` gives the same as objects.

    `folders`: run folders; any other folder stands for the runs under it. `all_pairs`: test every pair, and not only
    the best with each of the others.

    Raises MMTransferError for fewer than two configurations, for a folder that is no finished run, for runs of
    different tasks, and for test data that are not the same.

    >>> frame = mmt.compare(["runs/a", "runs/b"])
    >>> frame[["run", "accuracy", "shown"]].values.tolist()
    [['a', 1.0, False], ['b', 1.0, False]]
    >>> frame.attrs["verdicts"]
    ['no difference shown between a and b: accuracy +0.0000 (-0.2153 to +0.2153), p 1']
    """
    found = comparison.compare(folders, all_pairs)
    frame = Standings(found.to_frame())
    frame.attrs = {"task": found.task, "split": found.split, "metric": found.primary, "best": found.best.name}
    frame.attrs["verdicts"] = [str(verdict) for verdict in found.verdicts]
    return frame
