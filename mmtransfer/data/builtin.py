"""Data that come with the installation, so that a first run needs no download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute
import pyarrow.parquet

from mmtransfer.data import images, missing
from mmtransfer.data.kinds import ANSWERS, INPUTS
from mmtransfer.data.splits import holdout
from mmtransfer.data.table import Table, make
from mmtransfer.errors import MMTransferError, unknown

PREFIX = missing.BUILTIN
LIBRARY = "builtin_library.parquet"
COMMANDS = "builtin_commands.parquet"
IDENTIFIERS = "builtin_identifiers.parquet"


def load_builtin(name: str, input: str, answer: str) -> dict[str, Table]:
    """The tables `train` and `test` of a built-in set; their split is fixed, whatever the run's seed.

    `input`, `answer`: the kinds that a task needs; labels may be read as another kind.
    Raises MMTransferError for an unknown name, and for a set of other kinds.
    """
    where = f"{PREFIX}{name}"
    fitting = [known for known in SETS if _fits(known, input, answer)]
    if name not in SETS:
        raise unknown("built-in data", name, fitting or SETS, where)
    if name not in fitting:
        own = " with ".join(SETS[name][:2])
        do = f"give {' or '.join(map(PREFIX.__add__, fitting))}, or data of your own" if fitting else "give your own"
        raise MMTransferError(f"{where} is {own} data, the task needs {input} with {answer}", where, do)
    return SETS[name][2]()


def _fits(name: str, input: str, answer: str) -> bool:
    """Whether a set has inputs and answers of these kinds, or answers that may be read so."""
    own_input, own_answer, _ = SETS[name]
    return own_input == input and ANSWERS[own_answer].role == ANSWERS[answer].role


def _digits() -> dict[str, Table]:
    """1,797 handwritten digits, 8x8 grey of 17 levels -> RGB (UCI Optical Recognition of Handwritten Digits, test
    part: Alpaydin & Kaynak 1998), from scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    files = [images.from_array(image) for image in pixels]
    ids = [f"digits/{number}" for number in range(len(files))]
    table = make("image", f"{PREFIX}digits", ids, files, [str(target) for target in bunch.target])
    train, test = holdout(table.column("label"), len(table), 0.2, seed=0)
    return {"train": table.select(train), "test": table.select(test)}


def _library() -> dict[str, Table]:
    """1,744 docstrings of Python's standard library in 10 areas, 300 of them for training (PSF License Agreement,
    Copyright Python Software Foundation). Ids are `library/` and the qualified name of what is documented."""
    return _from_parquet(LIBRARY, "text", f"{PREFIX}library", "text", "label")


def _commands() -> dict[str, Table]:
    """432 synthesised spoken commands by 36 voices, 27 of them for training (espeak-ng; Apache-2.0, as the package).
    Ids are `commands/`, the voice, and a number."""
    return _from_parquet(COMMANDS, "audio", f"{PREFIX}commands", "audio", "text", "speaker")


def _keywords() -> dict[str, Table]:
    """The recordings of `commands` that have more than one word, each with the first one, which says what kind of
    command it is: one of nine."""
    tables = {}
    for split, table in _commands().items():
        texts = [text.split() for text in table.column("transcript")]
        long = [number for number, words in enumerate(texts) if len(words) > 1]
        tables[split] = table.select(long).answered("label", [texts[number][0] for number in long])
    return {split: replace(table, source=f"{PREFIX}keywords") for split, table in tables.items()}


def _identifiers() -> dict[str, Table]:
    """5,270 sentences of docstrings of Python's standard library, 3,954 of them for training (PSF License Agreement,
    Copyright Python Software Foundation): which words name an exception, a class, a function or a module, in IOB2. What
    is named in one split is not named in the other. Ids are `identifiers/`, what is documented, and a number."""
    return _from_parquet(IDENTIFIERS, "words", f"{PREFIX}identifiers", "words", "tags")


def _from_parquet(
    file: str, kind: str, source: str, seen: str, said: str, group: str | None = None
) -> dict[str, Table]:
    """The tables of a file with the columns `id`, `split`, and those of inputs, answers and groups."""
    whole = pyarrow.parquet.read_table(Path(__file__).parent / file)
    tables = {}
    for split in ("train", "test"):
        part = whole.filter(pyarrow.compute.equal(whole["split"], split))
        columns = {name: part[name].to_pylist() for name in ("id", seen, said, group) if name is not None}
        inputs = [INPUTS[kind].read_input(value, Path(), 0) for value in columns[seen]]
        tables[split] = make(kind, source, columns["id"], inputs, columns[said], columns.get(group or ""))
    return tables


SETS: Mapping[str, tuple[str, str, Callable[[], dict[str, Table]]]] = {
    "digits": ("image", "label", _digits),
    "library": ("text", "label", _library),
    "commands": ("audio", "transcript", _commands),
    "keywords": ("audio", "label", _keywords),
    "identifiers": ("words", "tags", _identifiers),
}
"""By name, the kinds of its inputs and answers, and what makes its tables."""
