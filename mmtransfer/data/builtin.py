"""Data that come with the installation, so that a first run needs no download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmtransfer.data import images
from mmtransfer.data.splits import holdout
from mmtransfer.data.table import Modality, Table, make
from mmtransfer.errors import MMTransferError, unknown

PREFIX = "builtin:"


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
    table = _MAKERS[name]()
    train, test = holdout(table.column("label"), len(table), 0.2, seed=0)
    return {"train": table.select(train), "test": table.select(test)}


def _digits() -> Table:
    """1,797 handwritten digits, 8x8 grey of 17 levels -> RGB (UCI Optical Recognition of Handwritten Digits, test
    part: Alpaydin & Kaynak 1998), from scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    files = [images.from_array(image) for image in pixels]
    ids = [f"digits/{number}" for number in range(len(files))]
    return make("image", f"{PREFIX}digits", ids, files, [str(target) for target in bunch.target])


NAMES: dict[Modality, tuple[str, ...]] = {"image": ("digits",), "text": (), "speech": ()}
_MAKERS: dict[str, Callable[[], Table]] = {"digits": _digits}
