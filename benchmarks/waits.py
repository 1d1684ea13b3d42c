"""How often does a step wait for the GPU, and how much of the time does that compute?

    python -m benchmarks.waits [text] [image] [speech] [--steps 60]     # a GPU: about half a minute a case

Full fine-tuning as `fit` does it by default for long runs, on the data and networks of `benchmarks.speed` (needs
$MMTRANSFER_DATA). After an epoch to warm up, calls that wait for the device are counted, those of log steps apart, and
told by line; then the kernels of as many steps are recorded, and told is the share of the time in which at least one
ran, and of all these steps the share that waited for data. Written is benchmarks/results/waits.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import mmtransfer as mmt
from benchmarks import one_of
from benchmarks.speed.cases import CASES
from mmtransfer.engine import phases
from mmtransfer.engine.loop import train_epoch
from mmtransfer.engine.state import TrainState

PLACE = Path(__file__).parent / "results" / "waits.json"
NAMED = {"text": "bert-base", "image": "resnet50", "speech": "speech"}
"""By what they are called here, cases of `benchmarks.speed`."""
LOGGED = 10
"""Steps from one line of the log to the next."""


class Enough(Exception):
    """All is measured."""


class Watch:
    """Watches the steps of a run from its second epoch on.

    Args:
        steps: whose waits are counted, and as many again whose kernels are recorded.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.waits: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        """By whether the step ends with a line of the log: calls that wait, by line."""
        self.seen = Counter[bool]()
        self.left = 0
        self.profile: Any = None
        self.figures: dict[str, Any] = {}
        self._now: Counter[str] = Counter()
        self._stall: tuple[float, ...] = ()  # seconds waited for data, and of training

    def epoch(self, training: Any, *others: Any) -> None:
        """In the place of `train_epoch`."""
        if not training.state.epochs_done:
            return train_epoch(training, *others)
        self.left = self.left or 2 * self.steps
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = self._note  # type: ignore[assignment]
            torch.cuda.set_sync_debug_mode("warn" if self.left > self.steps else "default")
            try:
                return train_epoch(training, *others)
            finally:
                torch.cuda.set_sync_debug_mode("default")

    def step(self, state: TrainState) -> None:
        """After each step was counted."""
        if not self.left:
            return
        self.left -= 1
        self._stall = self._stall or (state.stalled, state.seconds)
        if self.left >= self.steps:
            # what a step waits for to be logged comes behind this call, so it is counted with the step after it
            logged = (state.steps_done - 1) % LOGGED == 0 or state.step == 1
            self.waits[logged].update(self._now)
            self.seen[logged] += 1
            self._now.clear()
        if self.left == self.steps:
            torch.cuda.set_sync_debug_mode("default")
            self._begin()
        if not self.left:
            self._end()
            stalled, seconds = self._stall
            self.figures["stall_share"] = (state.stalled - stalled) / max(1e-9, state.seconds - seconds)
            raise Enough

    def _note(self, message: Any, category: Any, filename: str, line: int, *others: Any) -> None:
        if "synchroniz" in str(message):
            own = [frame for frame in traceback.extract_stack() if "mmtransfer/" in frame.filename]
            self._now[f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else filename] += 1

    def _begin(self) -> None:
        torch.cuda.synchronize()
        self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
        self.profile.start()
        self.begun = time.perf_counter()

    def _end(self) -> None:
        torch.cuda.synchronize()
        wall = time.perf_counter() - self.begun
        self.profile.stop()
        kernels = [event for event in self.profile.events() if "CUDA" in str(event.device_type)]
        spans = sorted((event.time_range.start, event.time_range.end) for event in kernels)
        busy = reached = 0.0
        for start, end in spans:
            busy += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        self.figures = {"kernels_a_step": len(kernels) / self.steps, "busy_share": busy / 1e6 / wall}
        self.figures["milliseconds_a_step"] = 1000 * wall / self.steps

    def told(self) -> dict[str, Any]:
        """The figures."""
        between, logged = self.waits[False], self.waits[True]
        return {
            "waits_a_step": sum(between.values()) / max(1, self.seen[False]),
            "waits_a_log_step": sum(logged.values()) / max(1, self.seen[True]),
            "lines": dict(between.most_common()),
            "lines_of_log_steps": dict(logged.most_common()),
            **self.figures,
        }


def settings(name: str, folder: Path) -> dict[str, Any]:
    """What `fit` gets in the case of `benchmarks.speed`."""
    contestant: Any = CASES[NAMED[name]](folder, False).contestants["ours"]
    given: Mapping[str, Any] = contestant.args[0]
    return {**given, "log_every": LOGGED, "out": str(folder / "run")}


def measure(name: str, steps: int) -> dict[str, Any]:
    """The figures of a case."""
    watch, advance = Watch(steps), TrainState.advance

    def counted(state: TrainState, *given: Any) -> None:
        advance(state, *given)
        watch.step(state)

    with tempfile.TemporaryDirectory(prefix="waits-", ignore_cleanup_errors=True) as folder:
        patches = (
            mock.patch.object(phases, "train_epoch", watch.epoch),
            mock.patch.object(TrainState, "advance", counted),
        )
        try:
            with patches[0], patches[1]:
                mmt.fit(**settings(name, Path(folder)))
        except Enough:
            pass
    return watch.told()


def main() -> None:
    """Measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=one_of(NAMED), default=list(NAMED), help="all if none is named")
    parser.add_argument("--steps", type=int, default=60)
    said = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU: on a CPU no step waits for a device")
    found = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    for name in said.cases:
        found[name] = {"device": torch.cuda.get_device_name(), **measure(name, said.steps)}
        print(name, json.dumps(found[name], indent=1), flush=True)
        PLACE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
