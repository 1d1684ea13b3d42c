"""Lines of text files, plain or gzip, one after the other: a text of any size is never held."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmtransfer.errors import MMTransferError

_GZIP, _KENLM = b"\x1f\x8b", b"mmap lm http://kheafield.com/code"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
LONGEST = 1 << 20
"""Bytes of a line; what has longer ones is no text of sentences."""


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, without their ends; MMTransferError for one that cannot be read or is no such text."""
    where = f"--lm {path}"
    try:
        with path.open("rb") as raw:
            top = raw.read(len(_KENLM))
            raw.seek(0)
            if top == _KENLM:
                raise MMTransferError(
                    "The file is a binary of KenLM", where, "give the ARPA file that it was built from"
                )
            if top.startswith(_UTF16):
                raise MMTransferError("The file is UTF-16", where, "save it as UTF-8")
            if top.startswith(_GZIP):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield from _decoded(unpacked, where)
            else:
                yield from _decoded(raw, where)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MMTransferError(f"The gzip file is cut or damaged ({error})", where, "give the file anew") from None
    except OSError as error:
        raise MMTransferError(f"Cannot read the file: {error.strerror or error}", where, "check the path") from None


def _decoded(file: IO[bytes] | gzip.GzipFile, where: str) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise MMTransferError(
                f"Line {number} is longer than {LONGEST} bytes", where, "give a text, a sentence a line"
            )
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            what = f"Line {number} is not UTF-8 (byte {line[error.start]:#04x})"
            raise MMTransferError(what, where, "save the file as UTF-8") from None
        if b"\0" in line:
            raise MMTransferError(f"Line {number} holds zeros, so it is no text", where, "give a text or an ARPA file")
