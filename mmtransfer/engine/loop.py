"""The training loop: one for all modalities and strategies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from mmtransfer import disk
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cache.settings import Cache
from mmtransfer.config import RunConfig
from mmtransfer.data.plan import Epoch
from mmtransfer.engine import memory
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.optim import set_rate
from mmtransfer.engine.progress import Bar
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.seeding import number
from mmtransfer.tasks.base import Batch
from mmtransfer.tasks.task import Task


@dataclass
class Job:
    """What training needs and does not change; all that changes is in `state` and in the modules' tensors."""

    config: RunConfig
    task: Task
    backbone: Backbone
    head: nn.Module
    train: Examples
    validation: Examples | None
    accelerator: Accelerator
    folder: Path
    workers: int
    state: TrainState
    interrupted: Callable[[], bool]
    """Whether a signal has asked to stop."""
    expired: Callable[[], bool]
    """Whether the time budget is spent."""
    test: Examples | None = None
    spent: Callable[[], dict[str, float]] = dict
    """Seconds of the run by part so far, over all its starts."""
    cache: Cache = field(default_factory=Cache)
    selected: Mapping[str, list[Any]] | None = None
    """Validation records of the model that was chosen, where the one that is left has seen those examples."""

    def track(self, values: Mapping[str, float]) -> None:
        """Gives numbers at this step to the trackers, if there are any."""
        self.accelerator.log(dict(values), step=self.state.steps_done)


class Stopped(Exception):
    """A signal (`interrupted`) or the time budget ended training; the state stands at a whole step."""

    def __init__(self, interrupted: bool) -> None:
        super().__init__("interrupted" if interrupted else "out of time")
        self.interrupted = interrupted


def train_epoch(
    job: Job,
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    epoch: Epoch,
    total: int,
    bar: Bar,
    save: Callable[[], None],
) -> None:
    """Trains from `job.state.step` to the end of the epoch; `total` is the number of steps of the phase.

    `model` is the prepared `Trained`; `save` writes a checkpoint. Raises Stopped at the next micro-batch after a
    signal, the begun step undone.
    """
    state, accelerator, config = job.state, job.accelerator, job.config
    left = epoch.batches(state.step, accelerator.process_index, accelerator.num_processes)
    pin = accelerator.device.type == "cuda"
    batches = iter(job.train.batches(job.task, left, job.workers, pin, config.seed, state.epochs_done))
    losses = torch.zeros((), dtype=torch.float64, device=accelerator.device)  # stays on the device between log steps
    # looked up once: walking all modules of a frozen backbone costs more than a step of its head
    trained: Trained = accelerator.unwrap_model(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    moving = [buffer for module in trained.modules() if module.training for buffer in module.buffers(recurse=False)]
    try:
        while state.step < len(epoch):
            begun = time.monotonic()
            place = state.epoch * len(epoch) + state.step
            set_rate(optimizer, place, total, config.schedule, config.warmup)
            losses += _gradients(job, model, trained, moving, epoch, batches)
            accelerator.clip_grad_norm_(parameters, config.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            examples = epoch.examples(state.step)
            weight, units = float(job.train.weigh(examples).sum()), int(job.train.lengths[examples].sum())
            state.advance(len(examples), weight, units, time.monotonic() - begun)
            bar.advance(len(examples))
            logged = state.steps_done % config.log_every == 0 or state.step == len(epoch)
            saved = state.steps_done % config.checkpoint_every == 0 and state.step < len(epoch)
            if logged or saved:
                state.loss_sum += float(accelerator.reduce(losses, "sum"))
                losses.zero_()
            if logged:
                _log(job, optimizer.param_groups[0]["lr"], len(epoch))
            if saved:
                save()
            if state.step < len(epoch):
                _stop_if_asked(job, logged)
    finally:
        if accelerator.num_processes == 1:
            state.loss_sum += float(losses)


def _gradients(
    job: Job, model: nn.Module, trained: Trained, moving: list[Tensor], epoch: Epoch, batches: Iterator[Batch]
) -> Tensor:
    """Leaves in the parameters the gradient of (sum of weighted losses / weight of the step's examples, which is their
    number unless the task weighs them); returns this process's sum.

    The divisor is known from the plan, so the gradient does not depend on how the step was cut; a mean per micro-batch
    would weigh examples by the company they keep. DDP averages over W processes, hence the factor W.

    `trained`: what `model` wraps; `moving`: its buffers that a forward pass moves.
    """
    state, accelerator = job.state, job.accelerator
    processes, rank = accelerator.num_processes, accelerator.process_index
    share = epoch.share(state.step, rank, processes)
    scale = processes / float(job.train.weigh(epoch.examples(state.step)).sum())
    losses = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    before = [buffer.clone() for buffer in moving]
    try:
        for position, (examples, counts) in enumerate(share):
            if processes == 1 and job.interrupted():
                raise Stopped(True)
            waiting = time.monotonic()
            batch = next(batches).to(accelerator.device)
            state.stalled += time.monotonic() - waiting
            place = position * processes + rank
            _seed(accelerator.device, number(job.config.seed, "dropout", state.epochs_done, state.step, place))
            with torch.no_grad():
                reached = trained.reach(batch.state, job.train.cut, trained.start)
            last = position == len(share) - 1
            with nullcontext() if last else accelerator.no_sync(model):
                assert batch.targets is not None  # training data is labelled: checked when it was loaded
                each = job.task.loss(model(reached), batch.targets)
                loss = (each * torch.as_tensor(job.train.weigh(examples)).to(each)).sum()
                accelerator.backward(loss * (scale if counts else 0.0))
            if counts:
                losses += loss.detach()
    except BaseException:  # the step is undone: running statistics moved with its first micro-batches
        for buffer, value in zip(moving, before, strict=True):
            buffer.copy_(value)
        model.zero_grad(set_to_none=True)
        raise
    return losses


def _seed(device: torch.device, seed: int) -> None:
    if device.type == "cpu":  # torch.manual_seed notes a stack trace for each accelerator that is not there: 1 ms
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _stop_if_asked(job: Job, logged: bool) -> None:
    """Raises Stopped. Several processes agree on it at log steps, where they wait for each other anyway."""
    if job.accelerator.num_processes > 1 and not logged:
        return
    interrupted = agreed(job.accelerator, job.interrupted())
    if interrupted or agreed(job.accelerator, job.expired()):
        raise Stopped(interrupted)


def agreed(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process says so; every process must ask."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum") > 0)


def _log(job: Job, lr: float, steps: int) -> None:
    """Appends a line to log.jsonl and starts a new sum; raises MMTransferError for a loss that is no number.

    `lr`: the rate of the first trained stage, or of the head where only that trains.
    """
    state = job.state
    loss, since = state.loss_sum / (state.loss_count or 1.0), state.steps_done
    if not loss == loss or loss in (float("inf"), float("-inf")):
        raise MMTransferError(
            f"The training loss is {loss} between steps {since - job.config.log_every} and {since}",
            f"phase {state.phases[state.phase]['name']}, learning rate {lr:.3g}",
            "lower --lr, use --precision fp32, or look for broken targets",
        )
    line: dict[str, Any] = {
        "step": state.steps_done,
        "phase": state.phases[state.phase]["name"],
        "epoch": state.epoch + state.step / steps,
        "loss": loss,
        "lr": lr,
        "examples_per_second": state.examples / max(1e-9, state.seconds),
        "stall_share": state.stalled / max(1e-9, state.seconds),
        "memory_bytes": memory.peak_bytes(),
    }
    state.loss_sum, state.loss_count = 0.0, 0.0
    job.track({f"train/{name}": line[name] for name in ("loss", "lr", "epoch", "examples_per_second")})
    if job.accelerator.is_main_process:
        path = job.folder / "log.jsonl"
        with disk.writing(path), path.open("a") as file:
            file.write(json.dumps(line) + "\n")
