"""How fast is a step of ours beside that of the peers, on the same data and network?

    python -m benchmarks.speed                          # text, image, resnet18 and speech
    python -m benchmarks.speed text image --quick       # one short round each, no whole epochs
    python -m benchmarks.speed render                   # the page again, from what was measured

Contestants are processes, each with all cores, of which one works at a time. After two steps to warm up come rounds in
which each trains some steps in turn; the figure is the median of the rounds, the ratio that of the medians. Then each
trains a whole epoch alone, with its start-up told apart, and what of it is scored. Everything goes into
benchmarks/results/speed-DEVICE.json, and from there into benchmarks/speed.md; a case replaces what it measured before.
Needs $MMTRANSFER_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.pace import Contestant

HERE = Path(__file__).parents[1]
WARM = 2
MEGA = 2**20


def device() -> str:
    """The class of the machine, in words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name().replace(" ", "-")
    from mmtransfer.engine.precision import has_bf16

    return f"cpu{len(os.sched_getaffinity(0))}-{'bf16' if has_bf16() else 'fp32'}"


def rounds(case: Case, count: int, steps: int) -> dict[str, Any]:
    """Examples per second of each contestant, round by round."""
    running = {name: Contestant(train) for name, train in case.contestants.items()}
    found: dict[str, Any] = {name: {"rounds": []} for name in running}
    for number in range(-1, count):
        for name, contestant in list(running.items()):
            told = contestant.run(WARM if number < 0 else steps)
            if "failed" in told:
                found[name]["failed"] = told["failed"]
                print(f"{case.name}: {name}: {told['failed']}", flush=True)
                del running[name]
                continue
            if number >= 0:
                found[name]["rounds"].append(told["examples"] / told["seconds"])
                print(f"{case.name}: {name}: {found[name]['rounds'][-1]:.1f} examples/s", flush=True)
    for name, contestant in running.items():
        found[name] |= {"peak_bytes": contestant.end().get("peak_bytes")}
    return found


def epochs(case: Case) -> dict[str, Any]:
    """A whole epoch of each contestant, alone."""
    found = {}
    for name, train in case.contestants.items():
        found[name] = Contestant(train, whole=True).result()
        print(f"{case.name}: {name}: {found[name]}", flush=True)
    return found


def measure(names: Sequence[str], quick: bool, count: int) -> None:
    place = HERE / "results" / f"speed-{device()}.json"
    for name in names:
        with tempfile.TemporaryDirectory(prefix="speed-") as folder:
            made = [CASES[name](Path(folder), False), CASES[name](Path(folder), True)]
            steps = made[0].steps if not quick else max(2, made[0].steps // 10)
            result: dict[str, Any] = {"about": made[0].about, "metric": made[0].metric, "steps": steps}
            result["contestants"] = rounds(made[0], 1 if quick else count, steps)
            if not quick:
                for contestant, told in epochs(made[1]).items():
                    result["contestants"][contestant]["epoch"] = told
        if quick:
            print("\n".join(table(result)), flush=True)
            continue
        known = json.loads(place.read_text()) if place.exists() else {}
        versions = {library: metadata.version(library) for library in ("torch", "transformers", "torchvision")}
        place.write_text(json.dumps({**known, name: {**result, "versions": versions}}, indent=1))


def table(result: dict[str, Any]) -> list[str]:
    """A case as rows of Markdown."""
    lines = [
        "| | examples/s, median | rounds | ours over it | an epoch: start-up + training, s | score | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    own = statistics.median(result["contestants"]["ours"]["rounds"] or [0.0])
    for name, told in result["contestants"].items():
        if told.get("failed"):
            lines.append(f"| {name} | {told['failed'][:80]} | | | | | |")
            continue
        speed, epoch = statistics.median(told["rounds"]), told.get("epoch", {})
        whole = f"{epoch['startup']:.0f} + {epoch['seconds']:.0f}" if "startup" in epoch else ""
        score = epoch.get("metric")
        scored = "" if score is None or score != score else f"{score:.3f}"
        spread = f"{min(told['rounds']):.1f} to {max(told['rounds']):.1f}"
        peak = told.get("peak_bytes") or 0
        lines.append(
            f"| {name} | {speed:.1f} | {spread} | {own / speed:.2f} | {whole} | {scored} | {peak / MEGA:.0f} |"
        )
    return lines


def render() -> None:
    """Writes speed.md from all that was measured."""
    lines = [
        "# Speed beside the peers",
        "",
        "`python -m benchmarks.speed`; its head says how it is measured. Scores are after one epoch, on test data.",
    ]
    for place in sorted((HERE / "results").glob("speed-*.json")):
        lines += ["", f"## {place.stem.removeprefix('speed-')}"]
        for result in json.loads(place.read_text()).values():
            versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
            lines += ["", f"{result['about']}; rounds of {result['steps']} steps; {versions}.", "", *table(result)]
    (HERE / "speed.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, "render"], default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="one short round, nothing is written")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.cases != ["render"]:
        measure(given.cases, given.quick, given.rounds)
    if not given.quick:
        render()


if __name__ == "__main__":
    main()
