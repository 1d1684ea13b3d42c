"""Makes the built-in data of tagged words: which words of a docstring name an exception, a class, a function, a module?

    python -m benchmarks.pretrain.identifiers    # writes mmtransfer/data/builtin_identifiers.parquet; Python 3.11

Sentences are those of the docstrings of Python's standard library, and of what `help` says of the language. Python
itself labels them: a word that stands there as a name (in quotes, with brackets behind it, spelled as only names are,
or called a module, a method, ...) is looked up where the docstring stands, and is what it then is. After that its
quotes, brackets and the modules before it are taken away. What looks like a name and is something else, such as a
parameter or a constant, has no tag.

A look-up does not solve it: each name is of the training or of the test part, those that occur most are of training,
and a sentence with names of both is left out. The docstrings are under the licence of Python (PSF License Agreement,
Copyright Python Software Foundation).
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from benchmarks.pretrain.library import modules
from mmtransfer.data.builtin import IDENTIFIERS
from mmtransfer.seeding import generator, identity

SKIPPED = {"antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3", "pydoc_data", "ensurepip", "venv"}
"""Modules that do something when they are imported, or document little."""
FREQUENT = 8
"""Names that occur more often are of the training part."""
TEST = 0.45
"""Share of the other names that are of the test part."""
UNNAMED = 0.5
"""Sentences without a name, to those with one."""
ENGLISH = (
    "list set object type open filter map all any help input print range format compile next id min max sum round slice"
    " super property credits license exit quit copyright hash complex reversed sorted classmethod pow divmod abs bytes"
    " tuple float callable breakpoint zip globals locals dir hex vars enumerate eval exec"
)
"""Names of builtins that are words of English as well."""
NOUNS = {
    "module": "module",
    "package": "module",
    "function": "function",
    "method": "function",
    "class": "class",
    "exception": "exception",
}
"""Words that say of the name beside them what it is."""
LEAST, MOST = 4, 60
"""Words of a sentence."""
_TOKEN = re.compile(
    r":\w+:`[~!]?(?P<role>[\w.]+)(?:\(\))?`"
    r"|(?P<quote>``|`|'|\")(?P<quoted>[A-Za-z_][\w.]*)(?:\(\))?(?:'|``|`|\")(?!\w)"
    r"|(?P<called>[A-Za-z_][\w.]*)\(\)"
    r"|(?P<word>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:'(?:s|t|re|ve|ll|d|m)\b)?)"
    r"|`|(?<![\w.])\.(?=[A-Za-z_])"
    r"|(?P<other>\d[\w.]*\b|--+|\.\.\.|[^\w\s])"
)
_SHAPED = re.compile(r"\w*[a-z0-9][A-Z]\w*|[A-Z][A-Z]+[a-z]{2}\w*|[A-Za-z]\w*_\w*|_\w*[a-z]\w*")
"""Spelled as only names are: CamelCase or with an underscore."""

_TABLE = re.compile(r"\S(?<![.!?:])  +\S")
"""A gap that does not end a sentence."""


class Word(NamedTuple):
    """A word of a sentence as it stands there."""

    text: str
    """Without quotes and brackets."""
    marked: bool
    """Whether it had quotes or brackets."""


class Place(NamedTuple):
    """Where a docstring stands."""

    name: str
    text: str
    scopes: tuple[Mapping[str, Any], ...]
    """Namespaces in which names are looked up, the nearest first."""
    parameters: frozenset[str]


def places(module: ModuleType) -> Iterator[Place]:
    """The docstrings of a module and of what it defines."""
    globals_ = vars(module)

    def place(name: str, value: Any, *scopes: Mapping[str, Any]) -> Iterator[Place]:
        text = getattr(value, "__doc__", None)
        if isinstance(text, str) and text.strip():
            yield Place(name, inspect.cleandoc(text), (*scopes, globals_, vars(builtins)), parameters(value))

    yield from place(module.__name__, module)
    for owner, value in sorted(globals_.items()):
        if getattr(value, "__module__", None) != module.__name__ or owner.startswith("__"):
            continue
        if not inspect.isclass(value):
            yield from place(f"{module.__name__}.{owner}", value)
            continue
        members = {name: getattr(value, name, None) for name in dir(value)}
        yield from place(f"{module.__name__}.{owner}", value, members)
        for member, inner in sorted(vars(value).items()):
            if getattr(inner, "__doc__", None) != getattr(getattr(object, member, None), "__doc__", None):
                yield from place(f"{module.__name__}.{owner}.{member}", inner, members)


def parameters(value: Any) -> frozenset[str]:
    """Names of the parameters of what is documented."""
    try:
        return frozenset(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return frozenset()


def sentences(text: str) -> Iterator[str]:
    """Sentences of the prose of a docstring."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        if any(line.lstrip().startswith((">>>", "...", "|", "+--")) or _TABLE.search(line) for line in lines):
            continue
        prose = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z'\"`*_])|\s+(?=- )", prose):
            letters = sum(c.isalpha() or c == " " for c in sentence)
            if sentence and letters > 0.8 * len(sentence) and sentence.isascii():
                yield sentence


def words_of(sentence: str) -> list[Word]:
    """A sentence cut into words, punctuation each for itself."""
    words = []
    for match in _TOKEN.finditer(sentence):
        name = match["role"] or match["quoted"] or match["called"]
        text = name or match["word"] or match["other"]
        if text:  # not a single backquote, nor the dot before a method
            words.append(Word(text.rstrip(".") or text, name is not None))
    return words


def kind(value: Any) -> str | None:
    """What a value is, of the four that are looked for."""
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) and (inspect.isroutine(value) or hasattr(value, "__wrapped__")) else None


_ABSENT = object()


def look_up(name: str, place: Place, index: Mapping[str, str | None]) -> str | None:
    """What a name is where it stands; `index`: what names are that are spelled as only names are, anywhere."""
    first, *rest = name.split(".")
    if name in place.parameters or first in ("self", "cls"):
        return None
    scopes = [scope for scope in place.scopes if first in scope]
    value = scopes[0][first] if scopes else sys.modules[first] if _is_module(first) else _ABSENT
    for part in rest:
        value = getattr(value, part, _ABSENT)
    if value is _ABSENT and _is_module(name):
        return "module"
    if value is _ABSENT:
        last = name.rsplit(".", 1)[-1]
        return index.get(last) if _SHAPED.fullmatch(last) else None
    return kind(value)


def _is_module(name: str) -> bool:
    """Whether it is a public module of the standard library, all of which are loaded."""
    return name.split(".")[0] in sys.stdlib_module_names and name in sys.modules and not name.startswith("_")


def tags(words: Sequence[Word], place: Place, index: Mapping[str, str | None]) -> list[str]:
    """For each word what it names, or O."""
    return [_tag(words, number, place, index) or "O" for number in range(len(words))]


def _tag(words: Sequence[Word], number: int, place: Place, index: Mapping[str, str | None]) -> str | None:
    word = words[number].text
    if not re.match(r"[A-Za-z_]", word) or word.isupper() or len(word) < 2 or "'" in word:
        return None
    before = words[number - 1].text.lower() if number else ""
    after = words[number + 1].text.lower() if number + 1 < len(words) else ""
    nouns = {NOUNS.get(before), NOUNS.get(after)}
    what = "module" if "module" in nouns and _is_module(word) else look_up(word, place, index)
    spelled = "." in word or _SHAPED.fullmatch(word.strip("_")) is not None
    capital = number > 0 and before not in (".", ":", "?", "!") and word[0].isupper()
    called = what in nouns or (what == "exception" and before in ("raise", "raises", "raised", "raising"))
    known = hasattr(builtins, word) and word not in ENGLISH.split()
    return what if words[number].marked or spelled or capital or called or known else None


def named() -> tuple[list[Place], dict[str, str | None]]:
    """All docstrings, and the reference of the language; what names are that are spelled as only names are."""
    loaded: list[ModuleType] = []
    for top in sorted(sys.stdlib_module_names - SKIPPED):
        if not top.startswith("_"):
            try:
                loaded += modules(top)
            except (ImportError, OSError):  # of another system
                continue
    kinds: dict[str, set[str | None]] = defaultdict(set)
    for module in loaded:
        owners = [vars(module), *(vars(value) for value in vars(module).values() if inspect.isclass(value))]
        for name, value in (item for owner in owners for item in list(owner.items())):
            if _SHAPED.fullmatch(name.strip("_")) or name.endswith("__"):
                kinds[name].add(kind(value))
    from pydoc_data.topics import topics

    reference = [Place(f"topics.{name}", text, (vars(builtins),), frozenset()) for name, text in sorted(topics.items())]
    found = [place for module in loaded for place in places(module)]
    return found + reference, {name: own.pop() for name, own in kinds.items() if len(own) == 1}


def drafts() -> list[dict[str, Any]]:
    """id, words and kinds of every sentence; of those that differ only in names and numbers the first."""
    found: dict[str, dict[str, Any]] = {}
    everywhere, index = named()
    for place in everywhere:
        for number, sentence in enumerate(sentences(place.text)):
            words = words_of(sentence)
            if not LEAST <= len(words) <= MOST or words[1].text == "(":
                continue
            kinds = tags(words, place, index)
            # the modules before a name would tell it
            texts = [
                word.text if what == "O" else word.text.rsplit(".", 1)[-1]
                for word, what in zip(words, kinds, strict=True)
            ]
            masked = " ".join(text if what == "O" else what for text, what in zip(texts, kinds, strict=True))
            key = re.sub(r"[\W\d]+", " ", masked.lower())
            row = {"id": f"identifiers/{place.name}/{number}", "words": texts, "kinds": kinds}
            likely = any(word.marked or _SHAPED.fullmatch(word.text) for word in words)
            found.setdefault(key, row | {"likely": likely})
    return list(found.values())


def parts(sentences: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """train or test for each name, in small letters."""
    names = Counter(
        word.lower() for row in sentences for word, what in zip(row["words"], row["kinds"], strict=True) if what != "O"
    )
    return {
        name: "test" if count <= FREQUENT and generator(0, "split", identity(name)).random() < TEST else "train"
        for name, count in names.items()
    }


def rows() -> list[dict[str, Any]]:
    """id, words, tags and split of every example; the same on every machine with the same Python."""
    everything = drafts()
    part_of = parts(everything)
    made: list[dict[str, Any]] = []
    unnamed: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for row in everything:
        own = {part_of[word.lower()] for word, what in zip(row["words"], row["kinds"], strict=True) if what != "O"}
        if len(own) == 1:
            made.append(row | {"split": own.pop()})
        elif not own:
            unnamed[row["likely"]].append(row)
    # half of the sentences without a name have a word that looks like one
    count = round(UNNAMED * len(made) / 2)
    share = sum(row["split"] == "test" for row in made) / len(made)
    for drawn in unnamed.values():
        order = generator(0, "split", identity("unnamed")).permutation(len(drawn))[:count]
        tested = round(share * len(order))
        made += [drawn[n] | {"split": "test" if place < tested else "train"} for place, n in enumerate(order)]
    return [
        {
            "id": row["id"],
            "words": row["words"],
            "tags": ["O" if what == "O" else f"B-{what}" for what in row["kinds"]],
            "split": row["split"],
        }
        for row in sorted(made, key=lambda row: row["id"])
    ]


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some members tell that they will go
        made = rows()
    note = f"Docstrings of Python {sys.version.split()[0]}, PSF License Agreement, (c) Python Software Foundation"
    table = pa.Table.from_pylist(made).replace_schema_metadata({"source": note})
    file = Path(__file__).parents[2] / "mmtransfer" / "data" / IDENTIFIERS
    pyarrow.parquet.write_table(table, file, compression="zstd")
    print(f"{file.name}: {file.stat().st_size} bytes")
    for split in ("train", "test"):
        own = [row for row in made if row["split"] == split]
        named = Counter(tag for row in own for tag in row["tags"] if tag != "O")
        print(f"{split}: {len(own)} sentences, {sum(len(row['words']) for row in own)} words, {dict(named)}")


if __name__ == "__main__":
    main()
