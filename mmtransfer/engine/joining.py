"""The last epochs on all data: validation data are trained on once they have nothing more to choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from mmtransfer.data.columnar import Rows
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.strategies import Phase
from mmtransfer.tasks import Task


def is_due(phase: Phase, state: TrainState, splits: Splits) -> bool:
    """Whether the next epoch is one of those that train on the validation data as well."""
    return phase.joined > 0 and splits.validation is not None and state.epoch >= phase.epochs - phase.joined


def has_begun(phase: Phase, state: TrainState) -> bool:
    """Whether a step of these epochs has been done."""
    return phase.joined > 0 and state.epoch + (state.step > 0) > phase.epochs - phase.joined


def joined(splits: Splits, task: Task) -> Splits:
    """The splits with the validation examples behind those that train, and none to choose with.

    Classes are weighted, and examples drawn, as in training data that had held all of them from the start. States that
    were stored of the training data alone are left behind.
    """
    train, validation = splits.train, splits.validation
    if validation is None:
        return splits
    rows = _rows(train.rows, validation.rows)
    lengths = np.concatenate([train.lengths, validation.lengths])
    answers = [*(train.answers or ()), *(validation.answers or ())]
    both = Examples(rows, lengths, answers)
    if train.table is not None and validation.table is not None:
        table = replace(train.table, rows=_rows(train.table.rows, validation.table.rows), digests=None, extents=None)
        both = replace(both, table=table, weights=task.target.weights(table), shares=task.target.shares(table))
    return replace(splits, train=both, validation=None)


def _rows(one: Rows, other: Rows) -> Rows:
    """The rows of one behind those of the other, in the columns that both have."""
    names = [name for name in one.column_names if name in other.column_names]
    return Rows(pa.concat_tables([one.table.select(names), other.table.select(names)], promote_options="permissive"))
