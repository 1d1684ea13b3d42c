"""Names of configurations: the settings in which they differ, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNTOLD = {"task", "seed", "out", "resume", "overwrite", "based_on", "track", "log_every", "cache_dir"}
UNTOLD |= {"checkpoint_every", "checkpoint_minutes", "keep_checkpoints"}
"""Settings that make no other model."""
MACHINE = ("precision", "layout", "threads", "workers", "cache", "graphs", "cache_limit")
MACHINE += ("micro_batch_size", "micro_batch_tokens", "micro_batch_seconds")
"""Settings that the machine may have chosen: told only of configurations that nothing else tells apart."""
PLAIN = ("strategy", "backbone")
"""Settings whose values are told without their names, the first in a name."""


def labels(configurations: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """A short name for each configuration; `names`: what else they are called, for those that would be called the same.

    >>> one, other = {"strategy": "full", "lr": 0.1, "epochs": 3}, {"strategy": "full", "lr": 0.2, "epochs": 3}
    >>> labels([one, other], ["a", "b"])
    ['lr 0.1', 'lr 0.2']
    """
    flat = [_flat(configuration) for configuration in configurations]
    told = [_differing(own, flat) for own in flat]
    words = [_words({name: value for name, value in own.items() if name not in MACHINE}) for own in told]
    more = [_words(own) for own in told]
    words = [whole if words.count(word) > 1 else word for word, whole in zip(words, more, strict=True)]
    return [name if not word or words.count(word) > 1 else word for word, name in zip(words, names, strict=True)]


def _flat(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, options of the strategy among them."""
    own = {name: value for name, value in configuration.items() if name not in UNTOLD and name != "strategy_options"}
    return own | {f"strategy.{name}": value for name, value in (configuration.get("strategy_options") or {}).items()}


def _differing(own: Mapping[str, Any], all_: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of one in which it differs from another; options only from one of the same strategy."""
    found = {}
    for name, value in own.items():
        others = [other for other in all_ if not name.startswith("strategy.") or _same_strategy(own, other)]
        if any(other.get(name) != value for other in others):
            found[name] = value
    return found


def _same_strategy(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return own.get("strategy") == other.get("strategy")


def _words(settings: Mapping[str, Any]) -> str:
    first = [str(settings[name]).rstrip("/").rsplit("/", 1)[-1] for name in PLAIN if name in settings]
    rest = [
        f"{name.removeprefix('strategy.')} {_spoken(value)}" for name, value in settings.items() if name not in PLAIN
    ]
    return "  ".join([*first, *rest])


def _spoken(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
