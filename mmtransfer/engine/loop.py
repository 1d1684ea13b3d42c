"""The training loop: one for all modalities and strategies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor

from mmtransfer import disk
from mmtransfer.data.plan import Epoch, Indices
from mmtransfer.engine import memory
from mmtransfer.engine.buffers import Buffers
from mmtransfer.engine.loading import Examples, uploaded
from mmtransfer.engine.model import Model
from mmtransfer.engine.optim import set_rate
from mmtransfer.engine.passes import Passes
from mmtransfer.engine.precision import tf32
from mmtransfer.engine.progress import Bar
from mmtransfer.engine.shortage import refusal_of_step
from mmtransfer.engine.stopping import Stopped, agreed
from mmtransfer.engine.training import Training
from mmtransfer.errors import MMTransferError
from mmtransfer.seeding import number
from mmtransfer.tasks.base import Batch, Outputs


def train_epoch(
    training: Training,
    passes: Passes,
    optimizer: AcceleratedOptimizer,
    examples: Examples,
    epoch: Epoch,
    total: int,
    bar: Bar,
    save: Callable[[], None],
) -> None:
    """Trains from `state.step` to the end of the epoch; `total` is the number of steps of the phase.

    `save` writes a checkpoint. Raises Stopped at the next micro-batch after a signal, the begun step undone, and behind
    a step at which training is to end or to pause.
    """
    state, config, accelerator = training.state, training.config, training.machine.accelerator
    training_now = (module for module in passes.model.modules() if module.training)
    moving = Buffers(buffer for module in training_now for buffer in module.buffers(recurse=False))
    left = epoch.batches(state.step, accelerator.process_index, accelerator.num_processes)
    pin = accelerator.device.type == "cuda"
    workers = training.machine.workers.count
    loaded = examples.batches(passes.model.task, left, workers, pin, config.seed, state.epochs_done)
    batches = uploaded(loaded, accelerator.device)
    losses = torch.zeros((), dtype=torch.float64, device=accelerator.device)  # stays on the device between log steps
    begun = time.monotonic()
    if state.step:  # gone on with, perhaps no further than it was
        _stop_if_asked(training, logged=True)
    try:
        while state.step < len(epoch):
            place = state.epoch * len(epoch) + state.step
            set_rate(optimizer, place, total, config.schedule, config.warmup)
            losses += _gradients(training, passes, moving, examples, epoch, batches)
            _take_step(training, passes, optimizer)
            seen = epoch.examples(state.step)
            weight, units = float(examples.weigh(seen).sum()), int(examples.lengths[seen].sum())
            state.advance(len(seen), weight, units)
            bar.advance(len(seen))
            logged = state.steps_done % config.log_every == 0 or state.step == len(epoch)
            saved = state.steps_done % config.checkpoint_every == 0 and state.step < len(epoch)
            if logged or saved:
                state.loss_sum += float(accelerator.reduce(losses, "sum"))
                losses.zero_()
            # from step to step, so that waiting for a device counts where it is waited for
            now = time.monotonic()
            state.seconds, begun = state.seconds + now - begun, now
            if logged:
                _log(training, optimizer.param_groups[0]["lr"], len(epoch))
            training.outlook.after_step(state.steps_done, len(seen))
            if saved:
                save()
                begun = time.monotonic()
            if state.step < len(epoch):
                _stop_if_asked(training, logged)
    finally:
        if accelerator.num_processes == 1:
            state.loss_sum += float(losses)


def _gradients(
    training: Training,
    passes: Passes,
    moving: Buffers,
    examples: Examples,
    epoch: Epoch,
    batches: Iterator[Batch],
) -> Tensor:
    """Leaves in the parameters the gradient of (sum of weighted losses / weight of the step's examples, which is their
    number unless the task weighs them); returns this process's sum.

    The divisor is known from the plan, so the gradient does not depend on how the step was cut; a mean per micro-batch
    would weigh examples by the company they keep. DDP averages over W processes, hence the factor W.

    `moving`: the model's running statistics.
    """
    state, machine, model = training.state, training.machine, passes.model
    accelerator = machine.accelerator
    processes, rank = accelerator.num_processes, accelerator.process_index
    share = epoch.share(state.step, rank, processes)
    scale = processes / float(examples.weigh(epoch.examples(state.step)).sum())
    losses = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    moving.keep()
    try:
        for position, (numbers, counts) in enumerate(share):
            if processes == 1 and training.stop.interrupted:
                raise Stopped(True)
            waiting = time.monotonic()
            batch = next(batches)
            state.stalled += time.monotonic() - waiting
            place = position * processes + rank
            seed = number(training.config.seed, "dropout", state.epochs_done, state.step, place)
            machine.seed(seed)
            with torch.no_grad():
                reached = model.reach(batch.state, examples.cut, model.start)
            last = position == len(share) - 1
            with nullcontext() if last else accelerator.no_sync(passes.prepared):
                loss = _loss(model, passes(reached, seed), batch, examples, numbers)
                with tf32(machine.device):
                    accelerator.backward(training.scaler.scale(loss * (scale if counts else 0.0)))
            if counts:
                losses += loss.detach()
            del loss  # and what autograd has noted of it, which recording must not meet
    except BaseException:  # the step is undone: running statistics moved with its first micro-batches
        moving.restore()
        passes.clear()
        raise
    return losses


def _take_step(training: Training, passes: Passes, optimizer: AcceleratedOptimizer) -> None:
    """Raises MMTransferError where memory does not suffice for it: to cut the step again would not help."""
    try:
        training.scaler.unscale(optimizer)
        training.machine.accelerator.clip_grad_norm_(passes.parameters, training.config.clip)
        training.scaler.step(optimizer)
    except torch.OutOfMemoryError as error:
        recorded = passes.graphs is not None and bool(passes.graphs.recorded)
        raise refusal_of_step(error, training.config.optimizer, recorded) from None
    passes.clear()


def _loss(model: Model, outputs: Outputs, batch: Batch, examples: Examples, numbers: Indices) -> Tensor:
    """The sum of a micro-batch's weighted losses."""
    assert batch.targets is not None  # training data is labelled: checked when it was loaded
    target = model.task.target
    if batch.lengths is not None and batch.lengths.device != batch.state["x"].device:
        positions = batch.lengths if examples.cut else model.backbone.lengths(batch.lengths)
        outputs = target.counted(outputs, positions)
    each = target.loss(outputs, batch.targets)
    if examples.weights is not None:
        weights = torch.as_tensor(examples.weights[numbers], dtype=each.dtype)
        each = each * weights.to(each.device, non_blocking=True)
    return each.sum()


def _stop_if_asked(training: Training, logged: bool) -> None:
    """Raises Stopped. Several processes agree on it at log steps, where they wait for each other anyway."""
    accelerator, stop = training.machine.accelerator, training.stop
    if accelerator.num_processes > 1 and not logged:
        return
    interrupted = agreed(accelerator, stop.pauses(training.state))
    if interrupted or agreed(accelerator, stop.is_due(training.state)):
        raise Stopped(interrupted)


def _log(training: Training, lr: float, steps: int) -> None:
    """Appends a line to log.jsonl and starts a new sum; raises MMTransferError for a loss that is no number.

    `lr`: the rate of the first trained stage, or of the head where only that trains.
    """
    state = training.state
    loss, since = state.loss_sum / (state.loss_count or 1.0), state.steps_done
    if not loss == loss or loss in (float("inf"), float("-inf")):
        raise MMTransferError(
            f"The training loss is {loss} between steps {max(0, since - training.config.log_every)} and {since}",
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
    training.track({f"train/{name}": line[name] for name in ("loss", "lr", "epoch", "examples_per_second")})
    if training.machine.is_main:
        path = training.folder / "log.jsonl"
        with disk.writing(path), path.open("a") as file:
            file.write(json.dumps(line) + "\n")
