"""IOB2, one tag a word: B-TYPE begins an entity, I-TYPE goes on with it, O is outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

Span = tuple[str, int, int]
"""(type, first word, the word after the last one)"""
UNTYPED = "_"
"""The type of spans whose tags are plain B and I, as seqeval calls it."""


def spans(tags: Iterable[str]) -> list[Span]:
    """The entities of a sentence, in order, read strictly: an I-X that follows neither B-X nor I-X is in none.

    >>> spans(["B-person", "I-person", "O", "I-place", "B-place"])
    [('person', 0, 2), ('place', 4, 5)]
    """
    entities: list[Span] = []
    open_type: str | None = None
    for place, tag in enumerate(tags):
        prefix, kind = _parts(tag)
        if prefix == "B":
            entities.append((kind, place, place + 1))
            open_type = kind
        elif prefix == "I" and kind == open_type:
            entities[-1] = (kind, entities[-1][1], place + 1)
        else:
            open_type = None
    return entities


def is_iob2(tags: Collection[str]) -> bool:
    """Whether a set of tags is meant as IOB2: B-TYPE or I-TYPE is among them, or there is nothing but B, I and O.

    `check_iob2` says of each sentence whether its tags then are.

    >>> is_iob2({"O", "B-person", "E-person"}), is_iob2({"B", "O"}), is_iob2({"NOUN", "VERB", "O"})
    (True, True, False)
    """
    names = set(tags)
    return any(name.startswith(("B-", "I-")) for name in names) or ("B" in names and names <= {"B", "I", "O"})


def check_iob2(tags: Sequence[str]) -> str | None:
    """Why the tags of a sentence are not IOB2, with the number of the first wrong word, from 1; None if they are.

    >>> check_iob2(["O", "B-person", "I-place"])
    "the tag 'I-place' of word 3 follows neither 'B-place' nor 'I-place'"
    >>> check_iob2(["O", "S-person"])
    "the tag 'S-person' of word 2 is none of O, B-TYPE and I-TYPE"
    """
    before = ("O", "")
    for place, tag in enumerate(tags, 1):
        prefix, kind = _parts(tag)
        if prefix not in ("O", "B", "I") or (prefix == "O" and tag != "O"):
            return f"the tag {tag!r} of word {place} is none of O, B-TYPE and I-TYPE"
        if prefix == "I" and before not in (("B", kind), ("I", kind)):
            return f"the tag {tag!r} of word {place} follows neither {'B' + tag[1:]!r} nor {tag!r}"
        before = (prefix, kind)
    return None


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag: ("B", "person"); of O and of plain tags the tag and an empty type."""
    prefix, _, kind = tag.partition("-")
    return (prefix, kind or UNTYPED) if prefix in ("B", "I") else (prefix, kind)
