"""Sources: every layout and every kind of list gives the standard table, bad ones a message that helps."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mmtransfer.data import audio, images
from mmtransfer.data.file import read_contents
from mmtransfer.data.sources import Columns, load
from mmtransfer.errors import MMTransferError


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (colour, 10, 20)).save(path)
    return path


def sound(path: Path, samples: int = 100, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(samples, 0.25, np.float32), rate)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def failure(*args, **kwargs) -> MMTransferError:
    with pytest.raises(MMTransferError) as error:
        load(*args, **kwargs)
    return error.value


# class folders


def test_class_folders(tmp_path, caplog):
    for name in ("bee/2.jpg", "bee/10.png", "ant/deep/1.JPG", ".cache/x.png", "bee/.hidden.png", "loose.png"):
        picture(tmp_path / name)
    write(tmp_path / "bee" / "notes.txt", "no image")
    (tmp_path / "wasp").mkdir()
    caplog.set_level(logging.WARNING, "mmtransfer")
    table = load(tmp_path, "image")
    assert table.ids == ["ant/deep/1.JPG", "bee/10.png", "bee/2.jpg"]
    assert table.column("label") == ["ant", "bee", "bee"] and table.source == str(tmp_path)
    assert table.rows[0]["image"] == {"path": str(tmp_path / "ant/deep/1.JPG"), "bytes": None}
    assert "no images in the folders wasp" in caplog.text and "1 images outside of class folders" in caplog.text


def test_unreadable_images_are_listed_or_skipped(tmp_path):
    picture(tmp_path / "ant/good.png")
    write(tmp_path / "ant/text.jpg", "not an image")
    write(tmp_path / "bee/empty.jpg", "")
    error = failure(tmp_path, "image")
    assert error.what.startswith("2 of 3 examples cannot be used: ant/text.jpg: not a readable image (cannot identify")
    assert error.what.endswith("bee/empty.jpg: the file is empty (0 bytes)")
    assert error.where == f"--train {tmp_path}" and "--skip-bad" in error.do
    table = load(str(tmp_path), "image", skip_bad=True)
    assert table.ids == ["ant/good.png"] and [entry["id"] for entry in table.skipped] == [
        "ant/text.jpg",
        "bee/empty.jpg",
    ]


def test_an_empty_folder(tmp_path):
    error = failure(tmp_path, "image", option="--test")
    assert error.what == "The folder holds no image files"
    assert error.where == f"--test {tmp_path}" and ".jpg" in error.do


def test_a_folder_without_classes(tmp_path):
    picture(tmp_path / "a.png")
    assert failure(tmp_path, "image").what == "The folder has no class folders"


def test_split_folders_are_not_classes(tmp_path):
    picture(tmp_path / "train/ant/a.png")
    picture(tmp_path / "val/ant/a.png")
    error = failure(tmp_path, "image")
    assert error.what == "The folders train, val are splits, not classes" and error.do.endswith("/train")


# CSV


def test_text_csv(tmp_path):
    path = write(tmp_path / "a.csv", 'sentence,label,number\nNA,01,3\n"a, b",1,4\n')
    table = load(path, "text")
    assert table.rows.table.to_pydict() == {"id": ["0", "1"], "text": ["NA", "a, b"], "label": ["01", "1"]}


def test_image_csv_is_relative_to_itself(tmp_path, monkeypatch):
    picture(tmp_path / "pics/a.png")
    outside = picture(tmp_path / "other/b.png")
    write(tmp_path / "lists/a.csv", f"file,label\n../pics/a.png,7\n{outside},8\n./c.png,9\n")
    picture(tmp_path / "lists/c.png")
    monkeypatch.chdir(tmp_path)
    table = load("lists/a.csv", "image")
    assert [Path(image["path"]).resolve() for image in table.column("image")] == [
        tmp_path / "pics/a.png",
        outside,
        tmp_path / "lists/c.png",
    ]
    assert table.ids[2] == "c.png" and table.column("label") == ["7", "8", "9"]


def test_speech_folder_with_metadata(tmp_path):
    sound(tmp_path / "ann/a.flac")
    sound(tmp_path / "bob/b.wav")
    write(tmp_path / "metadata.csv", "file_name,text,speaker\nann/a.flac,ONE TWO,ann\nbob/b.wav,three,\n")
    table = load(tmp_path, "audio")
    assert table.ids == ["ann/a.flac", "bob/b.wav"] and table.column("transcript") == ["ONE TWO", "three"]
    assert table.column("speaker") == ["ann", None]
    assert load(tmp_path / "metadata.csv", "audio").fingerprint == table.fingerprint


def test_image_folder_with_metadata(tmp_path):
    picture(tmp_path / "x/a.png")
    write(tmp_path / "metadata.csv", "file_name,label\nx/a.png,ant\n")
    assert load(tmp_path, "image").column("label") == ["ant"]


def test_a_ragged_row_is_told_by_row_and_line(tmp_path):
    error = failure(write(tmp_path / "a.csv", "text,label\na,x\n\nb\n"), "text")
    assert error.what == "1 of 2 examples cannot be used: row 1 (line 4): 1 fields where the header has 2"


def test_an_empty_csv(tmp_path):
    assert failure(write(tmp_path / "a.csv", ""), "text").what == "The CSV is empty"


def test_a_wrong_column_name_is_told_the_nearest(tmp_path):
    path = write(tmp_path / "a.csv", "text,category\na,x\n")
    error = failure(path, "text", Columns(label="categori"))
    assert error.what == "Unknown column 'categori'" and "did you mean category?" in error.do
    assert error.where == f"--label-column of --train {path}"


def test_ambiguous_columns_are_named(tmp_path):
    error = failure(write(tmp_path / "a.csv", "text,label,intent\na,x,y\n"), "text")
    assert error.what == "2 columns may hold the label: 'label', 'intent'" and "--label-column" in error.do


def test_files_of_a_csv_that_are_not_there_or_twice(tmp_path):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "zero.wav", samples=0)
    write(
        tmp_path / "metadata.csv", "file_name,text\na.wav,one\nb.wav,two\nzero.wav,three\n,four\n./a.wav,five\na.wav,\n"
    )
    what = failure(tmp_path, "audio").what
    assert what.startswith("5 of 6 examples cannot be used: ")
    assert f"b.wav, row 1 (line 3): no such file: {tmp_path / 'b.wav'}" in what
    assert "zero.wav, row 2 (line 4): the recording has zero length" in what
    assert "a file, row 3 (line 5): the file name is empty" in what
    assert "./a.wav, row 4 (line 6): the file is listed before, as a.wav, row 0 (line 2)" in what
    table = load(tmp_path, "audio", skip_bad=True)
    assert table.ids == ["a.wav"] and table.column("transcript") == ["one"] and len(table.skipped) == 5


def test_an_empty_transcript(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "metadata.csv", "file_name,text\na.wav, \n")
    assert failure(tmp_path, "audio").what.endswith("a.wav, row 0 (line 2): the transcript is empty")


# paths that are something else


@pytest.mark.parametrize("modality", ["image", "text", "audio"])
def test_a_missing_file(tmp_path, modality):
    error = failure(tmp_path / "none.csv", modality, option="--validation")
    assert error.what == "No such file or folder" and error.where == f"--validation {tmp_path / 'none.csv'}"


def test_one_text_is_not_a_path():
    assert "goes into a list, or to - by standard input" in failure("where is my card?", "text", labelled=False).do


def test_files_where_answers_are_needed(tmp_path):
    assert (
        failure(write(tmp_path / "a.txt", "hello"), "text").what == "text data with answers is a table, not a .txt file"
    )
    assert "is a folder or a table" in failure(picture(tmp_path / "a.png"), "image").what
    assert failure(sound(tmp_path / "s" / "a.wav").parent, "audio").what == "The folder has no metadata.csv"
    assert "there is a.png, a.txt" in failure(tmp_path, "text").do


def test_other_objects_are_refused():
    assert failure(np.zeros(3), "audio").what == "Data cannot be a ndarray"


# every kind of table: the same examples

TEXTS = [{"text": "where, is it", "label": "01"}, {"text": "caf\u00e9", "label": "x"}]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "saved", "dataset"])
def test_text_tables_of_every_kind_are_equal(tmp_path, name):
    dataset = datasets.Dataset.from_list(TEXTS)
    path = tmp_path / name
    if path.suffix in (".csv", ".tsv"):
        dataset.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".jsonl":
        dataset.to_json(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(TEXTS))
    elif path.suffix == ".parquet":
        dataset.to_parquet(path)
    elif name == "saved":
        dataset.save_to_disk(path)
    table = load(dataset if name == "dataset" else path, "text")
    assert table.fingerprint == load(TEXTS, "text").fingerprint and table.ids == ["0", "1"]
    unlabelled = load(dataset if name == "dataset" else path, "text", labelled=False)
    assert unlabelled.rows.column_names == ["id", "text"]


@pytest.mark.parametrize("modality", ["image", "audio"])
@pytest.mark.parametrize("cell", ["path", "struct path", "struct bytes", "bytes"])
@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_files_in_tables_by_path_or_by_bytes(tmp_path, modality, cell, kind):
    file = picture(tmp_path / "x.png") if modality == "image" else sound(tmp_path / "x.wav")
    name = file.name if kind == "parquet" else str(file)
    values = {
        "path": name,
        "struct path": {"path": name, "bytes": None},
        "struct bytes": {"path": "gone" + file.suffix, "bytes": file.read_bytes()},
        "bytes": file.read_bytes(),
    }
    columns = {"image" if modality == "image" else "audio": [values[cell]], "text": ["said"], "label": ["seen"]}
    dataset = datasets.Dataset.from_dict(columns)
    dataset.to_parquet(tmp_path / "a.parquet")
    table = load(dataset if kind == "dataset" else tmp_path / "a.parquet", modality)
    held = table.column("image" if modality == "image" else "audio")[0]
    assert (held["path"] is None) == ("bytes" in cell)
    assert read_contents(held) == file.read_bytes()
    assert table.ids == [file.name if kind == "parquet" and "path" in cell else "0"]


def test_an_audio_column_of_datasets_needs_no_torchcodec(tmp_path):
    file = sound(tmp_path / "x.wav")
    rows = {
        "audio": [{"path": "x.wav", "bytes": file.read_bytes()}, {"path": str(file), "bytes": None}],
        "text": ["a", "b"],
    }
    undecoded = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    dataset = undecoded.cast_column("audio", datasets.Audio())
    dataset.save_to_disk(tmp_path / "saved")
    for source in (dataset, tmp_path / "saved"):
        assert len(audio.read_samples(load(source, "audio").column("audio")[1], 8000)) == 100


def test_a_decoded_recording_of_a_list_keeps_its_rate():
    row = {"audio": {"array": np.zeros(80, np.float32), "sampling_rate": 8000, "path": None}, "text": "one"}
    assert audio.samples(load([row], "audio").column("audio")[0], 16_000) == 160


def test_a_cell_that_holds_no_file():
    what = failure([{"image": {"height": 3}, "label": "x"}], "image").what
    assert what.endswith("row 0: there is neither path nor bytes, only height")


def test_the_part_of_a_dataset_dict_is_that_of_the_option(tmp_path):
    parts = {name: datasets.Dataset.from_list([{"text": name, "label": "x"}]) for name in ("train", "dev", "test")}
    whole = datasets.DatasetDict(parts)
    whole.save_to_disk(tmp_path / "saved")
    for source in (whole, tmp_path / "saved"):
        found = [load(source, "text", split=split).column("text") for split in ("train", "validation", "test")]
        assert found == [["train"], ["dev"], ["test"]]
    assert load(whole, "text").source == "python:train+dev+test"
    error = failure(datasets.DatasetDict(train=parts["train"]), "text", option="--test", split="test")
    assert error.what == "The dataset has no test part, only 'train'" and error.do == "leave the option out"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_table_without_the_named_column_names_those_that_are_there(tmp_path, name):
    write = {"a.csv": "to_csv", "a.jsonl": "to_json", "a.parquet": "to_parquet"}[name]
    getattr(datasets.Dataset.from_list(TEXTS), write)(tmp_path / name)
    error = failure(tmp_path / name, "text", Columns(label="intention"))
    assert error.what == "Unknown column 'intention'" and error.do.endswith("known: text, label")
    assert error.where == f"--label-column of --train {tmp_path / name}"


def test_a_broken_line_of_json_is_told_by_its_line_or_left_out(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": "x"}\n\n{"text": \n{"text": "b", "label": 3}\n')
    error = failure(path, "text")
    assert error.what == ("1 of 3 examples cannot be used: row 1 (line 3): not JSON (Expecting value at character 10)")
    assert load(path, "text", skip_bad=True).column("label") == ["x", "3"]


def test_two_columns_without_a_header(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    rows = [f"sentence number {n},{'ab'[n % 2]}" for n in range(6)]
    table = load(write(tmp_path / "a.csv", "\n".join(rows)), "text")
    assert len(table) == 6 and table.rows[0] == {"id": "0", "text": "sentence number 0", "label": "a"}
    assert "has no header: its columns are called 0, 1" in caplog.text and "text '0', label '1'" in caplog.text
    swapped = load(write(tmp_path / "b.csv", "\n".join(f"{n % 2};sentence {n}" for n in range(6))), "text")
    assert swapped.column("text")[1] == "sentence 1" and swapped.column("label")[1] == "1"
    picture(tmp_path / "x.png")
    picture(tmp_path / "y.png")
    assert load(write(tmp_path / "c.tsv", "x.png\tant\ny.png\tbee\n"), "image").column("label") == ["ant", "bee"]
    assert load(write(tmp_path / "d.csv", "ant,x.png\nbee,y.png\n"), "image").column("label") == ["ant", "bee"]
    assert load(tmp_path / "a.csv", "text", labelled=False).column("text")[0] == "sentence number 0"
    named = load(tmp_path / "a.csv", "text", Columns(text="1", label="0"))
    assert named.column("text")[0] == "a"


def test_metadata_of_a_folder_may_be_of_any_kind(tmp_path):
    picture(tmp_path / "a.png")
    write(tmp_path / "metadata.jsonl", '{"file_name": "a.png", "label": "ant"}\n')
    assert load(tmp_path, "image").column("label") == ["ant"]


# groups


def test_groups_of_any_task(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,patient\na,x,p1\nb,y,\n")
    assert load(path, "text", Columns(group="patient")).column("group") == ["p1", None]
    assert "group" not in load(path, "text").rows.column_names
    assert load(path, "text", Columns(group="patient")).fingerprint == load(path, "text").fingerprint


def test_a_group_column_that_is_not_there(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    path = write(tmp_path / "a.csv", "text,label,patient\na,x,p1\nb,y,\n")
    error = failure(path, "text", Columns(group="patents"))
    assert error.what == "Unknown column 'patents'" and "did you mean patient" in error.do
    assert error.where == f"--group-column of --train {path}"
    assert len(load(path, "text", Columns(group="patents"), option="--test", split="test")) == 2
    assert "no column 'patents': what it shares with the training data is not known" in caplog.text
    picture(tmp_path / "pics/ant/a.png")
    assert "have no columns, so no groups" in failure(tmp_path / "pics", "image", Columns(group="patient")).what


# the hub


def test_a_dataset_on_the_hub_without_network_is_one_clear_error():
    error = failure("hub:nobody/no-such-set:plain", "text")
    assert error.what.startswith("Could not get 'nobody/no-such-set': not in the local cache, and http")
    assert error.what.endswith("is out of reach") and error.where == "--train hub:nobody/no-such-set:plain"
    assert failure("hub:a/b:c:d:e", "text").do == "write hub:ORG/NAME[:CONFIG[:SPLIT]]"


def test_a_path_that_may_be_a_dataset_on_the_hub():
    assert failure("nobody/no-such-set", "text").do.endswith("a dataset on the hub is hub:nobody/no-such-set")
    assert "hub:" not in failure("nobody/no-such.csv", "text").do


# without labels


def test_lines_of_text(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\n two \r\n")
    table = load(path, "text", labelled=False)
    assert table.rows.table.to_pydict() == {"id": ["0", "2"], "text": ["one", " two "]}
    assert failure(write(tmp_path / "b.txt", "\n"), "text", labelled=False).what == "The file is empty"


def test_a_folder_or_one_file_without_labels(tmp_path):
    picture(tmp_path / "b.png")
    picture(tmp_path / "sub/a.png")
    assert load(tmp_path, "image", labelled=False).ids == ["b.png", "sub/a.png"]
    table = load(tmp_path / "b.png", "image", labelled=False)
    assert table.ids == ["b.png"] and table.rows.column_names == ["id", "image"]
    sound(tmp_path / "s/a.ogg")
    assert load(tmp_path / "s", "audio", labelled=False).ids == ["a.ogg"]
    assert load(tmp_path / "s/a.ogg", "audio", labelled=False).rows.column_names == ["id", "audio"]


def test_without_labels_answers_are_not_read(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,\nb,never seen\n")
    assert load(path, "text", labelled=False).rows.column_names == ["id", "text"]


# lists


def test_lists_of_pairs_and_dicts():
    pairs = load([("a", 3), ("b", "x")], "text")
    assert pairs.rows.table.to_pydict() == {"id": ["0", "1"], "text": ["a", "b"], "label": ["3", "x"]}
    assert pairs.source == "python:2 rows"
    dicts = load([{"q": "a", "kind": 3}, {"kind": "x", "q": "b"}], "text", Columns(text="q", label="kind"))
    assert dicts.fingerprint == pairs.fingerprint


def test_lists_of_images(tmp_path, monkeypatch):
    path = picture(tmp_path / "a.png", colour=200)
    monkeypatch.chdir(tmp_path)
    pixels = np.asarray(Image.open(path))
    given = ["a.png", path, path.read_bytes(), Image.open(path), pixels]
    table = load(given, "image", labelled=False)
    assert table.ids == list("01234")
    assert all(np.array_equal(np.asarray(images.decode(image)), pixels) for image in table.column("image"))
    labelled = load([{"image": pixels, "label": "ant"}], "image")
    assert labelled.rows[0]["label"] == "ant"


def test_lists_of_recordings(tmp_path):
    path = sound(tmp_path / "a.wav", rate=16_000)
    samples = np.full(100, 0.25, np.float32)
    table = load([path, samples, samples.astype(np.float64), torch.from_numpy(samples)], "audio", labelled=False)
    assert all(
        np.allclose(audio.read_samples(value, 16_000).numpy(), samples, atol=1e-4) for value in table.column("audio")
    )
    rows = [{"audio": samples, "text": "one", "speaker": "ann"}, {"audio": samples, "text": "two"}]
    assert load(rows, "audio").column("speaker") == ["ann", None]


@pytest.mark.parametrize(
    ("rows", "modality", "reason"),
    [
        ([("a", "x"), "b"], "text", "row 1: not a pair (input, answer) nor a dict, but a str"),
        ([("a", "x"), (3, "y")], "text", "row 1: a text must be a str, not a int"),
        ([("a", "x"), ("b", None)], "text", "row 1: the label is empty"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": float("nan")}], "text", "row 1: the label is empty"),
        ([{"text": "a", "label": "x"}, {"label": "y"}], "text", "row 1: the text is empty"),
        ([(np.zeros((2, 2, 3), np.uint8), "x"), (np.zeros((2, 2, 3)), "y")], "image", "row 1: an array must be uint8"),
        (
            [(np.ones(9, np.float32), "x"), (np.ones(0, np.float32), "y")],
            "audio",
            "row 1: the recording has zero length",
        ),
        ([(np.ones(9, np.float32), "x"), (4, "y")], "audio", "row 1: a int is no audio input"),
    ],
)
def test_bad_rows_of_lists(rows, modality, reason):
    what = failure(rows, modality).what
    assert what.startswith(f"1 of 2 examples cannot be used: {reason}")
    assert len(load(rows, modality, skip_bad=True)) == 1


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_two_columns_are_told_to_be_zipped(kind):
    texts, answers = kind(["red", "blue", "green"]), kind(["a", "b", "a"])
    for columns in ((texts, answers), [texts, answers]):
        error = failure(columns, "text")
        assert error.what == "Data are rows (input, answer), not two columns, here of 3 and 3"
        assert error.do == "give list(zip(inputs, answers, strict=True))"
    assert "of 3 and 1" in failure((texts, answers[:1]), "text").what
    assert len(load(list(zip(texts, answers, strict=True)), "text")) == 3
    assert len(load((("red", "a"), ("blue", "b")), "text")) == 2, "two rows"
    assert "row 1: not a pair" in failure([("red", "a"), ("blue", "b", "c")], "text").what
    assert load([texts[0], texts[1]], "text", labelled=False).column("text") == ["red", "blue"]


def test_an_empty_list():
    assert failure([], "text").what == "The list is empty"


# built-in


def test_builtin_data_by_split():
    train, test = load("builtin:digits", "image"), load("builtin:digits", "image", option="--test", split="test")
    assert len(train) == 1438 and len(test) == 359 and train.source == "builtin:digits"
    error = failure("builtin:digits", "image", option="--validation", split="validation")
    assert error.what == "builtin:digits has no validation part, only train and test"


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "modality", "count", "classes"),
    [
        ("hymenoptera/train", "image", 244, 2),
        ("banking77/train.csv", "text", 10003, 77),
        ("sst2/test.csv", "text", 1821, 2),
        ("an4/test", "audio", 130, 10),
        ("fsdd/train", "audio", 2700, 6),
        ("cifar10/test.parquet", "image", 10000, 10),
    ],
)
def test_real_sets(data_folder, name, modality, count, classes):
    table = load(data_folder / name, modality)
    assert len(table) == len(set(table.ids)) == count
    assert len(set(table.column("speaker" if modality == "audio" else "label"))) == classes


# pairs and kinds of answers


def test_pairs_from_a_csv_and_from_python(tmp_path):
    path = write(tmp_path / "a.csv", "premise,hypothesis,label\none,two,yes\nthree,four,no\n")
    expected = (["one", "three"], ["two", "four"], ["yes", "no"])
    rows = [(("one", "two"), "yes"), (["three", "four"], "no")]
    names = ("premise", "hypothesis", "label")
    dicts = [dict(zip(names, values, strict=True)) for values in zip(*expected, strict=True)]
    for source in (path, rows, dicts):
        table = load(source, "text")
        assert tuple(table.column(name) for name in ("text", "pair", "label")) == expected
    table = load([("one", "two")], "text", labelled=False)
    assert (table.column("text"), table.column("pair")) == (["one"], ["two"])


def test_a_pair_with_an_empty_or_missing_side_names_its_row(tmp_path):
    path = write(tmp_path / "a.csv", "text1,text2,label\none,,yes\nthree,four,no\n")
    assert "row 0 (line 2): the second text of the pair is empty" in failure(path, "text").what
    error = failure([("a", "b"), "c", ("d", 1)], "text", labelled=False)
    assert "row 1: not a pair of texts, but a str" in error.what
    assert "row 2: a text must be a str, not a int" in error.what


def test_pairs_where_single_texts_are_wanted_and_the_reverse(tmp_path):
    error = failure([("a", "b")], "text", Columns(paired=False), labelled=False)
    assert "row 0: a text must be a str, not a tuple" in error.what
    error = failure(["a"], "text", Columns(paired=True), labelled=False)
    assert "row 0: not a pair of texts, but a str" in error.what
    lines = write(tmp_path / "a.txt", "a sentence\n")
    assert failure(lines, "text", Columns(paired=True), labelled=False).what == "A file of lines has no second texts"


def test_several_labels_and_numbers_are_columns_of_their_own(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\none,b|a\ntwo,\n")
    table = load(path, "text", Columns(kind="labels"))
    assert table.column("labels") == [["a", "b"], []] and "label" not in table.rows.column_names
    assert load([("one", ["b", "a"]), ("two", [])], "text", Columns(kind="labels")).fingerprint == table.fingerprint
    path = write(tmp_path / "b.csv", "text,label\none,1.5\ntwo,x\n")
    error = failure(path, "text", columns=Columns(kind="value"))
    assert error.what == "1 of 2 examples cannot be used: row 1 (line 3): the label 'x' is not a number"
    table = load(path, "text", Columns(kind="value"), skip_bad=True)
    assert table.column("value") == [1.5] and table.skipped[0]["id"] == "1" and table.fingerprint


def test_class_folders_and_builtin_data_may_name_numbers(tmp_path):
    picture(tmp_path / "12/a.png")
    picture(tmp_path / "30/b.png")
    assert load(tmp_path, "image", Columns(kind="value")).column("value") == [12.0, 30.0]
    picture(tmp_path / "old/c.png")
    assert "old/c.png: the label 'old' is not a number" in failure(tmp_path, "image", Columns(kind="value")).what
    assert set(load("builtin:digits", "image", Columns(kind="value")).column("value")) == set(map(float, range(10)))
    assert load("builtin:digits", "image", Columns(kind="labels")).column("labels")[0] in [[str(n)] for n in range(10)]


@pytest.mark.parametrize("source", ["", "  "])
def test_an_empty_path_is_told_with_its_option(source):
    with pytest.raises(MMTransferError, match="The path is empty") as error:
        load(source, "text", option="--validation")
    assert error.value.where == '--validation ""'
