"""What of a transcript counts: rules that transcripts, language models and scores are put under alike.

    none      as it is written, in Unicode's NFC, with single spaces
    basic     lower case, without punctuation and signs; apostrophes within words stay, dashes part words, and so do
              digits with the points and commas between them; what stands in <> or [] is no speech
    english   basic; without fillers (uh, um), contractions and titles written out (can't: can not, mr: mister)

Numbers stay as they are written in all of them: 42 is no "forty two".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

Rule = Literal["none", "basic", "english"]

_NO_SPEECH = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))
_INSIDE_NUMBERS = re.compile(r"(?<=\d)[.,](?=\d)")
_INSIDE_WORDS = re.compile(r"(?<=\w)'(?=\w)")
_FILLERS = frozenset({"uh", "um", "uhm", "hm", "hmm", "mm", "mhm", "mmm"})
_WHOLE = {
    "won't": "will not",
    "can't": "can not",
    "cannot": "can not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
}
_ENDS = {"n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'m": " am"}
"""Of contractions; 's and 'd have two readings, and stay."""


def apply(text: str, rule: Rule) -> str:
    """A text under a rule.

    >>> apply("Mr. O\u2019Neil won't pay $3.50 \u2013 uh, ever!", "basic")
    "mr o'neil won't pay 3.50 uh ever"
    >>> apply("Mr. O\u2019Neil won't pay $3.50 \u2013 uh, ever!", "english")
    "mister o'neil will not pay 3.50 ever"
    """
    text = unicodedata.normalize("NFC", text)
    if rule != "none":
        text = _plain(_NO_SPEECH.sub(" ", text).lower().translate(_APOSTROPHES))
    if rule == "english":
        text = " ".join(_written_out(word) for word in text.split() if word not in _FILLERS)
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Without punctuation and signs."""
    kept = {found.start() for pattern in (_INSIDE_NUMBERS, _INSIDE_WORDS) for found in pattern.finditer(text)}
    marks = (unicodedata.category(character)[0] in "PS" for character in text)
    return "".join(" " if m and place not in kept else c for place, (c, m) in enumerate(zip(text, marks, strict=True)))


def _written_out(word: str) -> str:
    if word in _WHOLE:
        return _WHOLE[word]
    for end, full in _ENDS.items():
        if word.endswith(end) and len(word) > len(end):
            return word[: -len(end)] + full
    return word


def with_digits(texts: Iterable[str]) -> int:
    """How many of the texts hold digits, which no rule writes out."""
    return sum(any(character.isdigit() for character in text) for text in texts)
