"""Built-in data: whole, fixed, and refused with the right names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from mmtransfer.data import audio, builtin, images
from mmtransfer.errors import MMTransferError


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    tables = builtin.load_builtin("digits", "image", "label")
    ids = tables["train"].ids + tables["test"].ids
    assert sorted(ids) == sorted(f"digits/{i}" for i in range(1797))
    row = tables["test"].rows[7]
    number = int(row["id"].split("/")[1])
    pixels = np.asarray(images.decode(row["image"]))
    assert row["label"] == str(bunch.target[number])
    assert np.array_equal(pixels[:, :, 0], np.rint(bunch.images[number] * 255 / 16))
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2]) and pixels.max() > 200


def test_the_test_part_is_a_fixed_stratified_fifth():
    tables, again = builtin.load_builtin("digits", "image", "label"), builtin.load_builtin("digits", "image", "label")
    assert len(tables["test"]) == 359 and len(tables["train"]) == 1438
    assert all(34 <= count <= 38 for count in Counter(tables["test"].column("label")).values())
    assert tables["test"].fingerprint == again["test"].fingerprint != tables["train"].fingerprint


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(MMTransferError) as error:
        builtin.load_builtin("digit", "image", "label")
    assert error.value.what == "Unknown built-in data 'digit'" and "did you mean digits?" in error.value.do
    assert error.value.where == "builtin:digit"
    with pytest.raises(MMTransferError, match="Unknown built-in data 'words'"):
        builtin.load_builtin("words", "text", "label")


def test_the_library_is_frozen():
    tables = builtin.load_builtin("library", "text", "label")
    counts = {split: Counter(table.column("label")) for split, table in tables.items()}
    assert {split: len(table) for split, table in tables.items()} == {"train": 300, "test": 1444}
    assert set(counts["train"].values()) == {30} and counts["train"].keys() == counts["test"].keys()
    assert min(counts["test"].values()) == 94
    assert (
        tables["train"].fingerprint == "3decfb41bd25dec98eaac6707cdcde6e"
        and tables["test"].fingerprint == "4c6d802b44bdba5d54680bde2cd4cb73"
    )


def test_the_library_has_no_text_twice_and_says_whose_it_is():
    tables = builtin.load_builtin("library", "text", "label")
    texts = [" ".join(text.lower().split()) for table in tables.values() for text in table.column("text")]
    assert len(set(texts)) == len(texts)
    assert all(name.startswith("library/") for table in tables.values() for name in table.ids)
    file = Path(builtin.__file__).parent / builtin.LIBRARY
    assert b"PSF License Agreement" in pyarrow.parquet.read_schema(file).metadata[b"source"]
    assert file.stat().st_size < 1.3e6


def test_the_commands_are_frozen():
    tables = builtin.load_builtin("commands", "audio", "transcript")
    voices = {split: set(table.column("speaker")) for split, table in tables.items()}
    assert {split: (len(table), len(voices[split])) for split, table in tables.items()} == {
        "train": (324, 27),
        "test": (108, 9),
    }
    variants = {split: {voice.split("+")[1] for voice in names} for split, names in voices.items()}
    assert not variants["train"] & variants["test"]
    assert (
        tables["train"].fingerprint == "e35af04c94f9ef7985013b1673173652"
        and tables["test"].fingerprint == "c7fea0091a4c1ec8f067699dccb33ec2"
    )
    assert (Path(builtin.__file__).parent / builtin.COMMANDS).stat().st_size < 2.5e6


def test_the_commands_can_be_heard():
    table = builtin.load_builtin("commands", "audio", "transcript")["test"]
    for row in table.rows:
        assert row["id"].startswith(f"commands/{row['speaker']}/")
        waveform = audio.read_samples(row["audio"], 16000)
        assert len(waveform) == audio.samples(row["audio"], 16000) and 0.05 < waveform.abs().max() <= 1.01
        assert 0.3 < len(waveform) / 16000 < 8 and set(row["transcript"]) <= set(" abcdefghijklmnopqrstuvwxyz'")


def test_a_set_of_another_modality_is_refused():
    with pytest.raises(MMTransferError) as error:
        builtin.load_builtin("digits", "audio", "transcript")
    assert error.value.what == "builtin:digits is image with label data, the task needs audio with transcript"


def test_every_set_has_the_kinds_that_it_names():
    assert {"digits", "library", "commands", "keywords"} <= builtin.SETS.keys()
    for name, (kind, answer, _) in builtin.SETS.items():
        tables = builtin.load_builtin(name, kind, answer)
        assert tables.keys() == {"train", "test"}
        for table in tables.values():
            assert (table.input.name, table.answer.name, table.source) == (kind, answer, f"builtin:{name}")


def test_the_keywords_are_the_first_words_of_commands():
    tables = builtin.load_builtin("keywords", "audio", "label")
    assert {split: len(table) for split, table in tables.items()} == {"train": 267, "test": 86}
    assert len(set(tables["train"].column("label"))) == len(set(tables["test"].column("label"))) == 9
    voices = [set(table.column("speaker")) for table in tables.values()]
    assert not voices[0] & voices[1]
