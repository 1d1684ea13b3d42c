"""What is said in synthesised speech: spelled words, numbers, dates, times, amounts, names, addresses, plain text.

An utterance is its transcript (lower case, a to z, apostrophe and spaces; spelled letters are words of one letter) and
what a synthesiser is given to say. Words and sentences come from the docstrings of Python's standard library.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

Random = np.random.Generator
HELD_OUT = Path(__file__).parent / "held_out.txt"
"""Digests of the transcripts of three or more words of the data sets that the backbone is measured on."""

MODULES = (
    "argparse asyncio/tasks base64 bisect calendar cmd codecs collections/__init__ concurrent/futures/_base configparser "
    "contextlib copy csv datetime decimal difflib doctest email/message enum fileinput fnmatch fractions ftplib functools "
    "gettext glob gzip heapq http/client http/server imaplib inspect ipaddress json/__init__ logging/__init__ mailbox "
    "mimetypes multiprocessing/pool nntplib ntpath numbers optparse os pathlib pdb pickle pickletools platform plistlib "
    "poplib posixpath pprint profile pstats pydoc queue random sched selectors shelve shlex shutil smtplib socket "
    "socketserver ssl statistics string subprocess symtable tarfile telnetlib tempfile textwrap threading tkinter/__init__ "
    "tokenize trace traceback turtle types typing unittest/case unittest/mock urllib/parse urllib/request uuid warnings "
    "weakref webbrowser xml/dom/minidom xmlrpc/client zipfile zoneinfo/_common"
).split()
DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
MONTHS = "january february march april may june july august september october november december".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
FIRST = (
    "adam alan alice amanda andrea anthony barbara benjamin brenda bruce carl carol charles christine daniel david deborah "
    "dennis diana donald dorothy edward elizabeth emily eric eugene frank fred gary george gloria grace gregory hannah "
    "harold harry helen henry howard jack jacob james janet jason jean jeffrey jennifer jessica joan john jonathan joseph "
    "joyce judith julia karen katherine keith kelly kenneth kevin laura lawrence linda lisa louis margaret maria mark "
    "martha martin mary matthew megan michael michelle nancy nathan nicholas olivia oscar pamela patricia paul peter philip "
    "rachel ralph raymond rebecca richard robert roger ronald rose ruth ryan samuel sandra sarah scott sharon simon stephen "
    "steven susan teresa theodore thomas timothy victor victoria vincent virginia walter wayne william"
).split()
LAST = (
    "adams allen anderson bailey baker barnes bell bennett brooks brown butler campbell carter clark coleman collins cook "
    "cooper cox cruz davis diaz edwards evans fisher flores foster garcia gomez gonzalez gray green griffin hall hamilton "
    "harris hayes hernandez hughes jackson jenkins johnson jones jordan kennedy king kowalski lee lewis lopez martinez "
    "mason mcdonald meyer miller mitchell moore morgan morris murphy murray myers nelson nguyen novak ortiz owens parker "
    "patel patterson perez perry peterson phillips powell price quinn ramirez reed reynolds richardson rivera roberts "
    "robinson rodriguez rogers ross russell sanchez sanders schmidt schneider simmons smith stewart sullivan taylor "
    "thompson torres turner vaughn wagner walker wallace ward watson weber webster white williams wilson wood wright "
    "yamamoto young zimmerman"
).split()
PLACES = (
    "albany amsterdam arlington atlanta austin baltimore berlin boston bristol buffalo cambridge charlotte chicago "
    "cincinnati cleveland columbus dallas denver detroit dublin edinburgh fairfax fresno geneva glasgow hartford houston "
    "jacksonville kansas kyoto lexington lisbon liverpool london louisville madison manchester memphis miami milwaukee "
    "minneapolis montreal nashville newark oakland omaha orlando oxford paris phoenix portland quebec raleigh richmond "
    "rochester sacramento salem seattle springfield stockholm syracuse toledo toronto tucson vancouver vienna warsaw "
    "wichita zurich"
).split()
STREETS = "street avenue road lane drive boulevard court place way square terrace parkway".split()
TREES = (
    "maple oak cedar pine elm walnut chestnut willow lake hill park river church mill spring north south east west main "
    "center bridge union liberty market prospect highland sunset meadow forest garden college front water summit"
).split()
COMMANDS = (
    "yes no go stop start left right up down on off help enter back next open close save cancel repeat delete continue "
    "forward play pause louder softer faster slower begin end quit return again please okay undo redo copy paste select "
    "zoom home menu send call answer record search reset clear"
).split()


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
        self.held_out = frozenset(HELD_OUT.read_text().split()) if HELD_OUT.exists() else frozenset()
        names, weights = zip(*KINDS.items(), strict=True)
        self._kinds: list[Callable[[Writer], list[str]]] = [kind for kind, _ in weights]
        self._shares = np.array([share for _, share in weights]) / sum(share for _, share in weights)
        assert len(names) == len(self._kinds)

    def draw(self) -> Utterance:
        """The next utterance."""
        while True:
            kind = self._kinds[int(self.random.choice(len(self._kinds), p=self._shares))]
            words = kind(self)
            text = " ".join(words)
            if digest(text) not in self.held_out:
                return Utterance(text, self._spoken(words))

    def one(self, choices: Sequence[str]) -> str:
        return choices[int(self.random.integers(len(choices)))]

    def below(self, stop: int, start: int = 0) -> int:
        return int(self.random.integers(start, stop))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def word(self) -> str:
        return self.one((self.words, FIRST, LAST, PLACES)[self.below(4)])

    def _spoken(self, words: Sequence[str]) -> str:
        """Letters by their names, with pauses in some utterances."""
        pause = 0.0 if self.chance(0.6) else float(self.random.random())
        parts = []
        for word in words:
            # a single A is read as the article
            said = "[['eI]]" if word == "a" and self._spells(words) else word
            parts.append(said.upper() if len(said) == 1 and said not in "a" else said)
            parts.append(", " if self.chance(pause) else " ")
        return "".join(parts[:-1])

    @staticmethod
    def _spells(words: Sequence[str]) -> bool:
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
    ordinal = (
        [ORDINALS[day - 1]]
        if day <= 20
        else ["thirtieth"]
        if day == 30
        else [TENS[day // 10 - 2], ORDINALS[day % 10 - 1]]
    )
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
    unit = w.one("dollars cents pounds percent miles minutes hours days weeks degrees meters kilograms".split())
    value = (
        number(w.below(10 ** w.below(5, 1), 2)) if w.chance(0.7) else [*number(w.below(100)), "point", w.one(DIGITS)]
    )
    return [*value, unit]


def _name(w: Writer) -> list[str]:
    middle = [chr(97 + w.below(26))] if w.chance(0.2) else []
    return [w.one(FIRST), *middle, w.one(LAST)] if w.chance(0.8) else [w.one((FIRST, LAST, PLACES)[w.below(3)])]


def _address(w: Writer) -> list[str]:
    house = _digits(w)[:4] if w.chance(0.5) else number(w.below(100)) + (number(w.below(100)) if w.chance(0.5) else [])
    street = [w.one((TREES, LAST, PLACES)[w.below(3)]), w.one(STREETS)]
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
