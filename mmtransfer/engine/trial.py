"""Precision and layout of a run, where its settings leave them open: tried on a few of its own examples, so that what
is fastest here, and agrees with fp32, is chosen before the first step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from mmtransfer.config import RunConfig
from mmtransfer.engine import precision
from mmtransfer.engine.buffers import Buffers
from mmtransfer.engine.graphs import RECORDING, SEEN
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.passes import Passes, refusal
from mmtransfer.strategies import Loop, Phase
from mmtransfer.tasks.base import Batch, Outputs

logger = logging.getLogger("mmtransfer")

SHORT = 60.0
"""Seconds of training below which nothing is tried."""
SHARE = 0.02
"""Of the expected training, what trying may take."""
SLOW = 4.0
"""A choice that is slower by this factor while it warms up is timed no further."""
EXAMPLES = 8
"""Tried at once on a CPU; on a GPU, where a step waits for the host, it is a whole micro-batch."""
FASTER = 1.05
"""A choice must be faster by this factor."""
COSINE, LOSS = 0.995, 0.02
"""How near to fp32: least cosine of any example's features, largest relative difference of the loss. Rounding to 8 bits
in each of 50 layers leaves a cosine of 0.999 and 1 % (MobileNetV2); a kernel that is wrong is far from both."""


@dataclass(frozen=True)
class Choice:
    """How the network computes."""

    dtype: str = "fp32"
    layout: str = "contiguous"

    def __str__(self) -> str:
        return f"{self.dtype} {self.layout}"


@dataclass(frozen=True)
class Outcome:
    """What one choice has given."""

    seconds: float
    """Of the fastest step."""
    cosine: float = 1.0
    """The least of any example, of its features beside those of the first choice."""
    loss: float = 0.0
    """Relative difference to that of the first choice."""

    @property
    def agrees(self) -> bool:
        return self.cosine > COSINE and self.loss < LOSS

    def as_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "cosine": self.cosine, "loss_difference": self.loss}


def choose(config: RunConfig, machine: Machine, model: Model, train: Examples, plan: Sequence[Phase]) -> Machine:
    """Puts the model into the precision and layout of the settings, or where they are `auto` into what is fastest;
    returns the machine that tells so.

    A resumed run keeps what its config.json says. Nothing is tried where no stage of the backbone is trained by steps
    (features and exact heads are computed in fp32), and where trying would take more than 2 % of training or training
    less than a minute. Weights, running statistics and random numbers are afterwards as they were.
    """
    first = Choice(
        "fp32" if config.precision == "auto" else config.precision,
        "contiguous" if config.layout == "auto" else config.layout,
    )
    looped = [phase for phase in plan if isinstance(phase.solver, Loop) and phase.trains.stages]
    others = [] if config.resume or not looped else _open(config, first, machine, model)
    passes = len(train) * sum(phase.epochs for phase in looped)
    least = steps_of(1 + len(others), warming(config, machine, model))
    if others and SHARE * passes < 2 * least:
        logger.info("%s: training on %d examples in all is too short to try anything else", first, passes)
    if not others or SHARE * passes < 2 * least:
        return _settle(machine, model, first)
    # all processes at once, as they will train; the main one chooses
    found = _Trial(config, machine, model, train, looped, passes, least).run(first, others)
    best, tried = broadcast_object_list(list(found))
    return _settle(machine, model, best, {str(choice): outcome.as_dict() for choice, outcome in tried.items()})


def steps_of(choices: int, warm: int, rounds: int = 1) -> float:
    """As many steps' time a trial takes: for each choice the outputs that are compared, a third of a step, those that
    warm it up and those that are timed; and one of the first, by which it is decided whether to try at all."""
    return choices * (1 / 3 + warm + rounds) + 1


def warming(config: RunConfig, machine: Machine, model: Model) -> int:
    """Steps' time before a choice is timed: one, or where passes are recorded those until they are."""
    return 1 if refusal(config, machine, model.backbone) else SEEN + RECORDING


def _settle(machine: Machine, model: Model, choice: Choice, tried: dict[str, Any] | None = None) -> Machine:
    model.precision = choice.dtype
    precision.lay_out(model, choice.layout)
    return replace(machine, precision=choice.dtype, layout=choice.layout, tried=tried or {})


def _open(config: RunConfig, first: Choice, machine: Machine, model: Model) -> list[str]:
    """Which of the two is left open and can be had here."""
    images = any(parameter.ndim == 4 for parameter in model.backbone.parameters())
    wanted = []
    if config.precision == "auto" and precision.half(machine.device):
        wanted.append("dtype")
    if config.layout == "auto" and images:
        wanted.append("layout")
    return wanted


class _Trial:
    """A few examples, and the part of the network that is trained most."""

    def __init__(
        self,
        config: RunConfig,
        machine: Machine,
        model: Model,
        train: Examples,
        looped: Sequence[Phase],
        passes: int,
        least: float,
    ) -> None:
        """`passes`: examples that training takes in; `least`: steps' time of a trial."""
        phase = max(looped, key=lambda phase: (len(phase.trains.stages), phase.epochs))
        self.config, self.machine, self.whole = config, machine, model
        self.examples, self.least = passes, least
        self.half = precision.half(machine.device) or "fp32"
        order = np.argsort(train.lengths, kind="stable")
        middle = int(train.lengths[order[len(order) // 2]])
        size = config.batch_size if machine.device.type != "cpu" else min(EXAMPLES, int(SHARE * passes / least))
        size = min(size, len(train), model.task.input.budget() // middle)
        size = max(2, size)  # one example has no variance, which batch normalisation divides by
        model.backbone.freeze(set(range(len(model.backbone.stages))) - set(phase.trains.stages), phase.trains.part)
        self.trained = model.starting(phase.trains)
        # of middling length
        numbers = order[(len(order) - size) // 2 :][:size].tolist()
        batches: Iterator[Batch] = iter(train.batches(model.task, [numbers], 0, False, config.seed))
        self.batch = next(batches).to(machine.device)
        self.size, self.statistics = size, Buffers(model.buffers())
        self.statistics.keep()

    def run(self, first: Choice, wanted: Sequence[str]) -> tuple[Choice, dict[Choice, Outcome]]:
        """What to take, and what was tried."""
        try:
            with self._as_it_was():
                return self._compared(first, wanted)
        except torch.OutOfMemoryError:  # training cuts its steps where that happens
            logger.warning("%s: nothing else is tried: out of memory with %d examples", first, self.size)
        torch.cuda.empty_cache()
        return first, {}

    def _compared(self, first: Choice, wanted: Sequence[str]) -> tuple[Choice, dict[Choice, Outcome]]:
        self._lay(first)
        outputs = self._outputs()  # before any step moves running statistics
        self._warm_up()
        begun = self._step()
        expected = begun / self.size * self.examples / self.machine.processes
        if expected < SHORT or self.least * begun > SHARE * expected:
            logger.info("%s: training of about %.0f s is too short to try anything else", first, expected)
            return first, {}
        choices, warm = 1 + len(wanted), warming(self.config, self.machine, self.whole)
        rounds = next(n for n in (3, 2, 1) if n == 1 or steps_of(choices, warm, n) * begun <= SHARE * expected)
        best, tried = first, {first: Outcome(self._fastest(rounds))}
        for name in wanted:
            choice = replace(best, dtype=self.half) if name == "dtype" else replace(best, layout="channels-last")
            try:
                tried[choice] = outcome = self._try(choice, outputs, rounds, SLOW * tried[best].seconds)
            except torch.OutOfMemoryError:
                logger.warning("%s is not taken: out of memory with %d examples", choice, self.size)
                continue
            if outcome.agrees and outcome.seconds * FASTER < tried[best].seconds:
                best = choice
        self._tell(best, first, tried)
        return best, tried

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Puts running statistics and random numbers back; weights do not move without an optimiser."""
        device = self.machine.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            try:
                yield
            finally:
                self.statistics.restore()
                self.whole.eval()
                for parameter in self.whole.parameters():  # recorded passes leave them behind
                    parameter.grad = None

    def _try(self, choice: Choice, wanted: Sequence[tuple[Tensor, float]], rounds: int, slow: float) -> Outcome:
        """`wanted`: what the first choice gave; `slow`: seconds of a step from which on it is not timed again. It is
        enough to agree in one way: the loss as scored means nothing with random weights, nor what normalises a batch of
        a few small pictures."""
        self._lay(choice)
        self.statistics.restore()
        pairs = list(zip(self._outputs(), wanted, strict=True))
        seconds = self._warm_up()
        if seconds < slow:
            seconds = self._fastest(rounds)
        cosines = (torch.cosine_similarity(own, features, dim=1).min() for (own, _), (features, _) in pairs)
        losses = (abs(own - loss) / max(abs(loss), 1e-12) for (_, own), (_, loss) in pairs)
        return Outcome(seconds, float(max(cosines)), min(losses))

    def _lay(self, choice: Choice) -> None:
        self.whole.precision = self.trained.precision = choice.dtype
        precision.lay_out(self.whole, choice.layout)
        self.passes = Passes.of(self.config, self.machine, self.trained)

    def _warm_up(self) -> float:
        """The first steps, after which passes are recorded where they are at all; seconds of the fastest."""
        return self._fastest(max(1, self.passes.unrecorded))

    def _fastest(self, rounds: int) -> float:
        return min(self._step() for _ in range(rounds))

    def _step(self) -> float:
        """Seconds of a pass forward and back."""
        device, model = self.machine.device, self.trained.train()
        with torch.no_grad():
            reached = model.reach(self.batch.state, 0, model.start)
        self._wait(device)
        begun = time.perf_counter()
        loss = self._loss(self.passes(reached, self.config.seed))
        with precision.tf32(device):
            loss.backward()
        self._wait(device)
        seconds = time.perf_counter() - begun
        self.passes.clear()
        return seconds

    def _loss(self, outputs: Outputs) -> Tensor:
        assert self.batch.targets is not None  # training data is labelled
        return self.whole.task.target.loss(outputs, self.batch.targets).mean()

    @torch.no_grad()
    def _outputs(self) -> list[tuple[Tensor, float]]:
        """Features of each example, float32 (size, any), and the loss: as scored; and where the network normalises
        batches as it is trained, dropout aside: random weights have no running statistics yet, without which every
        difference grows from layer to layer."""
        moving = [module for module in self.trained.train().modules() if module.training and _normalises(module)]
        self.trained.eval()
        found = [self._seen()]
        if moving:
            for module in moving:
                module.train()
            found.append(self._seen())
        return found

    def _seen(self) -> tuple[Tensor, float]:
        model = self.trained
        reached = model.reach(self.batch.state, 0, model.start)
        features = model.reach(reached, model.start, model.end)["x"]
        return features.flatten(1).float(), float(self._loss(model(reached)))

    @staticmethod
    def _wait(device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def _tell(self, best: Choice, first: Choice, tried: dict[Choice, Outcome]) -> None:
        for choice, outcome in tried.items():
            if choice != first and not outcome.agrees:
                logger.info(
                    "%s is not taken: cosine %.4f, loss off by %.1f %%", choice, outcome.cosine, 100 * outcome.loss
                )
        told = ", ".join(f"{choice} {1000 * outcome.seconds:.0f} ms" for choice, outcome in tried.items())
        logger.info("precision and layout: %s (%d examples: %s)", best, self.size, told)


def _normalises(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
