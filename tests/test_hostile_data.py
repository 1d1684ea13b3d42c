"""Data that nobody writes on purpose: links in circles, names that are no text, numbers and tables beyond measure."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
import tiny
from PIL import Image

import mmtransfer as mmt
from mmtransfer import MMTransferError
from mmtransfer.config import IMAGE, SPEECH, TEXT

BYTES = os.fsdecode(b"caf\xe9")
"""A name as a disk of another system may hold it: Latin-1."""
HALF = "\ud83d"
"""Half of an emoji, as programs that cut strings leave it."""


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    tiny.text(folder)
    fields = {"train": folder / "train.csv", "validation": folder / "validation.csv", "backbone": str(folder / "bert")}
    return mmt.fit(task=TEXT, weights="none", max_length=32, epochs=1, threads=1, out=str(folder / "run"), **fields)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(str(path))).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)


def pictures(folder: Path) -> Path:
    """Six pictures of two classes, and one file that is none: the message about it tells how many were found."""
    for label in "ab":
        for number in range(3):
            picture(folder / label / f"{number}.png")
    (folder / "b" / "broken.png").write_bytes(b"no picture")
    return folder


def refused(task: str, train: object, **fields: object) -> str:
    """What a run on this data is refused with; nothing is trained."""
    with pytest.raises(MMTransferError) as error:
        mmt.fit(task=task, train=train, backbone="builtin", **fields)
    return str(error.value)


def of(status: int, said: str) -> str:
    assert status == 2 and "Traceback" not in said, said
    return said[said.index("error: ") :]


# links


@pytest.mark.parametrize("target", [".", "..", "../..", "../a", "../b"])
def test_links_in_circles_add_no_pictures(tmp_path, caplog, target):
    folder = pictures(tmp_path / "outer" / "pictures")
    (folder / "a" / "again").symlink_to(target)
    (folder / "b" / "again").symlink_to("../a")
    assert "1 of 7 examples" in refused(IMAGE, folder)
    assert "is the same folder as" in caplog.text


def test_a_link_never_takes_a_picture_from_its_own_class(tmp_path):
    """`a/again` comes before `b`, but what is in `b` is of class b."""
    folder = pictures(tmp_path / "pictures")
    (folder / "a" / "again").symlink_to("../b")
    assert "b/broken.png" in refused(IMAGE, folder)


def test_two_class_folders_that_are_one_are_read_once_and_told(tmp_path, caplog):
    pictures(tmp_path / "pool")
    (tmp_path / "pictures").mkdir()
    for name, target in (("cat", "a"), ("kitten", "a"), ("dog", "b")):
        (tmp_path / "pictures" / name).symlink_to(tmp_path / "pool" / target)
    said = refused(IMAGE, tmp_path / "pictures")
    assert "1 of 7 examples" in said and "dog/broken.png" in said
    assert "kitten is the same folder as cat and is not read again" in caplog.text


def test_a_picture_that_is_linked_twice_is_two_examples(tmp_path):
    folder = pictures(tmp_path / "pictures")
    (folder / "a" / "twin.png").symlink_to("0.png")
    (folder / "a" / "nowhere.png").symlink_to("nothing.png")
    (folder / "a" / "self.png").symlink_to("self.png")
    assert "3 of 10 examples" in refused(IMAGE, folder)


def test_recordings_below_links_in_circles(tmp_path):
    for name in ("x/1.wav", "y/2.wav", "y/3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.full(4000, 0.1), 16000)
    (tmp_path / "x" / "1.txt").write_text("one")
    (tmp_path / "x" / "back").symlink_to("..")
    (tmp_path / "y" / "back").symlink_to("../x")
    assert "2 of 3 examples" in refused(SPEECH, tmp_path)


def test_prediction_folders_and_doubling_links_end(command, tmp_path):
    """Thirty levels of two links each would be a billion paths."""
    for level in range(30):
        (tmp_path / "deep" / str(level)).mkdir(parents=True)
        for name in "lr":
            (tmp_path / "deep" / str(level) / name).symlink_to(f"../{level + 1}")
    picture(tmp_path / "deep" / "30" / "only.png")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "in").symlink_to("../deep/0")
    out = tmp_path / "features.npy"
    words = ("--weights", "none", "--image-size", "32", "--out", out)
    assert command("embed", "resnet18", tmp_path / "all", *words)[0] == 0
    assert np.load(out).shape == (1, 512)


# names and texts that are not UTF-8


def test_file_names_that_are_not_utf8_are_refused_or_left_out(command, tmp_path):
    folder = tmp_path / "pictures"
    for label in "ab":
        for number in range(6):
            picture(folder / label / f"{number}.png")
    picture(folder / "a" / f"{BYTES}.png")
    assert "a/caf\\udce9.png: the name is not UTF-8 (byte 0xe9)" in refused(IMAGE, folder)
    flags = ["--backbone", "resnet18", "--weights", "none", "--image-size", "32", "--epochs", "1", "--threads", "1"]
    status, _, said = command("fit", IMAGE, "--train", folder, *flags, "--skip-bad", "--out", tmp_path / "run")
    assert status == 0, said
    skipped = json.loads((tmp_path / "run/result.json").read_text())["data"]["train"]["skipped"]
    assert [entry["id"] for entry in skipped] == ["a/caf\\udce9.png"]


def test_class_folders_and_paths_that_are_not_utf8(command, tmp_path):
    folder = pictures(tmp_path / "pictures")
    picture(folder / BYTES / "0.png")
    assert "2 of 8 examples" in refused(IMAGE, folder) and "caf\\udce9/0.png: the name" in refused(IMAGE, folder)
    picture(tmp_path / BYTES / "a" / "0.png")
    status, _, said = command("fit", IMAGE, "--train", str(tmp_path / BYTES))
    assert "The path is not UTF-8 (byte 0xe9)" in of(status, said)


def test_paths_that_are_too_long(command):
    status, _, said = command("fit", TEXT, "--train", "x" * 5000)
    assert "No such file or folder" in of(status, said)


ROWS = [{"text": f"a {n}", "label": "xy"[n % 2]} for n in range(6)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": f"a {HALF}", "label": "x"}, "the input holds half of a character (U+D83D)"),
        ({"text": "a", "label": f"x{HALF}"}, "the answer holds half of a character (U+D83D)"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "json", "python"])
def test_halves_of_characters(tmp_path, row, reason, kind):
    rows = [*ROWS, row]
    source: object = rows
    if kind != "python":
        source = tmp_path / f"rows.{kind}"
        text = json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows))
        (tmp_path / f"rows.{kind}").write_text(text)
    assert f"1 of 7 examples cannot be used: row 6{' (line 7)' if kind == 'jsonl' else ''}: {reason}" in refused(
        TEXT, source
    )


@pytest.mark.parametrize("column", ["text", "label"])
def test_parquet_with_text_that_is_not_utf8(tmp_path, column):
    values = {name: [row[name].encode() for row in ROWS] for name in ("text", "label")}
    values[column][4] = b"caf\xe9"
    arrays = {name: pa.array(cells, pa.binary()).view(pa.string()) for name, cells in values.items()}
    pyarrow.parquet.write_table(pa.table(arrays), tmp_path / "a.parquet")
    called = "input" if column == "text" else "answer"
    assert f"1 of 6 examples cannot be used: row 4: the {called} is not UTF-8" in refused(TEXT, tmp_path / "a.parquet")
    other = {**arrays, "unused": arrays[column], column: pa.array([row[column] for row in ROWS])}
    pyarrow.parquet.write_table(pa.table(other), tmp_path / "b.parquet")
    assert len(mmt.embed("builtin:text", tmp_path / "b.parquet", text_column="text").ids) == 6


# numbers and JSON


def test_integers_of_thousands_of_digits(command, text_run, tmp_path):
    long = "7" * 5000
    lines = [f'{{"text": "a b", "id": {long}}}', '{"text": "b c", "id": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "a.json").write_text(f"[{','.join(lines)}]")
    (tmp_path / "a.csv").write_text(f"text,id\na b,{long}\nb c,1\n")
    for name in ("a.jsonl", "a.json", "a.csv"):
        status, printed, said = command("predict", text_run.folder.path, tmp_path / name)
        assert status == 0 and len(printed.splitlines()) == 2, said
    rows = [f'{{"text": "a b", "label": {long}}}', '{"text": "b c", "label": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    assert "is not a finite number" in refused(TEXT, tmp_path / "a.jsonl", target="regression")
    assert "row 0" in refused(TEXT, [{"text": "a", "label": 10**5000}, *ROWS])
    assert "row 0" in refused(TEXT, [{"text": "a", "label": "x", "g": 10**5000}, *ROWS], group_column="g")


def test_json_that_is_nested_too_deeply(tmp_path):
    deep = "[" * 200_000 + "]" * 200_000
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, f'{{"text": {deep}, "label": "x"}}']))
    said = refused(TEXT, tmp_path / "a.jsonl")
    assert "1 of 7 examples cannot be used: row 6 (line 7): lists or objects are nested too deeply" in said
    (tmp_path / "a.json").write_text(deep)
    assert "lists or objects are nested too deeply" in refused(TEXT, tmp_path / "a.json")


@pytest.mark.parametrize("value", [{"a": 1}, b"x"])
def test_labels_that_are_no_labels(value):
    kind = type(value).__name__
    assert f"the label is not a string or a number but a {kind}" in refused(
        TEXT, [*ROWS, {"text": "a", "label": value}]
    )


# tables


@pytest.mark.parametrize("told", [b"[", b"[]", b'{"info": {"features": [1]}}', b'{"info": {"features": {"label": 3}}}'])
def test_parquet_with_malformed_metadata(command, text_run, tmp_path, told):
    table = pa.table({"text": ["a b", "b c"], "label": [0, 1]}).replace_schema_metadata({b"huggingface": told})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert command("predict", text_run.folder.path, tmp_path / "a.parquet")[0] == 0
    names = b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": names}), tmp_path / "b.parquet")
    status, _, said = command("predict", text_run.folder.path, tmp_path / "b.parquet")
    assert status == 0 and "class numbers stay numbers" in said


def test_parquet_that_names_a_column_in_latin1(tmp_path):
    pyarrow.parquet.write_table(pa.table({"text": ["a"], "lxbel": ["b"]}), tmp_path / "b.parquet")
    data = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(data.replace(b"lxbel", b"l\xffbel"))
    assert "Not a readable Parquet file" in refused(TEXT, tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("name", "what"),
    [(name, what) for name in ("state.json", "dataset_info.json") for what in ("[", "[[]]", "[" * 100_000)]
    + [("state.json", '{"_data_files": 3}'), ("state.json", '{"_data_files": [{"filename": "/dev/null"}]}')],
    ids=lambda value: value[:20],
)
def test_saved_datasets_that_are_damaged(tmp_path, name, what):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / name).write_text(what)
    assert "saved dataset" in refused(TEXT, tmp_path / "saved")


def test_saved_data_whose_lengths_lead_out_of_the_file(tmp_path):
    """Arrow would read beyond its end, and the process would die of it."""
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    path = next((tmp_path / "saved").glob("*.arrow"))
    offsets = np.arange(0, 7 * 3, 3, dtype=np.int32).tobytes()
    data = path.read_bytes()
    assert offsets in data
    path.write_bytes(data.replace(offsets, offsets[:-4] + (2**30).to_bytes(4, "little")))
    assert "cannot be read" in refused(TEXT, tmp_path / "saved")


def test_csv_with_zeros_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,label\na\0b,x\nc,y\n")
    assert "Not a text file (byte 12 is zero)" in refused(TEXT, tmp_path / "a.csv")


def test_a_table_of_thousands_of_columns_holds_no_cells_that_nobody_asks_for(tmp_path):
    """A cell takes 50 bytes of memory where the file has 2; only columns in use and the first rows may be there."""
    names = [f"c{number}" for number in range(4000)]
    rows = [",".join([f"words {n}", "xy"[n % 2], *(f"{n}{c % 7}" for c in range(len(names)))]) for n in range(400)]
    (tmp_path / "a.csv").write_text("\n".join([",".join(["text", "label", *names]), *rows]))
    import tracemalloc

    from mmtransfer.data import sources

    tracemalloc.start()
    table = sources.load(tmp_path / "a.csv", "text")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 400 and table.column("text")[399] == "words 399" and table.column("label")[1] == "y"
    # the file twice (bytes and text) and a million cells near the top
    assert peak < 2.5 * (tmp_path / "a.csv").stat().st_size + 60e6 * sys.getsizeof("000") / 52, peak


def test_messages_about_thousands_of_columns_are_short(tmp_path):
    header = ",".join(f"c{number}" for number in range(5000))
    (tmp_path / "a.csv").write_text(f"{header}\n{header.replace('c', 'w')}\n")
    said = refused(TEXT, tmp_path / "a.csv")
    assert "5000 columns may hold the text: 'c0', 'c1'" in said and "and 4980 more" in said and len(said) < 1000
    (tmp_path / "b.csv").write_text(f"c7,{header}\n" * 2)
    assert "names a column twice: 'c7'" in refused(TEXT, tmp_path / "b.csv")


# lines


def test_a_line_of_text_ends_at_line_ends_only(command, text_run, tmp_path):
    (tmp_path / "a.txt").write_bytes("a\u2028b\nc\x0cd\r\ne\x85f\rg\x1ch\n\na\n".encode())
    status, printed, _ = command("predict", text_run.folder.path, tmp_path / "a.txt")
    assert status == 0 and [line.split("\t")[0] for line in printed.splitlines()] == ["0", "1", "2", "3", "5"]
    lines = ['{"text": "a\u2028b"}', '{"text": "c\x85d"}', '{"text": "e"}']
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "a.jsonl").write_bytes(end.join(lines).encode())
        status, printed, said = command("predict", text_run.folder.path, tmp_path / "a.jsonl")
        assert status == 0 and len(printed.splitlines()) == 3, said
        (tmp_path / "a.csv").write_bytes(end.join(["text,n", "a\u2028b,1", "c\x85d\x0c,2"]).encode())
        status, printed, said = command("predict", text_run.folder.path, tmp_path / "a.csv")
        assert status == 0 and len(printed.splitlines()) == 2, said
