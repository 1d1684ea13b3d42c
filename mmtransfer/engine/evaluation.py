"""One pass over a split: answers, losses and what the task stores of them, back in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from mmtransfer.data.plan import Indices, evaluation_batches
from mmtransfer.engine import budget
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.progress import bar
from mmtransfer.engine.shortage import refusal
from mmtransfer.tasks.base import Batch

T = TypeVar("T")
Records = dict[str, list[Any]]
"""Columns over the examples: id, prediction, and target and loss where targets are known, and the task's own."""


def in_parts(model: Model, machine: Machine, batch: Batch, longest: int, work: Callable[[Batch], T]) -> list[T]:
    """What `work` gives for a batch in the parts that memory holds, mostly one; raises MMTransferError where it does
    not hold a single example. `longest`: the length of the longest."""
    try:
        return machine.parts.over(batch, work)
    except torch.OutOfMemoryError as error:
        raise refusal(error, model.task.input, longest, model.precision, training=False) from None


def _passed(
    model: Model, examples: Examples, machine: Machine, batch: Batch, indices: Indices
) -> list[list[dict[str, Any]]]:
    """What is found of each example of a batch, in the parts that memory holds."""
    task = model.task

    def rows(part: Batch) -> list[dict[str, Any]]:
        part = part.to(machine.device)
        outputs = model(model.reach(part.state, examples.cut, model.start))
        predictions = task.target.predict(outputs)
        columns = {"prediction": predictions.answers, **predictions.columns}
        if part.targets is not None:
            columns["loss"] = task.target.loss(outputs, part.targets).tolist()
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    return in_parts(model, machine, batch, int(examples.lengths[indices].max()), rows)


def evaluate(model: Model, examples: Examples, machine: Machine, label: str = "evaluating") -> Records:
    """Records of every example exactly once, the same on every process; `label` names the progress bar.

    `model` is the module itself, not what `Accelerator.prepare` made of it: no reduction waits for the others.
    Each process takes every W-th batch; what comes back is gathered as objects, because gathering tensors of unequal
    shapes aborts the process.
    """
    task = model.task
    batches = evaluation_batches(examples.lengths, budget.of_pass(model, machine), 256)
    own = batches[machine.accelerator.process_index :: machine.processes]
    load = examples.batches(task, [b.tolist() for b in own], machine.workers.count, machine.device.type == "cuda")
    training = model.training
    model.eval()
    found: list[tuple[int, dict[str, Any]]] = []
    with torch.inference_mode(), bar(label, sum(map(len, own)), machine.is_main) as progress:
        for indices, batch in zip(own, load, strict=True):
            rows = [row for part in _passed(model, examples, machine, batch, indices) for row in part]
            found += zip(indices.tolist(), rows, strict=True)
            progress.advance(len(indices))
    model.train(training)
    if machine.processes > 1:
        from accelerate.utils import gather_object

        found = gather_object(found)
    ordered = [record for _, record in sorted(found, key=lambda item: item[0])]
    records: Records = {"id": examples.ids}
    if examples.answers is not None:
        records["target"] = examples.answers
    for extra in task.target.extra:
        if extra in examples.rows.column_names:
            records[extra] = examples.rows.column(extra)
    for name in ordered[0] if ordered else ():
        records[name] = [record[name] for record in ordered]
    return records
