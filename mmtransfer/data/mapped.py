"""Pictures and recordings that stay where they lie: in Arrow files, by their places and not as bytes.

Datasets that were saved or come from the hub are Arrow files already. A Parquet file is compressed, so it is written
once as one. Its parts are then read like any file, and no more of it is in memory than what is worked on.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mmtransfer import disk, documents, files
from mmtransfer.data import digests
from mmtransfer.data.file import Place
from mmtransfer.data.reading import TABLES, Reading

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger("mmtransfer")
SMALL = 4 << 20
"""Bytes of a column, or a file, that is rather held in memory."""
ROWS, INDEX = "rows.arrow", "index.json"
"""In the folder of a table that was unpacked: the table, and what `mmtransfer cache ls` shows of it."""
FORMAT = 1
"""Raised when what is written of a table changes: those unpacked by another version are not read."""
_BATCH = 8 << 20
"""Bytes that are unpacked at a time, about."""
_BUFFER = 1 << 20
"""Bytes of a Parquet file that are read ahead: without, the reader takes a whole row group of a column."""
_WAIT_SECONDS = 0.2
"""Between two looks at whether another process has unpacked the same file."""


def open_table(path: Path) -> tuple[pa.Table, dict[int, str]]:
    """The rows of an Arrow file (stream format), not read but mapped into memory, and the addresses for `places`."""
    table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    return table, _addresses(table, path)


def mapped_files(dataset: datasets.Dataset) -> dict[int, str]:
    """The Arrow files that a dataset maps into memory, by the addresses at which they begin there."""
    from datasets.table import ConcatenationTable, MemoryMappedTable

    table = dataset.data
    blocks = [block for row in table.blocks for block in row] if isinstance(table, ConcatenationTable) else [table]
    found: dict[int, str] = {}
    for block in blocks:
        if isinstance(block, MemoryMappedTable):
            found |= _addresses(block.table, Path(block.path))
    return found


def places(column: pa.ChunkedArray, known: Mapping[int, str]) -> list[Any]:
    """The values of a column as Python's, with a Place instead of the bytes where they lie in a file of `known`.

    Bytes may be the values themselves or, as `datasets` stores pictures and recordings, their part `bytes`.
    """
    return [value for chunk in column.chunks for value in _places(chunk, known)]


def unpack(path: Path, reading: Reading) -> Path | None:
    """The Arrow file with the rows of a Parquet file, written the first time it is asked for.

    None where the Parquet file holds few bytes, where there is no memory, and, aloud, no room or no way to write there.
    Raises an error of Arrow or OSError for a file that cannot be read.
    """
    file = pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    held, whole = _sizes(file.metadata)
    if held < SMALL or reading.memory is None:
        return None
    status = os.stat(path)
    stamp = [FORMAT, os.path.abspath(path), status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
    final = reading.memory / TABLES / digests.digest(repr(stamp).encode())
    try:
        if (final / INDEX).is_file():
            return final / ROWS
        if not _fits(whole, final, reading):
            logger.warning("%s is read into memory: the cache has no room for its %.1f GB", path, whole / 1e9)
            return None
        _write(file, path, final, whole, reading)
    except OSError as error:
        if not disk.refuses(error):
            raise
        logger.warning("%s is read into memory: %s cannot be written (%s)", path, final.parent, error)
        return None
    return final / ROWS


def _fits(size: int, final: Path, reading: Reading) -> bool:
    """Whether there is room for so many bytes, with what is built of them, or whether they have come just now."""
    room = reading.room()
    built = files.bytes_in(final.with_name(f"{final.name}{files.PARTIAL}"))
    return size <= room + built or (final / INDEX).is_file()


def _write(file: pyarrow.parquet.ParquetFile, path: Path, final: Path, size: int, reading: Reading) -> None:
    """Makes the folder `final`, whole or not at all, or waits while another process makes it.

    What a killed process left is written over.
    """
    done = (final / INDEX).is_file
    with files.building(final, done, lambda: time.sleep(_WAIT_SECONDS)) as partial:
        if done():
            with suppress(OSError):  # empty, if this process made it after another had renamed its own
                partial.rmdir()
            return
        logger.info("%s is written once as it is read, uncompressed: %.1f GB in %s", path, size / 1e9, final.parent)
        try:
            _write_rows(file, path, partial, size, reading)
            with suppress(OSError):  # another process was faster, where there are no locks
                partial.rename(final)
        finally:
            if partial.exists():
                files.remove(partial)


def _write_rows(file: pyarrow.parquet.ParquetFile, path: Path, folder: Path, size: int, reading: Reading) -> None:
    """Writes the table, and then its index."""
    rows = file.metadata.num_rows
    with (
        reading.show(f"unpacking {path.name}", rows) as advance,
        files.replacing(folder / ROWS) as place,
        pa.OSFile(str(place), "wb") as out,
        pa.ipc.new_stream(out, file.schema_arrow) as writer,
    ):
        for batch in file.iter_batches(max(1, min(10_000, _BATCH * rows // max(1, size)))):
            writer.write_batch(batch)
            advance(len(batch))
    documents.write(folder / INDEX, {"task": path.name, "source": str(path), "rows": rows})


def _sizes(metadata: Any) -> tuple[int, int]:
    """Bytes of the columns that are not text or numbers, and of all, uncompressed."""
    held = whole = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column, kind = metadata.row_group(group).column(number), metadata.schema.column(number)
            whole += column.total_uncompressed_size
            if kind.physical_type == "BYTE_ARRAY" and kind.logical_type.type == "NONE":
                held += column.total_uncompressed_size
    return held, whole


def _places(chunk: pa.Array, known: Mapping[int, str]) -> Iterable[Any]:
    inner = pa.types.is_struct(chunk.type) and chunk.type.get_field_index("bytes") >= 0
    data = chunk.field("bytes") if inner else chunk
    wide = pa.types.is_large_binary(data.type)
    if not (wide or pa.types.is_binary(data.type)) or (buffers := data.buffers())[2] is None:
        return chunk.to_pylist()
    whole = _outermost(buffers[2])
    path = known.get(whole.address)
    if path is None:
        return chunk.to_pylist()
    bounds = np.frombuffer(buffers[1], np.int64 if wide else np.int32)[data.offset : data.offset + len(data) + 1]
    begins = (bounds.astype(np.int64) + (buffers[2].address - whole.address)).tolist()
    there = data.is_valid().to_numpy(zero_copy_only=False) & chunk.is_valid().to_numpy(zero_copy_only=False)
    others = iter(chunk.filter(pa.array(~there)).to_pylist())
    spans = zip(begins, begins[1:], there.tolist(), strict=False)
    return [Place(path, begin, end - begin) if held else next(others) for begin, end, held in spans]


def _addresses(table: pa.Table, path: Path) -> dict[int, str]:
    """{where the mapping of `path` begins in memory: path}, if a table has a column whose bytes lie in it.

    What lies in a mapping is cut from one buffer of the size of the file; what was changed since was copied. None of a
    file that is gone: its mapping still has the bytes, but nobody can read them by their places.
    """
    try:
        size = os.path.getsize(path)
    except OSError:
        return {}
    for column in table.columns:
        for buffer in column.chunk(0).buffers() if column.num_chunks else ():
            if buffer is not None and (whole := _outermost(buffer)).size == size:
                return {whole.address: str(path)}
    return {}


def _outermost(buffer: pa.Buffer) -> pa.Buffer:
    """The buffer that a buffer was cut from in the end."""
    while buffer.parent is not None:
        buffer = buffer.parent
    return buffer
