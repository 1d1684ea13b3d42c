"""Safetensors files that are digested while they are written, from tensors as they lie: no copy, no second reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loads torch
    from torch import Tensor

CHUNK_BYTES = 2**22
"""Bytes that are digested and written at a time; neither holds Python's lock, so that other threads go on."""
ALIGNMENT = 8
"""Bytes; the header is filled with spaces up to a multiple of it."""
TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""The format's names of torch's types."""


def write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes tensors of any device and layout, and returns the digest of the file's bytes, as `files.digest` has it.

    The file is not synced. OSError where it cannot be written.

    >>> import tempfile, torch
    >>> from safetensors.torch import load_file
    >>> path = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> digest = write(path, {"w": torch.arange(3)})
    >>> load_file(path)["w"]
    tensor([0, 1, 2])
    """
    # larger types first: then each begins at a multiple of its size
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].element_size(), str(item[1].dtype), item[0])))
    digest = hashlib.blake2b(digest_size=16)
    with path.open("wb") as file:
        for chunk in _chunks(ordered):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _chunks(tensors: Mapping[str, Tensor]) -> Iterator[memoryview | bytes]:
    """The bytes of the file: the header's length (8 bytes, little-endian), the header, and the tensors' own."""
    import torch

    yield _header(tensors)
    for value in tensors.values():
        # contiguous: the file holds no layout; of 0 and more dimensions one, of which the bytes can be seen
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    table, start = {}, 0
    for name, value in tensors.items():
        end = start + value.numel() * value.element_size()
        kind = TYPES[str(value.dtype).removeprefix("torch.")]
        table[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [start, end]}
        start = end
    header = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    return len(header).to_bytes(8, "little") + header
