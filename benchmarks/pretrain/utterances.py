"""What is said in synthesised speech: spelled words, numbers, dates, times, amounts, names, addresses, plain text.

An utterance is its transcript (lower case, a to z, apostrophe and spaces; spelled letters are words of one letter) and
what a synthesiser is given to say. Words and sentences come from the docstrings of Python's standard library.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

Random = np.random.Generator
HERE = Path(__file__).parent
HELD_OUT = HERE / "held_out.txt"
"""Digests of the transcripts of three or more words of AN4, FSDD and `builtin:commands`: the pretraining has none."""

LISTS = {name: words.split() for name, words in json.loads((HERE / "words.json").read_text()).items()}
MODULES, DIGITS, TEENS, TENS = (LISTS[name] for name in ("modules", "digits", "teens", "tens"))
ORDINALS, MONTHS, DAYS, UNITS = (LISTS[name] for name in ("ordinals", "months", "days", "units"))
FIRST, LAST, PLACES, COMMANDS = (LISTS[name] for name in ("first names", "last names", "places", "commands"))
STREETS, STREET_NAMES = LISTS["streets"], LISTS["street names"]


@dataclass(frozen=True)
class Utterance:
    """`text`: the transcript; `spoken`: for the synthesiser."""

    text: str
    spoken: str


class Writer:
    """Utterances of all kinds, from a random generator; none whose transcript is held out."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.words, self.sentences = prose()
        self.held_out = frozenset(HELD_OUT.read_text().split())
        self._kinds = [kind for kind, _ in KINDS.values()]
        shares = np.array([share for _, share in KINDS.values()])
        self._shares = shares / shares.sum()

    def draw(self) -> Utterance:
        """The next utterance."""
        while True:
            kind = self._kinds[int(self.random.choice(len(self._kinds), p=self._shares))]
            words = kind(self)
            text = " ".join(words)
            if digest(text) not in self.held_out:
                return Utterance(text, self.spoken(words))

    def one(self, choices: Sequence[str]) -> str:
        return choices[int(self.random.integers(len(choices)))]

    def below(self, stop: int, start: int = 0) -> int:
        return int(self.random.integers(start, stop))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def word(self) -> str:
        return self.one((self.words, FIRST, LAST, PLACES)[self.below(4)])

    def spoken(self, words: Sequence[str]) -> str:
        """Letters by their names, with pauses in some utterances."""
        pause = 0.0 if self.chance(0.6) else float(self.random.random())
        parts = []
        for word in words:
            if word == "a":  # as it stands it is read as the article
                word = "[['eI]]" if self._has_letters(words) else word
            elif len(word) == 1:
                word = word.upper()
            parts.append(word)
            parts.append(", " if self.chance(pause) else " ")
        return "".join(parts[:-1])

    @staticmethod
    def _has_letters(words: Sequence[str]) -> bool:
        return any(len(word) == 1 and word not in "ai" for word in words) or len(words) == 1


def digest(text: str) -> str:
    """What HELD_OUT keeps of a transcript; short ones, which any two data sets share, are never held out."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest() if text.count(" ") >= 2 else ""


@cache
def prose() -> tuple[list[str], list[str]]:
    """Words (sorted) and stretches of 2 to 9 words (in order) from the docstrings of MODULES."""
    library = Path(sysconfig.get_path("stdlib"))
    words: dict[str, int] = {}
    stretches: list[str] = []
    for module in MODULES:
        path = library / f"{module}.py"
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            for part in re.split(r"[^A-Za-z' ]+", " ".join((ast.get_docstring(node) or "").split())):
                # code, names with capitals inside and abbreviations are not read as they are written
                found = [word for word in part.split() if re.fullmatch(r"[A-Z]?[a-z]+('[a-z]+)?|a|I", word)]
                if len(found) == len(part.split()):
                    found = [word.lower() for word in found]
                    for word in found:
                        words[word] = words.get(word, 0) + 1
                    stretches += [" ".join(found[at : at + 9]) for at in range(0, len(found), 9)]
    known = sorted(word for word, count in words.items() if count > 1 and 3 <= len(word) <= 12 and "'" not in word)
    common = set(known) | {"a", "i", "is", "it", "of", "to", "in", "or", "if", "be", "as", "an", "by", "on", "at", "no"}
    kept = [text for text in dict.fromkeys(stretches) if text.count(" ") and set(text.split()) <= common]
    return known, kept


def number(value: int) -> list[str]:
    """0 to 999,999 in words, without `and`."""
    if value >= 1000:
        return [*number(value // 1000), "thousand", *(number(value % 1000) if value % 1000 else [])]
    if value >= 100:
        return [DIGITS[value // 100], "hundred", *(number(value % 100) if value % 100 else [])]
    if value >= 20:
        return [TENS[value // 10 - 2], *([DIGITS[value % 10]] if value % 10 else [])]
    return [TEENS[value - 10] if value >= 10 else DIGITS[value]]


def _spelled(w: Writer) -> list[str]:
    return list(w.word()[:10].replace("'", ""))


def _letters(w: Writer) -> list[str]:
    return [chr(97 + w.below(26)) for _ in range(w.below(8, 1))]


def _coded(w: Writer) -> list[str]:
    first = [w.one(COMMANDS)] if w.chance(0.3) else []
    last = number(w.below(100)) + (number(w.below(100)) if w.chance(0.4) else [])
    return [*first, *_letters(w)[:5], *last]


def _digits(w: Writer) -> list[str]:
    oh = w.chance(0.5)
    return ["oh" if oh and digit == "zero" else digit for digit in (w.one(DIGITS) for _ in range(w.below(11, 1)))]


def _numbers(w: Writer) -> list[str]:
    kind = w.below(4)
    if kind == 0:
        return number(w.below(100)) + number(w.below(100))
    if kind == 1:
        return number(w.below(10 ** w.below(7, 1)))
    if kind == 2:
        return [word for _ in range(w.below(4, 2)) for word in number(w.below(100))]
    return number(w.below(100, 10))


def _year(w: Writer) -> list[str]:
    year = w.below(100)
    if w.chance(0.25):
        return ["two", "thousand", *(number(year % 30) if year % 30 else [])]
    return [*number(w.below(20, 17)), *((["oh"] if year < 10 else []) + number(year) if year else ["hundred"])]


def _date(w: Writer) -> list[str]:
    day = w.below(32, 1)
    ordinal = [TENS[day // 10 - 2], ORDINALS[day % 10 - 1]] if day > 20 else [ORDINALS[day - 1]]
    ordinal = ["thirtieth"] if day == 30 else ordinal
    day_words = ordinal if w.chance(0.7) else number(day)
    month = w.one(MONTHS)
    date = ["the", *ordinal, "of", month] if w.chance(0.15) else [month, *day_words]
    weekday = [w.one(DAYS)] if w.chance(0.2) else []
    return [*weekday, *date, *(_year(w) if w.chance(0.65) else [])]


def _time(w: Writer) -> list[str]:
    hour, minute = w.below(13, 1), w.below(60)
    half = [["a", "m"], ["p", "m"], ["in", "the", "morning"], ["in", "the", "evening"], []][w.below(5)]
    if w.chance(0.3):
        return [w.one(["half", "quarter"]), "past", *number(hour), *half]
    return [*number(hour), *((["oh"] if minute < 10 else []) + number(minute) if minute else ["o'clock"]), *half]


def _amount(w: Writer) -> list[str]:
    unit = w.one(UNITS)
    if w.chance(0.7):
        return [*number(w.below(10 ** w.below(5, 1), 2)), unit]
    return [*number(w.below(100)), "point", w.one(DIGITS), unit]


def _name(w: Writer) -> list[str]:
    middle = [chr(97 + w.below(26))] if w.chance(0.2) else []
    return [w.one(FIRST), *middle, w.one(LAST)] if w.chance(0.8) else [w.one((FIRST, LAST, PLACES)[w.below(3)])]


def _address(w: Writer) -> list[str]:
    house = _digits(w)[:4] if w.chance(0.5) else number(w.below(100)) + (number(w.below(100)) if w.chance(0.5) else [])
    street = [w.one((STREET_NAMES, LAST, PLACES)[w.below(3)]), w.one(STREETS)]
    return [*house, *street, *([w.one(PLACES)] if w.chance(0.3) else [])]


def _words(w: Writer) -> list[str]:
    return [w.one((COMMANDS, w.words)[w.below(2)]) for _ in range(w.below(5, 1))]


def _sentence(w: Writer) -> list[str]:
    return w.one(w.sentences).split()


def _digit(w: Writer) -> list[str]:
    return [w.one(DIGITS)]


KINDS: dict[str, tuple[Callable[[Writer], list[str]], float]] = {
    "spelled word": (_spelled, 22),
    "letters": (_letters, 7),
    "letters and numbers": (_coded, 9),
    "digits": (_digits, 13),
    "one digit": (_digit, 5),
    "numbers": (_numbers, 11),
    "date": (_date, 8),
    "time": (_time, 3),
    "amount": (_amount, 3),
    "name": (_name, 4),
    "address": (_address, 4),
    "words": (_words, 7),
    "sentence": (_sentence, 12),
}
"""Kinds of utterances and how often each is drawn."""
