"""`fit` names every setting: to `help()`, to completion, and to what checks types. `python tests/test_signatures.py`
writes mmtransfer/config/typed.py anew."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path

import mmtransfer as mmt
from mmtransfer.config import FIELDS, RunConfig

TYPED = Path(mmt.__file__).parent / "config" / "typed.py"
OBJECTS = {"strategy": "Any", "backbone": "Any", "train": "Any", "validation": "Any", "test": "Any"}
"""Settings for which Python may give more than a text."""
PATHS = ("out", "weights", "cache_dir", "lm")


def written() -> str:
    """typed.py as the settings have it."""
    from tyro._docstrings import get_field_docstring  # the parser that --help uses

    lines = [
        '"""Every setting of a run by name and type, for `fit(...)`; written by tests/test_signatures.py."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "from pathlib import Path",
        "from typing import Any, Literal, TypedDict",
        "",
        "",
        "class Settings(TypedDict, total=False):",
        '    """What `fit` takes; what is left out is chosen by the task, the strategy or the machine."""',
        "",
    ]
    for name, field in FIELDS.items():
        kind = OBJECTS.get(name, str(field.type)) + (" | Path" if name in PATHS else "")
        about = " ".join((get_field_docstring(RunConfig, name, ()) or "").split())
        lines.append(f"    {name}: {kind}")
        lines += textwrap.wrap(f'"""{about}"""', 116, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def test_the_types_are_those_of_the_settings() -> None:
    there = ast.parse(TYPED.read_text(encoding="utf-8"))
    assert ast.dump(there) == ast.dump(ast.parse(written())), "run python tests/test_signatures.py"


def test_help_and_completion_name_every_setting() -> None:
    named = inspect.signature(mmt.fit).parameters
    assert list(named)[0] == "config" and set(FIELDS) <= set(named)
    assert all(named[name].kind is inspect.Parameter.KEYWORD_ONLY for name in FIELDS)
    assert named["seed"].default == 0 and "Literal" in str(named["duplicates"].annotation)
    estimator = inspect.signature(mmt.Classifier).parameters
    assert {"task", "out", "backbone", "lr", "seed"} <= set(estimator) and "train" not in estimator
    assert {field.name for field in dataclasses.fields(RunConfig)} == set(FIELDS)


if __name__ == "__main__":
    TYPED.write_text(written(), encoding="utf-8")
