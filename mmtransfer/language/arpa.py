r"""ARPA files, plain or gzip, as KenLM and SRILM write them: base 10 logarithms, tabs between the parts of a line.

    \data\
    ngram 1=5
    \1-grams:
    -0.698970   word    -0.301030     log10 P(word), the words, log10 of the back-off weight (0 if there is none)
    \end\
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mmtransfer import files
from mmtransfer.errors import MMTransferError
from mmtransfer.language.lines import lines_of
from mmtransfer.language.ngrams import MISSING, SPECIAL, UNKNOWN, Misplaced, NGrams, Table

_DECLARED = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)$")
HEADER = "\\data\\"


def write_arpa(model: NGrams, path: Path) -> None:
    """Writes a model as ARPA, as gzip if the name ends in .gz, whole or not at all; the same bytes every time."""
    with files.replacing(path) as place, place.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as file:
                file.writelines(_encoded(model))
        else:
            raw.writelines(_encoded(model))


def _encoded(model: NGrams) -> Iterator[bytes]:
    sizes = np.diff(model.starts[1:])
    yield "\n".join([HEADER, *(f"ngram {n}={size}" for n, size in enumerate(sizes, start=1)), ""]).encode()
    texts = [""]
    lasts, parents = model.lasts, model.parents
    for length, (begin, end) in enumerate(zip(model.starts[1:], model.starts[2:], strict=False), start=1):
        yield f"\n\\{length}-grams:\n".encode()
        base = model.starts[length - 1]
        words = (model.words[word] for word in lasts[begin:end].tolist())
        contexts = (texts[parent - base] for parent in parents[begin:end].tolist())
        texts = [f"{context} {word}" if context else word for context, word in zip(contexts, words, strict=True)]
        scores, backoffs = model.scores[begin:end].tolist(), model.backoffs[begin:end].tolist()
        for score, text, backoff in zip(scores, texts, backoffs, strict=True):
            behind = f"\t{backoff:.9g}" if length < model.order else ""
            yield f"{score:.9g}\t{text}{behind}\n".encode()
    yield b"\n\\end\\\n"


def read_arpa(path: Path, spell: Callable[[str], str] | None = None) -> NGrams:
    """Reads a model; `spell`: how its words are to be spelled (their case), `<unk>`, `<s>` and `</s>` aside.

    Of n-grams that `spell` makes the same the most probable is kept. A model without `<unk>` gives words it does not
    know 1e-100, as KenLM does. Raises MMTransferError for a file that is cut, of another encoding, or no ARPA file.
    """
    reader = _Reader(path, spell)
    reader.read()
    return reader.model()


class _Reader:
    """What has been read of a file."""

    def __init__(self, path: Path, spell: Callable[[str], str] | None) -> None:
        self.path, self.spell = path, spell
        self.lines = enumerate(lines_of(path), start=1)
        self.line, self.number = "", 0
        self.words = {word: number for number, word in enumerate(SPECIAL)}
        self.spelled: dict[str, int] = {**self.words, "<UNK>": 0}
        self.tables: list[Table] = []

    def wrong(self, what: str) -> MMTransferError:
        return MMTransferError(f"Not a whole ARPA file: {what}", f"--lm {self.path}", "give the file anew, or a text")

    def next_line(self) -> str:
        """The next line that is not empty, without white space around it."""
        for number, line in self.lines:
            self.line, self.number = line.strip(), number
            if self.line:
                return self.line
        raise self.wrong(f"it ends after line {self.number}, before \\end\\")

    def read(self) -> None:
        while self.next_line() != HEADER:
            if self.number > 1000:
                raise self.wrong(f"there is no {HEADER} in its first lines")
        declared = []
        while found := _DECLARED.match(self.next_line()):
            declared.append(int(found[2]))
            if int(found[1]) != len(declared):
                raise self.wrong(f"line {self.number} tells of {found[1]}-grams after {len(declared) - 1}-grams")
        if not declared:
            raise self.wrong(f"line {self.number} should tell the number of 1-grams")
        for length, size in enumerate(declared, start=1):
            if self.line != f"\\{length}-grams:":
                raise self.wrong(f"line {self.number} should be \\{length}-grams:")
            self.tables.append(self._table(length, size))
        if self.line != "\\end\\":
            raise self.wrong(f"line {self.number} should be \\end\\")

    def _table(self, length: int, size: int) -> Table:
        """The n-grams of one length, and the line behind them."""
        rows: list[list[int]] = []
        values: list[tuple[float, float]] = []
        while not (line := self.next_line()).startswith("\\"):
            parts = line.split()
            if not length + 1 <= len(parts) <= length + 2:
                raise self.wrong(f"line {self.number} has {len(parts)} parts, not the {length + 1} or {length + 2}")
            try:
                values.append((float(parts[0]), float(parts[length + 1]) if len(parts) > length + 1 else 0.0))
            except ValueError:
                raise self.wrong(f"line {self.number} has no number where one should be: {line[:60]!r}") from None
            rows.append([self._word(word, length) for word in parts[1 : length + 1]])
        if len(rows) != size:
            raise self.wrong(f"it has {len(rows)} {length}-grams, and tells of {size}")
        numbers = np.array(rows, np.int64).reshape(-1, length)
        scores, backoffs = np.array(values, np.float64).reshape(-1, 2).T
        if np.isnan(scores).any() or np.isnan(backoffs).any() or (scores > 1e-6).any():
            raise self.wrong(f"its {length}-grams have probabilities above 1, or none")
        # KenLM and SRILM write -99 or 0 for <s>, and back-off weights of zero as -99
        table = Table(numbers, np.maximum(scores, MISSING), np.maximum(backoffs, MISSING))
        return table if self.spell is None else _best(table)

    def _word(self, word: str, length: int) -> int:
        number = self.spelled.get(word)
        if number is None:
            if length > 1:
                raise self.wrong(f"line {self.number} has the word {word!r}, which is none of its 1-grams")
            own = word if self.spell is None else self.spell(word)
            number = self.words.setdefault(own, len(self.words))
            self.spelled[word] = number
        return number

    def model(self) -> NGrams:
        singles = self.tables[0]
        absent = set(range(len(SPECIAL))) - set(singles.rows[:, 0].tolist())
        if absent - {UNKNOWN}:
            raise self.wrong("its 1-grams lack <s> or </s>")
        if absent:
            rows = np.append(singles.rows, [[UNKNOWN]], axis=0)
            scores, backoffs = np.append(singles.scores, MISSING), np.append(singles.backoffs, 0.0)
            self.tables[0] = Table(rows, scores, backoffs)
        words = list(self.words)
        try:
            return NGrams(words, self.tables)
        except Misplaced as error:
            told = " ".join(words[number] for number in error.row)
            raise self.wrong(f"of the n-gram {told!r} {error}") from None


def _best(table: Table) -> Table:
    """Of equal rows the most probable one."""
    order = np.lexsort([-table.scores, *table.rows.T[::-1]])
    rows = table.rows[order]
    new = np.append(True, (rows[1:] != rows[:-1]).any(1))[: len(rows)]
    kept = np.sort(order[new])
    return Table(table.rows[kept], table.scores[kept], table.backoffs[kept])
