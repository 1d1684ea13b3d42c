"""Built-in data: whole, fixed, and refused with the right names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mmtransfer.data import builtin, images
from mmtransfer.errors import MMTransferError


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    tables = builtin.load("digits", "image")
    ids = tables["train"].ids + tables["test"].ids
    assert sorted(ids) == sorted(f"digits/{i}" for i in range(1797))
    row = tables["test"].rows[7]
    number = int(row["id"].split("/")[1])
    pixels = np.asarray(images.decode(row["image"]))
    assert row["label"] == str(bunch.target[number])
    assert np.array_equal(pixels[:, :, 0], np.rint(bunch.images[number] * 255 / 16))
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2]) and pixels.max() > 200


def test_the_test_part_is_a_fixed_stratified_fifth():
    tables, again = builtin.load("digits", "image"), builtin.load("digits", "image")
    assert len(tables["test"]) == 359 and len(tables["train"]) == 1438
    assert all(34 <= count <= 38 for count in Counter(tables["test"].column("label")).values())
    assert tables["test"].fingerprint == again["test"].fingerprint != tables["train"].fingerprint


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(MMTransferError) as error:
        builtin.load("digit", "image")
    assert error.value.what == "Unknown built-in data 'digit'" and "did you mean digits?" in error.value.do
    assert error.value.where == "builtin:digit"
    with pytest.raises(MMTransferError, match="Unknown built-in data 'words'"):
        builtin.load("words", "text")


def test_a_set_of_another_modality_is_refused():
    with pytest.raises(MMTransferError) as error:
        builtin.load("digits", "speech")
    assert error.value.what == "builtin:digits is image data, the task needs speech"


def test_names_lists_what_loads():
    assert {m: set(names) for m, names in builtin.NAMES.items()} == {
        "image": {"digits"},
        "text": set(),
        "speech": set(),
    }
    for modality, names in builtin.NAMES.items():
        for name in names:
            assert builtin.load(name, modality).keys() == {"train", "test"}
