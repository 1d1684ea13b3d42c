"""Which stage the features of an exact head are taken behind."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list

from mmtransfer.engine import exact
from mmtransfer.engine.features import prepare_states
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.states import States
from mmtransfer.engine.training import Training
from mmtransfer.probe import Point
from mmtransfer.strategies import Exact, Phase

logger = logging.getLogger("mmtransfer")


def choose(training: Training, model: Model, splits: Splits, phase: Phase) -> tuple[Model, list[dict[str, Any]]]:
    """Has the backbone end at the stage whose features make the best head (Alain & Bengio 2016).

    Returns the model that ends there, with a head of its width, and, of several stages, what the best penalty of each
    scored: on validation data or by folds, of values by leaving one out; never on test data. Raises Stopped after a
    signal.
    """
    solver = phase.solver
    if not isinstance(solver, Exact) or not solver.layers:
        return model, []
    backbone, points = model.backbone, dict[int, Point]()
    for layer in solver.layers if len(solver.layers) > 1 else ():
        backbone.depth = layer
        probe = model.with_head(model.head)
        stored = prepare_states(training, probe, splits, phase, last=False)
        if training.machine.is_main:
            point = exact.find_head(training, probe, stored, solver).point
            assert point is not None  # there are validation data or folds
            points[layer] = point
            scored = f"loss {point.loss:.4f}" if point.accuracy is None else f"accuracy {point.accuracy:.4f}"
            logger.info("layer %d of %d: validation %s", layer, len(backbone.stages), scored)
    best = min(points, key=lambda layer: points[layer].cost(bool(solver.folds)), default=solver.layers[0])
    backbone.depth = broadcast_object_list([best])[0]
    backbone.width = _width(model.with_head(model.head), splits, training.machine)
    head = model.task.target.head(backbone.width).to(training.machine.device)
    logger.info("features are taken behind stage %d of %d", backbone.depth, len(backbone.stages))
    return model.with_head(head), [{"layer": layer, **dataclasses.asdict(point)} for layer, point in points.items()]


def _width(model: Model, splits: Splits, machine: Machine) -> int:
    """Of the features of an example: maps get more channels from stage to stage."""
    examples = splits.without_states().train
    ((_, state),) = States(model, examples, machine, model.end).compute([np.zeros(1, np.int32)])
    return int(state["x"].shape[-1])
