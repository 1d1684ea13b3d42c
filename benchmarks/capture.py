"""Which way to launch a step's passes at once is fastest over a whole run, its start included?

    python -m benchmarks.capture [WAY ...] [--epochs 3]     # about a minute a way; no WAY: all that the device can do

Ways: the passes as they are, without or with lengths rounded to a few; compiled by `torch.compile` for each of these
lengths; and on a GPU those of mmtransfer.engine.graphs, `torch.cuda.make_graphed_callables`, `torch.compile` with its
backend `cudagraphs` and in its mode `reduce-overhead`. Each trains on BANKING77, in batches of 32 by length, in a
process of its own, over the same batches: on a GPU the shape of BERT-base in bf16, on a CPU MiniLM on 1,600 sentences.
Told are the seconds of each epoch and the loss of the last one. `mask` and `no mask` time the passes of one batch of
32 x 128 tokens (16 on a CPU) without padding, with its mask and without. Written is
benchmarks/results/capture-DEVICE.json. Needs $MMTRANSFER_DATA.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks import one_of
from benchmarks.speed.__main__ import device
from benchmarks.speed.cases import CASES
from mmtransfer.backbones.staged import State
from mmtransfer.backbones.text import TextBackbone
from mmtransfer.data.plan import Plan
from mmtransfer.engine import optim, processes
from mmtransfer.engine.graphs import Graphs, Recorder
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.passes import Passes
from mmtransfer.engine.precision import has_bf16
from mmtransfer.engine.shapes import larger
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.resolution import resolve
from mmtransfer.tasks.base import Outputs

RESULTS = Path(__file__).parent / "results"
Run = Callable[[State], Outputs]


class Shell(nn.Module):
    """The model as a module from tensors to a tensor; one for each shape, over the same parameters."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs: Outputs = self.model({"x": x, "lengths": lengths})
        return outputs["logits"]


def by_shape(make: Callable[[nn.Module, State], Any], model: nn.Module) -> Run:
    """Calls what `make` made for the shape of a state."""
    made: dict[Any, Any] = {}

    def run(state: State) -> Outputs:
        shape = tuple(state["x"].shape)
        if shape not in made:
            made[shape] = make(model, state)
        # cloned: what comes next overwrites it
        return {"logits": made[shape](state["x"], state["lengths"]).clone()}

    return run


def graphed(model: nn.Module, state: State) -> Any:
    return torch.cuda.make_graphed_callables(
        Shell(model), (state["x"].clone(), state["lengths"].clone()), allow_unused_input=True
    )


def compiled(**options: Any) -> Callable[[nn.Module], Run]:
    def way(model: nn.Module) -> Run:
        torch._dynamo.config.recompile_limit = 64  # of each function; a shape is one
        shell: Any = torch.compile(Shell(model), dynamic=False, **options)

        def run(state: State) -> Outputs:
            if options:  # recordings, of which the last one's outputs are no longer needed
                torch.compiler.cudagraph_mark_step_begin()
            return {"logits": shell(state["x"], state["lengths"]).clone()}

        return run

    return way


WAYS: Mapping[str, Callable[[nn.Module], Run] | None] = {
    "as they are": lambda model: model,
    "as they are, lengths rounded": lambda model: model,
    "compiled": compiled(),
    "ours": None,
    "make_graphed_callables": lambda model: by_shape(graphed, model),
    "backend cudagraphs": compiled(backend="cudagraphs"),
    "mode reduce-overhead": compiled(mode="reduce-overhead"),
}
ANYWHERE = ("as they are", "as they are, lengths rounded", "compiled")
"""Ways that need no GPU."""
MASKS = ("mask", "no mask")


def prepared_case(folder: Path) -> tuple[Any, Machine, Prepared]:
    """Model and data of `benchmarks.speed bert-base`, on a CPU of an epoch of `benchmarks.speed text`; in bf16 where
    the device has it."""
    gpu = torch.cuda.is_available()
    contestant: Any = (CASES["bert-base"](folder, False) if gpu else CASES["text"](folder, True)).contestants["ours"]
    precision = "bf16" if gpu or has_bf16() else "fp32"
    config = resolve(**{**contestant.args[0], "precision": precision, "cache": "off"})
    machine = Machine.set_up(config, processes.accelerator())
    prepared = prepare(config, machine)
    prepared.model.backbone.freeze([])
    return config, machine, prepared


def train(name: str, epochs: int) -> dict[str, Any]:
    """Seconds of each epoch, in a way."""
    with tempfile.TemporaryDirectory() as folder:
        config, machine, prepared = prepared_case(Path(folder))
        phase, train = prepared.plan[0], prepared.splits.train
        model = prepared.model.starting(phase.trains).to(machine.device).train()
        model.precision = config.precision
        rated = [*zip(model.backbone.stages, phase.rates.stages, strict=True), (model.head, phase.rates.head)]
        optimizer = optim.optimizer(optim.groups(rated, config.weight_decay), config)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        graphs = Graphs(model, machine, parameters, Recorder(machine.device), forced=True) if name == "ours" else None
        passes, way = Passes(model, model, parameters, graphs), WAYS[name]
        run = way(model) if way else None
        plan, seconds = Plan(train.lengths, config.batch_size, 10**9, config.seed), []
        for number in range(epochs):
            begun, epoch = time.perf_counter(), plan.epoch(number)
            total = torch.zeros((), device=machine.device)
            asked = epoch.batches(0, 0, 1)
            for step, batch in enumerate(train.batches(model.task, asked, 0, True, config.seed, number)):
                batch = batch.to(machine.device)
                machine.seed(step)
                state = batch.state if name == "as they are" else larger(batch.state, model.backbone.positions)
                outputs = run(state) if run else passes(batch.state, step)
                assert batch.targets is not None
                loss = model.task.target.loss(outputs, batch.targets).mean()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, config.clip)
                optim.set_rate(
                    optimizer, number * len(epoch) + step, epochs * len(epoch), config.schedule, config.warmup
                )
                optimizer.step()
                passes.clear() if graphs else optimizer.zero_grad(set_to_none=True)
                total += loss.detach()
                del outputs, loss  # and what autograd has noted of them, which recording must not meet
            mean = float(total) / len(epoch)
            seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() if machine.device.type == "cuda" else None
    told = {"seconds": seconds, "steps": len(epoch), "loss": mean, "precision": config.precision, "peak_bytes": peak}
    return {name: value for name, value in told.items() if value is not None}


def masked(name: str, rounds: int = 10) -> dict[str, Any]:
    """Milliseconds of the passes of a batch that is not padded; on a GPU recorded, so that it computes without a
    pause."""

    def context(self: TextBackbone, state: State, start: int) -> dict[str, Any]:
        return {"mask": None}

    with tempfile.TemporaryDirectory() as folder:
        config, machine, prepared = prepared_case(Path(folder))
        model = prepared.model.starting(prepared.plan[0].trains).to(machine.device).train()
        model.precision = config.precision
        length = 128 if machine.device.type == "cuda" else 16
        tokens = torch.randint(100, 20_000, (32, length), device=machine.device)
        state = {"x": tokens, "lengths": torch.full((32,), length, device=machine.device)}
        without = mock.patch.object(TextBackbone, "context", context)
        with without if name == "no mask" else mock.patch.object(TextBackbone, "unpatched", None, create=True):
            shell = graphed(model, state) if machine.device.type == "cuda" else Shell(model)
            return {"milliseconds": statistics.median(timed(shell, state, rounds))}


def timed(run: Callable[..., Tensor], state: State, rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        begun = time.perf_counter()
        run(state["x"], state["lengths"]).sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        yield 1000 * (time.perf_counter() - begun)


def measure(name: str, epochs: int) -> dict[str, Any]:
    """The figures of a way; what made it fail is one."""
    begun = time.perf_counter()
    try:
        found = masked(name) if name in MASKS else train(name, epochs)
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {str(error)[:500]}"}
    return {**found, "whole": time.perf_counter() - begun, "device": device()}


def main() -> None:
    """Measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*(WAYS if torch.cuda.is_available() else ANYWHERE), *MASKS]
    parser.add_argument("ways", nargs="*", type=one_of(known), default=known)
    parser.add_argument("--epochs", type=int, default=3)
    said = parser.parse_args()
    place = RESULTS / f"capture-{device()}.json"
    found = json.loads(place.read_text()) if place.exists() else {}
    for name in said.ways:
        with get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, said.epochs))
        print(name, json.dumps(found[name]), flush=True)
        place.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
