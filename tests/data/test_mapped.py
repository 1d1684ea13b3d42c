"""Pictures and recordings stay in the Arrow files that hold them; they are the same examples as in memory."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from PIL import Image

from mmtransfer import files
from mmtransfer.cache.settings import Cache
from mmtransfer.cache.store import Store
from mmtransfer.data import arrow, images, mapped
from mmtransfer.data.columns import Columns
from mmtransfer.data.file import Place, read_contents
from mmtransfer.data.reading import TABLES, Reading
from mmtransfer.data.sources import load
from mmtransfer.data.table import Table
from mmtransfer.engine.provenance import kept_reading
from mmtransfer.errors import MMTransferError

COUNT = 20


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4 + number, 5), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> datasets.Dataset:
    """Rows with the bytes of a picture, one with its path instead, and labels."""
    (tmp_path / "alone.png").write_bytes(png(3))
    cells = [{"bytes": png(number), "path": f"{number}.png"} for number in range(COUNT)]
    cells[3] = {"bytes": None, "path": str(tmp_path / "alone.png")}
    labels = [f"{number % 3}" for number in range(COUNT)]
    return datasets.Dataset.from_dict({"image": cells, "label": labels})


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "SMALL", 0)


def as_given(dataset: datasets.Dataset, folder: Path, kind: str) -> object:
    """The same rows as a source that lies in Arrow files."""
    if kind == "parquet":
        dataset.to_parquet(folder / "a.parquet", batch_size=7)
        return folder / "a.parquet"
    dataset.save_to_disk(folder / "saved", num_shards=3)
    return folder / "saved" if kind == "saved" else datasets.load_from_disk(str(folder / "saved"))


def prints(table: Table) -> tuple[str, str, str]:
    return table.fingerprint, table.inputs, table.content


@pytest.mark.parametrize("kind", ["parquet", "saved", "dataset"])
def test_bytes_stay_where_they_are_and_are_the_same_examples(pictures, tmp_path, kind):
    table = load(as_given(pictures, tmp_path, kind), "image", reading=Reading(tmp_path / "memory"))
    files = table.column("image")
    assert all(file["bytes"] is None for file in files)
    assert [file["offset"] is None for file in files] == [number == 3 for number in range(COUNT)]
    assert [read_contents(file) for file in files] == [png(number) for number in range(COUNT)]
    assert np.asarray(images.decode(files[9])).shape == (5, 13, 3)
    cells = [{"path": cell["path"]} if cell["bytes"] is None else cell["bytes"] for cell in pictures["image"]]
    rows = [{"image": cell, "label": label} for cell, label in zip(cells, pictures["label"], strict=True)]
    held = load(rows, "image")
    others = range(4, COUNT)  # the id of the picture that has a path is its path, where that is relative to a table
    assert prints(table.select(others)) == prints(held.select(others)) and table.inputs == held.inputs
    assert prints(table.select([7, 5])) == prints(load(rows, "image").select([7, 5]))


def test_a_dataset_is_read_in_its_own_order_and_under_its_own_names(pictures, tmp_path):
    saved = as_given(pictures, tmp_path, "dataset")
    drawn = datasets.Image()
    chosen = saved.cast_column("image", drawn).select(range(2, 18)).rename_column("image", "img")
    held = pictures.select([0]).cast_column("image", drawn).rename_column("image", "img")
    chosen = datasets.concatenate_datasets([chosen.shuffle(seed=1), chosen.select([4, 9]), held])
    table = load(chosen, "image", Columns(file="img"))
    cells = chosen.cast_column("img", datasets.Image(decode=False))["img"]
    assert [read_contents(file) for file in table.column("image")] == [cell["bytes"] or png(3) for cell in cells]
    assert [file["bytes"] is None for file in table.column("image")] == [True] * (len(chosen) - 1) + [False]


def test_a_dataset_whose_file_was_removed_is_read_from_memory(pictures, tmp_path):
    saved = as_given(pictures, tmp_path, "dataset")
    shutil.rmtree(tmp_path / "saved")
    table = load(saved, "image")
    others = [number for number in range(COUNT) if number != 3]
    assert [table.column("image")[number]["bytes"] for number in others] == [png(number) for number in others]


def test_segments_of_a_recording_in_a_table(tmp_path):
    samples = np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.1
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format="WAV")
    data = {"audio": [buffer.getvalue()] * 2, "text": ["a", "b"], "start": [0.0, 0.5], "end": [0.5, 1.0]}
    path = as_given(datasets.Dataset.from_dict(data), tmp_path, "parquet")
    table, held = load(path, "audio", reading=Reading(tmp_path)), load(path, "audio")
    assert [file["offset"] is None for file in table.column("audio")] == [False, False]
    assert prints(table) == prints(held)
    assert table.extents.tolist() == [[4000, 8000]] * 2 == held.measured().tolist()


def test_a_parquet_file_is_unpacked_once_and_again_when_it_has_changed(pictures, tmp_path, monkeypatch):
    path, shown = as_given(pictures, tmp_path, "parquet"), []
    write = mapped._write
    monkeypatch.setattr(mapped, "_write", lambda *call: shown.append(call[1]) or write(*call))
    first, second = (arrow.read_parquet(path, "a", Reading(tmp_path)) for _ in range(2))
    assert first.files("image") == second.files("image") and shown == [path]
    assert all(isinstance(value, Place) for number, value in enumerate(first.files("image")) if number != 3)
    pictures.select([5]).to_parquet(path)
    (changed,) = arrow.read_parquet(path, "a", Reading(tmp_path)).files("image")
    assert shown == [path, path] and changed.length == len(png(5))
    assert len(list((tmp_path / TABLES).iterdir())) == 2


def test_a_table_that_another_version_unpacked_is_not_read(pictures, tmp_path, monkeypatch):
    path, reading = as_given(pictures, tmp_path, "parquet"), Reading(tmp_path)
    first = mapped.unpack(path, reading)
    monkeypatch.setattr(mapped, "FORMAT", mapped.FORMAT + 1)
    second = mapped.unpack(path, reading)
    assert second != first and second == mapped.unpack(path, reading)


def test_without_room_or_a_folder_it_is_read_into_memory(pictures, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "mmtransfer")
    path = as_given(pictures, tmp_path, "parquet")
    (tmp_path / "file").touch()
    for reading in (Reading(), Reading(tmp_path / "memory", room=lambda: 10), Reading(tmp_path / "file")):
        found = arrow.read_parquet(path, "a", reading)
        assert found.files("image") == found.column("image") == pictures["image"][:]
    assert "the cache has no room" in caplog.text and "cannot be written" in caplog.text
    assert not (tmp_path / "memory").exists()


def test_the_limit_holds_for_all_tables_together(pictures, tmp_path):
    first, store = as_given(pictures, tmp_path, "parquet"), Store(tmp_path / "memory")
    second = Path(shutil.copy(first, tmp_path / "b.parquet"))
    mapped.unpack(first, Reading(store.root))
    limit = int(1.5 * store.bytes())
    reading = kept_reading(Cache("on", Store(tmp_path / "limited"), limit), False)
    assert [mapped.unpack(path, reading) is None for path in (first, second, first)] == [False, True, False]
    assert reading.room() > 0


def dies_unpacking(path: Path, memory: Path) -> None:
    """Unpacks a file with a writer that ends the process."""
    mapped.SMALL = 0
    mapped.documents.write = lambda *call: os._exit(7)
    mapped.unpack(path, Reading(memory))


def unpacks(path: Path, memory: Path, go: Any, written: Any) -> None:
    """Unpacks a file when told to, and counts who writes it."""
    mapped.SMALL = 0
    write = mapped.documents.write

    def slow(*call: Any) -> None:
        with written:
            written.value += 1
        time.sleep(0.3)
        write(*call)

    mapped.documents.write = slow
    go.wait()
    assert mapped.unpack(path, Reading(memory)).is_file()


def test_what_a_killed_process_left_is_written_over(pictures, tmp_path):
    path, memory = as_given(pictures, tmp_path, "parquet"), tmp_path / "memory"
    process = multiprocessing.get_context("spawn").Process(target=dies_unpacking, args=(path, memory))
    process.start()
    process.join()
    (left,) = (memory / TABLES).iterdir()
    assert process.exitcode == 7 and left.name.endswith(files.PARTIAL) and files.bytes_in(left)
    # its own bytes are no reason to refuse the same table
    found = mapped.unpack(path, Reading(memory, lambda: mapped._sizes(parquet_of(path))[1] - files.bytes_in(left)))
    assert found is not None and [folder.name for folder in (memory / TABLES).iterdir()] == [found.parent.name]


def parquet_of(path: Path) -> Any:
    return pyarrow.parquet.ParquetFile(path).metadata


def test_of_several_processes_one_unpacks_and_the_others_wait(pictures, tmp_path):
    path, memory = as_given(pictures, tmp_path, "parquet"), tmp_path / "memory"
    context = multiprocessing.get_context("spawn")
    go, written = context.Event(), context.Value("i", 0)
    several = [context.Process(target=unpacks, args=(path, memory, go, written)) for _ in range(2)]
    for process in several:
        process.start()
    go.set()
    for process in several:
        process.join()
    assert [process.exitcode for process in several] == [0, 0] and written.value == 1
    assert len(list((memory / TABLES).iterdir())) == 1


def test_a_small_table_is_held_in_memory(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "SMALL", 4 << 20)
    table = load(as_given(pictures, tmp_path, "parquet"), "image", reading=Reading(tmp_path))
    assert table.column("image")[0]["bytes"] == png(0) and not (tmp_path / TABLES).exists()


def test_bad_pictures_in_a_table_are_told_as_they_are_in_memory(pictures, tmp_path):
    cells = [*pictures["image"][:3], {"bytes": b"no picture", "path": None}, {"bytes": b"", "path": None}]
    path = as_given(datasets.Dataset.from_dict({"image": cells, "label": list("abcde")}), tmp_path, "parquet")
    told = []
    for reading in (None, Reading(tmp_path), Reading(tmp_path)):
        with pytest.raises(MMTransferError) as caught:
            load(path, "image", reading=reading)
        told.append(caught.value.what)
    assert told[0] == told[1] == told[2] and told[0].startswith("2 of 5 examples cannot be used: a file, row 3: not a")
    kept = load(path, "image", skip_bad=True, reading=Reading(tmp_path))
    held = load(path, "image", skip_bad=True)
    assert kept.ids == ["0", "1", "2"] and kept.skipped == held.skipped and prints(kept) == prints(held)


def test_a_table_that_is_gone_is_named(pictures, tmp_path):
    table = load(as_given(pictures, tmp_path, "parquet"), "image", reading=Reading(tmp_path / "memory"))
    file = table.column("image")[0]
    Path(file["path"]).write_bytes(b"")
    with pytest.raises(MMTransferError) as caught:
        images.decode(file)
    assert caught.value.where == f"an image in {file['path']} ({file['length']} bytes from byte {file['offset']} on)"
