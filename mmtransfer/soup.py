"""A greedy soup: the mean of the weights of several runs of one backbone, where it is better than the best of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmtransfer.api import Run, load
from mmtransfer.engine import mixing, processes
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.training import Outcome, Training
from mmtransfer.errors import MMTransferError
from mmtransfer.fitting import begin, finish, score
from mmtransfer.lock import Lock
from mmtransfer.preparation import prepare
from mmtransfer.reporting import Report, hearing_warnings
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder

logger = logging.getLogger("mmtransfer")


def soup(runs: Sequence[str | Path], out: str | Path, overwrite: bool = False) -> Run:
    """The greedy soup of finished runs as a run of its own (Wortsman et al. 2022).

    From the best on validation data down, each run's weights join the mean if the mean's validation score does not
    fall, so that it is never below the best run's. BatchNorm's statistics are computed anew. The runs must have started
    from the same weights, head included, on the same data: they differ in rates, epochs and regularisation, and not in
    their seed. Test data are looked at once, by the soup. `result.json` says under `soup` what it is made of.

    Args:
        runs: folders, two or more.
        out: the new run folder; its settings are those of the best run.
        overwrite: whether a run that is there is replaced.

    Raises MMTransferError for runs that do not belong together, and where there are no validation data.

    >>> data = {"task": "text-classification", "train": "train.csv", "test": "test.csv", "backbone": "path/to/bert"}
    >>> runs = [mmt.fit(**data, lr=lr, epochs=1, out=f"runs/{lr}").folder.path for lr in (1e-4, 1e-3)]
    >>> [entry["taken"] for entry in mmt.soup(runs, "runs/soup").result["soup"]["tried"]][0]
    True
    """
    ranked = _ranked([load(run) for run in runs])
    best = ranked[0]
    config = resolve(best.config, out=str(out), overwrite=overwrite, resume=False, track=())
    folder = RunFolder(Path(out))
    folder.check(overwrite, config.as_dict())
    warnings: list[str] = []
    clock, lock = Clock(), Lock(folder.path)
    report = Report(config, folder, clock, warnings)
    with hearing_warnings(warnings):
        machine = Machine.set_up(config, processes.accelerator())
        prepared = prepare(config, machine, clock, aloud=False)
        if prepared.splits.validation is None:
            raise MMTransferError(
                "The runs have no validation data to choose by", str(best.folder.path), "train others"
            )
        state = TrainState(data={name: table.ordered() for name, table in prepared.tables.items()})
        training = Training(prepared.config, machine, folder.path, state, prepared.cache, clock=clock)
        try:
            begin(training, prepared, folder, lock, report)
            model = Model(best.model.backbone, best.model.head, best.model.task, machine.precision).to(machine.device)
            taken, values = _cook(training, model, ranked, prepared.splits)
            report.known |= {name: best.result[name] for name in ("backbone", "parameters", "phases", "precision")}
            report.known |= {"data": prepared.data, "throughput": best.result["throughput"]}
            report.known |= {"cache": training.cache.about(), "soup": {"runs": taken, "tried": values}}
            score(training, Outcome(model, prepared.splits), folder, report)
            finish(training, folder, report)
        finally:
            lock.release()
    return load(out)


def _ranked(runs: Sequence[Run]) -> list[Run]:
    """The runs, the best on validation data first; MMTransferError for those that cannot be mixed."""
    if len(runs) < 2:
        raise MMTransferError(f"{len(runs)} run makes no soup", "the runs", "give two or more")
    target = runs[0].model.task.target
    first = _kinship(runs[0])
    for run in runs[1:]:
        other = _kinship(run)
        for what, value in first.items():
            if other[what] != value:
                raise MMTransferError(
                    f"{run.folder.path} cannot be mixed with {runs[0].folder.path}: they differ in {what}",
                    "the runs",
                    "give runs that differ in rates, epochs or regularisation alone",
                )
    sign = 1 if target.higher_is_better else -1
    return sorted(runs, key=lambda run: -sign * (run.metrics["validation"][target.primary]["value"] or 0.0))


def _kinship(run: Run) -> dict[str, Any]:
    """What runs of one soup share, by what a message calls it."""
    if "validation" not in run.metrics:
        raise MMTransferError("The run has no validation score", str(run.folder.path), "leave it out")
    if run.result["phases"][-1]["solver"] == "exact":
        raise MMTransferError("The run's head has seen the validation data", str(run.folder.path), "leave it out")
    data, options = run.result["data"], run.config.strategy_options
    exact = options.get("solver") == "exact"
    return {
        "the task": run.config.task,
        "the backbone": run.result["backbone"]["sha256"],
        "the training data": data["train"]["fingerprint"],
        "the validation data": (data.get("validation") or {}).get("fingerprint"),
        "the labels": run.model.task.target.names(),
        "the heads": [(name, tuple(value.shape)) for name, value in run.model.head.state_dict().items()],
        "what the head reads": run.model.reads,
        "the seed": run.config.seed,
        "the start of the head": "exact" if exact else "random",
    }


def _cook(
    training: Training, model: Model, ranked: Sequence[Run], splits: Splits
) -> tuple[list[str], list[dict[str, Any]]]:
    """Leaves the soup in the model, which has the best run's weights; the folders in it, and what was tried."""
    model.backbone.requires_grad_(True)  # no frozen one, which runs share: it lies in the soup's own folder
    mean, taken = _tensors(model), [str(ranked[0].folder.path)]
    best, value = mixing.measure(training, model, splits)
    tried = [{"run": taken[0], "value": value, "taken": True}]
    for run in ranked[1:]:
        mixing.mix(model, mean, _tensors(run.model.to(training.machine.device)), 1 / (len(taken) + 1))
        mixing.renew_statistics(model, splits.train, training.machine, training.config.batch_size)
        found, value = mixing.measure(training, model, splits)
        better = found >= best
        if better:
            best, mean = found, _tensors(model)
            taken.append(str(run.folder.path))
        tried.append({"run": str(run.folder.path), "value": value, "taken": better})
    mixing.mix(model, mean, mean, 1.0)
    logger.info("the soup is of %d of %d runs", len(taken), len(ranked))
    return taken, tried


def _tensors(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
