"""One pass of a backbone over examples: pooled features, in the order of the rows."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from mmtransfer.backbones.staged import Backbone
from mmtransfer.data.plan import evaluation_batches
from mmtransfer.engine.loading import EncodedRows, Examples, loader
from mmtransfer.engine.precision import autocast
from mmtransfer.engine.progress import bar
from mmtransfer.tasks.base import Task


def pooled(
    backbone: Backbone, task: Task, examples: Examples, accelerator: Accelerator, precision: str, workers: int = 0
) -> np.ndarray:
    """What `Backbone.pool` gives for every example, float32 (n, width), the same on every process.

    `precision`: arithmetic of the pass, as in training; batches are sorted by length, longest first. The backbone is
    in eval mode during the pass, and on the accelerator's device afterwards.
    """
    batches = evaluation_batches(examples.lengths, 2 * task.budget(), 256)
    own = batches[accelerator.process_index :: accelerator.num_processes]
    load = loader(
        EncodedRows(examples.rows, task), [b.tolist() for b in own], workers, accelerator.device.type == "cuda"
    )
    training = backbone.training
    backbone.to(accelerator.device).eval()
    found: list[tuple[np.ndarray, np.ndarray]] = []
    with torch.inference_mode(), bar("features", sum(map(len, own)), accelerator.is_main_process) as progress:
        for indices, batch in zip(own, load, strict=True):
            state = batch.to(accelerator.device).state
            with autocast(accelerator.device, precision):
                reached = backbone.pool(backbone.run(state))
            found.append((indices, reached.float().cpu().numpy()))
            progress.advance(len(indices))
    backbone.train(training)
    if accelerator.num_processes > 1:
        found = gather_object(found)
    values = np.empty((len(examples), backbone.width), np.float32)
    for indices, features in found:
        values[indices] = features
    return values
