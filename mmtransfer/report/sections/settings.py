"""The settings, those that somebody has chosen before the others, and the versions of all that took part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmtransfer import documents
from mmtransfer.config import FIELDS, reads
from mmtransfer.defaults import as_given
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, render

OF_THE_MACHINE = ("precision", "layout", "threads", "graphs")
"""Settings that the machine fills in."""
OWN = ("task", "out", "resume", "overwrite", "based_on")
"""Settings that say nothing of how the model was made."""


def make(evidence: Evidence) -> Section:
    """Two tables and the command."""
    settings = {name: value for name, value in evidence.settings.items() if name not in OWN}
    chosen = {name: value for name, value in as_given(settings, evidence.task).items() if _says(name, value)}
    others = {name: value for name, value in settings.items() if name not in chosen and name in FIELDS}
    others = {name: value for name, value in others.items() if reads(name, evidence.task)}
    environment = _environment(evidence)
    command = [str(word) for word in evidence.result.get("command") or []]
    body = render(
        "settings.html",
        chosen={name: spoken(value) for name, value in chosen.items()},
        others={name: spoken(value) for name, value in others.items()},
        versions=environment.get("versions") or {},
        machine=_machine(environment),
        command=" ".join(command[1:]) if command else "",
        seed=evidence.result.get("seed"),
    )
    return Section("settings", "Settings and versions", body)


def _says(name: str, value: Any) -> bool:
    """Whether a setting that is not at its default may have been chosen: `auto` leaves what the machine takes there."""
    return name not in OF_THE_MACHINE and value not in ([], ())


def spoken(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {spoken(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == []:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _environment(evidence: Evidence) -> dict[str, Any]:
    try:
        return documents.read_json(evidence.place.path / "environment.json", {"versions?": {str: str}})
    except (OSError, ValueError):
        return {}


def _machine(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    device = environment.get("device")
    rows = [(name, environment.get(name)) for name in ("python", "platform", "processor", "cores", "threads")]
    rows.append(("GPU", device.get("name") if isinstance(device, Mapping) else None))
    return [(name, str(value)) for name, value in rows if value is not None]
