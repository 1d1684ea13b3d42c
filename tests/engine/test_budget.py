"""Memory that is too small: what is chosen before the first step, what is cut later, and what is said in the end."""

from __future__ import annotations

import json
import logging
import mmap
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import mmtransfer as mmt
from mmtransfer.cache.settings import Cache
from mmtransfer.cache.store import Store
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.data.plan import Plan
from mmtransfer.engine import budget, exact, memory, phases, shortage
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.features import features
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.processes import accelerator
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.resolution import complete, resolve

SAID = (
    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23.65 GiB of which 512.00 MiB is "
    "free. Including non-PyTorch memory, this process has 23.10 GiB memory in use."
)
Limit = Callable[[int], None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Has every pass of a network over more than so many examples times positions run out of memory."""
    reach = Model.reach

    def limited(most: int) -> None:
        def reached(self: Model, state: Any, start: int, stop: int) -> Any:
            x = state["x"]
            if x.shape[0] * (x.shape[1] if "lengths" in state else 1) > most:
                raise torch.OutOfMemoryError(SAID)
            return reach(self, state, start, stop)

        monkeypatch.setattr(Model, "reach", reached)

    return limited


class Tape:
    """A device whose memory is taken by a line in the examples of the last pass; without gradient by next to none."""

    def __init__(self, work: type[budget.Work], monkeypatch: pytest.MonkeyPatch, each: float, constant: int, free: int):
        self.each, self.constant, self.bytes, self.count = each, constant, free, 0.0
        run = work.run

        def noted(own: budget.Work, count: int, first: int = 0) -> None:
            self.count = count if own.looped else count / 1e6
            run(own, count, first)

        monkeypatch.setattr(work, "run", noted)

    def free(self) -> int:
        return self.bytes

    def start(self) -> None:
        self.count = 0.0

    def taken(self) -> int:
        return int(1000 + self.constant + self.each * self.count)

    def held(self) -> int:
        return 1000


def prepared(task: str, folder: Any, **settings: Any) -> tuple[Prepared, Machine]:
    """A run as it is before the first step, whose budget is left to the device."""
    given = parse(task, tiny.MAKERS[task](folder), {}, "a test") | tiny.QUICK | {"strategy": "full"} | settings
    config = resolve(**{name: value for name, value in given.items() if not name.startswith("micro_batch")})
    machine = Machine.as_it_is(config, accelerator())
    made = prepare(config, machine)
    own = made.model.task.input
    own.config = replace(own.config, **{own.budgeted: None})
    return made, machine


def choose(made: Prepared, machine: Machine, device: Any) -> int:
    budget.choose(machine, made.model, made.splits.train, made.plan, device)
    return made.model.task.input.budget()


@pytest.mark.parametrize("task", [TEXT, SPEECH])
def test_the_budget_is_what_a_line_through_two_passes_leaves_room_for(task, tmp_path, monkeypatch):
    made, machine = prepared(task, tmp_path)
    longest = int(made.splits.train.lengths.max())
    trained = sum(p.numel() * p.element_size() for p in made.model.parameters())
    room = 20_500  # for 20 of the longest examples
    device = Tape(budget.Work, monkeypatch, 1000.0, 700, free=int((2 * trained + 700 + room) / budget.SHARE) + 1)
    assert choose(made, machine, device) == 20 * longest
    config = made.model.task.config
    assert round(getattr(config, made.model.task.input.budgeted) / (made.model.task.input.unit or 1)) == 20 * longest


def test_where_passes_may_be_recorded_a_micro_batch_takes_less(tmp_path, monkeypatch):
    made, machine = prepared(TEXT, tmp_path)
    longest, trained = int(made.splits.train.lengths.max()), 4 * sum(p.numel() for p in made.model.parameters())
    free = int((2 * trained + 20_500) / budget.RECORDED) + 1
    monkeypatch.setattr(budget.passes, "refusal", lambda *_: "")
    assert choose(made, machine, Tape(budget.Work, monkeypatch, 1000.0, 0, free)) == 20 * longest


def test_a_probe_is_measured_by_its_passes_of_which_each_is_as_large_as_four_micro_batches(tmp_path, monkeypatch):
    made, machine = prepared(TEXT, tmp_path, strategy="linear-probe")
    longest = int(made.splits.train.lengths.max())
    device = Tape(budget.Work, monkeypatch, 1e9, 0, free=int(4 * 1000 * 20.5 / budget.SHARE) + 1)
    assert choose(made, machine, device) == 20 * longest
    assert not any(parameter.grad is not None for parameter in made.model.parameters())


def test_where_memory_is_plenty_the_budget_is_the_most_that_is_worth_having(tmp_path, monkeypatch):
    made, machine = prepared(TEXT, tmp_path)
    assert choose(made, machine, Tape(budget.Work, monkeypatch, 1.0, 0, free=10**15)) == 65_536


def test_nothing_is_left_behind_by_measuring(tmp_path, monkeypatch):
    made, machine = prepared(IMAGE, tmp_path)
    assert budget.normalising(made.model, made.plan)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    random = torch.random.get_rng_state()
    choose(made, machine, Tape(budget.Work, monkeypatch, 1.0, 0, free=10**15))
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in made.model.parameters())


def test_a_step_with_batch_normalisation_is_cut_only_where_nearly_all_memory_is_too_little(tmp_path, monkeypatch):
    made, machine = prepared(IMAGE, tmp_path)
    states = 2 * sum(p.numel() * p.element_size() for p in made.model.parameters())
    size = made.config.batch_size
    roomy = Tape(budget.Work, monkeypatch, 1e6, 0, free=int((states + 1e6 * size) / 0.85))
    assert choose(made, machine, roomy) == size
    tight = Tape(budget.Work, monkeypatch, 1e6, 0, free=int((states + 1e6 * size) / 0.95))
    assert 1 < choose(made, machine, tight) < size


def test_two_of_the_longest_examples_are_enough_where_eight_are_too_many(tmp_path, monkeypatch, limit):
    made, machine = prepared(TEXT, tmp_path)
    longest = int(made.splits.train.lengths.max())
    limit(3 * longest)
    assert choose(made, machine, Tape(budget.Work, monkeypatch, 1.0, 0, free=10**15)) == 2 * longest


def test_an_example_that_is_too_much_is_refused_before_the_first_step_with_what_would_fit(tmp_path, monkeypatch, limit):
    made, machine = prepared(TEXT, tmp_path)
    lengths = np.unique(made.splits.train.lengths)
    limit(int(lengths[-3]))
    with pytest.raises(MMTransferError) as caught:
        choose(made, machine, Tape(budget.Work, monkeypatch, 1.0, 0, free=10**15))
    assert "1.50 GiB were asked for and 0.50 GiB of 23.65 GiB are free, so 1.00 GiB are missing" in caught.value.what
    assert caught.value.where == f"training on an example as large as --max-length {lengths[-1]} allows"
    assert caught.value.do.startswith(f"--max-length {lengths[-3]} would fit, train less of the network (--strategy pa")
    assert caught.value.do.endswith("or compute in --precision bf16")


@pytest.mark.parametrize(("task", "smaller"), [(IMAGE, "--image-size 22"), (SPEECH, "--max-seconds ")])
def test_where_nothing_was_tried_half_is_proposed(task, smaller, tmp_path):
    own = prepared(task, tmp_path)[0].model.task.input
    error = shortage.refusal(torch.OutOfMemoryError("no"), own, 16000, "bf16", training=False)
    assert error.do.startswith(f"give smaller inputs ({smaller}") and "bf16" not in error.do
    assert error.what.endswith(": no")


@pytest.fixture
def whole(tmp_path: Any) -> Iterator[tuple[Prepared, Machine]]:
    made, machine = prepared(TEXT, tmp_path)
    made.model.task.input.allow(400)
    made.model.backbone.freeze(range(len(made.model.backbone.stages)))
    yield made, machine


def test_what_evaluation_finds_does_not_depend_on_memory(whole, limit, caplog):
    made, machine = whole
    validation, longest = made.splits.validation, int(made.splits.validation.lengths.max())
    expected = evaluate(made.model, validation, machine)
    limit(2 * longest)
    logging.getLogger("mmtransfer").propagate = True
    found = evaluate(made.model, validation, machine)
    assert found["id"] == expected["id"] and found["prediction"] == expected["prediction"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    told = len(caplog.records)
    assert told and machine.parts.most <= 2 * longest
    evaluate(made.model, validation, machine)
    assert len(caplog.records) == told, "what has been learnt is not tried again"
    limit(longest - 1)
    with pytest.raises(MMTransferError, match="single example") as caught:
        evaluate(made.model, validation, machine)
    assert f"--max-length {longest}" in caught.value.where and "--strategy" not in caught.value.do


@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize("cut", [2, None])
def test_features_do_not_depend_on_memory(whole, limit, tmp_path, mode, cut):
    made, machine = whole
    train, model = made.splits.train, made.model
    longest, everyone = int(train.lengths.max()), list(range(len(train)))
    caches = [Cache(mode, Store(tmp_path / name)) for name in ("one", "other")]
    expected = features(model, train, machine, cut or model.end, caches[0]).state(everyone)
    limit(2 * longest)
    found = features(model, train, machine, cut or model.end, caches[1]).state(everyone)
    assert machine.parts.most <= 2 * longest and list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def fit(folder: Any, out: str, **settings: Any) -> mmt.Run:
    flags = parse(TEXT, tiny.text(folder / f"for-{out}"), {}, "a test") | tiny.QUICK | {"strategy": "full"}
    flags |= {"micro_batch_tokens": 2000, "out": str(folder / out), "keep_checkpoints": True}
    return mmt.fit(**(flags | {"precision": "fp32"} | settings))


def test_a_step_that_runs_out_of_memory_is_cut_and_the_budget_is_in_the_checkpoint(tmp_path, limit):
    fit(tmp_path, "whole")
    limit(100)
    run = fit(tmp_path, "cut")
    (state,) = run.folder.checkpoints.glob("step-*/state.json")
    assert json.loads(state.read_text())["budget"] <= 125  # 2000, 1000, 500, 250, 125
    assert any("Out of memory: micro-batches" in line for line in run.result["warnings"])
    assert json.loads(run.folder.config.read_text())["micro_batch_tokens"] == 2000


def test_a_resumed_run_cuts_its_steps_as_before(tmp_path, limit, monkeypatch):
    settings = parse(TEXT, tiny.text(tmp_path), {}, "a test") | tiny.QUICK | {"strategy": "full", "epochs": 2}
    settings |= {"micro_batch_tokens": 2000, "precision": "fp32", "keep_checkpoints": True}
    limit(100)
    whole = mmt.fit(**settings, out=str(tmp_path / "whole"))
    validate = phases._validate

    def stop(*given: Any) -> bool:
        is_best = validate(*given)
        signal.raise_signal(signal.SIGTERM)
        return is_best

    with monkeypatch.context() as patch:
        patch.setattr(phases, "_validate", stop)
        with pytest.raises(Interrupted):
            mmt.fit(**settings, out=str(tmp_path / "stopped"))
    limit(10**9)  # nothing makes it cut them again
    run = mmt.fit(**settings, resume=True, out=str(tmp_path / "stopped"))
    states = [json.loads(path.read_text()) for path in run.folder.checkpoints.glob("step-*/state.json")]
    assert states and all(state["budget"] <= 125 for state in states)
    own = whole.model.state_dict()  # cut in another way, a step would drop out other units
    assert all(torch.equal(value, own[name]) for name, value in run.model.state_dict().items())


def test_training_on_one_example_that_is_too_much_says_what_would_fit(tmp_path, limit):
    limit(12)
    with pytest.raises(MMTransferError, match="single example") as caught:
        fit(tmp_path, "never")
    assert "--max-length 12 would fit" in caught.value.do and "--strategy partial" in caught.value.do


def test_batch_normalisation_that_sees_less_than_a_step_is_told(tmp_path):
    flags = parse(IMAGE, tiny.MAKERS[IMAGE](tmp_path), {}, "a test") | tiny.QUICK | {"strategy": "full"}
    run = mmt.fit(**flags | {"micro_batch_size": 8, "out": str(tmp_path / "run")})
    assert "BatchNorm sees micro-batches of 8 examples, not the step's 24" in run.result["warnings"]


def test_on_a_gpu_micro_batches_that_nobody_chose_are_left_to_its_memory(monkeypatch):
    text, image = ({"task": task, "train": "x.csv", "backbone": "y"} for task in (TEXT, IMAGE))
    assert complete(text).micro_batch_tokens == 4096 and complete(image).micro_batch_size == 32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert complete(text).micro_batch_tokens is None and complete(image).micro_batch_size is None
    assert complete({**text, "micro_batch_tokens": 512}).micro_batch_tokens == 512
    assert complete({"task": SPEECH, "train": "x"}).micro_batch_seconds is None


def test_a_head_is_found_on_the_cpu_where_a_device_is_too_small(caplog):
    logging.getLogger("mmtransfer").propagate = True
    tried = []

    def solve(device: torch.device) -> str:
        tried.append(device.type)
        if device.type == "meta":
            raise torch.OutOfMemoryError(SAID)
        return "found"

    assert shortage.else_on_the_cpu(torch.device("meta"), solve) == "found" and tried == ["meta", "cpu"]
    assert "the head is found on the CPU (1.50 GiB were asked for" in caplog.text


def test_the_exact_solver_falls_back_and_finds_the_same_head(tmp_path, monkeypatch):
    settings = {"strategy": "linear-probe", "strategy_options": {}}
    one = fit(tmp_path, "one", **settings)
    solve, calls = exact.solve, []

    def failing(*words: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError(SAID)
        return solve(*words, **named)

    monkeypatch.setattr(exact, "solve", failing)
    other = fit(tmp_path, "other", **settings)
    assert len(calls) == 2 and one.metrics == other.metrics


@pytest.mark.skipif(not memory.REFERENCES.exists(), reason="the system does not forget a peak")
def test_each_fit_has_a_peak_of_its_own():
    memory.reset()
    before = memory.peak_bytes()
    with mmap.mmap(-1, 2**27) as block:  # which closing gives back, as freeing need not
        for _ in range(2**7):
            block.write(bytes(2**20))
    assert memory.peak_bytes() >= before + 2**26
    memory.reset()
    assert memory.peak_bytes() < before + 2**26


def test_the_step_of_a_phase_knows_its_longest_example_only_where_it_cannot_be_cut():
    lengths = np.array([3, 9, 5, 7], np.int32)
    assert phases._longest_if_alone(Plan(lengths, 4, 9, 0).epoch(0), 0) == 9
    assert phases._longest_if_alone(Plan(lengths, 4, 12, 0).epoch(0), 0) is None


def test_how_much_of_the_computation_is_padding_is_told(caplog):
    caplog.set_level("INFO", "mmtransfer")
    phases._say_padding(Plan(np.array([2, 6] * 10, np.int32), 2, 100, 0))
    planned, random = map(int, re.findall(r"(\d+) %", caplog.text))
    assert caplog.messages[0].startswith("padding: 0 % of the computation") and planned == 0
    assert 0 < random <= 33  # 4 of the 12 in a batch of both lengths
    caplog.clear()
    phases._say_padding(Plan(np.full(20, 6, np.int32), 2, 100, 0))
    assert not caplog.messages


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_the_budget_is_what_is_free_there(tmp_path):
    def tokens(out: str) -> int:
        run = fit(tmp_path, out, micro_batch_tokens=None)
        assert run.result["status"] == "finished" and run.result["memory"]["device_peak_bytes"] > 0
        return int(json.loads(run.folder.config.read_text())["micro_batch_tokens"])

    assert tokens("plenty") == 65_536
    taken = torch.empty(torch.cuda.mem_get_info()[0] - 2**28, dtype=torch.uint8, device="cuda")
    assert tokens("little") < 65_536 and len(taken)
