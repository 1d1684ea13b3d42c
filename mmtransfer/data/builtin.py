"""Data that come with the installation, so that a first run needs no download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute
import pyarrow.parquet

from mmtransfer.data import images
from mmtransfer.data.splits import holdout
from mmtransfer.data.table import File, Modality, Table, make
from mmtransfer.errors import MMTransferError, unknown

PREFIX = "builtin:"
LIBRARY = "builtin_library.parquet"
COMMANDS = "builtin_commands.parquet"
IDENTIFIERS = "builtin_identifiers.parquet"


def load(name: str, modality: Modality) -> dict[str, Table]:
    """The tables `train` and `test` of a built-in set; their split is fixed, whatever the run's seed.

    Raises MMTransferError for an unknown name, and for a set of another modality.
    """
    where = f"{PREFIX}{name}"
    owners = {known: owner for owner, names in NAMES.items() for known in names}
    if name not in owners:
        raise unknown("built-in data", name, NAMES[modality] or owners, where)
    if owners[name] != modality:
        raise MMTransferError(
            f"{where} is {owners[name]} data, the task needs {modality}", where, "give a file or folder of your own"
        )
    return _MAKERS[name]()


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
    whole = pyarrow.parquet.read_table(Path(__file__).parent / LIBRARY)
    tables = {}
    for split in ("train", "test"):
        part = whole.filter(pyarrow.compute.equal(whole["split"], split))
        ids, texts, labels = (part[name].to_pylist() for name in ("id", "text", "label"))
        tables[split] = make("text", f"{PREFIX}library", ids, texts, labels)
    return tables


def _commands() -> dict[str, Table]:
    """432 synthesised spoken commands by 36 voices, 27 of them for training (espeak-ng; Apache-2.0, as the package).
    Ids are `commands/`, the voice, and a number."""
    whole = pyarrow.parquet.read_table(Path(__file__).parent / COMMANDS)
    tables = {}
    for split in ("train", "test"):
        part = whole.filter(pyarrow.compute.equal(whole["split"], split))
        ids, recordings, texts, speakers = (part[name].to_pylist() for name in ("id", "audio", "text", "speaker"))
        files: list[File] = [{"path": None, "bytes": recording} for recording in recordings]
        tables[split] = make("speech", f"{PREFIX}commands", ids, files, texts, speakers)
    return tables


def identifiers() -> dict[str, pyarrow.Table]:
    """5,270 sentences of docstrings of Python's standard library, 3,954 of them for training (PSF License Agreement,
    Copyright Python Software Foundation). Columns: `id` (`identifiers/`, what is documented, and a number), `words`
    and `tags`, lists of strings: which words name an exception, a class, a function or a module, in IOB2. What is named
    in one split is not named in the other."""
    whole = pyarrow.parquet.read_table(Path(__file__).parent / IDENTIFIERS)
    return {
        split: whole.filter(pyarrow.compute.equal(whole["split"], split)).select(["id", "words", "tags"])
        for split in ("train", "test")
    }


NAMES: dict[Modality, tuple[str, ...]] = {"image": ("digits",), "text": ("library",), "speech": ("commands",)}
_MAKERS: dict[str, Callable[[], dict[str, Table]]] = {"digits": _digits, "library": _library, "commands": _commands}
