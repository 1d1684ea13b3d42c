"""How fast is a step of ours beside that of the peers, on the same data and network?

    python -m benchmarks.speed                          # all cases
    python -m benchmarks.speed --quick                  # text, image (MobileNetV2) and wav2vec2-fast, a round of each
    python -m benchmarks.speed resnet18 --quick         # of any other case; neither writes anything
    python -m benchmarks.speed resnet50 --steps 3       # shorter rounds; --epochs none leaves out the whole epochs
    python -m benchmarks.speed text --only 'fp32|best'  # contestants by a pattern of their names; nothing is written
    python -m benchmarks.speed text --compiled          # Trainer with torch_compile too, which compiles for minutes
    python -m benchmarks.speed render                   # the page again, from what was measured

Contestants are processes, each with all cores, of which one works at a time: ours, which chooses by what is fast and
free, starts before the others. After steps to warm up, on a GPU as many as a round has, come rounds in which each
trains some steps in turn, on a CPU fewer than on a GPU (speed.md says why); the figure is the median of the rounds, the
ratio that of the medians. Then each trains a whole epoch alone, with its start-up told apart, and what
comes of it is scored. `--quick` has one round of a tenth of the steps, two at least, and no epoch; all contestants of
its three cases end in less than 6 minutes on 2 cores. The share of the peak is that of the operations that the network
needs in the best product of two large matrices measured here. Everything goes into
benchmarks/results/speed-DEVICE.json, and from there into benchmarks/speed.md; a case replaces what it measured before.
Needs $MMTRANSFER_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import one_of
from benchmarks.speed.cases import CASES, COMPILED, Case
from benchmarks.speed.pace import Contestant, highest

HERE = Path(__file__).parents[1]
WARM = 2
"""Steps before the first round on a CPU; on a GPU a round of them, in which passes are compiled or recorded."""
SETTLE = 1.0
"""Seconds between turns on a GPU, in which processes that load ahead fill their queues."""
QUICK = ("text", "image", "wav2vec2-fast")
"""Cases of `--quick` where none is named: one of each modality, the smallest."""
TRIED = (
    "A compiled step on 2 cores (`python -m benchmarks.capture`, lengths rounded to a few): three epochs of 1,600 "
    "sentences through MiniLM in fp32 took 615 s, for the compiler was at work in all of them, in place of 76 s as "
    "they are; rounding lengths alone made it 81 s. So none is compiled on a CPU.",
    "Attention without a mask where nothing is padded (the same command, `mask` and `no mask`): 365 in place of 369 ms "
    "a step of 32 sentences of 16 tokens on 2 cores in fp32. On a GPU recorded passes round lengths up, and need it.",
    "Processes that decode ahead on 2 cores: pictures that were decoded once take about a hundredth of a step to load "
    "(`python -m benchmarks.decoding`), and a process more takes a core from the step. So a CPU whose "
    "cores all compute has none.",
    "Pixels as float32 on their way to the device: four times the bytes, for the same pixels to the bit; they are "
    "normalised behind the upload.",
    "JPEG files decoded by the GPU (`python -m benchmarks.jpeg`, on an NVIDIA H200): other pixels than the host's, by "
    "0.8 of 255 levels in the mean and 62 at most, for what is done once: files that are read in several epochs are "
    "decoded in the first.",
    "CTC's loss in the recorded passes: it waits for the device, with its lengths on the host three times, because it "
    "uploads them itself. So it stays between the two recordings, and a step of speech is not free of waits.",
)
"""What was tried and did not help, or is not done for a reason."""
MEGA = 2**20
KEPT = ("peak_bytes", "device_peak_bytes", "operations")
"""What a contestant tells at its end."""


def device() -> str:
    """The class of the machine, in words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name().replace(" ", "-")
    from mmtransfer.engine.precision import has_bf16

    return f"cpu{len(os.sched_getaffinity(0))}-{'bf16' if has_bf16() else 'fp32'}"


def rounds(case: Case, count: int, steps: int) -> dict[str, Any]:
    """Examples per second of each contestant, round by round; nothing for no rounds."""
    if not count:
        return {name: {"rounds": []} for name in case.contestants}
    cpu, names = device().startswith("cpu"), list(case.contestants)
    found: dict[str, Any] = {name: {"rounds": []} for name in names}
    running: dict[str, Contestant] = {}

    def turn(name: str, number: int) -> None:
        asked = steps * case.times.get(name, 1)
        told = running[name].run(WARM if number < 0 and cpu else asked)
        if "failed" in told:
            found[name]["failed"] = told["failed"]
            print(f"{case.name}: {name}: {told['failed']}", flush=True)
            del running[name]
        elif number >= 0:
            found[name]["rounds"].append(told["examples"] / told["seconds"])
            print(f"{case.name}: {name}: {found[name]['rounds'][-1]:.1f} examples/s", flush=True)
        time.sleep(0.0 if cpu else SETTLE)

    for started in (names[:1], names[1:]):
        running |= {name: Contestant(case.contestants[name]) for name in started}
        for name in started:
            turn(name, -1)
    for number in range(count):
        for name in list(running):
            turn(name, number)
    for name, contestant in running.items():
        ended = contestant.end()
        found[name] |= {key: ended[key] for key in KEPT if key in ended}
    return found


def peak() -> dict[str, float]:
    """Operations a second of the best product of two large matrices, by arithmetic, in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(highest)


def epochs(case: Case) -> dict[str, Any]:
    """A whole epoch of each contestant, alone."""
    found = {}
    for name, train in case.contestants.items():
        contestant = Contestant(train, whole=True)
        found[name] = contestant.result()
        contestant.process.join()
        print(f"{case.name}: {name}: {found[name]}", flush=True)
    return found


def measure(
    names: Sequence[str], quick: bool, count: int, steps: int | None, whole: bool, only: str, compiled: bool
) -> None:
    """Measures cases, one after the other, and keeps each when it is done; of `only` some contestants nothing is."""
    place = HERE / "results" / f"speed-{device()}.json"
    for name in names:
        with tempfile.TemporaryDirectory(prefix="speed-") as folder:
            case = _with(only, compiled, CASES[name](Path(folder), False))
            usual = case.steps if not device().startswith("cpu") else case.steps_on_cpu
            asked = steps or (max(2, usual // 10) if quick else usual)
            result: dict[str, Any] = {"about": case.about, "metric": case.metric, "steps": asked}
            result["peak"] = peak()
            result["contestants"] = rounds(case, 1 if quick else count, asked)
            if whole and not quick and not only:
                for contestant, told in epochs(_with(only, compiled, CASES[name](Path(folder), True))).items():
                    kept = {key: told[key] for key in KEPT if key in told}
                    result["contestants"][contestant] |= {"epoch": told, **kept}
        if quick or only:
            print("\n".join(table(result)), flush=True)
            continue
        known = json.loads(place.read_text()) if place.exists() else {}
        versions = {library: metadata.version(library) for library in ("torch", "transformers", "torchvision")}
        place.write_text(written({**known, name: {**result, "versions": versions}}))


def written(results: Mapping[str, Any]) -> str:
    """As JSON, which has no NaN and no infinity: such a figure is null."""
    return json.dumps(json.loads(json.dumps(results), parse_constant=lambda _: None), indent=1)


def _with(pattern: str, compiled: bool, case: Case) -> Case:
    """The case with those contestants whose names a regular expression finds, and those that compile if asked for."""
    kept = {
        name: train
        for name, train in case.contestants.items()
        if re.search(pattern, name) and (compiled or name != COMPILED)
    }
    return replace(case, contestants=kept)


def speeds(told: Mapping[str, Any]) -> list[float]:
    """Of the rounds of a contestant, else of its whole epoch."""
    epoch = told.get("epoch", {})
    return told.get("rounds") or ([epoch["examples"] / epoch["seconds"]] if "seconds" in epoch else [])


def table(result: dict[str, Any]) -> list[str]:
    """A case as rows of Markdown."""
    lines = [
        "| | examples/s, median | rounds | ours over it | share of the peak | an epoch: start-up + training, s "
        f"| {result.get('metric') or 'score'} | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    needed = max((told.get("operations", 0.0) for told in result["contestants"].values()), default=0.0)
    best = max(result["peak"].values())
    own = statistics.median(speeds(next(iter(result["contestants"].values()))) or [0.0])
    for name, told in result["contestants"].items():
        if told.get("failed") or not speeds(told):
            lines.append(f"| {name} | {told.get('failed', 'not measured')[:80]} | | | | | | |")
            continue
        speed, epoch = statistics.median(speeds(told)), told.get("epoch", {})
        whole = f"{epoch['startup']:.0f} + {epoch['seconds']:.0f}" if "startup" in epoch else ""
        score = epoch.get("metric")
        scored = "" if score is None or score != score else f"{score:.3f}"
        spread = f"{min(speeds(told)):.1f} to {max(speeds(told)):.1f}"
        memory = told.get("device_peak_bytes") or told.get("peak_bytes") or 0
        share = f"{100 * speed * needed / best:.0f} %"
        lines.append(
            f"| {name} | {speed:.1f} | {spread} | {own / speed:.2f} | {share} | {whole} | {scored} "
            f"| {memory / MEGA:.0f} |"
        )
    return lines


def render() -> None:
    """Writes speed.md from all that was measured."""
    lines = [
        "# Speed beside the peers",
        "",
        "`python -m benchmarks.speed`; its head says how it is measured. Scores are after one epoch, on test data: of",
        "texts and pictures the accuracy, of speech the word error rate by greedy decoding, which tells little after",
        "an epoch from random weights. Loops over torchvision's folders hold the rate, all others change it. A cell",
        "is empty where no whole epoch was trained, or none was scored. An epoch of less than a minute is trained in",
        "fp32 by ours, which tries nothing else for short runs; the steps of the rounds are those of long runs.",
        "",
        "Rounds are of about 60 steps on a GPU, of 2 to 50 on a CPU. There 60 steps of 32 pictures take half a minute",
        "to six minutes, so three rounds of six contestants up to an hour for one network; and turns of a few seconds",
        "put all contestants into the same minutes of the machine, whatever else goes on there.",
    ]
    for place in sorted((HERE / "results").glob("speed-*.json")):
        results = json.loads(place.read_text())
        picture = place.with_suffix(".png")
        draw(results, picture)
        lines += ["", f"## {place.stem.removeprefix('speed-')}", "", f"![examples a second](results/{picture.name})"]
        for result in results.values():
            versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
            lines += ["", f"{result['about']}; rounds of {result['steps']} steps; {versions}.", "", *table(result)]
    lines += ["", "## What did not help", "", *(f"- {tried}" for tried in TRIED)]
    (HERE / "speed.md").write_text("\n".join(lines) + "\n")


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A panel a case: examples a second, ours above, each round a point."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        len(results), 1, figsize=(7.5, 0.5 + 1.9 * len(results)), layout="constrained", squeeze=False
    )
    for panel, result in zip(panels[:, 0], results.values(), strict=True):
        told = {name: speeds(one) for name, one in result["contestants"].items() if speeds(one)}
        names = list(told)[::-1]
        medians = [statistics.median(told[name]) for name in names]
        panel.barh(names, medians, color=["#1b6ca8" if name == "ours" else "#b0b0b0" for name in names], zorder=1)
        for name in names:
            panel.plot(told[name], [name] * len(told[name]), "o", ms=3, color="#222222", zorder=2)
        panel.set_title(f"{result['about']}: examples/s", fontsize=9, loc="left")
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = one_of([*CASES, "render"])
    parser.add_argument("cases", nargs="*", type=known, default=[], help="all if none is named")
    quick = f"one short round, nothing is written; of {', '.join(QUICK)} if no case is named"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--rounds", type=int, default=3, help="0: whole epochs alone")
    parser.add_argument("--steps", type=int, help="of a round; the case's own if not given")
    parser.add_argument("--epochs", choices=["all", "none"], default="all", help="whether whole epochs are trained too")
    parser.add_argument("--only", default="", help="a pattern of the names of those who run; nothing is written")
    parser.add_argument("--compiled", action="store_true", help="Trainer with torch_compile too")
    given = parser.parse_args()
    if given.cases != ["render"]:
        whole = given.epochs == "all"
        names = given.cases or (QUICK if given.quick else list(CASES))
        measure(names, given.quick, given.rounds, given.steps, whole, given.only, given.compiled)
    if not given.quick and not given.only:
        render()


if __name__ == "__main__":
    main()
