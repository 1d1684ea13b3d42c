"""Where time and memory went."""

from __future__ import annotations

from typing import Any

from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, render

PARTS = {
    "startup": "loading the backbone",
    "data": "reading the data",
    "cache": "frozen stages, once",
    "train": "training",
    "checkpoint": "checkpoints",
    "evaluate": "scoring",
}


def make(evidence: Evidence) -> Section | None:
    """Seconds by part, memory, speed, sizes."""
    result = evidence.result
    seconds: dict[str, float] = result.get("seconds") or {}
    total = float(seconds.get("total") or 0.0)
    if not total:
        return None
    parts = [(words, float(seconds.get(name) or 0.0)) for name, words in PARTS.items()]
    other = total - sum(value for _, value in parts)
    parts = [(words, value) for words, value in [*parts, ("all else", other)] if value > 0.005 * total]
    body = render("costs.html", parts=parts, total=total, facts=_facts(result))
    return Section("costs", "Time and memory", body)


def _facts(result: Any) -> list[tuple[str, str]]:
    parameters, memory = result.get("parameters") or {}, result.get("memory") or {}
    speed, cache, precision = (result.get(name) or {} for name in ("throughput", "cache", "precision"))
    facts: list[tuple[str, str]] = []
    if parameters:
        share = parameters["trainable"] / max(1, parameters["total"])
        facts.append(
            (
                "parameters",
                f"{count(parameters['total'])}, of these {count(parameters['trainable'])} trained ({share:.1%})",
            )
        )
    if speed.get("examples_per_second"):
        facts.append(("speed", f"{speed['examples_per_second']:,.0f} examples a second"))
    if memory.get("peak_bytes"):
        facts.append(("memory at the peak", f"{memory['peak_bytes'] / 2**20:,.0f} MiB"))
    if memory.get("device_peak_bytes"):
        facts.append(("of the GPU", f"{memory['device_peak_bytes'] / 2**20:,.0f} MiB"))
    if cache.get("cut"):
        facts.append(("kept states of frozen stages", f"{cache['bytes'] / 2**20:,.1f} MiB"))
    if precision.get("dtype"):
        facts.append(("arithmetic", str(precision["dtype"])))
    return facts


def count(number: float) -> str:
    """12,345,678 -> 12.3 M"""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
