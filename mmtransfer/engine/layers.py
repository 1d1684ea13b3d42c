"""Which stage the features of an exact head are taken behind."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list

from mmtransfer.engine import caching, exact
from mmtransfer.engine.loop import Job
from mmtransfer.engine.trained import Trained
from mmtransfer.probe import Point
from mmtransfer.strategies import Phase

logger = logging.getLogger("mmtransfer")


def choose(job: Job, phase: Phase) -> list[dict[str, Any]]:
    """Has the backbone end at the stage whose features make the best head (Alain & Bengio 2016), and makes a head of
    their width.

    Returns, of several stages, what the best penalty of each scored: on validation data or by folds, of values by
    leaving one out; never on test data. Raises Stopped after a signal.
    """
    points: dict[int, Point] = {}
    for layer in phase.layers if len(phase.layers) > 1 else ():
        job.backbone.depth = layer
        trained = _trained(job)
        caching.prepare(job, trained, phase, last=False)
        if job.accelerator.is_main_process:
            point = exact.solved(job, trained, phase).point
            assert point is not None  # there are validation data or folds
            points[layer] = point
            scored = f"loss {point.loss:.4f}" if point.accuracy is None else f"accuracy {point.accuracy:.4f}"
            logger.info("layer %d of %d: validation %s", layer, len(job.backbone.stages), scored)
    if phase.layers:
        best = min(points, key=lambda layer: points[layer].cost(bool(phase.folds)), default=phase.layers[0])
        job.backbone.depth = broadcast_object_list([best])[0]
        job.backbone.width = _width(job)
        job.head = job.task.head(job.backbone.width).to(job.accelerator.device)
        logger.info("features are taken behind stage %d of %d", job.backbone.depth, len(job.backbone.stages))
    return [{"layer": layer, **dataclasses.asdict(point)} for layer, point in points.items()]


def _trained(job: Job) -> Trained:
    return Trained(job.backbone, job.head, job.task, (), job.config.precision)


def _width(job: Job) -> int:
    """Of the features of an example: maps get more channels from stage to stage."""
    examples, first = dataclasses.replace(job.train, stored=None), np.zeros(1, np.int32)
    ((_, state),) = caching.computed(job, _trained(job), examples, [first])
    return int(state["x"].shape[-1])
