"""Unlabelled sentences that any machine has: prose in installed Python packages, and sentences made of words.

Prose alone is about software. So that words of everyday life stand in sentences as well, as many are made: patterns of
questions and statements filled with words of a vocabulary, and short runs of words. Their word classes are read off
the vocabulary itself: a verb is a word whose forms in -ed and -ing are there, a noun one whose plural is.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

PROSE = (".py", ".md", ".rst", ".txt")
RUN = 6
"""Words: two texts that share a run of so many are taken to have one origin."""
FUNCTION_WORDS = 150
"""So many of the most frequent words are mostly articles, pronouns, prepositions."""

_DOCSTRING = re.compile(r'"""(.+?)"""', re.DOTALL)
_COMMENTS = re.compile(r"(?:^[ \t]*#[ ].*\n){1,12}", re.MULTILINE)
_WORD = re.compile(r"[a-z0-9']+")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+")

PATTERNS = (
    "how do i {verb} my {noun}",
    "how can i {verb} a {noun} with my {noun}",
    "how long does it take to {verb} a {noun}",
    "how much does the {noun} cost if i {verb} it",
    "how many {nouns} can i {verb} in a {noun}",
    "can i {verb} my {noun} and {noun} at the same time",
    "can you {verb} the {noun} for me",
    "could you tell me why my {noun} was {verbed}",
    "why is my {noun} still {verbing}",
    "why did you {verb} my {noun} twice",
    "why can't i {verb} the {noun} anymore",
    "what is the {noun} of the {noun}",
    "what should i do if my {noun} is {adjective}",
    "what {nouns} do you {verb}",
    "what happens when a {noun} gets {verbed}",
    "who {verbed} the {adjective} {noun}",
    "where can i find a {noun}",
    "where is my {noun}",
    "when will my {noun} be {verbed}",
    "which {noun} should i {verb} first",
    "is it possible to {verb} a {noun} without a {noun}",
    "is there a {noun} for {verbing} {nouns}",
    "are there any {adjective} {nouns} here",
    "do i need a {noun} to {verb} {nouns}",
    "does the {noun} {verb} in other countries",
    "i {verbed} my {noun} but it has not been {verbed} yet",
    "i want to {verb} my {noun}",
    "i would like to {verb} a new {noun} please",
    "i need help {verbing} the {noun}",
    "i can't find my {noun}",
    "i don't know how to {verb} this {noun}",
    "i think someone {verbed} my {noun}",
    "i am {adjective} about the {noun}",
    "i got the wrong {noun}",
    "my {noun} was {verbed} and i never {verbed} it",
    "my {noun} isn't {verbing}",
    "my {noun} has been {verbed} since last {noun}",
    "please {verb} my {noun} as soon as possible",
    "there is a {noun} on my {noun} that i do not recognize",
    "the {noun} was {verbed} by the {noun}",
    "the {noun} is {adverb} {adjective}",
    "the {noun} {verbs} when the {noun} is {adjective}",
    "this {noun} is {adjective} and {adjective}",
    "a {adverb} {adjective} {noun} that {verbs} the {noun}",
    "an {adjective} {noun} , but never {adjective}",
    "it is a {noun} of {adjective} {nouns}",
    "{nouns} and {nouns} are {adverb} {verbed}",
    "{verbing} a {noun}",
    "{adjective} {noun} not {verbed}",
    "{verb} {noun}",
)
"""Sentences with places for words; the place in {...} is a word class of `word_classes`."""


def prose(folders: Iterable[Path] = ()) -> tuple[list[str], list[str]]:
    """(sentences, paragraphs) of docstrings, comments and text files below folders, each once, sorted.

    `folders`: site-packages of this Python if none is given; the standard library is no part of it.
    """
    sentences: dict[str, str] = {}
    paragraphs: dict[str, str] = {}
    for folder in [*folders] or [Path(sysconfig.get_paths()["purelib"])]:
        for file in sorted(path for path in folder.rglob("*") if _is_prose(path)):
            text = file.read_text(encoding="utf-8", errors="ignore")
            for block in _blocks(text, file.suffix == ".py"):
                if _is_english(block, 41, 110):
                    paragraphs.setdefault(" ".join(words(block)), block)
                for sentence in _SENTENCE.split(block):
                    if _is_english(sentence, 3, 40):
                        sentences.setdefault(" ".join(words(sentence)), sentence)
    return sorted(sentences.values()), sorted(paragraphs.values())


def _is_prose(path: Path) -> bool:
    return (path.suffix in PROSE or path.name == "METADATA") and path.is_file() and path.stat().st_size < 2**20


def _blocks(text: str, code: bool) -> list[str]:
    """Paragraphs, white space made even; of code, those of its docstrings and comments."""
    if code:
        comments = (re.sub(r"^[ \t]*# ?", "", match, flags=re.MULTILINE) for match in _COMMENTS.findall(text))
        parts = [*_DOCSTRING.findall(text), *comments]
    else:
        parts = [text]
    return [" ".join(block.split()) for part in parts for block in re.split(r"\n\s*\n", part)]


def _is_english(text: str, least: int, most: int) -> bool:
    """`least` to `most` words, nearly all of it letters: no code, no tables, no paths."""
    count = text.count(" ") + 1
    if not least <= count <= most or len(text) > 12 * count or not text.isascii():
        return False
    letters = sum(character.isalpha() or character in " ,.'" for character in text)
    return letters >= 0.93 * len(text) and ">>>" not in text and "_" not in text


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def word_classes(vocabulary: Iterable[str]) -> dict[str, list[str]]:
    """Words of a vocabulary by class: noun, nouns, verb, verbs, verbed, verbing, adjective, adverb; in its order.

    `vocabulary`: words by frequency; the first FUNCTION_WORDS are of no class here.
    """
    known = {word: None for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2}
    classes: dict[str, list[str]] = {name: [] for name in ("noun", "nouns", "verb", "verbs", "verbed", "verbing")}
    classes |= {"adjective": [], "adverb": []}
    for word in [*known][FUNCTION_WORDS:]:
        for stem in (word.removesuffix("e"), word + word[-1]):
            forms = {"verb": word, "verbed": f"{stem}ed", "verbing": f"{stem}ing", "verbs": f"{word}s"}
            if forms["verbed"] in known and forms["verbing"] in known:
                for name, form in forms.items():
                    classes[name].append(form)
        if f"{word}s" in known:
            classes["noun"].append(word)
            classes["nouns"].append(f"{word}s")
        if f"{word}ly" in known:
            classes["adjective"].append(word)
            classes["adverb"].append(f"{word}ly")
    return classes


def questions(vocabulary: Sequence[str], count: int, generator: np.random.Generator) -> list[str]:
    """`count` sentences: PATTERNS filled with words of their class. Earlier words are likelier (rank ** -0.5)."""
    classes = word_classes(vocabulary)
    pools = {name: iter(_drawn(members, 4 * count, generator)) for name, members in classes.items()}
    patterns = [re.split(r"\{(\w+)\}", pattern) for pattern in PATTERNS]
    made = []
    for number in generator.integers(len(patterns), size=count):
        parts = patterns[number]
        text = "".join(next(pools[part]) if place % 2 else part for place, part in enumerate(parts))
        mark = "?" if parts[0].startswith(("how", "wh", "can", "could", "is ", "are ", "do")) else "."
        made.append(text + (mark if generator.random() < 0.7 else ""))
    return made


def phrases(vocabulary: Sequence[str], count: int, generator: np.random.Generator) -> list[str]:
    """`count` runs of 1 to 8 words without grammar; earlier words are likelier."""
    sizes = generator.integers(1, 9, size=count)
    pool = _drawn([word for word in vocabulary if word.isalpha() and word.isascii()], int(sizes.sum()), generator)
    ends = np.cumsum(sizes)
    return [" ".join(pool[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _drawn(members: Sequence[str], count: int, generator: np.random.Generator) -> list[str]:
    weights = np.arange(1, len(members) + 1) ** -0.5
    return [members[place] for place in generator.choice(len(members), size=count, p=weights / weights.sum())]


def without_overlap(texts: Iterable[str], others: Iterable[str]) -> list[str]:
    """The texts that share no run of RUN words with any of the others and, where shorter, are none of them whole."""
    wholes: set[tuple[str, ...]] = set()
    runs: set[tuple[str, ...]] = set()
    for other in others:
        split = tuple(words(other))
        wholes.add(split)
        runs.update(_runs(split))
    kept = []
    for text in texts:
        split = tuple(words(text))
        if split not in wholes and runs.isdisjoint(_runs(split)):
            kept.append(text)
    return kept


def _runs(split: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (split[start : start + RUN] for start in range(len(split) - RUN + 1))
