"""Does `mmtransfer auto` keep to `--max-minutes`? Seconds from the start of the process to its end, over the budget.

    python -m benchmarks.overrun run          # 40 minutes; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.overrun run --minutes 0.5 --modality text --runs 1
    python -m benchmarks.overrun render       # writes benchmarks/overrun.md

Every run is a command of its own with a cache of its own, on all of BANKING77, hymenoptera and FSDD (its digits as
labels): too much for the smallest budgets, more than enough for the largest. Rows are added to
benchmarks/results/overrun.json as they are measured; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import textwrap
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.auto import banking, read, searched
from mmtransfer import files

PAGE = Path(__file__).parent / "overrun.md"
RESULT = Path(__file__).parent / "results" / "overrun.json"
MODALITIES = ("text", "image", "audio")
MINUTES = (0.5, 1.0, 2.0, 3.0)
SHARE, SECONDS = 0.02, 3.0
"""An overrun may be a share of the budget, or so many seconds where that is more."""
TOLD = f"""`python -m benchmarks.overrun run`, then `render`. Seconds are those of the whole process, from its start to
its end, imports and the scoring of the test data included; a budget is kept where the overrun is at most the larger of
{SHARE:.0%} of it and {SECONDS:g} s."""


def commands() -> dict[str, list[str]]:
    """By modality, what is searched."""
    data = data_folder()
    bees, digits = data / "hymenoptera", data / "fsdd"
    weights = f"mobilenet_v2={data / 'weights' / 'mobilenet_v2.safetensors'}"
    return {
        "text": banking(),
        "image": ["image-classification", f"--train={bees / 'train'}", f"--test={bees / 'val'}"]
        + ["--backbones", weights, "builtin"],
        "audio": ["audio-classification", f"--train={digits / 'train'}", f"--test={digits / 'test'}"]
        + ["--label-column", "text", "--backbones", "builtin"],
    }


def run(modalities: list[str], minutes: list[float], runs: int) -> None:
    """Measures what is missing."""
    known = read(RESULT)
    for number, modality, budget in itertools.product(range(runs), modalities, minutes):
        if len([row for row in known if (row["modality"], row["minutes"]) == (modality, budget)]) > number:
            continue
        known.append({"modality": modality} | searched(commands()[modality], budget))
        print(json.dumps(known[-1]), flush=True)
        files.write_bytes(RESULT, json.dumps(known, indent=1).encode() + b"\n")


def kept(row: dict[str, Any]) -> bool:
    """Whether a run kept to its budget."""
    return bool(row["over"] <= max(SECONDS, SHARE * 60 * row["minutes"]))


def page(rows: list[dict[str, Any]]) -> str:
    """The page."""
    told = f"{sum(map(kept, rows))} of {len(rows)} runs kept to their budget; the largest overrun was "
    told += f"{max(row['over'] for row in rows):+.1f} s."
    columns = ("modality", "minutes", "cores", "seconds", "over", "kept", "trials", "chosen", "test")
    lines = ["# Are budgets kept?", "", *textwrap.wrap(TOLD, 120), "", *textwrap.wrap(told, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in sorted(rows, key=lambda row: (row["modality"], row["minutes"])):
        cells = [row["modality"], f"{row['minutes']:g}", row["cores"], f"{row['seconds']:.1f}", f"{row['over']:+.1f}"]
        cells += ["yes" if kept(row) else "no", row["trials"], row["chosen"], f"{row['test']:.4f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures or renders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--modality", nargs="*", choices=MODALITIES, default=MODALITIES)
    parser.add_argument("--minutes", nargs="*", type=float, default=list(MINUTES))
    parser.add_argument("--runs", type=int, default=2, help="of each modality and budget")
    given = parser.parse_args()
    if given.verb == "run":
        run(given.modality, given.minutes, given.runs)
    else:
        PAGE.write_text(page(read(RESULT)))


if __name__ == "__main__":
    main()
