"""Signatures with every setting of a run, for `help()`, completion and scikit-learn."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from mmtransfer.config import FIELDS, RunConfig, default_of


def parameters(names: Iterable[str], defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Keyword-only parameters of these settings, with the types that they have; `defaults`: over those of `RunConfig`.

    >>> print(*parameters(["seed", "epochs"], {"epochs": 3}))
    seed: int = 0 epochs: int = 3
    """
    hints = typing.get_type_hints(RunConfig)
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name, default_of(name)),
            annotation=hints[name],
        )
        for name in names
    ]


def of_settings() -> inspect.Signature:
    """The signature `(config=None, *, SETTING=DEFAULT, ...)`, in which None leaves the choice to task and strategy."""
    config = inspect.Parameter(
        "config", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=RunConfig | None
    )
    return inspect.Signature([config, *parameters(FIELDS, {"task": RunConfig.task, "strategy_options": None})])
