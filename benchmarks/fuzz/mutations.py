"""Ways to spoil a file or a folder, each a function of a random generator."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

Random = np.random.Generator
MAGIC = (
    b"\0",
    b"\0" * 64,
    b"\xff" * 4,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\x01",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
    b'"',
    b"\r",
    b"\n",
    b",",
    b"{",
    b"[" * 5000,
    b"9" * 5000,
    b"NaN",
    b"1e999",
    b"-1",
    b"\\ud800",
    b"../../../etc/passwd",
    b"=1+1",
    b"\x1b[31m",
)
"""What readers stumble over."""
VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**30, 3.5, float("nan"), float("inf"), "", "x" * 300, "\ud800")
VALUES += ([], {}, [[]], [None], {"a": 1}, "../../x", "/dev/null", "\0", "9" * 5000)
NAMES = (os.fsdecode(b"\xe9\xff"), "a\nb", "x" * 200, "\u202e", "-rf", "--out", "{}", "%s", "NUL", " ")


def spoil(random: Random, root: Path) -> tuple[list[str], list[str]]:
    """Mutates a file or folder once to three times: (what was done, names of the files it was done to)."""
    done: list[str] = []
    names: list[str] = []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        files = sorted(path for path in [root, *root.rglob("*")] if path.is_file())
        if root.is_dir() and (not files or random.random() < 0.15):
            act = _pick(random, FOLDERS)
            target = root
        else:
            if not files:
                break
            target = _pick(random, files)
            structured = STRUCTURED.get(target.suffix)
            act = structured if structured and random.random() < 0.5 else _pick(random, BYTES + FILES)
        done.append(f"{act.__name__} {target.relative_to(root.parent)}")
        names.append(target.name)
        act(random, target)
    return done, names


def _pick(random: Random, options: Sequence[Any]) -> Any:
    return options[int(random.integers(len(options)))]


def _span(random: Random, size: int) -> tuple[int, int]:
    start = int(random.integers(size + 1))
    return start, min(size, start + int(random.choice([1, 2, 4, 16, 100, 1000])))


def flip(random: Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    head = random.random() < 0.5  # headers are where the meaning is
    for _ in range(int(random.integers(1, 17)) if data else 0):
        data[int(random.integers(min(len(data), 200) if head else len(data)))] ^= 1 << int(random.integers(8))
    path.write_bytes(data)


def truncate(random: Random, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(random.integers(len(data) + 1))])


def remove(random: Random, path: Path) -> None:
    data = path.read_bytes()
    start, stop = _span(random, len(data))
    path.write_bytes(data[:start] + data[stop:])


def double(random: Random, path: Path) -> None:
    data = path.read_bytes()
    start, stop = _span(random, len(data))
    path.write_bytes(data[:stop] + data[start:stop] * int(random.choice([1, 2, 50])) + data[stop:])


def insert(random: Random, path: Path) -> None:
    data = path.read_bytes()
    start, _ = _span(random, len(data))
    piece = _pick(random, MAGIC) if random.random() < 0.7 else random.bytes(int(random.integers(1, 40)))
    path.write_bytes(data[:start] + piece + data[start:])


def overwrite(random: Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = int(random.integers(min(len(data), 100) + 1)) if random.random() < 0.5 else _span(random, len(data))[0]
    piece = _pick(random, MAGIC)[:64]
    data[start : start + len(piece)] = piece
    path.write_bytes(data)


def swap(random: Random, path: Path) -> None:
    data = path.read_bytes()
    one, two, three = sorted(int(random.integers(len(data) + 1)) for _ in range(3))
    path.write_bytes(data[:one] + data[two:three] + data[one:two] + data[three:])


def empty(random: Random, path: Path) -> None:
    path.write_bytes(b"")


def junk(random: Random, path: Path) -> None:
    path.write_bytes(random.bytes(int(random.integers(1, 500))))


def delete(random: Random, path: Path) -> None:
    path.unlink()


def folder_instead(random: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_instead(random: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(_pick(random, ("nothing", path.name, ".", "..", "/dev/null")))


def rename(random: Random, path: Path) -> None:
    target = path.with_name(_pick(random, NAMES) + path.suffix)
    if not target.exists():
        path.rename(target)


def loop(random: Random, folder: Path) -> None:
    inner = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    link = _pick(random, inner) / _pick(random, ("loop", "zz", "again.png"))
    if not link.is_symlink() and not link.exists():
        link.symlink_to(_pick(random, inner))


def stray(random: Random, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if files:
        source = _pick(random, files)
        target = source.with_name(_pick(random, NAMES) + source.suffix)
        if not target.exists():
            shutil.copy(source, target)


def stray_folder(random: Random, folder: Path) -> None:
    (folder / _pick(random, NAMES)).mkdir(exist_ok=True)


def exchange(random: Random, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) > 1:
        one, two = _pick(random, files), _pick(random, files)
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)


def edit_json(random: Random, path: Path) -> None:
    """Replaces, removes or renames something anywhere inside; a line of several, where there are lines."""
    text = path.read_bytes().decode("utf-8", "replace")
    lines = text.split("\n") if path.suffix == ".jsonl" else [text]
    number = int(random.integers(len(lines)))
    try:
        lines[number] = json.dumps(_edited(random, json.loads(lines[number])))
    except (ValueError, RecursionError):  # spoilt before
        lines[number] = json.dumps(_pick(random, VALUES))
    path.write_text("\n".join(lines))


def _edited(random: Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return _pick(random, VALUES)
    key = _pick(random, list(value) if isinstance(value, dict) else range(len(value)))
    draw = random.random()
    if draw < 0.2:
        del value[key]
    elif draw < 0.3 and isinstance(value, dict):
        value[_pick(random, ("", "text", "label", "\ud800", "x" * 300))] = value.pop(key)
    else:
        value[key] = _edited(random, value[key])
    return value


def edit_parquet(random: Random, path: Path) -> None:
    try:
        table = pyarrow.parquet.read_table(path)
        name = _pick(random, table.column_names)
    except (pa.ArrowException, OSError, ValueError):  # spoilt before
        return junk(random, path)
    place, rows = table.column_names.index(name), table.num_rows
    cells: dict[str, Callable[[], pa.Array]] = {
        "nulls": lambda: pa.nulls(rows),
        "bytes": lambda: pa.array([b"\xff\xfe"] * rows, pa.binary()),
        "latin": lambda: pa.array([b"caf\xe9"] * rows, pa.binary()).view(pa.string()),
        "lists": lambda: pa.array([["a", None]] * rows),
        "structs": lambda: pa.array([{"path": 3, "bytes": None}] * rows),
        "floats": lambda: pa.array([float("nan")] * rows),
        "times": lambda: pa.array([2**62] * rows, pa.timestamp("us")),
        "words": lambda: pa.array(["a"] * rows).dictionary_encode(),
        "decimals": lambda: pa.array([None] * rows, pa.decimal256(60)),
    }
    draw = random.random()
    if draw < 0.15:
        table = table.drop_columns([name])
    elif draw < 0.3:
        names = [_pick(random, ("", "text", "\0", "x" * 300)) if n == name else n for n in table.column_names]
        table = table.rename_columns(names)
    elif draw < 0.4:
        table = table.slice(0, int(random.integers(2)))
    elif draw < 0.55:
        table = table.replace_schema_metadata({b"huggingface": _pick(random, (b"{", b"[]", b"\xff", b'{"info": 3}'))})
    else:
        table = table.set_column(place, name, cells[_pick(random, list(cells))]())
    pyarrow.parquet.write_table(table, path)


def edit_safetensors(random: Random, path: Path) -> None:
    """Edits the header, which is JSON behind its length."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.dumps(_edited(random, json.loads(data[8 : 8 + size]))).encode()
    except (ValueError, RecursionError):
        header = b"{}"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])


def edit_table(random: Random, path: Path) -> None:
    """A cell, a row or a column of a CSV, as people spoil them."""
    mark = b"\t" if path.suffix == ".tsv" else b","
    lines = path.read_bytes().split(b"\n")
    number = int(random.integers(len(lines)))
    cells = lines[number].split(mark)
    draw = random.random()
    if draw < 0.6:
        cells[int(random.integers(len(cells)))] = _pick(random, MAGIC)
    elif draw < 0.8:
        cells = cells[1:] if random.random() < 0.5 else cells * 2
    else:
        cells *= 3000
    lines[number] = mark.join(cells)
    path.write_bytes(b"\n".join(lines))


BYTES = (flip, flip, flip, truncate, remove, double, insert, insert, overwrite, overwrite, swap)
FILES = (empty, junk, delete, folder_instead, link_instead, rename)
FOLDERS = (loop, stray, stray_folder, exchange)
STRUCTURED: dict[str, Callable[[Random, Path], None]] = {
    ".json": edit_json,
    ".jsonl": edit_json,
    ".parquet": edit_parquet,
    ".safetensors": edit_safetensors,
    ".csv": edit_table,
    ".tsv": edit_table,
}
