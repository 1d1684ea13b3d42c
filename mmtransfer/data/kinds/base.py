"""What a column of data may hold. `data/` asks the kind of a column, and never what a task is about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa


class Kind(ABC):
    """One kind of column."""

    name: ClassVar[str]
    """The kind, which is also the name of its column in a table of examples."""
    digested: ClassVar[str] = ""
    """The column's name in fingerprints, where it is another: they must stay those of earlier versions."""
    role: ClassVar[str]
    """What messages and flags call the column: `--ROLE-column`."""
    usual: ClassVar[frozenset[str]]
    """Usual names of such a column in people's data, in lower case."""
    arrow: ClassVar[pa.DataType]
    """The type of the column. Lists and bytes have 64-bit offsets: `take` fails above 2 GB a column without."""
    empty: ClassVar[Any]
    """What stands for a value that cannot be used."""
    wordy: ClassVar[bool] = False
    """Whether the column is guessed among those only that hold words."""


class InputKind(Kind):
    """A kind of column that a model sees."""

    group: ClassVar[str] = "group"
    """The column that says which examples belong together."""
    groups_guessed: ClassVar[bool] = False
    """Whether that column is looked for where the user names none."""
    answer: ClassVar[str]
    """The kind of the answers, where nothing else is said."""
    suffixes: ClassVar[frozenset[str]] = frozenset()
    """Of the files that hold one input each; empty where inputs are cells of tables."""
    called: ClassVar[str]
    """What messages call several of them."""
    pairs: ClassVar[bool] = False
    """Whether an example may have a second input."""
    segments: ClassVar[bool] = False
    """Whether an input may be the part of a file between two times."""

    @property
    def in_files(self) -> bool:
        """Whether an input is a file, or the bytes of one."""
        return bool(self.suffixes)

    @abstractmethod
    def read_input(self, value: Any, base: Path, rate: int) -> Any:
        """An input, from Python or a cell, as the table holds it; ValueError says why it cannot be one.

        `base`: the folder to which file names are relative; `rate`: samples a second of recordings without theirs.
        """

    @abstractmethod
    def fault(self, value: Any, max_seconds: float | None) -> str | None:
        """Why an input that was read cannot be used; None if it can. `max_seconds`: longest recording, None: any."""

    def text(self, value: Any) -> str | None:
        """The input as text, by which nearly equal ones are found and which messages show; None where it is none."""
        return None

    def line(self, text: str) -> Any:
        """The input on a line of a text file; None where lines are no inputs."""
        return None

    def gather(self, row: dict[str, Any], column: str | None) -> dict[str, Any]:
        """A row of Python whose input may be spread over several of its columns, with one column for it."""
        return row

    def tell(self, values: Sequence[Any], rate: int) -> None:
        """Says aloud what is assumed about these inputs; nothing by default."""

    def arrow_of(self, values: Sequence[Any]) -> pa.DataType:
        """The column's type for these inputs."""
        return self.arrow


class AnswerKind(Kind):
    """A kind of column that a model is to predict."""

    beside: ClassVar[bool] = False
    """Whether a folder has the answers in a .txt beside each file, and not in a folder for each class."""

    @abstractmethod
    def read_answer(self, value: Any, separator: str) -> Any:
        """An answer, from Python or a cell, as the table holds it; ValueError says why it is none.

        `separator`: what stands between several labels in one string. None and NaN are missing.
        """

    def fault(self, answer: Any, value: Any) -> str | None:
        """Why an answer that was read cannot be used with its input `value`; None if it can."""
        return None

    def classes(self, answer: Any) -> Sequence[str]:
        """The names of classes in an answer; none where answers are no classes."""
        return ()

    def spelled(self, answer: Any, plain: Callable[[str], str]) -> Any:
        """The answer by which equal inputs with different ones are found: its texts as `plain` makes them; None where
        equal inputs may well have different answers."""
        return None

    def misplaced(self, value: Any, answer: Any) -> str | None:
        """What is wrong with a row (value, answer) of Python that is no such pair; None if nothing."""
        return None

    def read_answers(self, values: Sequence[Any], separator: str) -> tuple[list[Any], dict[int, str]]:
        """Answers as the table holds them, and by number why some are none; those are empty."""
        answers: list[Any] = []
        bad: dict[int, str] = {}
        for number, value in enumerate(values):
            try:
                answers.append(self.read_answer(value, separator))
            except ValueError as error:
                answers.append(self.empty)
                bad[number] = str(error)
        return answers, bad


def plain_text(value: Any, role: str) -> str:
    """A cell as text, of None and NaN the empty one; ValueError for what is no text though Python can print it."""
    if isinstance(value, dict | list | tuple | set | np.ndarray | bytes):
        raise ValueError(f"the {role} is not a string or a number but a {type(value).__name__}")
    return "" if value is None or value != value else str(value)
