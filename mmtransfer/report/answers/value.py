"""A number an example."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmtransfer.report.answers.base import Answers


class ValueAnswers(Answers):
    """The worst is the one farthest from the truth; none is wholly right."""

    kind = "value"
    worse_by: ClassVar[str] = "distance from the truth"
    unsure: ClassVar[str] = "A number comes without a confidence, so there is none to believe."

    @cached_property
    def right(self) -> np.ndarray:
        return np.zeros(len(self), bool)

    @cached_property
    def errors(self) -> np.ndarray:
        """float64 (n,): answer minus truth."""
        return np.array(self.answers, np.float64) - np.array(self.truths, np.float64)

    @cached_property
    def badness(self) -> np.ndarray:
        return np.abs(self.errors)

    def spoken(self, answer: Any) -> str:
        return f"{answer:.5g}"
