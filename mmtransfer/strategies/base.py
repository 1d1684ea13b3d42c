"""Strategies by name: a frozen dataclass of options that plans phases."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from mmtransfer import spelling
from mmtransfer.config import check_kind
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.registry import Registry
from mmtransfer.strategies.phase import Phase


class Strategy(Protocol):
    """A frozen dataclass of options that turns (number of stages, rate, epochs) into phases."""

    head_only: ClassVar[bool]
    """Whether nothing but the head is ever trained."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        """`stages`: stages of the backbone, stem included; `lr`: rate of full fine-tuning; `epochs`: all phases'."""


def _admitted(name: str, kind: Any) -> type[Any]:
    if not (isinstance(kind, type) and is_strategy(kind)):
        raise TypeError(NO_STRATEGY)
    spelling.learn(kind, name)
    return kind


NO_STRATEGY = "a strategy is a dataclass with a method plan(stages, lr, epochs) that gives phases"
STRATEGIES: Registry[type[Any]] = Registry("strategy", "--strategy", "mmtransfer.strategies", _admitted)
_OWN: set[str] = set()
"""Names of the strategies of this package."""
RATES = ("alpha", "head_lr", "head_lr_ratio", "lr_ratio")
"""Options that are rates or multiples of them."""
SHARES = ("decay",)
"""Options that are shares of a rate, more than 0 and at most 1."""
S = TypeVar("S")


def is_strategy(kind: type[Any]) -> bool:
    """Whether a class can be one."""
    return dataclasses.is_dataclass(kind) and callable(getattr(kind, "plan", None))


def strategy(name: str) -> Callable[[type[S]], type[S]]:
    """Registers a class under a name; above `@dataclass`."""

    def register(kind: type[S]) -> type[S]:
        STRATEGIES.add(name, kind)
        if kind.__module__.startswith("mmtransfer."):
            _OWN.add(name)
        spelling.learn(kind, name)
        return kind

    return register


def make(name: str, options: Mapping[str, Any]) -> Any:
    """The strategy of this name with these options; raises MMTransferError for an option it does not have."""
    kind = STRATEGIES[name]
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known, spelled(option))
        check_kind(kind, option, options[option], spelled(option), "the strategy's options")
    made = kind(**options)
    for option in known:
        value = getattr(made, option)
        if option in RATES and value is not None and not value > 0:
            what = f"{spelled(option)} must be more than 0, not {options[option]}"
            raise MMTransferError(what, spelled(option), "change the value")
        if option in SHARES and not 0 < value <= 1:
            what = f"{spelled(option)} must be more than 0 and at most 1, not {options[option]}"
            raise MMTransferError(what, spelled(option), "change the value")
    return made


def name_of(strategy: Any) -> str:
    """The registered name of a strategy object; one of a class that is not registered gets its class's name, in small
    letters with dashes. Raises MMTransferError for what is no strategy."""
    kind = type(strategy)
    name = STRATEGIES.name_of(kind)
    if name is not None:
        return name
    own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower()
    if isinstance(strategy, type) or not is_strategy(kind):
        given = strategy.__name__ if isinstance(strategy, type) else f"a {kind.__name__}"
        raise MMTransferError(
            f"{given} is not one: {NO_STRATEGY}",
            "strategy",
            "give an object such as strategies.Partial(n=2), or a name",
        )
    if own in _OWN:
        raise MMTransferError(f"{own} is a strategy of this package", f"strategy {kind.__name__}", "rename the class")
    spelling.learn(kind, own)
    STRATEGIES.replace(own, kind)
    return own


def spelled(option: str) -> str:
    """An option as a flag."""
    return f"--strategy.{option.replace('_', '-')}"


def last_stages(n: int, stages: int) -> tuple[int, ...]:
    """The numbers of the last `n` of so many stages; MMTransferError where there are not so many."""
    if not 0 < n <= stages:
        raise MMTransferError(
            f"The backbone has {stages} stages; {n} of them cannot be trained", "--strategy.n", f"give 1 to {stages}"
        )
    return tuple(range(stages - n, stages))
