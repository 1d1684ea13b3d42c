"""Names of configurations: the settings in which they differ, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNTOLD = {"task", "seed", "out", "resume", "overwrite", "based_on", "track", "log_every", "cache_dir"}
UNTOLD |= {"checkpoint_every", "checkpoint_minutes", "keep_checkpoints"}
"""Settings that make no other model."""
MACHINE: tuple[str, ...] = ("precision", "layout", "threads", "workers", "cache", "graphs", "cache_limit")
MACHINE += ("micro_batch_size", "micro_batch_tokens", "micro_batch_seconds")
"""Settings that the machine may have chosen: told only of configurations that nothing else tells apart."""
LONGEST = 48
"""Characters of a name."""
PLAIN = ("strategy", "backbone")
"""Settings whose values are told without their names, the first in a name."""


def labels(configurations: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """A short name for each configuration; `names`: what else they are called, for those that would be called the same,
    or by a whole list of settings.

    >>> one, other = {"strategy": "full", "lr": 0.1, "epochs": 3}, {"strategy": "full", "lr": 0.2, "epochs": 3}
    >>> labels([one, other], ["a", "b"])
    ['lr 0.1', 'lr 0.2']
    """
    flat = [_flat(configuration) for configuration in configurations]
    told = [_differing(own, flat) for own in flat]
    words = [_words({name: value for name, value in own.items() if name not in MACHINE}) for own in told]
    whole = [_words(own) for own in told]
    words = [more if words.count(word) > 1 else word for word, more in zip(words, whole, strict=True)]
    if all(words) and len(set(words)) == len(words) and max(map(len, words)) <= LONGEST:
        return words
    short = [_words({name: value for name, value in own.items() if name in PLAIN}) for own in told]
    return ["  ".join(part for part in (word, name) if part) for word, name in zip(short, names, strict=True)]


def _flat(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, options of the strategy among them."""
    own = {name: value for name, value in configuration.items() if name not in UNTOLD and name != "strategy_options"}
    return own | {f"strategy.{name}": value for name, value in (configuration.get("strategy_options") or {}).items()}


def _differing(own: Mapping[str, Any], all_: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of one in which it differs from another: those of PLAIN from any, the rest from those that are alike
    in these, for what else differs between strategies is mostly theirs."""
    alike = [other for other in all_ if all(own.get(name) == other.get(name) for name in PLAIN)]
    return {
        name: value
        for name, value in own.items()
        if any(other.get(name) != value for other in (all_ if name in PLAIN else alike))
    }


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
