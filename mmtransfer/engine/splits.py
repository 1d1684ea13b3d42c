"""The examples of a run, split by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from mmtransfer.cache.decoded import Decoded
from mmtransfer.cache.features import Features
from mmtransfer.engine.loading import Examples
from mmtransfer.tasks import Task


@dataclass(frozen=True)
class Splits:
    """Examples to train on, to choose with and to report on; giving them stored states makes new splits."""

    train: Examples
    validation: Examples | None = None
    """None where nothing is chosen, or folds of the training examples stand in."""
    test: Examples | None = None

    def by_name(self) -> dict[str, Examples]:
        """The splits that hold examples."""
        splits = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: examples for name, examples in splits.items() if examples}

    def without_states(self) -> Splits:
        """The same examples from their inputs on."""
        return replace(self, **{name: replace(split, stored=None) for name, split in self.by_name().items()})

    def with_decoded(self, decoded: Mapping[str, Decoded]) -> Splits:
        """The same examples, read from these where a split has any."""
        splits = self.by_name()
        return replace(self, **{name: replace(splits[name], decoded=found) for name, found in decoded.items()})

    def with_states(self, states: Mapping[str, Features], task: Task) -> Splits:
        """The same examples, from these states on where a split has any."""
        splits = self.by_name()
        return replace(self, **{name: splits[name].with_states(found, task) for name, found in states.items()})
