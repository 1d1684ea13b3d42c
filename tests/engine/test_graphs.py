"""Passes as recorded launches: here what is recorded is run again, which a CUDA device does by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from mmtransfer.engine import graphs
from mmtransfer.engine.graphs import SEEN, Graphs
from mmtransfer.engine.passes import Passes, refusal
from mmtransfer.engine.shapes import bucket, rounded_shapes
from mmtransfer.errors import MMTransferError
from tests.engine.pieces import start_of


class Again(graphs.Recorder):
    """Runs what it has recorded once more, and copies what comes out to where it was; `faster` than it is by a lie."""

    def __init__(self, faster: float = 10.0) -> None:
        self.faster, self.timed = faster, 0

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def record(self, run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        kept = run()

        def again() -> None:
            with torch.enable_grad():  # which the operation that replays has switched off
                new = run()
            with torch.no_grad():
                for name, value in (new or {}).items():
                    kept[name].copy_(value)

        return kept, again

    def seconds(self, run: Callable[[], Any]) -> tuple[Any, float]:
        self.timed += 1
        return run(), 1.0 if self.timed <= graphs.WARM else 1.0 / self.faster


class Wrong(Again):
    """Replays give something else."""

    def record(self, run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        kept, again = super().record(run)
        return kept, lambda: None if kept is None else again()


@pytest.fixture
def pieces(tmp_path: Path) -> tuple[Any, Any, Any]:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    return training, model.starting(phase.trains).train(), splits


def passes_of(pieces: tuple[Any, Any, Any], recorder: graphs.Recorder | None, forced: bool = False) -> Passes:
    training, model, _ = pieces
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    made = Graphs(model, training.machine, parameters, recorder, forced) if recorder else None
    return Passes(model, model, parameters, made)


def trained(pieces: tuple[Any, Any, Any], passes: Passes, batches: list[list[int]]) -> list[Tensor]:
    """Gradients that lie there after the last batch, each of which is a step of its own."""
    training, model, splits = pieces
    for number, indices in enumerate(batches):
        passes.clear()
        (batch,) = splits.train.batches(model.task, [indices], 0, False, 0)
        training.machine.seed(number)
        model.task.target.loss(passes(batch.state, number), batch.targets).sum().backward()
    return [parameter.grad for parameter in passes.parameters if parameter.grad is not None]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 31, 33, 64, 65, 127, 129, 511, 40_000])
def test_lengths_are_rounded_up_by_a_quarter_at_most(length: int) -> None:
    found = bucket(length)
    assert found >= length and found % 8 == 0 and (found - length < 8 or found <= 1.25 * length)
    assert bucket(found) == found


def test_there_are_few_sizes() -> None:
    assert len({bucket(length) for length in range(1, 513)}) <= 24


def test_positions_are_not_exceeded_and_pixels_stay() -> None:
    lengths = torch.ones(4)
    shapes = {size: rounded_shapes({"x": torch.ones(4, size), "lengths": lengths}, 130) for size in (126, 129)}
    assert shapes == {126: {"x": (4, 128), "lengths": (4,)}, 129: {"x": (4, 130), "lengths": (4,)}}
    pixels = {"x": torch.ones(4, 3, 33, 33), "lengths": lengths}
    assert rounded_shapes(pixels, None)["x"] == (4, 3, 33, 33)


def test_replays_leave_the_gradients_of_the_passes_as_they_are(pieces: Any) -> None:
    same = [[0, 1, 2]] * (SEEN + 3)
    recorded = passes_of(pieces, Again())
    found, expected = trained(pieces, recorded, same), trained(pieces, passes_of(pieces, None), same)
    assert recorded.graphs.figures.shapes == 1 and recorded.graphs.figures.replayed == 3
    assert recorded.graphs.figures.plain == SEEN and not recorded.graphs.figures.why_not
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_gradients_of_several_micro_batches_add_up(pieces: Any) -> None:
    training, model, splits = pieces
    passes, sums = passes_of(pieces, Again()), []
    trained(pieces, passes, [[0, 1]] * (SEEN + 1))
    for way in (passes, passes_of(pieces, None)):
        way.clear()
        for indices in ([0, 1], [1, 2]):
            (batch,) = splits.train.batches(model.task, [indices], 0, False, 0)
            training.machine.seed(5)
            model.task.target.loss(way(batch.state, 5), batch.targets).sum().backward()
        sums.append([parameter.grad.clone() for parameter in way.parameters if parameter.grad is not None])
    for own, other in zip(*sums, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_recording_moves_nothing(pieces: Any) -> None:
    _, model, _ = pieces
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(pieces, passes_of(pieces, Again()), [[0, 1, 2]] * (SEEN + 1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_does_not_agree_is_given_up_aloud(pieces: Any, caplog: pytest.LogCaptureFixture) -> None:
    passes = passes_of(pieces, Wrong())
    trained(pieces, passes, [[0, 1, 2]] * (SEEN + 2))
    assert "differ" in passes.graphs.figures.why_not and "not recorded" in caplog.text
    assert passes.graphs.figures.replayed == 0


def test_what_is_not_faster_is_given_up(pieces: Any) -> None:
    passes = passes_of(pieces, Again(faster=1.0))
    trained(pieces, passes, [[0, 1, 2]] * (SEEN + 2))
    assert "not faster" in passes.graphs.figures.why_not


def test_forced_it_is_an_error(pieces: Any) -> None:
    with pytest.raises(MMTransferError, match="cannot be recorded.*differ"):
        trained(pieces, passes_of(pieces, Wrong(), forced=True), [[0, 1, 2]] * (SEEN + 2))


def test_out_of_memory_while_recording_goes_on_without(pieces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, run: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Again, "record", full)
    passes = passes_of(pieces, Again())
    found = trained(pieces, passes, [[0, 1, 2]] * (SEEN + 2))
    assert passes.graphs.figures.why_not == "no more" and len(found) > 3


def test_why_nothing_is_recorded(tmp_path: Path) -> None:
    training, model, *_ = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    assert "CUDA" in refusal(training.config, training.machine, model.backbone)
    assert refusal(replace(training.config, graphs="off"), training.machine, model.backbone) == "--graphs off"


@pytest.mark.parametrize(
    ("graphs", "processes", "deterministic", "why"),
    [
        ("auto", 1, False, ""),
        ("auto", 2, False, "several processes reduce gradients between their passes"),
        ("auto", 1, True, "--deterministic"),
        ("on", 1, True, ""),
        ("on", 2, False, "several processes reduce gradients between their passes"),
        ("off", 2, True, "--graphs off"),
    ],
)
def test_why_nothing_is_recorded_on_a_gpu(
    pieces: Any, graphs: str, processes: int, deterministic: bool, why: str
) -> None:
    training, model, _ = pieces
    config = replace(training.config, graphs=graphs, deterministic=deterministic)
    assert refusal(config, on_a_gpu(pieces, processes), model.backbone) == why


def on_a_gpu(pieces: Any, processes: int) -> Any:
    """The machine as it would be with so many processes, each with a GPU that is not there."""
    there = SimpleNamespace(device=torch.device("cuda"), num_processes=processes, unwrap_model=lambda module: module)
    return replace(pieces[0].machine, accelerator=there)


def test_what_auto_does_not_record_is_said_and_stands_in_the_entry_of_the_phase(pieces: Any, caplog: Any) -> None:
    training, model, _ = pieces
    caplog.set_level("INFO", "mmtransfer")
    several, entry = on_a_gpu(pieces, 2), dict[str, Any]()
    Passes.of(training.config, several, model).tell(entry)
    assert entry == {"graphs": {"why_not": "several processes reduce gradients between their passes"}}
    assert [line for line in caplog.messages if line.startswith("steps run as they are, not recorded: several")]
    caplog.clear()
    for config, machine, given_up in (
        (training.config, several, "not faster"),
        (replace(training.config, graphs="off"), several, None),
        (training.config, training.machine, None),  # of a CPU nobody expects it
    ):
        entry.clear()
        Passes.of(config, machine, model, given_up).tell(entry)
        assert not entry and not caplog.messages


def test_what_rounding_lengths_adds_is_told(pieces: Any) -> None:
    _, model, splits = pieces
    passes = passes_of(pieces, Again())
    assert passes.graphs.figures.as_dict()["rounding_share"] == 0.0
    trained(pieces, passes, [[0, 1, 2]] * (SEEN + 2))
    (batch,) = splits.train.batches(model.task, [[0, 1, 2]], 0, False)
    length = batch.state["x"].shape[1]
    found = passes.graphs.figures.as_dict()
    assert bucket(length) > length and found["rounding_share"] == pytest.approx(1 - length / bucket(length))
    assert found["replayed"] == 2 and found["why_not"] is None


def test_on_without_a_device_is_refused(pieces: Any) -> None:
    training, model, _ = pieces
    with pytest.raises(MMTransferError, match="only a CUDA device"):
        Passes.of(replace(training.config, graphs="on"), training.machine, model)
