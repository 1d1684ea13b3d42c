"""`mmtransfer list tasks|backbones|strategies|data|runs`: what there is, and what of it is on this machine."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

import mmtransfer
from mmtransfer.cli.help import filled
from mmtransfer.cli.layout import show_json, show_rows
from mmtransfer.cli.words import parse

Kind = Literal["tasks", "backbones", "strategies", "data", "runs"]


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    what: tyro.conf.Positional[Kind]
    """tasks, backbones, strategies, data or runs."""
    folder: tyro.conf.Positional[str] = "runs"
    """Of runs: where they are; those in folders below are listed too."""
    json: bool = False
    """Print JSON instead of a table: an object for each row."""


Row = dict[str, Any]
"""What is told of a thing, by name: as --json prints it."""


class Listing(NamedTuple):
    """Rows of one kind of thing."""

    title: str
    columns: Mapping[str, Callable[[Row], str]]
    """By heading, what a table shows of a row."""
    rows: list[Row]
    more: str
    """What can be named as well, or is to be done with them."""


def run(words: list[str]) -> None:
    """Prints one listing."""
    said = parse(Words, words, "list", "Lists what there is, and what of it is on this machine.")
    found = LISTINGS[said.what](said)
    if said.json:
        show_json(found.rows)
        return
    if found.rows:
        cells = [[told(row) for told in found.columns.values()] for row in found.rows]
        show_rows(found.title, list(found.columns), cells, numbers=("size",))
    else:
        print(f"{found.title}: none")
    print(filled(found.more))


def _tasks(said: Words) -> Listing:
    from mmtransfer.config.tasks import SEES
    from mmtransfer.defaults import BUILTIN, DEFAULTS

    rows = [
        {"task": task, "sees": SEES[task], "data": BUILTIN[task].data["train"], "backbone": DEFAULTS[task]["backbone"]}
        for task in DEFAULTS
    ]
    more = (
        "To try one on its built-in data: mmtransfer fit TASK --train builtin. The usual backbone is taken where "
        "neither --backbone nor --train builtin is given."
    )
    columns = {"task": _of("task"), "sees -> says": _of("sees"), "usual backbone": _of("backbone")}
    return Listing("tasks", columns, rows, more)


def _strategies(said: Words) -> Listing:
    from mmtransfer.strategies import STRATEGIES

    rows = []
    for name in STRATEGIES:
        about = (STRATEGIES[name].__doc__ or "").split("\n\n")[0]
        options = [field.name.replace("_", "-") for field in dataclasses.fields(STRATEGIES[name])]
        rows.append({"strategy": name, "about": " ".join(about.split()), "options": options})
    more = "Options are given as --strategy.OPTION; `mmtransfer fit TASK --strategy NAME --help` explains them."
    columns = {
        "strategy": _of("strategy"),
        "what it does": _of("about"),
        "options": lambda row: ", ".join(row["options"]),
    }
    return Listing("strategies", columns, rows, more)


def _data(said: Words) -> Listing:
    from mmtransfer.config.supplied import DATA

    rows = [
        {"name": f"builtin:{name}", "about": f"{', '.join(own.tasks)}: {own.about}"}
        | {"bytes": _supplied_bytes(own.file), "licence": own.licence}
        for name, own in DATA.items()
    ]
    rows += [row | {"name": f"hub:{row['name']}"} for row in _cached("dataset")]
    more = (
        "Besides, data of your own: class folders, CSV, TSV, JSON lines, Parquet, CoNLL; hub:ORG/NAME. "
        "The spoken commands and keywords share one file; the digits come with scikit-learn."
    )
    return Listing("data on this machine", {"--train": _of("name"), **HERE}, rows, more)


def _backbones(said: Words) -> Listing:
    from mmtransfer.config.supplied import BACKBONES

    rows: list[Row] = [
        {"name": f"builtin:{name}", "about": own.about, "bytes": _supplied_bytes(own.file), "licence": own.licence}
        for name, own in BACKBONES.items()
    ]
    for path in _torch_checkpoints():
        name, size = path.stem.rsplit("-", 1)[0], path.stat().st_size
        rows.append({"name": name, "about": "in torch's cache", "bytes": size, "licence": None})
    rows += [row for row in _cached("model") if row["about"]]
    more = (
        "Besides, by --backbone: a torchvision network (resnet50), timm:NAME, a name on the hub, a folder of "
        "transformers, or the folder of a run; their weights are fetched where they are not here."
    )
    return Listing("backbones on this machine", {"--backbone": _of("name"), **HERE}, rows, more)


def _runs(said: Words) -> Listing:
    from mmtransfer.comparable import runs_in
    from mmtransfer.errors import MMTransferError

    root, rows = Path(said.folder), []
    if not root.is_dir() and said.folder != Words.folder:
        raise MMTransferError("No such folder", said.folder, "give the folder that holds the runs")
    for place in runs_in(root) if root.is_dir() else ():
        if place.config.exists():
            try:
                rows.append(_row(place))
            except MMTransferError as error:
                rows.append({"run": str(place.path), "status": error.what})
    columns = {"run": _of("run"), "what": _trained, "score": _score, "size": _size}
    more = "Side by side: mmtransfer compare RUN RUN ...; predict with one: mmtransfer predict RUN INPUT"
    return Listing(f"runs in {root}", columns, rows, more if rows else "One is made by: mmtransfer fit TASK")


def _row(place: Any) -> Row:
    """What is told of a run; raises MMTransferError for one that is damaged."""
    config = place.read_config()
    row: Row = {"run": str(place.path), **{name: config.get(name) for name in ("task", "backbone", "strategy")}}
    row["bytes"] = sum(path.stat().st_size for path in place.path.rglob("*") if path.is_file())
    if not place.result.exists():
        return {**row, "status": "not finished, --resume goes on"}
    result = place.read_result()
    row["status"] = result["status"]
    if result["status"] == "finished":
        primary = result["primary"]
        score = result["metrics"][primary["split"]][primary["name"]]
        row |= {"metric": primary["name"], "split": primary["split"], "seconds": result["seconds"]["total"]}
        row |= {name: score[name] for name in ("value", "low", "high")}
    return row


def _of(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name) or "")


def _score(row: Row) -> str:
    if "metric" not in row:
        return str(row["status"])
    values = [row[name] for name in ("value", "low", "high")]
    told = "-" if None in values else "{:.3f} ({:.3f} to {:.3f})".format(*values)
    return f"{row['metric']} {told}"


def _trained(row: Row) -> str:
    return "{task}: {strategy} of {backbone}".format(**row) if "task" in row else ""


def _size(row: Row) -> str:
    return f"{row['bytes'] / 1e6:.1f} MB" if row.get("bytes") else ""


HERE: Mapping[str, Callable[[Row], str]] = {
    "what": _of("about"),
    "size": _size,
    "licence": lambda row: row["licence"] or "not stated",
}
"""Columns of what is on this machine."""


def _supplied_bytes(file: str | None) -> int:
    """Of a file or folder of the package; 0 for what another package brings."""
    if file is None:
        return 0
    path = Path(mmtransfer.__file__).parent / file
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def _torch_checkpoints() -> Sequence[Path]:
    """The weights that torch's cache holds, found as torch finds them, without loading it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return sorted(Path(home).expanduser().glob("hub/checkpoints/*.pth"))


def _cached(kind: str) -> Iterator[Row]:
    """What of a kind, `model` or `dataset`, the hub's cache holds, with its licence as its card states it. `about` is
    empty for what is no model of transformers, or lacks its weights."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, OSError):
        return
    for repository in sorted(repositories, key=lambda one: one.repo_id):
        if repository.repo_type == kind:
            family = _model_type(repository)
            about = "in the hub's cache" if kind == "dataset" else family and f"{family}, in the hub's cache"
            size, licence = repository.size_on_disk, _licence(repository)
            yield {"name": repository.repo_id, "about": about, "bytes": size, "licence": licence}


def _files(repository: Any) -> Mapping[str, Path]:
    return {file.file_name: Path(file.file_path) for revision in repository.revisions for file in revision.files}


def _licence(repository: Any) -> str | None:
    """What the head of its card says, where the card is here."""
    card = _files(repository).get("README.md")
    try:
        text = card.read_text(encoding="utf-8", errors="replace") if card else ""
    except OSError:
        text = ""
    found = re.search(r"^license: *['\"]?([\w.+-]+)", text[:4000], re.MULTILINE)
    return found[1] if found else None


def _model_type(repository: Any) -> str:
    """The family that config.json names; empty for what is no model of transformers, or lacks its weights."""
    from mmtransfer import documents

    files = _files(repository)
    if "config.json" not in files or not any(name.endswith((".safetensors", ".bin")) for name in files):
        return ""
    try:
        return str(documents.load_json(files["config.json"]).get("model_type") or "")
    except (OSError, ValueError, AttributeError):
        return ""


LISTINGS: Mapping[str, Callable[[Words], Listing]] = {
    "tasks": _tasks,
    "backbones": _backbones,
    "strategies": _strategies,
    "data": _data,
    "runs": _runs,
}
