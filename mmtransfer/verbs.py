"""The verbs of the command line: words -> a call of the package -> what is printed."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import importlib.util
import logging
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tyro

from mmtransfer import launcher, outputs, tables
from mmtransfer.config import flag, read
from mmtransfer.defaults import BUILTIN, CASE, DEFAULTS, OWN_DATA, without_data
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.flags import parse, plain, refuse_other, taken
from mmtransfer.terminal import visible

logger = logging.getLogger("mmtransfer")


def fit(words: list[str], choices: Mapping[str, Any] = types.MappingProxyType({}), program: str = "") -> None:
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: mmtransfer fit TASK [flags]\n\nTASK: {', '.join(DEFAULTS)}; `--help` after it lists its flags")
        return
    task, words = words[0], words[1:]
    if task not in DEFAULTS:
        raise unknown("task", task, DEFAULTS, "mmtransfer fit TASK")
    given = parse(task, words, choices, program or f"mmtransfer fit {task}")
    repeats, versus = given.pop("repeats", 1), given.pop("versus_scratch", None)
    if repeats < 1:
        raise MMTransferError(f"--repeats must be 1 or more, not {repeats}", "--repeats", "change the value")
    if given.get("train") is None and not given.get("resume"):
        if not program:
            raise without_data(task)
        given["train"] = CASE
    builtin = given.get("train") == CASE and not given.get("resume")
    if builtin:
        _announce(task, given, repeats, versus)
    check_trio()
    if repeats > 1:
        if versus:
            raise MMTransferError(
                "--repeats and --versus-scratch exclude each other",
                "the command line",
                "repeat both, in folders of their own, and compare them: mmtransfer compare OUT OTHER",
            )
        from mmtransfer.repeats import repeat

        tables.show_spread(repeat(n=repeats, **given))
        return
    from mmtransfer.api import fit
    from mmtransfer.control import check_versus, from_scratch, versus_scratch

    if versus is None:
        versus = builtin and given.get("shots") != 0 and not from_scratch(given)
    if versus:
        check_versus(given)
    run = fit(**given)
    tables.show(run)
    if versus:
        found = versus_scratch(given, run)
        if launcher.is_main():
            tables.show_comparison(found)
    if builtin and launcher.is_main():
        command = f"accelerate launch {program}" if program else f"mmtransfer fit {task}"
        print(f"next, with your own data: {command} {OWN_DATA[task]} --backbone builtin")


def _announce(task: str, given: Mapping[str, Any], repeats: int, versus: bool | None) -> None:
    """Says what is about to be done on built-in data; and for how long, where the settings are the usual ones."""
    scratch = given.get("strategy") == "scratch" or given.get("weights") == "none"
    start = "random weights" if scratch else given.get("backbone") or "the built-in backbone"
    control = versus or (versus is None and repeats == 1 and not scratch and given.get("shots") != 0)
    words = [f"{task} on {BUILTIN[task].data['train']} from {start}"]
    if repeats > 1:
        words.append(f"with {repeats} seeds")
    if control:
        words.append("and the same from random weights beside it")
    if given.keys() <= {"task", "train", "out", "overwrite", "seed"}:
        minutes = BUILTIN[task].minutes * repeats * (2 if control else 1)
        words.append(f"in about {minutes:.0f} minute{'s' if minutes > 1.5 else ''} on 2 cores")
    logger.info(", ".join(words))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Columns:
    text_column: str | None = None
    """Column with the text; the run's, or guessed, if None. So are the others."""
    pair_column: str | None = None
    """Column with the second text, of pairs."""
    file_column: str | None = None
    """Column with the file name, relative to the table, or its bytes."""

    def columns(self) -> dict[str, str]:
        """Those that were named."""
        named = dataclasses.asdict(self).items()
        return {name: value for name, value in named if name.endswith("_column") and value is not None}


def _flags(kind: type[Any]) -> set[str]:
    """The flags of a class of words: all that are not told by their place."""
    positional = {"run", "input", "backbone", "data"}
    return {flag(field.name) for field in dataclasses.fields(kind) if field.name not in positional}


@dataclasses.dataclass(frozen=True)
class _PredictWords(_Columns):
    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    input: tyro.conf.Positional[str]
    """A file, a folder, a CSV or a text file with a sentence a line."""
    out: str | None = None
    """File to write (id, label, score, which a number does not have): .csv, .tsv, .jsonl, .json or .parquet; the
    terminal if not given."""


def predict(words: list[str]) -> None:
    refuse_other(words, _flags(_PredictWords))
    given = tyro.cli(_PredictWords, args=words, prog="mmtransfer predict", description="Predicts with a finished run.")
    from mmtransfer.api import load

    if given.out is not None:
        outputs.check(given.out)
    gc.disable()  # what imports make is no garbage: looking for some takes a tenth of the start
    try:
        run = load(given.run, **given.columns())
        run.model  # noqa: B018  (read here, with what it imports)
    finally:
        gc.enable()
    predictions = run.predict(given.input)
    if given.out is None:
        for prediction in predictions:
            score = [] if prediction.score is None else [f"{prediction.score:.4f}"]
            print(visible(prediction.id), visible(prediction.label), *score, sep="\t")
        return
    outputs.write(predictions, given.out)
    logger.info("%d predictions in %s", len(predictions), given.out)


@dataclasses.dataclass(frozen=True)
class _EvaluateWords(_Columns):
    run: tyro.conf.Positional[str]
    """Folder of a finished run; or a backbone whose checkpoint carries a head: a torchvision network, a folder or hub
    name of transformers."""
    test: str
    """Labelled data."""
    weights: str | None = None
    """Of a torchvision network: name of its published weights, or a .pth/.safetensors file."""
    label_column: str | None = None
    """Column with the label."""
    transcript_column: str | None = None
    """Column with the transcript."""
    skip_bad: bool = False
    """Leave out examples that cannot be read or have an unknown label, aloud, instead of stopping."""


def evaluate(words: list[str]) -> None:
    refuse_other(words, _flags(_EvaluateWords))
    description = "Scores a finished run, or a backbone with the head that its checkpoint carries."
    given = tyro.cli(_EvaluateWords, args=words, prog="mmtransfer evaluate", description=description)
    from mmtransfer.api import evaluate_backbone, load

    reading = {**given.columns(), "skip_bad": given.skip_bad}
    if _names_a_backbone(given.run):
        scores = evaluate_backbone(given.run, given.test, given.weights, **reading)
    elif given.weights is not None:
        raise MMTransferError("A run has its own weights", f"--weights {given.weights}", "leave it out")
    else:
        scores = load(given.run, **reading).evaluate(given.test)
    tables.show_scores("test", {name: score.as_dict() for name, score in scores.items()})


def _names_a_backbone(word: str) -> bool:
    """Whether `evaluate` was given a backbone: not a run's folder, nor a path where nothing is."""
    place = Path(word)
    if place.is_dir():
        # a run has a config.json as well; that of transformers tells the architecture
        return (place / "config.json").is_file() and "model_type" in read(place / "config.json")
    path = word.startswith((".", "/", "~")) or word.endswith("/") or ("/" in word and Path(place.parts[0]).is_dir())
    return not path


@dataclasses.dataclass(frozen=True)
class _EmbedWords(_Columns):
    backbone: tyro.conf.Positional[str]
    """Folder of a finished run, or any name that fit's --backbone takes."""
    data: tyro.conf.Positional[str]
    """A file, a folder, a CSV, a text file with a sentence a line, or builtin:NAME."""
    out: str
    """X.npy (float32, n x width; ids in X.ids.txt) or X.parquet (id, features)."""
    weights: str | None = None
    """Of a backbone's name: none, a torchvision weights name, or a .pth/.safetensors file."""
    image_size: int | None = None
    """Of a backbone's name: pixels of a side of the square that the network sees."""
    max_length: int | None = None
    """Of a backbone's name: tokens of the longest text that is kept whole."""
    precision: Literal["fp32", "bf16"] | None = None
    """Of a backbone's name: arithmetic of the forward pass."""
    cache: Literal["auto", "on", "off"] | None = None
    """Read the features where a linear probe or another `embed` has stored them, and store them; auto, or as the run,
    if None."""
    cache_dir: str | None = None
    """Folder of the states; the run's, $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    cache_limit: float | None = None
    """GiB that the folder may hold, what would not fit is not cached; 20, or as the run, if None."""


def embed(words: list[str]) -> None:
    refuse_other(words, _flags(_EmbedWords))
    about = "Writes pooled features (of speech the mean over the frames); a run is used with its own settings."
    given = dataclasses.asdict(tyro.cli(_EmbedWords, args=words, prog="mmtransfer embed", description=about))
    check_trio()
    from mmtransfer.embedding import check, embed

    out = given.pop("out")
    check(out)
    found = embed(**{name: value for name, value in given.items() if value is not None})
    if launcher.is_main():
        found.save(out)
        print(visible(f"{len(found.ids)} x {found.values.shape[1]} features in {out}"))


@dataclasses.dataclass(frozen=True)
class _CompareWords:
    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of finished runs of one task on one test set; any other folder stands for the runs under it. Runs that
    differ in their seed alone are put together."""
    all_pairs: bool = False
    """Test every pair, and not only the best with each of the others."""


def compare(words: list[str]) -> None:
    refuse_other(words, {"--all-pairs"})
    about = "Scores, costs and paired tests of finished runs."
    given = tyro.cli(_CompareWords, args=words, prog="mmtransfer compare", description=about)
    from mmtransfer.comparison import compare

    tables.show_comparison(compare(given.runs, given.all_pairs))


@dataclasses.dataclass(frozen=True)
class _DemoWords:
    out: str | None = None
    """Folder of the run folders; runs/demo-DATE-TIME if not given."""


def demo(words: list[str]) -> None:
    refuse_other(words, {"--out"})
    about = "Transfer beside scratch on the built-in data of every task."
    given = tyro.cli(_DemoWords, args=words, prog="mmtransfer demo", description=about)
    check_trio()
    from mmtransfer.demo import demo

    demo(given.out)


NOT_RANK = ("--backbone", "--strategy", "--out", "--repeats", "--versus-scratch", "--resume", "--overwrite")
"""Flags of `fit` that mean nothing where no run is made."""


def rank(words: list[str]) -> None:
    if len(words) < 2 or {"-h", "--help"} & set(words):
        print(
            "usage: mmtransfer rank TASK --train DATA --backbones A B ... [--folds 5] [flags of fit]\n\n"
            "Cross-validates an exact linear probe on each backbone's features, and tells their speed and size; *\n"
            "marks backbones that no other beats in all three. The features are cached, and found by `fit`. For\n"
            "images and texts: speech has no exact probe. A backbone may come with weights: NAME=weights.safetensors.\n"
            "One that cannot be had is left out, and told. The flags are those of `mmtransfer fit TASK --help`,\n"
            f"without {', '.join(NOT_RANK)}."
        )
        return
    task, words = words[0], words[1:]
    if task not in DEFAULTS:
        raise unknown("task", task, DEFAULTS, "mmtransfer rank TASK")
    folds, words = taken(words, "--folds")
    backbones, words = taken(words, "--backbones")
    for word in words:
        if plain(word) in NOT_RANK or word.startswith("--strategy."):
            raise MMTransferError(f"rank does not read {plain(word)}", "the command line", "leave it out")
    given = parse(task, [*words, "--strategy", "linear-probe"], {}, f"mmtransfer rank {task}")
    fields = {name: value for name, value in given.items() if name not in ("task", "train", "strategy", "backbone")}
    if not all(word.isascii() and word.isdecimal() and int(word[:9]) > 1 for word in folds):
        raise MMTransferError(f"--folds must be 2 or more, not {folds[0]}", "--folds", "change the value")
    check_trio()
    from mmtransfer.rank import FOLDS, rank

    found = rank(task, given.get("train"), backbones, folds=int(folds[0]) if folds else FOLDS, **fields)
    columns = ("", "backbone", found[0].metric, "95 % interval", "examples/s", "parameters", "MB", "seconds")
    rows = []
    for one in found:
        interval = "unknown" if one.score.low is None else f"{one.score.low:.4f} to {one.score.high:.4f}"
        cells = ["*" if one.best else "", one.backbone, f"{one.score.value:.4f}", interval]
        cells += [f"{one.examples_per_second:.0f}", f"{one.parameters / 1e6:.1f} M", f"{one.bytes / 1e6:.0f}"]
        rows.append([*cells, f"{one.seconds:.0f}"])
    rows += [["", backbone, "not to be had", *[""] * (len(columns) - 3)] for backbone in found.missing]
    tables.show_rows(f"{task}: linear probe, cross-validated", columns, rows)
    for backbone, error in found.missing.items():
        logger.warning("%s is not ranked: %s (%s); %s", backbone, error.what, error.where, error.do)


@dataclasses.dataclass(frozen=True)
class _CacheWords:
    action: tyro.conf.Positional[Literal["ls", "rm"]]
    """ls lists the entries, oldest first; rm removes them."""
    keys: tyro.conf.Positional[tuple[str, ...]] = ()
    """Beginnings of the keys to remove; all entries if there are none."""
    cache_dir: str | None = None
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""


def cache(words: list[str]) -> None:
    refuse_other(words, {"--cache-dir"})
    given = tyro.cli(_CacheWords, args=words, prog="mmtransfer cache", description="Stored features of frozen stages.")
    from mmtransfer.cache.settings import make

    store = make("auto", given.cache_dir, 0).store
    if given.action == "rm":
        print(visible(f"{store.remove(list(given.keys)) / 1e6:.1f} MB freed in {store.root}"))
        return
    columns = ("key", "state", "MB", "task", "split", "backbone", "cut", "rows")
    rows = [
        [entry["key"][:12], entry["state"], f"{entry['bytes'] / 1e6:.1f}"]
        + [str(entry.get(name, "-")) for name in columns[3:]]
        for entry in store.listing()
    ]
    tables.show_rows(f"{store.root}: {store.bytes() / 1e6:.1f} MB", columns, rows)


def check_trio() -> None:
    """One clear line where torch, torchvision and torchaudio are not built for each other.

    torchaudio may be missing, which only Deep Speech needs; one that is there and broken stops transformers too.
    """
    names = ["torch", "torchvision", *(["torchaudio"] if importlib.util.find_spec("torchaudio") else [])]
    try:
        for name in names:
            importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        from importlib import metadata

        found = ", ".join(f"{name} {metadata.version(name)}" for name in names)
        raise MMTransferError(
            f"The torch packages do not fit each other ({str(error).splitlines()[0]})",
            found,
            "pip install torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0, or another trio built together; without "
            "Deep Speech, pip uninstall torchaudio",
        ) from error
