"""Text files in the encodings that people's programs write, found rather than asked for, and said aloud."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, and how Python calls what follows."""


def decode(data: bytes) -> tuple[str, str]:
    """The text and its encoding: what a byte order mark says, else UTF-8, else Windows-1252, else Latin-1.

    The last two are guesses, made only where the bytes are not UTF-8: nearly any bytes are text in them.
    Raises ValueError for bytes that are no text: a broken mark, or zeros.
    """
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if marked is not None:
        return data.decode(marked), marked
    if b"\0" in data:
        raise ValueError(f"byte {data.index(0)} is zero")
    for name in ("utf-8", "cp1252"):
        try:
            return data.decode(name), name
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1"


def read_text(path: Path, where: str) -> str:
    """The text of a file; an encoding other than plain UTF-8 is said aloud, a guessed one as a warning.

    Raises MMTransferError for a file that cannot be read or holds no text.
    """
    try:
        text, name = decode(path.read_bytes())
    except OSError as error:
        raise MMTransferError(f"Cannot read the file: {error.strerror}", where, "check the path") from None
    except ValueError as error:
        raise MMTransferError(f"Not a text file ({error})", where, "give a table, or save it as UTF-8") from None
    if name in ("cp1252", "latin-1"):
        logger.warning("%s is not UTF-8: read as %s, check that accents are right", where, name)
    elif name in ("utf-16", "utf-32"):
        logger.info("%s is %s, by its byte order mark", where, name)
    return text
