"""Bad examples: all listed, or left out and recorded."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from mmtransfer.data import images
from mmtransfer.data.checks import CHUNK, Draft, finish
from mmtransfer.errors import MMTransferError


def texts(*values: str, answers: list[str] | None = None, bad: dict[int, str] | None = None) -> Draft:
    ids = [str(i) for i in range(len(values))]
    return Draft(ids, [f"row {i}" for i in ids], list(values), answers, None, bad or {})


def finished(draft: Draft, skip_bad: bool = False, labelled: bool = True, modality="text"):
    return finish(draft, modality, "a.csv", "--train", skip_bad, labelled)


def test_good_examples_pass():
    made = finished(texts("a", "b", answers=["x", "y"]))
    assert made.column("label") == ["x", "y"] and made.skipped == () and made.source == "a.csv"


def test_all_kinds_are_listed_in_order():
    with pytest.raises(MMTransferError) as error:
        finished(texts("a", " ", "c", "", answers=["", "x", "y", ""], bad={3: "1 fields where the header has 2"}))
    assert error.value.what == (
        "3 of 4 examples cannot be used: row 0: the label is empty; row 1: the text is empty; "
        "row 3: 1 fields where the header has 2"
    )
    assert error.value.where == "--train a.csv"
    assert error.value.do == "correct or remove them, or leave them out with --skip-bad"


def test_ten_are_listed_and_the_rest_counted():
    with pytest.raises(MMTransferError) as error:
        finished(texts(*[""] * 25, "a"))
    assert error.value.what.startswith("25 of 26 examples") and error.value.what.endswith("; and 15 more")
    assert "row 9:" in error.value.what and "row 10:" not in error.value.what


def test_skipping_records_and_says_so(caplog):
    caplog.set_level(logging.WARNING, "mmtransfer")
    made = finished(texts("a", "", "c", answers=["x", "y", "z"]), skip_bad=True)
    assert made.ids == ["0", "2"] and made.skipped == ({"id": "1", "reason": "the text is empty"},)
    assert "1 of 3 examples left out" in caplog.text


def test_skipping_everything_is_an_error():
    with pytest.raises(MMTransferError, match="2 of 2 examples cannot be used") as error:
        finished(texts("", ""), skip_bad=True)
    assert "--skip-bad" not in error.value.do


def test_predicting_does_not_offer_what_it_has_not():
    with pytest.raises(MMTransferError) as error:
        finished(texts("", "a"), labelled=False)
    assert error.value.do == "correct or remove them"


def test_files_on_disk(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    paths = [str(tmp_path / name) for name in ("none.png", "empty.png", "folder.png")]
    files = [*({"path": path, "bytes": None} for path in paths), {"path": None, "bytes": b""}]
    with pytest.raises(MMTransferError) as error:
        finished(Draft(list("abcd"), list("abcd"), files), modality="image")
    what = error.value.what
    assert (
        f"a: no such file: {paths[0]}; b: the file is empty (0 bytes); c: not a file: {paths[2]}; d: there are no"
        in what
    )


def test_both_sides_of_a_pair_are_looked_at():
    draft = texts("a", "", "c", answers=["x"] * 3)
    draft.pairs = ["d", "e", " "]
    with pytest.raises(MMTransferError) as error:
        finished(draft)
    assert error.value.what == (
        "2 of 3 examples cannot be used: row 1: the first text of the pair is empty; "
        "row 2: the second text of the pair is empty"
    )
    draft.pairs, draft.inputs = ["d", "e", "f"], ["a", "b", "c"]
    assert finished(draft).column("pair") == ["d", "e", "f"]


def test_a_broken_picture_behind_the_first_hand_over_is_named():
    count, broken = 2 * CHUNK + 3, [1, CHUNK + 2, 2 * CHUNK + 1]
    files = [images.from_array(np.full((4, 4, 3), number, np.uint8)) for number in range(count)]
    for number in broken:
        files[number] = {"path": None, "bytes": b"no picture"}
    names = [f"picture {number}" for number in range(count)]
    with pytest.raises(MMTransferError) as error:
        finish(Draft(names, names, files, ["a"] * count), "image", "pictures", "--train", False, True)
    assert error.value.what.startswith(f"{len(broken)} of {count} examples cannot be used")
    assert all(f"picture {number}: " in error.value.what for number in broken)
