"""The state of a search, and auto.json, which tells all of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmtransfer import documents
from mmtransfer.config import RunConfig, told
from mmtransfer.documents import PROGRAM, Form
from mmtransfer.errors import MMTransferError, damaged
from mmtransfer.rank import named
from mmtransfer.resolution import OTHER_PROBLEM, OTHER_WAY, resolve
from mmtransfer.run import RunFolder
from mmtransfer.search.budget import Budget, spoken
from mmtransfer.search.halving import Plan
from mmtransfer.search.trial import Bench, Trial
from mmtransfer.tasks import Target

logger = logging.getLogger("mmtransfer")
FILE, TRIALS = "auto.json", "trials"
PROBE = "linear-probe"
SCHEMA = 1
NOTE = (
    "The validation score of the chosen trial is the best of several on the same examples, so it is a little too good; "
    "the test data were looked at once, by the chosen model alone."
)
SAVED: Mapping[Any, Form] = {
    "program": str,
    "schema": int,
    "task": str,
    "status": str,
    "settings": {},
    "search": {},
    "seconds": {"budget": float, "spent": float},
    "plan": (
        {"epochs": int, "candidates": int, "shares": [float], "seconds": float, "again": float, "joined?": int},
        None,
    ),
    "metric": {"name": str, "higher_is_better": bool},
    "chosen": ({"trial": int}, None),
    "trials": [
        {
            "number": int,
            "backbone": str,
            "way": str,
            "state": str,
            "why": str,
            "steps": int,
            "best_steps": int,
            "planned_steps": int,
            "seconds": float,
            "training_seconds": float,
            "rungs": [{"loss": float, "reached": (float, None)}],
            "validation": (
                {"value": (float, None), "low": (float, None), "high": (float, None), "n": int, "method": str},
                None,
            ),
        }
    ],
}
"""What a file must have for its search to be gone on with."""


@dataclass
class Facts:
    """What is known of a backbone; seconds are measured."""

    name: str
    parameters: int
    examples: Mapping[str, int]
    """By split, as a training with a validation split has them."""
    examples_per_second: float
    """Of prediction."""
    loading: float
    """Seconds to load it and to read the data."""
    measuring: float = 0.0
    """Seconds for all scores, with intervals, of validation data."""

    started: bool = False
    """Whether the search reckons with the time for its first head."""

    def ending(self) -> float:
        """Seconds that choosing this backbone would take at the end: loading, scoring validation and test, saving."""
        scored = self.examples.get("validation", 0) + self.examples.get("test", 0)
        saving = 0.5 + 4 * self.parameters / 1e8
        return self.loading + scored / max(1e-9, self.examples_per_second) + 2 * self.measuring + saving


@dataclass
class Search:
    """What is searched, and what has been found so far."""

    task: str
    settings: Mapping[str, Any]
    """What the user gave of a run."""
    options: Mapping[str, Any]
    """What the user gave of the search."""
    folder: RunFolder
    budget: Budget
    bench: Bench
    facts: dict[str, Facts] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """By backbone, why it is not among them."""
    trials: list[Trial] = field(default_factory=list)
    earlier: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """Trials of earlier starts, by backbone and way."""
    plan: Plan | None = None
    again: float = 0.0
    """Seconds that are kept for training the winner again on all data."""
    higher_is_better: bool = True
    metric: str = ""
    target: Target | None = None
    """That scores are of, as the last backbone has it."""

    def resolved(self, backbone: str, usual: Mapping[str, Any] | None = None, **chosen: Any) -> RunConfig:
        """The settings of a run on a backbone: `chosen`, then the user's, then `usual`."""
        return resolve(**{**(usual or {}), **self.settings, "task": self.task, **named(backbone), **chosen})

    def probed(self, backbone: str) -> RunConfig:
        """The settings of a probe of a backbone: what only trainings read of the user's is left out."""
        unread = dict.fromkeys((*OTHER_PROBLEM, *OTHER_WAY))
        return self.resolved(backbone, strategy=PROBE, strategy_options={}, **unread)

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder.path / TRIALS / f"{number:03d}"

    def next(self) -> int:
        """The number of a new trial."""
        known = [trial.number for trial in self.trials] + [int(trial["number"]) for trial in self.earlier.values()]
        return max(known, default=-1) + 1

    def order(self, trial: Trial) -> tuple[float, float]:
        """Better trials have less: by validation score, of equal ones by loss."""
        return self._ordered(trial.value, trial.loss)

    def standing(self, trial: Trial) -> tuple[float, float]:
        """Trials that are worth going on with have less: by the score of the weights that would go on."""
        return self._ordered(trial.reached, trial.loss)

    def _ordered(self, value: float | None, loss: float) -> tuple[float, float]:
        if value is None:
            return (float("inf"), loss)
        return (-value if self.higher_is_better else value, loss)

    def best(self) -> Trial | None:
        """The best trial so far."""
        return min((trial for trial in self.trials if trial.counts), key=self.order, default=None)

    def learn(self, trial: Trial) -> None:
        """Reckons with what a trial has taken."""
        self.facts[trial.backbone].measuring = max(self.facts[trial.backbone].measuring, trial.measuring)
        self.keep(self.again)

    def keep(self, again: float) -> None:
        """Keeps time for the end, and for training the winner `again`, in seconds."""
        self.again = again
        self.budget.reserved(max(facts.ending() for facts in self.facts.values()) + again)

    def stopped(self) -> bool:
        """Whether a signal has asked to end the search."""
        return len(self.bench.signals) > 0

    def say(self, what: str) -> None:
        """The line of progress: what is tried, the best so far, the time left."""
        best = self.best()
        found = f"best {self.metric} {best.score:.4f} by {best.title}" if best else "nothing scored yet"
        clock = f"{spoken(self.budget.elapsed)} of {spoken(self.budget.seconds)}"
        logger.info("auto %s | %s | %s | %s left", clock, what, found, spoken(self.budget.left))

    def write(self, status: str, chosen: Mapping[str, Any] | None = None) -> None:
        """Writes auto.json."""
        budget = self.budget
        self.folder.write(
            self.folder.path / FILE,
            {
                "program": PROGRAM,
                "schema": SCHEMA,
                "task": self.task,
                "status": status,
                "note": NOTE,
                "settings": {name: _told(name, value) for name, value in self.settings.items()},
                "search": self.options,
                "seconds": {"budget": budget.seconds, "spent": budget.elapsed, "reserve": budget.reserve},
                "metric": {"name": self.metric, "higher_is_better": self.higher_is_better},
                "backbones": [asdict(facts) for facts in self.facts.values()],
                "missing": self.missing,
                "plan": asdict(self.plan) if self.plan else None,
                "trials": [trial.as_dict() for trial in self.trials],
                "chosen": chosen,
            },
        )


def told_of(folder: RunFolder) -> dict[str, Any]:
    """auto.json of a run folder; raises MMTransferError where there is none, and where it is damaged."""
    path = folder.path / FILE
    if not path.exists():
        raise MMTransferError(f"There is no search to resume: {FILE} is missing", f"--out {folder.path}", "check --out")
    try:
        return documents.read_json(path, SAVED)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def _told(name: str, value: Any) -> Any:
    """A setting as JSON holds it; data of Python are named, not copied."""
    if name in ("train", "validation", "test"):
        return told(value)
    return str(value) if isinstance(value, Path) else value
