"""A run at a glance: one line in a terminal, a small table in a notebook. No library of scores is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from mmtransfer.run import RunFolder
from mmtransfer.terminal import visible


def line(folder: RunFolder, result: Mapping[str, Any]) -> str:
    """`Run(FOLDER: task, strategy on backbone, primary score with its interval)`, without control characters."""
    parts = [result["task"], _way(result)]
    primary = result.get("primary") or {}
    score = _primary(result)
    if score is not None:
        parts.append(f"{primary['split']} {primary['name']} {spoken(score)}, n={score['n']}")
    elif result["status"] != "finished":
        parts.append(result["status"])
    return visible(f"Run({folder.path}: {', '.join(parts)})")


def table(folder: RunFolder, result: Mapping[str, Any]) -> str:
    """The same as HTML: where the run is, how it was made, and its scores by split; all of it escaped."""
    rows = [
        f"<tr><td>{_cell(split)}</td><td>{_cell(name)}</td><td>{_cell(spoken(score))}</td><td>{score['n']}</td></tr>"
        for split, scores in result["metrics"].items()
        for name, score in scores.items()
        if name in telling(scores, (result.get("primary") or {}).get("name"))
    ]
    head = "<tr><th>data</th><th>metric</th><th>score (95 % interval)</th><th>n</th></tr>"
    caption = f"{_cell(result['task'])}, {_cell(_way(result))}<br><code>{_cell(str(folder.path))}</code>"
    return f"<table><caption>{caption}</caption>{head}{''.join(rows)}</table>"


def spoken(score: Mapping[str, Any]) -> str:
    """A score of result.json with its interval, four digits; a dash where it has no value."""
    if score["value"] is None:
        return "-"
    interval = "" if score["low"] is None else f" ({score['low']:.4f} to {score['high']:.4f})"
    return f"{score['value']:.4f}{interval}"


def telling(names: Iterable[str], primary: str | None, classes: int | None = None) -> list[str]:
    """The scores worth a line: the one that decides, and those that are neither of one label nor near to another.

    `classes`: how many there are, where that is known; the share among the best five says something from 20 on.
    """
    dropped = ("]", "_micro", "_weighted", *(("top5",) if classes is not None and classes < TOP_FROM else ()))
    return [name for name in names if name == primary or not name.endswith(dropped)]


TOP_FROM = 20
"""Classes from which the share of examples whose class is among the best five is told."""


def _way(result: Mapping[str, Any]) -> str:
    backbone = (result.get("backbone") or {}).get("name")
    return str((result.get("strategy") or {}).get("name", "trained")) + (f" on {backbone}" if backbone else "")


def _primary(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    primary = result.get("primary") or {}
    found = result.get("metrics", {}).get(primary.get("split"), {}).get(primary.get("name"))
    return dict(found) if found else None


def _cell(text: str) -> str:
    return escape(visible(text))
