"""Kinds of columns, by name. A new one: a class, and a word here."""

from __future__ import annotations

from collections.abc import Mapping

from mmtransfer.data.kinds.answers import Label, Labels, Tags, Transcript, Value
from mmtransfer.data.kinds.audio import Audio
from mmtransfer.data.kinds.base import AnswerKind, InputKind, Kind
from mmtransfer.data.kinds.image import Image
from mmtransfer.data.kinds.text import Text, Words

INPUTS: Mapping[str, InputKind] = {kind.name: kind for kind in (Image(), Audio(), Text(), Words())}
"""What a model sees; the order is that in which a table's column is looked for."""
ANSWERS: Mapping[str, AnswerKind] = {kind.name: kind for kind in (Label(), Labels(), Value(), Transcript(), Tags())}
"""What it is to predict."""
GROUPS = tuple(sorted({kind.group for kind in INPUTS.values()}))
"""Columns that say which examples belong together."""

__all__ = ["ANSWERS", "GROUPS", "INPUTS", "AnswerKind", "InputKind", "Kind"]
