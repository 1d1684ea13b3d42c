"""A micro-batch's passes forward and back as two launches: CUDA graphs, one pair for each shape.

At the batch sizes of fine-tuning a GPU waits for the host, which launches a thousand small kernels a step. Recorded
once, they are launched together. The loss stays between the two graphs, so that any loss may be used, CTC's with its
lengths on the host among them. Dropout stays a pure function of the seed: a replay reads seed and offset of the
generator, which is seeded before each micro-batch as it is without graphs.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmtransfer.backbones.staged import State
from mmtransfer.engine.buffers import Buffers
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.precision import tf32
from mmtransfer.engine.shapes import larger, rounded_shapes
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Outputs

logger = logging.getLogger("mmtransfer")
T = TypeVar("T")

SEEN = 3
"""Micro-batches of a shape that run as they are before it is recorded."""
MOST = 64
"""Shapes that are recorded; the rest run as they are."""
WARM = 3
"""Passes before a recording, as libraries choose their kernels in the first ones."""
RECORDING = 5 * WARM
"""Passes that recording the first shape takes, about, with the comparison."""
FASTER = 1.05
"""A replay must be faster by this factor than the passes as they are, or recording is given up."""
AGREE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 2e-2, "bf16": 5e-2}
"""Largest norm of the difference of outputs, and of gradients, over their norm."""


@dataclass
class Figures:
    """What result.json says of the recorded passes."""

    shapes: int = 0
    """Recorded."""
    replayed: int = 0
    """Micro-batches that were replays."""
    plain: int = 0
    """Micro-batches that ran as they are."""
    positions: int = 0
    """Of the inputs of replays, without what rounding lengths added."""
    computed: int = 0
    """With it."""
    seconds: float = 0.0
    """Spent recording."""
    why_not: str = ""
    """What ended the recording, empty if nothing did."""

    def as_dict(self) -> dict[str, Any]:
        padding = 1.0 - self.positions / self.computed if self.computed else 0.0
        counts = {"shapes": self.shapes, "replayed": self.replayed, "plain": self.plain}
        return {**counts, "rounding_share": padding, "seconds": self.seconds, "why_not": self.why_not or None}


class Recorder:
    """Records what is launched on a CUDA device; all recordings share their memory, for one is replayed at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Runs what is done before a recording on a stream of its own, as CUDA wants it."""
        stream, current = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:  # what follows an error, putting things back, would not wait by itself either
            current.wait_stream(stream)
            torch.cuda.synchronize(self.device)

    def record(self, run: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What `run` returns, and what launches the same again, into the same tensors."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        try:
            # of this thread alone: the one that pins batches may take memory meanwhile, which "global" forbids
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                result = run()
        finally:  # a recording that failed leaves its own stream in force
            torch.cuda.set_stream(current)
        return result, graph.replay

    def seconds(self, run: Callable[[], T]) -> tuple[T, float]:
        """What `run` returns, and how long it and what it has launched take."""
        torch.cuda.synchronize(self.device)
        begun = time.perf_counter()
        result = run()
        torch.cuda.synchronize(self.device)
        return result, time.perf_counter() - begun


@dataclass(frozen=True)
class _Recorded:
    """The two passes of a shape, and the tensors that they read and write."""

    inputs: State
    outputs: Outputs
    gradients: list[Tensor]
    """Of the outputs that have one."""
    forward: Callable[[], None]
    backward: Callable[[], None]

    def load(self, state: State) -> None:
        """Puts a micro-batch in; what is shorter than its place is followed by zeros."""
        for name, place in self.inputs.items():
            value = state[name]
            if value.shape == place.shape:
                place.copy_(value, non_blocking=True)
                continue
            place[:, value.shape[1] :].zero_()
            place[:, : value.shape[1]].copy_(value, non_blocking=True)


class _Replay(torch.autograd.Function):
    """A recorded pass as one operation; its backward adds to the gradients of the parameters by itself."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, recorded: _Recorded) -> tuple[Tensor, ...]:
        recorded.forward()
        ctx.recorded = recorded
        return tuple(output.detach() for output in _differentiable(recorded.outputs))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        for place, gradient in zip(ctx.recorded.gradients, gradients, strict=True):
            place.copy_(gradient)
        ctx.recorded.backward()
        return None, None


@dataclass
class Graphs:
    """The passes of a phase's micro-batches; call it with what the trained stages read.

    Where recording cannot be, does not agree, or is not faster, all runs as it is, aloud; with `forced` that is an
    MMTransferError.
    """

    model: Model
    machine: Machine
    parameters: Sequence[Tensor]
    """Those that train."""
    recorder: Recorder
    forced: bool = False
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.seen: Counter[Any] = Counter()
        self.recorded: dict[Any, _Recorded] = {}
        self.anchor = torch.zeros((), device=self.machine.device, requires_grad=True)

    @property
    def open(self) -> bool:
        """Whether more may still be recorded."""
        return not self.figures.why_not

    def __call__(self, reached: State, seed: int) -> Outputs:
        """The outputs of a micro-batch, attached to the gradients; `seed` is that of its dropout, and set already."""
        shapes = rounded_shapes(reached, self.model.backbone.positions)
        key = tuple((name, shapes[name], value.dtype) for name, value in sorted(reached.items()))
        self.seen[key] += 1
        if self.open and key not in self.recorded and self.seen[key] > SEEN and len(self.recorded) < MOST:
            self._record(key, reached, seed)
        recorded = self.recorded.get(key)
        if recorded is None:
            self.figures.plain += 1
            return self.model(self._rounded(reached) if self.open else reached)
        self.figures.replayed += 1
        if "lengths" in reached:
            self.figures.positions += reached["x"].shape[:2].numel()
            self.figures.computed += recorded.inputs["x"].shape[:2].numel()
        recorded.load(reached)
        return self._outputs(recorded)

    def _rounded(self, reached: State) -> State:
        """The same micro-batch as large as a recorded one: what is not recorded yet drops out the same units."""
        return larger(reached, self.model.backbone.positions)

    def _outputs(self, recorded: _Recorded) -> Outputs:
        differentiable = iter(_Replay.apply(self.anchor, recorded))
        return {
            name: next(differentiable) if value.is_floating_point() else value
            for name, value in recorded.outputs.items()
        }

    def _record(self, key: Any, reached: State, seed: int) -> None:
        """Records a shape; the first one is compared with the pass as it is."""
        begun = time.monotonic()
        try:
            with self._as_it_was(seed):
                recorded = self._record_passes(reached)
                if not self.recorded:
                    self._check(recorded, reached, seed)
        except (RuntimeError, _NotTaken) as error:  # out of memory among them: without graphs it may suffice
            self._give_up(str(error).splitlines()[0] if str(error) else type(error).__name__)
        else:
            self.recorded[key] = recorded
            self.figures.shapes += 1
        self.figures.seconds += time.monotonic() - begun

    @contextmanager
    def _as_it_was(self, seed: int) -> Iterator[None]:
        """Puts gradients, running statistics and the generator back."""
        moving = Buffers(self.model.buffers())
        moving.keep()
        gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        try:
            yield
        finally:
            moving.restore()
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if parameter.grad is not None:
                    parameter.grad.zero_() if gradient is None else parameter.grad.copy_(gradient)
            self.machine.seed(seed)

    def _record_passes(self, reached: State) -> _Recorded:
        inputs = self._rounded(reached)
        with self.recorder.aside():
            for _ in range(WARM):
                attached = _differentiable(self.model(inputs))
                used = self._gradients(attached, [torch.zeros_like(output) for output in attached])
        places = []
        for parameter, gradient in zip(self.parameters, used, strict=True):
            if gradient is not None:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                places.append(parameter.grad)
        del used, gradient
        attached = []  # what autograd has noted of these passes belongs to another stream than that of the recording

        def forward() -> Outputs:
            nonlocal attached
            outputs = self.model(inputs)
            attached = _differentiable(outputs)
            return {name: value.detach() for name, value in outputs.items()}

        def backward() -> None:
            new = self._gradients(attached, gradients)
            torch._foreach_add_(places, [gradient for gradient in new if gradient is not None])

        outputs, launch_forward = self.recorder.record(forward)
        gradients = [torch.zeros_like(output) for output in _differentiable(outputs)]
        _, launch_backward = self.recorder.record(backward)
        return _Recorded(inputs, outputs, gradients, launch_forward, launch_backward)

    def _gradients(self, outputs: list[Tensor], gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
        with tf32(self.machine.device):
            return torch.autograd.grad(outputs, list(self.parameters), gradients, allow_unused=True)

    def _check(self, recorded: _Recorded, reached: State, seed: int) -> None:
        """Raises _NotTaken where a replay does not give what the pass as it is gives, or is not faster than one
        of the lengths as they are."""

        def plain(state: State) -> tuple[list[Tensor], list[Tensor]]:
            outputs = _differentiable(self.model(state))
            found = self._gradients(outputs, [torch.ones_like(output) for output in outputs])
            return outputs, [gradient for gradient in found if gradient is not None]

        def replayed() -> tuple[list[Tensor], list[Tensor]]:
            for gradient in own:
                gradient.zero_()
            outputs = _differentiable(self._outputs(recorded))
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
            return outputs, own

        own = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        exact, dtype = Buffers(self.model.buffers()), "tf32" if self.model.precision == "fp32" else self.model.precision
        exact.keep()

        def fastest(passes: Callable[[], tuple[list[Tensor], list[Tensor]]]) -> tuple[list[list[Tensor]], float]:
            taken = []
            for _ in range(WARM):
                exact.restore()
                self.machine.seed(seed)
                found, seconds = self.recorder.seconds(passes)
                taken.append(seconds)
            return [[tensor.detach().clone() for tensor in tensors] for tensors in found], min(taken)

        _, as_it_is = fastest(partial(plain, reached))
        (own_outputs, own_gradients), seconds = fastest(replayed)
        (outputs, gradients), _ = fastest(partial(plain, recorded.inputs))
        distance = max(apart(own_outputs, outputs), apart(own_gradients, gradients))
        if not distance <= AGREE[dtype]:
            raise _NotTaken(f"recorded passes differ from those as they are by {distance:.1e}")
        if seconds * FASTER > as_it_is and not self.forced:
            raise _NotTaken(f"{1000 * seconds:.1f} ms recorded are not faster than {1000 * as_it_is:.1f} ms")
        logger.info("recorded passes take %.1f ms, as they are %.1f ms", 1000 * seconds, 1000 * as_it_is)

    def drop(self, why: str) -> None:
        """Forgets what is recorded; from here on all runs as it is, unless there is no reason why."""
        self.recorded.clear()
        self.seen.clear()
        self.figures.why_not = why

    def _give_up(self, why: str) -> None:
        self.drop(why)
        if self.forced:
            raise MMTransferError(
                f"The steps cannot be recorded: {why}", "--graphs on", "give --graphs auto, which goes on without"
            )
        logger.warning("steps run as they are, not recorded: %s", why)


class _NotTaken(Exception):
    """Recording works, but is not to be used."""


def _differentiable(outputs: Outputs) -> list[Tensor]:
    return [value for value in outputs.values() if value.is_floating_point()]


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Norm of the difference over the norm, of all tensors together."""
    difference = torch.stack([(a.double() - b.double()).square().sum() for a, b in zip(found, expected, strict=True)])
    size = torch.stack([value.double().square().sum() for value in expected])
    return float((difference.sum() / size.sum().clamp(min=1e-30)).sqrt())
