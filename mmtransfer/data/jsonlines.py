"""JSON as tables: an object a line (.jsonl, .ndjson, .json), or one list of objects (.json)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mmtransfer.data import encodings
from mmtransfer.data.records import Records, from_dicts
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_DEEP = "lists or objects are nested too deeply"


def read_json(path: Path, where: str) -> Records:
    """Reads rows; values keep their kind: numbers, lists, None; integers of thousands of digits are strings.

    Lines that are no JSON object are in `bad`; blank lines are left out.
    Raises MMTransferError for a file without rows, without text, or that is one object over many lines.
    """
    text = encodings.read_text(path, where)
    places: list[str] = []
    found: list[Any] = []
    bad: dict[int, str] = {}
    if path.suffix.lower() == ".json" and text.lstrip().startswith("["):
        try:
            found = _parsed(text)
        except json.JSONDecodeError as error:
            raise MMTransferError(
                f"Not JSON: {error.msg}", f"{where}, line {error.lineno}, character {error.colno}", "mend it there"
            ) from None
        except RecursionError:
            raise MMTransferError(f"Not a table: {_DEEP}", where, "give a list of flat objects") from None
        places = [f"row {number}" for number in range(len(found))]
    else:
        # not splitlines: a string of JSON may hold U+2028
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
            if not line.strip():
                continue
            places.append(f"row {len(found)} (line {number})")
            try:
                found.append(_parsed(line))
            except json.JSONDecodeError as error:
                bad[len(found)] = f"not JSON ({error.msg} at character {error.colno})"
                found.append({})
            except RecursionError:
                bad[len(found)] = _DEEP
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
        return isinstance(_parsed(text), dict)
    except (json.JSONDecodeError, RecursionError):
        return False


def _parsed(text: str) -> Any:
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | str:
    """An integer; of more digits than Python converts, the digits themselves."""
    try:
        return int(digits)
    except ValueError:
        return digits
