"""JSON as tables: an object a line (.jsonl, .ndjson, .json), or one list of objects (.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmtransfer.data import encodings
from mmtransfer.data.records import Records, from_dicts
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})


def read(path: Path, where: str) -> Records:
    """Reads rows; values keep their kind: numbers, lists, None.

    Lines that are no JSON object are in `bad`; blank lines are left out.
    Raises MMTransferError for a file without rows, without text, or that is one object over many lines.
    """
    text = encodings.read(path, where)
    places: list[str] = []
    found: list[Any] = []
    bad: dict[int, str] = {}
    if path.suffix.lower() == ".json" and text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise MMTransferError(
                f"Not JSON: {error.msg}", f"{where}, line {error.lineno}, character {error.colno}", "mend it there"
            ) from None
        places = [f"row {number}" for number in range(len(found))]
    else:
        # not splitlines: a string of JSON may hold U+2028
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            places.append(f"row {len(found)} (line {number})")
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                bad[len(found)] = f"not JSON ({error.msg} at character {error.colno})"
                found.append({})
    if not found:
        raise MMTransferError("The file holds no rows", where, "give at least one object")
    if len(bad) == len(found) and _is_object(text):
        raise MMTransferError(
            "The file is one JSON object over several lines", where, "give a list of objects, or an object a line"
        )
    for number, row in enumerate(found):
        if not isinstance(row, dict):
            bad[number] = f"not a JSON object but a {type(row).__name__}"
    return from_dicts([row if isinstance(row, dict) else {} for row in found], places, bad)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except json.JSONDecodeError:
        return False
