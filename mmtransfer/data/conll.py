"""CoNLL column files: a word a line, its tag in the last column, a blank line after each sentence."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mmtransfer.data import encodings
from mmtransfer.data.records import Records
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".conll", ".iob", ".bio"})
DOCUMENT = "-DOCSTART-"
_DOCUMENTS = ("#begin document", "#end document")
_BLANK = " \t"
"""What parts columns; a no-break space may be part of a word."""
_BETWEEN = re.compile(r"[0-9]+[-.][0-9]+")
"""Numbers of CoNLL-U that stand between those of words: 1-2 of what is written as one word, 1.1 of a word left out."""


@dataclass
class _Sentence:
    """The words of a sentence as far as they can be read."""

    line: int
    """Of the file, from 1, in which it begins."""
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    reason: str | None = None
    """Why it cannot be read: its first wrong line."""


def read_conll(path: Path, where: str) -> Records:
    """Reads sentences: `words`, the first column, and `tags`, the last, each a list of strings.

    Columns stand between tabs, or between spaces where most lines have no tab. A file of one column has no `tags`.
    Left out are lines that begin with -DOCSTART-, #begin document or #end document, and before the first word of a
    sentence comments, `# ...`, unless they read as a word with a tag that other words have. Sentences that hold a line
    of another number of columns than most are in `bad`.
    Raises MMTransferError for a file without sentences, without text, or that counts its words in the first column.
    """
    # not splitlines: a word may hold U+2028 or U+0085
    lines = [line.strip(_BLANK) and line for line in re.split(r"\r\n|\n|\r", encodings.read_text(path, where))]
    rows = _columns(lines)
    plain = [row for row in rows if row and not row[0].startswith(("#", DOCUMENT))] or [row for row in rows if row]
    if not plain:
        raise MMTransferError("The file holds no sentences", where, "give a word and its tag a line")
    width = Counter(map(len, plain)).most_common(1)[0][0]
    tags = {row[-1] for row in plain if len(row) == width}
    sentences = _sentences(lines, rows, width, tags)
    if not sentences:
        raise MMTransferError("The file holds no sentences", where, "give a word and its tag a line")
    texts = [own.words for own in sentences]
    if width > 2 and _counted(texts):
        raise MMTransferError(
            "The first column counts the words", where, "write the word into the first column and its tag into the last"
        )
    columns = {"words": texts}
    if width > 1:
        columns["tags"] = [own.tags for own in sentences]
    places = [f"sentence {number} (line {own.line})" for number, own in enumerate(sentences)]
    bad = {number: own.reason for number, own in enumerate(sentences) if own.reason is not None}
    return Records(list(columns), columns, places, [], bad)


def _counted(texts: list[list[str]]) -> bool:
    """Whether the words of each sentence are the numbers from 1 on, those of CoNLL-U's ranges and empty nodes aside."""
    numbers = [[word for word in words if not _BETWEEN.fullmatch(word)] for words in texts]
    return any(numbers) and all(own == [str(n) for n in range(1, len(own) + 1)] for own in numbers)


def _columns(lines: list[str]) -> list[list[str]]:
    """The columns of each line; none of a blank one."""
    full = [line for line in lines if line]
    tabs = 2 * sum("\t" in line for line in full) > len(full)
    if tabs:
        return [[cell.strip(_BLANK) for cell in line.split("\t")] if line else [] for line in lines]
    return [re.split(f"[{_BLANK}]+", line.strip(_BLANK)) if line else [] for line in lines]


def _sentences(lines: list[str], rows: list[list[str]], width: int, tags: set[str]) -> list[_Sentence]:
    """The sentences of a file of `width` columns whose words, but for those that may be comments, have these tags."""
    sentences: list[_Sentence] = []
    inside = False
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        if not row or line.startswith(DOCUMENT):
            inside = False
            continue
        comment = line.startswith(_DOCUMENTS) or (line.startswith("# ") and not inside)
        if comment and not (len(row) == width and row[-1] in tags):
            continue
        if not inside:
            sentences.append(_Sentence(number))
            inside = True
        own = sentences[-1]
        if len(row) != width:
            reason = f"line {number} has {len(row)} column{'s' if len(row) > 1 else ''} where most have {width}"
        elif not row[0] or not row[-1]:
            reason = f"line {number} has no {'tag' if row[0] else 'word'}"
        else:
            own.words.append(row[0])
            own.tags.append(row[-1])
            continue
        own.reason = own.reason or reason
    return sentences
