"""mmtransfer as a contestant: `fit` as a user calls it, and a bare loop over the very same batches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from unittest import mock

from benchmarks.speed.pace import Pace


def fit(settings: Mapping[str, Any], pace: Pace) -> float | None:
    """One `fit` with checkpoints and scores; a step counts when the engine counts it."""
    import mmtransfer as mmt
    from mmtransfer.engine import phases
    from mmtransfer.engine.state import TrainState

    advance, train_epoch = TrainState.advance, phases.train_epoch

    def counted(self: Any, examples: int, *others: Any) -> None:
        advance(self, examples, *others)
        pace.step(examples)

    def started(*given: Any) -> None:
        if not pace.examples and not pace.left:
            pace.start()
        train_epoch(*given)

    place = tempfile.mkdtemp(prefix="speed-")
    try:
        with mock.patch.object(TrainState, "advance", counted), mock.patch.object(phases, "train_epoch", started):
            run = mmt.fit(**settings, out=f"{place}/run")
        value = run.result["primary"]["value"]
        return None if value is None else float(value)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def bare(settings: Mapping[str, Any], pace: Pace) -> float | None:
    """The engine's batches, network, optimiser, rates and precision, and nothing else of it but what scores at the end;
    counts the operations of an example in the first step."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mmtransfer.data.plan import Plan
    from mmtransfer.engine import optim, precision, processes
    from mmtransfer.engine.evaluation import evaluate
    from mmtransfer.engine.machine import Machine
    from mmtransfer.preparation import prepare
    from mmtransfer.resolution import resolve

    config = resolve(**settings)
    machine = Machine.set_up(config, processes.accelerator())
    prepared = prepare(config, machine)
    phase = prepared.plan[0]
    prepared.model.backbone.freeze([])
    model, train = prepared.model.starting(phase.trains).train(), prepared.splits.train
    precision.lay_out(model, "channels-last" if config.layout == "channels-last" else "contiguous")
    rated = [*zip(model.backbone.stages, phase.rates.stages, strict=True), (model.head, phase.rates.head)]
    optimizer = optim.optimizer(optim.groups(rated, config.weight_decay), config)
    plan = Plan(train.lengths, config.batch_size, model.task.input.budget(), config.seed)
    pace.start()
    for number in range(config.epochs):
        epoch = plan.epoch(number)
        asked, ahead = epoch.batches(0, 0, 1), machine.workers.count
        batches = iter(train.batches(model.task, asked, ahead, False, config.seed, number))
        for step in range(len(epoch)):
            examples = len(epoch.examples(step))
            total = config.epochs * len(epoch)
            optim.set_rate(optimizer, number * len(epoch) + step, total, config.schedule, config.warmup)
            counter: Any = FlopCounterMode(display=False) if not pace.notes else nullcontext()
            with counter:
                for _ in epoch.share(step, 0, 1):
                    batch = next(batches).to(machine.device)
                    assert batch.targets is not None
                    loss = model.task.target.loss(model(batch.state), batch.targets).sum() / examples
                    with precision.tf32(machine.device):
                        loss.backward()
            if not pace.notes:
                pace.notes["operations"] = counter.get_total_flops() / examples
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            pace.step(examples)
    held, target = prepared.splits.test or prepared.splits.validation, model.task.target
    assert held is not None
    return target.values(evaluate(model, held, machine))[target.primary]
