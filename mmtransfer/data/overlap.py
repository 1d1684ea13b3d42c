"""What makes scores better, or worse, than they should be: test examples that were trained on, the same input with two
labels, one label spelled in two ways, classes of hardly any examples.

Inputs are equal if their bytes are, and texts nearly so if they differ in case, white space or Unicode form alone.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from mmtransfer.data import digests
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

FEW = 5
"""Examples of a class below which it is told."""
SHOWN = 2
"""Examples that are told of each finding."""
LETTERS = 60
"""Of a text that is told."""
PAIR = "\0"
"""Between the two texts of a pair."""
Kind = Literal["equal", "near-equal", "contradicting", "label-twins", "small-classes"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that a reader of the scores should know.

    `kind`; `splits` that it concerns; `count` of `of`: examples, pairs of labels or classes; `line`: the sentence that
    is told, with two of them.
    """

    kind: Kind
    splits: tuple[str, ...]
    count: int
    of: int
    examples: tuple[str, ...]
    line: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def block(findings: Sequence[Finding]) -> str:
    """The findings as one message."""
    lines = [f"- {finding.line}" for finding in findings]
    if _leaks(findings):
        lines.append("Scores on examples that were trained on say little about new ones. --duplicates drop leaves such")
        lines.append("examples out of the training data, --duplicates error refuses them.")
    return "\n".join(["Before training, the data were looked through:", *lines])


def between(tables: Mapping[str, Table]) -> list[Finding]:
    """Examples of one split that another holds as well, and inputs that have several answers; `tables`: by split, with
    digests."""
    splits = [_Split(name, table) for name, table in tables.items()]
    known = {split.name: split for split in splits}
    pairs = (("validation", "train"), ("test", "train"), ("test", "validation"))
    found = [_shared(known[one], known[other]) for one, other in pairs if one in known and other in known]
    return [finding for part in [*found, _contradictions(splits)] for finding in part]


def of_labels(tables: Mapping[str, Table]) -> list[Finding]:
    """Labels that are probably meant to be one, and classes of the training data with few examples; `tables`: by split,
    before any part of them was taken."""
    counts = {name: Counter(_labels(table)) for name, table in tables.items()}
    return [*_twins(sum(counts.values(), Counter()), tuple(tables)), *_small(counts["train"])]


def refuse(tables: Mapping[str, Table]) -> None:
    """Raises MMTransferError where splits share examples."""
    leaks = _leaks(between(tables))
    if leaks:
        raise MMTransferError(
            "; ".join(finding.line for finding in leaks),
            "--duplicates error",
            "take them out of one of the two, or out of the training data with --duplicates drop",
        )


def dropped(train: Table, others: Mapping[str, Table]) -> Table:
    """The training data without examples that another split holds as well, equal or nearly so; they are recorded as
    skipped. Raises MMTransferError if none is left."""
    own, out = _Split("train", train), dict[int, str]()
    for name, table in others.items():
        other = _Split(name, table)
        for number, key in enumerate(own.near):
            if key in other.first_near:
                out.setdefault(number, f"it is in the {name} data as well, as {table.ids[other.first_near[key]]!r}")
    if len(out) == len(train):
        raise MMTransferError(
            f"All training examples are in the {' or '.join(others)} data as well", "--duplicates drop", "give others"
        )
    return train.without(list(out), list(out.values())) if out else train


class _Split:
    """A table with the keys by which its inputs are found again: `exact` and `near`, one an example, and of each key
    the first example that has it."""

    def __init__(self, name: str, table: Table) -> None:
        table = table.digested()
        assert table.digests is not None
        self.name, self.table, self.ids = name, table, table.ids
        self.exact = digests.inputs(table.digests)
        self.texts = _texts(table)
        # only texts can be nearly equal
        self.near = self.exact if self.texts is None else [_near(text) for text in self.texts]

    @cached_property
    def first(self) -> dict[bytes, int]:
        return _firsts(self.exact)

    @cached_property
    def first_near(self) -> dict[bytes, int]:
        return _firsts(self.near)

    def told(self, number: int) -> str:
        return f"{self.name} {self.ids[number]!r}"

    def shown(self, number: int) -> str:
        """The beginning of a text; nothing of a file, whose id says what it is."""
        if self.texts is None:
            return ""
        text = self.texts[number].replace(PAIR, " / ")
        return f": {text if len(text) <= LETTERS else text[: LETTERS - 3] + '...'!r}"


def _shared(one: _Split, other: _Split) -> list[Finding]:
    """How many examples of `one` are in `other`, equal and nearly so."""
    equal = [number for number, key in enumerate(one.exact) if key in other.first]
    near = [n for n, key in enumerate(one.near) if key in other.first_near and one.exact[n] not in other.first]
    kinds: tuple[tuple[Kind, list[int], Callable[[int], int], str], ...] = (
        ("equal", equal, lambda n: other.first[one.exact[n]], ""),
        ("near-equal", near, lambda n: other.first_near[one.near[n]], ", but for case, white space or Unicode form"),
    )
    found = []
    for kind, numbers, twin, but in kinds:
        examples = [f"{one.told(n)} is {other.told(twin(n))}{one.shown(n)}" for n in numbers[:SHOWN]]
        many = f"{len(numbers)} of {len(one.ids)}" if len(numbers) < len(one.ids) else f"All {len(one.ids)}"
        verb = "is" if len(numbers) == 1 < len(one.ids) else "are"
        line = f"{many} {one.name} examples {verb} in the {_called(other.name)} data as well{but}"
        if numbers:
            found.append(_finding(kind, (one.name, other.name), len(numbers), len(one.ids), examples, line))
    return found


def _contradictions(splits: Sequence[_Split]) -> list[Finding]:
    """Inputs, equal or nearly so, that have several answers; numbers may well differ, so they are not looked at."""
    first: dict[bytes, tuple[_Split, int]] = {}
    several: dict[bytes, tuple[_Split, int]] = {}
    counts: Counter[bytes] = Counter()
    answers = {split.name: _plain_answers(split.table) for split in splits}
    for split in splits:
        for number, key in enumerate(split.near if answers[split.name] else ()):
            counts[key] += 1
            other, place = first.setdefault(key, (split, number))
            if answers[split.name][number] != answers[other.name][place]:
                several.setdefault(key, (split, number))
    examples = []
    for key, (split, number) in list(several.items())[:SHOWN]:
        other, place = first[key]
        said = [f"{one.told(n)} is {_answer(one.table, n)!r}" for one, n in ((other, place), (split, number))]
        examples.append(" and ".join(said) + split.shown(number))
    count, of = sum(counts[key] for key in several), sum(counts.values())
    called = f"{splits[0].table.answer.role.removesuffix('s')}s" if splits and splits[0].table.answer else "labels"
    line = f"{count} of {of} examples are of equal inputs with different {called}"
    splits_of = tuple(split.name for split in splits)
    return [_finding("contradicting", splits_of, count, of, examples, line)] if several else []


def _twins(counts: Mapping[str, int], splits: tuple[str, ...]) -> list[Finding]:
    spelled = defaultdict(list)
    for label in sorted(counts):
        spelled[_plain(label)].append(label)
    twins = [labels for labels in spelled.values() if len(labels) > 1]
    examples = []
    for labels in twins[:SHOWN]:
        # what looks alike is told by its code points
        alike = len({unicodedata.normalize("NFC", label) for label in labels}) < len(labels)
        show = ascii if alike else repr
        examples.append(" and ".join(f"{show(label)} ({counts[label]})" for label in labels))
    line = f"{len(twins)} of {len(spelled)} labels are spelled in several ways (case, white space or Unicode form)"
    return [_finding("label-twins", splits, len(twins), len(spelled), examples, line)] if twins else []


def _small(counts: Mapping[str, int]) -> list[Finding]:
    small = sorted((count, label) for label, count in counts.items() if count < FEW)
    examples = [f"{label!r} ({count})" for count, label in small[:SHOWN]]
    line = f"{len(small)} of {len(counts)} classes have fewer than {FEW} examples in the training data"
    return [_finding("small-classes", ("train",), len(small), len(counts), examples, line)] if small else []


def _finding(kind: Kind, splits: tuple[str, ...], count: int, of: int, examples: Sequence[str], line: str) -> Finding:
    return Finding(kind, splits, count, of, tuple(examples), f"{line}: {'; '.join(examples)}")


def _leaks(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind in ("equal", "near-equal")]


def _called(split: str) -> str:
    return "training" if split == "train" else split


def _labels(table: Table) -> list[str]:
    """Every class name of every answer; none where answers are no classes."""
    kind = table.answer
    return [name for answer in table.answers or () for name in kind.classes(answer)] if kind is not None else []


def _texts(table: Table) -> list[str] | None:
    """The text, or the two texts, of each example; None where inputs are files."""
    kind = table.input
    if kind.in_files:
        return None
    columns = [table.column(name) for name in (kind.name, "pair") if name in table.rows.column_names]
    return [PAIR.join(map(str, map(kind.text, values))) for values in zip(*columns, strict=True)]


def _plain_answers(table: Table) -> list[Any]:
    """Answers but for case, white space and Unicode form; empty where they are missing, or cannot contradict."""
    kind, answers = table.answer, table.answers or ()
    spelled = [kind.spelled(answer, _plain) for answer in answers] if kind is not None else []
    return spelled if spelled and spelled[0] is not None else []


def _answer(table: Table, number: int) -> Any:
    return (table.answers or ())[number]


def _plain(text: str) -> str:
    """A text without what two spellings of one thing may differ in."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _near(text: str) -> bytes:
    data = "\0".join(map(_plain, text.split(PAIR))).encode()
    return hashlib.blake2b(data, digest_size=digests.SIZE).digest()


def _firsts(keys: Sequence[bytes]) -> dict[bytes, int]:
    return {key: number for number, key in reversed(list(enumerate(keys)))}
