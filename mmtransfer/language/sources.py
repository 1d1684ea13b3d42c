"""Where a model comes from: an ARPA file as it is, or the sentences of a text, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from mmtransfer.language.arpa import HEADER, read_arpa
from mmtransfer.language.counts import count
from mmtransfer.language.kneser_ney import estimate
from mmtransfer.language.lines import lines_of
from mmtransfer.language.ngrams import NGrams

_LOOKED_AT = 20
"""Lines, not empty, that tell an ARPA file from a text."""


def read(path: Path, order: int, spell: Callable[[str], str]) -> tuple[NGrams, bool]:
    """The model of a file, and whether it was estimated from a text of sentences, one a line (else it was ARPA).

    `order`: of the n-grams of a text; `spell`: how the data spell what a line says. Raises MMTransferError for a file
    without words, and for what `read_arpa` refuses.
    """
    if is_arpa(path):
        return read_arpa(path, spell), False
    return estimate(count(sentences(lines_of(path), spell), order), str(path)), True


def is_arpa(path: Path) -> bool:
    """Whether a file is an ARPA file by its name or by its first lines."""
    named = path.name.endswith((".arpa", ".arpa.gz"))
    return named or HEADER in islice((line for line in map(str.strip, lines_of(path)) if line), _LOOKED_AT)


def sentences(lines: Iterable[str], spell: Callable[[str], str]) -> Iterator[list[str]]:
    """The words of each line that has any."""
    for line in lines:
        words = spell(line).split()
        if words:
            yield words
