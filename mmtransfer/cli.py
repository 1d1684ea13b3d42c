"""The command line: `mmtransfer fit TASK` and the other verbs, and the recipes, which are `fit` with their choices.

Nothing here loads torch before the words of the command line are known to be right.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib
import logging
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mmtransfer import config as configuration
from mmtransfer import strategies
from mmtransfer.config import FIELDS, RunConfig, flag, reads
from mmtransfer.defaults import DEFAULTS, OWN_DATA
from mmtransfer.errors import MMTransferError, nearest, unknown

logger = logging.getLogger("mmtransfer")
OWN = {"strategy_options", "task"}
"""Fields that are not flags: the task is a word, the strategy's options are flags of their own."""

USAGE = """usage: mmtransfer VERB ...

  fit TASK [--train DATA ...]       train a model: image-classification, text-classification, speech-recognition
  predict RUN INPUT [--out X.csv]   predict a file, a folder or a CSV with a finished run
  evaluate RUN --test DATA          score a finished run, or a backbone that carries a head, on labelled data
  embed RUN|BACKBONE DATA --out X   pooled features with ids, as X.npy or X.parquet
  compare RUN RUN ...               scores, costs and tested differences of finished runs
  demo [--out FOLDER]               transfer beside scratch on built-in data, every task, a few minutes
  rank TASK --train DATA --backbones A B ...   which backbone suits the data, before anything is trained
  cache ls|rm [KEY ...]             stored features of frozen stages: list them, remove them

`mmtransfer VERB --help` says more, `mmtransfer fit TASK --help` lists its flags; `--debug` shows stack traces."""


def main(argv: Sequence[str] | None = None) -> None:
    """The console script; exits with 0, with 2 for what the user can mend, with 130 or 143 after a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    _guarded(words, lambda: _dispatch(words))


def recipe(task: str, **choices: Any) -> None:
    """What a recipe's `__main__` calls: `mmtransfer fit TASK` with the recipe's choices where the user has none."""
    words = sys.argv[1:]
    _guarded(words, lambda: _fit([task, *words], choices, program=sys.argv[0]))


def _guarded(words: list[str], action: Callable[[], None]) -> None:
    """Runs an action; errors that a user can mend are three lines and status 2, without a stack trace."""
    debug = "--debug" in words
    while "--debug" in words:
        words.remove("--debug")
    rank = int(os.environ.get("RANK", "0"))
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO if rank == 0 else logging.ERROR)
    try:
        action()
    except MMTransferError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        command = getattr(error, "command", None)
        print(f"stopped; go on with: {command}" if command else "stopped", file=sys.stderr)
        sys.exit(128 + getattr(error, "signum", 2))
    except BrokenPipeError:
        sys.exit(0)


def _dispatch(words: list[str]) -> None:
    verbs: Mapping[str, Callable[[list[str]], None]] = {
        "fit": _fit,
        "predict": _predict,
        "evaluate": _evaluate,
        "embed": _embed,
        "compare": _compare,
        "demo": _demo,
        "rank": _rank,
        "cache": _cache,
    }
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] not in verbs:
        raise unknown("verb", words[0], verbs, "mmtransfer VERB")
    verbs[words[0]](words[1:])


def _fit(words: list[str], choices: Mapping[str, Any] = types.MappingProxyType({}), program: str = "") -> None:
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: mmtransfer fit TASK [flags]\n\nTASK: {', '.join(DEFAULTS)}; `--help` after it lists its flags")
        return
    task, words = words[0], words[1:]
    if task not in DEFAULTS:
        raise unknown("task", task, DEFAULTS, "mmtransfer fit TASK")
    given = parse(task, words, choices, program or f"mmtransfer fit {task}")
    _check_trio()
    builtin = given.get("train") is None and not given.get("resume")
    repeats = given.pop("repeats", 1)
    default = builtin and repeats == 1 and given.get("strategy") != "scratch" and given.get("weights") != "none"
    versus = given.pop("versus_scratch", default)
    if repeats > 1:
        if versus:
            raise MMTransferError(
                "--repeats and --versus-scratch exclude each other",
                "the command line",
                "repeat both, in folders of their own, and compare them: mmtransfer compare OUT OTHER",
            )
        from mmtransfer.repeats import repeat

        _show_spread(repeat(n=repeats, **given))
        return
    from mmtransfer import comparison
    from mmtransfer.api import fit
    from mmtransfer.demo import check_versus, versus_scratch

    if versus:
        check_versus(given)
    run = fit(**given)
    _show(run)
    if versus:
        found = versus_scratch(given, run)
        if not int(os.environ.get("RANK", "0")):
            comparison.show(found)
    if builtin and not int(os.environ.get("RANK", "0")):
        command = f"accelerate launch {program}" if program else f"mmtransfer fit {task}"
        print(f"next, with your own data: {command} {OWN_DATA[task]} --backbone builtin")


def parse(task: str, words: Sequence[str], choices: Mapping[str, Any], program: str) -> dict[str, Any]:
    """The settings that a command line gives, over those of `--config`, over a recipe's choices.

    Raises MMTransferError for an option that does not exist or that the task or strategy does not read.
    """
    file = _peek(words, "--config")
    base = {**choices, **(configuration.read(file) if file else {})}
    if base.setdefault("task", task) != task:
        raise MMTransferError(f"The configuration is for {base['task']}", f"--config {file}", f"use fit {base['task']}")
    configuration.make(base, f"--config {file}")
    name = _peek(words, "--strategy") or base.get("strategy") or _default_of(task, "strategy")
    if name != base.get("strategy"):
        base.pop("strategy_options", None)
    options = dataclasses.fields(strategies.STRATEGIES[name])
    known: dict[str, tuple[str, Any, Any, str]] = {}
    known["config"] = ("--config", str | None, None, "A JSON file of settings, such as a run's config.json.")
    many = "Runs with the seeds SEED, SEED + 1, ..., in OUT/seed-S; OUT/repeats.json says how their scores spread."
    known["repeats"] = ("--repeats", int, 1, many)
    control = "Train the same from random weights as well, in OUT-scratch, and compare; on where no data is given."
    known["versus_scratch"] = ("--versus-scratch", bool, False, control)
    documents = _documents(RunConfig)
    hints = typing.get_type_hints(RunConfig)
    for field in FIELDS.values():
        if field.name not in OWN and reads(field.name, task):
            kind = str | None if field.name in ("train", "validation", "test") else hints[field.name]
            default = base.get(field.name, _default_of(task, field.name))
            default = tuple(default) if isinstance(default, list) else default  # JSON has no tuples
            if field.name == "strategy":
                kind, default = Literal[tuple(strategies.STRATEGIES)], name
            elif default is not None and types.NoneType in typing.get_args(kind):
                kind = typing.Union[tuple(arg for arg in typing.get_args(kind) if arg is not types.NoneType)]  # noqa: UP007
            known[field.name] = (flag(field.name), kind, default, documents[field.name])
    strategy_documents = _documents(strategies.STRATEGIES[name])
    strategy_hints = typing.get_type_hints(strategies.STRATEGIES[name])
    for option in options:
        spelled = f"--strategy.{option.name.replace('_', '-')}"
        default = (base.get("strategy_options") or {}).get(option.name, option.default)
        known[f"strategy__{option.name}"] = (
            spelled,
            strategy_hints[option.name],
            default,
            strategy_documents[option.name],
        )

    _refuse_unknown(words, task, name, {spelled: kind for spelled, kind, _, _ in known.values()})
    flags = dataclasses.make_dataclass(
        "Flags",
        [
            (key, Annotated[kind, tyro.conf.arg(name=spelled[2:], help=text)], dataclasses.field(default=default))
            for key, (spelled, kind, default, text) in known.items()
        ],
        kw_only=True,
        frozen=True,
    )
    description = f"Trains a model for {task} with the strategy {name}: {_summary(strategies.STRATEGIES[name])}"
    parsed: Any = tyro.cli(flags, args=list(words), prog=program, description=description)
    spoken = {_plain(word) for word in words if word.startswith("--")}
    result = {key: value for key, value in base.items() if key in FIELDS}
    chosen = dict(base.get("strategy_options") or {})
    for key, (spelled, *_rest) in known.items():
        if spelled not in spoken or key == "config":
            continue
        if key.startswith("strategy__"):
            chosen[key.removeprefix("strategy__")] = getattr(parsed, key)
        else:
            result[key] = getattr(parsed, key)
    if chosen:
        result |= {"strategy": name, "strategy_options": chosen}
    return result


def _plain(word: str) -> str:
    """A flag as it is listed: without value, with dashes, without the no- of a boolean."""
    word = word.split("=", 1)[0].replace("_", "-")
    return "--" + word[5:] if word.startswith("--no-") else word


def _peek(words: Sequence[str], wanted: str) -> str | None:
    for place, word in enumerate(words):
        if word == wanted and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(wanted + "="):
            return word.split("=", 1)[1]
    return None


def _default_of(task: str, name: str) -> Any:
    default = FIELDS[name].default
    return DEFAULTS[task].get(name, default) if default is None else default


def _refuse_unknown(words: Sequence[str], task: str, strategy: str, known: Mapping[str, Any]) -> None:
    for word in words:
        spelled = _plain(word)
        if not word.startswith("--") or spelled in known or spelled == "--help":
            continue
        name = spelled[2:].replace("-", "_")
        if name in FIELDS:
            owners = ", ".join(FIELDS[name].metadata.get("tasks", ())) or "fit, as a word"
            raise MMTransferError(f"{task} does not read {spelled}", "the command line", f"leave it out ({owners})")
        if spelled.startswith("--strategy."):
            options = [option for option in known if option.startswith("--strategy.")]
            listing = ", ".join(options) or "none"
            raise MMTransferError(f"{strategy} has no option {spelled}", "the command line", f"its options: {listing}")
        raise MMTransferError(
            f"Unknown option {spelled}", "the command line", f"did you mean {', '.join(nearest(spelled, known))}?"
        )


def _documents(kind: type[Any]) -> dict[str, str]:
    """The docstrings under a dataclass's fields."""
    from tyro._docstrings import get_field_docstring  # the parser that tyro's own help uses

    return {field.name: get_field_docstring(kind, field.name, ()) or "" for field in dataclasses.fields(kind)}


def _summary(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].strip()


def _check_trio() -> None:
    """One clear line where torch, torchvision and torchaudio are not built for each other."""
    try:
        for name in ("torch", "torchvision", "torchaudio"):
            importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        from importlib import metadata

        found = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "torchaudio"))
        raise MMTransferError(
            f"The torch packages do not fit each other ({str(error).splitlines()[0]})",
            found,
            "pip install torch==2.14.1 torchvision==0.29.1 torchaudio==2.11.0, or another trio built together",
        ) from error


@dataclasses.dataclass(frozen=True)
class _PredictWords:
    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    input: tyro.conf.Positional[str]
    """A file, a folder, a CSV or a text file with a sentence a line."""
    out: str | None = None
    """CSV to write (id, label, score, which a number does not have); the terminal if not given."""


@dataclasses.dataclass(frozen=True)
class _EvaluateWords:
    run: tyro.conf.Positional[str]
    """Folder of a finished run; or a backbone whose checkpoint carries a head: a torchvision network, a folder or hub
    name of transformers."""
    test: str
    """Labelled data."""
    weights: str | None = None
    """Of a torchvision network: name of its published weights, or a .pth/.safetensors file."""


@dataclasses.dataclass(frozen=True)
class _EmbedWords:
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


def _embed(words: list[str]) -> None:
    _refuse_other(words, {flag(field.name) for field in dataclasses.fields(_EmbedWords)[2:]})
    about = "Writes pooled features (of speech the mean over the frames); a run is used with its own settings."
    given = dataclasses.asdict(tyro.cli(_EmbedWords, args=words, prog="mmtransfer embed", description=about))
    _check_trio()
    from mmtransfer.embedding import check, embed

    out = given.pop("out")
    check(out)
    found = embed(**{name: value for name, value in given.items() if value is not None})
    if not int(os.environ.get("RANK", "0")):
        found.save(out)
        print(f"{len(found.ids)} x {found.values.shape[1]} features in {out}")


@dataclasses.dataclass(frozen=True)
class _CompareWords:
    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of finished runs of one task on one test set, or folders of such folders; seeds are put together."""


@dataclasses.dataclass(frozen=True)
class _DemoWords:
    out: str | None = None
    """Folder of the run folders; runs/demo-DATE-TIME if not given."""


def _predict(words: list[str]) -> None:
    _refuse_other(words, {"--out"})
    given = tyro.cli(_PredictWords, args=words, prog="mmtransfer predict", description="Predicts with a finished run.")
    from mmtransfer.api import load

    predictions = load(given.run).predict(given.input)
    if given.out is None:
        for prediction in predictions:
            print(*(prediction.id, prediction.label, *_score(prediction.score, 4)), sep="\t")
        return
    with open(given.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "score"])
        writer.writerows([p.id, p.label, *(_score(p.score, 6) or [""])] for p in predictions)
    logger.info("%d predictions in %s", len(predictions), given.out)


def _score(score: float | None, digits: int) -> list[str]:
    return [] if score is None else [f"{score:.{digits}f}"]


def _evaluate(words: list[str]) -> None:
    _refuse_other(words, {"--test", "--weights"})
    description = "Scores a finished run, or a backbone with the head that its checkpoint carries."
    given = tyro.cli(_EvaluateWords, args=words, prog="mmtransfer evaluate", description=description)
    from mmtransfer.api import evaluate_backbone, load

    if _names_a_backbone(given.run):
        scores = evaluate_backbone(given.run, given.test, given.weights)
    elif given.weights is not None:
        raise MMTransferError("A run has its own weights", f"--weights {given.weights}", "leave it out")
    else:
        scores = load(given.run).evaluate(given.test)
    _table("test", {name: score.as_dict() for name, score in scores.items()})


def _names_a_backbone(word: str) -> bool:
    """Whether `evaluate` was given a backbone: not a run's folder, nor a path where nothing is."""
    place = Path(word)
    if place.is_dir():
        return (place / "config.json").is_file() and not (place / "environment.json").exists()
    return not word.startswith((".", "/", "~")) and not word.endswith("/")


def _compare(words: list[str]) -> None:
    _refuse_other(words, set())
    about = "Scores, costs and paired tests of finished runs."
    given = tyro.cli(_CompareWords, args=words, prog="mmtransfer compare", description=about)
    from mmtransfer import comparison

    comparison.show(comparison.compare(given.runs))


def _demo(words: list[str]) -> None:
    _refuse_other(words, {"--out"})
    about = "Transfer beside scratch on the built-in data of every task."
    given = tyro.cli(_DemoWords, args=words, prog="mmtransfer demo", description=about)
    _check_trio()
    from mmtransfer.demo import demo

    demo(given.out)


@dataclasses.dataclass(frozen=True)
class _CacheWords:
    action: tyro.conf.Positional[Literal["ls", "rm"]]
    """ls lists the entries, oldest first; rm removes them."""
    keys: tyro.conf.Positional[tuple[str, ...]] = ()
    """Beginnings of the keys to remove; all entries if there are none."""
    cache_dir: str | None = None
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""


def _cache(words: list[str]) -> None:
    _refuse_other(words, {"--cache-dir"})
    given = tyro.cli(_CacheWords, args=words, prog="mmtransfer cache", description="Stored features of frozen stages.")
    from mmtransfer.cache.settings import make

    store = make("auto", given.cache_dir, 0).store
    if given.action == "rm":
        print(f"{store.remove(list(given.keys)) / 1e6:.1f} MB freed in {store.root}")
        return
    columns = ("key", "state", "MB", "task", "split", "backbone", "cut", "rows")
    rows = [
        [entry["key"][:12], entry["state"], f"{entry['bytes'] / 1e6:.1f}"]
        + [str(entry.get(name, "-")) for name in columns[3:]]
        for entry in store.listing()
    ]
    _print_table(f"{store.root}: {store.bytes() / 1e6:.1f} MB", columns, rows)


def _rank(words: list[str]) -> None:
    if len(words) < 2 or words[0] in ("-h", "--help"):
        print(
            "usage: mmtransfer rank TASK --train DATA --backbones A B ... [--folds 5] [flags of fit]\n\n"
            "Cross-validates an exact linear probe on each backbone's features, and tells their speed and size; *\n"
            "marks backbones that no other beats in all three. The features are cached, and found by `fit`."
        )
        return
    task, words = words[0], words[1:]
    if task not in DEFAULTS:
        raise unknown("task", task, DEFAULTS, "mmtransfer rank TASK")
    folds, words = _taken(words, "--folds")
    backbones, words = _taken(words, "--backbones")
    for word in words:
        if _plain(word) in ("--backbone", "--strategy", "--out"):
            raise MMTransferError(f"rank does not read {_plain(word)}", "the command line", "leave it out")
    given = parse(task, [*words, "--strategy", "linear-probe"], {}, f"mmtransfer rank {task}")
    fields = {name: value for name, value in given.items() if name not in ("task", "train", "strategy", "backbone")}
    if not all(word.isdigit() and int(word) > 1 for word in folds):
        raise MMTransferError(f"--folds must be 2 or more, not {folds[0]}", "--folds", "change the value")
    _check_trio()
    from mmtransfer.rank import FOLDS, rank

    found = rank(task, given.get("train"), backbones, folds=int(folds[0]) if folds else FOLDS, **fields)
    columns = ("", "backbone", found[0].metric, "95 % interval", "examples/s", "parameters", "MB", "seconds")
    rows = []
    for one in found:
        interval = "unknown" if one.score.low is None else f"{one.score.low:.4f} to {one.score.high:.4f}"
        cells = ["*" if one.best else "", one.backbone, f"{one.score.value:.4f}", interval]
        cells += [f"{one.examples_per_second:.0f}", f"{one.parameters / 1e6:.1f} M", f"{one.bytes / 1e6:.0f}"]
        rows.append([*cells, f"{one.seconds:.0f}"])
    _print_table(f"{task}: linear probe, cross-validated", columns, rows)


def _taken(words: Sequence[str], wanted: str) -> tuple[list[str], list[str]]:
    """The values of a flag of one or more values, and the words without them."""
    if wanted not in words:
        return [], list(words)
    start = list(words).index(wanted)
    stop = start + 1
    while stop < len(words) and not words[stop].startswith("--"):
        stop += 1
    return list(words[start + 1 : stop]), [*words[:start], *words[stop:]]


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _refuse_other(words: Sequence[str], known: set[str]) -> None:
    for word in words:
        if word.startswith("--") and _plain(word) not in known | {"--help"}:
            close = ", ".join(nearest(_plain(word), known))
            raise MMTransferError(f"Unknown option {_plain(word)}", "the command line", f"did you mean {close}?")


def _show(run: Any) -> None:
    """The end of a run: scores with intervals, time, where it is and what to do with it."""
    if int(os.environ.get("RANK", "0")):
        return
    primary = run.result["primary"]["name"]
    for split, metrics in run.metrics.items():
        few = {name for name in metrics if name == primary or not name.endswith(("]", "_micro", "_weighted"))}
        _table(split, {name: score for name, score in metrics.items() if name in few})
    print(f"{run.result['seconds']['total']:.0f} s; the run is in {run.folder.path}")
    print(f"next: mmtransfer predict {run.folder.path} INPUT")


def _show_spread(repeats: Any) -> None:
    """The end of several runs: the mean of each score, its interval, and the spread over the seeds."""
    from rich.console import Console
    from rich.table import Table

    if int(os.environ.get("RANK", "0")):
        return
    for split, metrics in repeats.metrics.items():
        title = f"{split}: {len(repeats.runs)} seeds"
        table = Table("metric", "mean", "95 % interval", "sd", "min", "max", title=title, title_justify="left")
        for name, spread in metrics.items():
            if not name.endswith(("]", "_micro", "_weighted")):
                cells = ["-" if spread[key] is None else f"{spread[key]:.4f}" for key in ("mean", "sd", "min", "max")]
                interval = "unknown" if spread["low"] is None else f"{spread['low']:.4f} to {spread['high']:.4f}"
                table.add_row(name, cells[0], interval, *cells[1:])
        Console().print(table)
    print(f"the runs and repeats.json are in {repeats.folder}")


def _table(split: str, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=split, title_justify="left")
    for name, justify in (("metric", "left"), ("value", "right"), ("95 % interval", "right"), ("n", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, score in metrics.items():
        interval = "unknown" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"
        value = "-" if score["value"] is None else f"{score['value']:.4f}"
        table.add_row(name, value, interval, str(score["n"]))
    Console().print(table)
