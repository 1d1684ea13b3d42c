"""Frozen stages computed once: the same losses and answers, and a key for everything that they depend on."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial as partial_of
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import mmtransfer as mmt
from mmtransfer import backbones, files
from mmtransfer.cache import features, key
from mmtransfer.cache.settings import Cache
from mmtransfer.cache.store import INDEX
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.data import digests, sources, stamps
from mmtransfer.data.plan import Plan
from mmtransfer.engine import entries, estimate
from mmtransfer.engine.estimate import Costs
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.processes import accelerator
from mmtransfer.engine.signals import Interrupted
from mmtransfer.engine.states import States
from mmtransfer.engine.stopping import Stopped
from mmtransfer.errors import MMTransferError
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.resolution import resolve
from mmtransfer.strategies import Selection
from mmtransfer.tasks.inputs import image

COMMON = ["--weights", "none", "--epochs", "2", "--batch-size", "12", "--log-every", "1", "--threads", "1"]
LOOP = ["--strategy", "linear-probe", "--strategy.solver", "loop"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caching")
    return folder, {IMAGE: tiny.images(folder), TEXT: tiny.text(folder), SPEECH: tiny.speech(folder)}


@pytest.fixture
def text(places, tmp_path):
    """Flags of a linear probe by the loop, with a cache of its own."""
    return [*places[1][TEXT], *COMMON, *LOOP, "--cache-dir", str(tmp_path / "cache")]


@pytest.fixture(autouse=True)
def heard(caplog):
    logging.getLogger("mmtransfer").propagate = True
    caplog.set_level(logging.INFO, "mmtransfer")


def fit(task: str, flags: list[str], out: Path) -> mmt.Run:
    return mmt.fit(**parse(task, [*flags, "--out", str(out)], {}, "a test"))


def prepared(task: str, flags: list[str]) -> tuple[Prepared, Machine]:
    config = resolve(**parse(task, flags, {}, "a test"))
    machine = Machine.set_up(config, accelerator())
    return prepare(config, machine), machine


def losses(run: mmt.Run) -> list[float]:
    return [json.loads(line)["loss"] for line in run.folder.log.read_text().splitlines()]


def predictions(run: mmt.Run, split: str = "validation") -> list[str]:
    return pyarrow.parquet.read_table(run.folder.predictions(split)).to_pydict()["prediction"]


@pytest.mark.parametrize(
    ("task", "strategy", "cut"),
    [
        (TEXT, LOOP, "features"),
        (TEXT, ["--strategy", "partial", "--strategy.n", "1"], "stage 2"),
        (IMAGE, ["--strategy", "partial", "--augment", "none"], "stage 4"),
        (SPEECH, ["--strategy", "partial", "--strategy.n", "3"], "stage 1"),  # masking is in the first trained stage
        (SPEECH, LOOP, "features"),
    ],
    ids=["text probe", "text", "image", "speech", "speech probe"],
)
def test_cached_and_uncached_runs_are_the_same(places, tmp_path, task, strategy, cut):
    flags = [*places[1][task], *COMMON, *strategy, "--lr", "1e-3", "--cache-dir", str(tmp_path / "cache")]
    plain = fit(task, [*flags, "--cache", "off"], tmp_path / "plain")
    built = fit(task, [*flags, "--cache", "on"], tmp_path / "built")
    found = fit(task, [*flags, "--cache", "on"], tmp_path / "found") if cut == "features" else built
    assert plain.result["cache"]["cut"] is None and built.result["cache"]["cut"] == cut
    assert (built.result["cache"]["hits"], found.result["cache"]["hits"]) == (0, 2 if cut == "features" else 0)
    assert built.result["cache"]["bytes"] == found.result["cache"]["bytes"] > 0
    assert built.result["cache"]["build_seconds"] > 0 and built.result["seconds"]["cache"] > 0
    assert len(losses(plain)) == 8
    for run in (built, found):
        assert losses(run) == pytest.approx(losses(plain), abs=1e-5)
        assert predictions(run) == predictions(plain)
    assert losses(built) == losses(found)


def keyed(backbone, task, table, cut=3, precision="fp32"):
    return key.key(
        key.prefix(backbone, cut),
        task.input.encoding(),
        cut,
        "",
        precision,
        "cpu",
        key.contents(table, Path("/nowhere")),
    )


def test_whatever_the_features_depend_on_is_in_their_key(places, tmp_path):
    def made(**changes):
        given = parse(IMAGE, places[1][IMAGE], {}, "a test") | {"weights": "none"} | changes
        torch.manual_seed(0)
        backbone = backbones.load("resnet18", "none")
        return backbone, mmt.tasks.TASKS[IMAGE].make(resolve(**given), backbone)

    def file(byte: int) -> list[tuple[np.ndarray, str]]:
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[3, 3, 2] = byte
        return [(pixels, "a"), (np.ones((4, 4, 3), np.uint8), "b")]

    table = sources.load(file(0), "image")
    backbone, task = made()
    same = keyed(backbone, task, table)
    assert keyed(*made(), sources.load(file(0), "image")) == same
    assert keyed(backbone, task, sources.load(file(1), "image")) != same
    assert keyed(backbone, task, table.select([1, 0])) != same, "the order of the rows"
    assert keyed(backbone, task, table, cut=2) != same
    assert keyed(backbone, task, table, precision="bf16") != same
    for change in ({"image_size": 33}, {"crop_pct": 0.5}, {"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}):
        assert keyed(backbone, made(**change)[1], table) != same, change
    for name, value in [*backbone.stages[1].named_parameters(), *backbone.stages[1].named_buffers()]:
        with torch.no_grad():
            before = value.clone()
            value.view(-1)[-1] += 1 if value.dtype == torch.int64 else 1e-3
            assert keyed(backbone, task, table) != same, name
            value.copy_(before)
    with torch.no_grad():
        next(backbone.stages[3].parameters()).add_(1)
    assert keyed(backbone, task, table) == same, "a stage behind the cut"
    backbone.__class__ = type("Renamed", (type(backbone),), {"__module__": "another.room"})
    assert keyed(backbone, task, table) == same, "where the code lies"
    backbone.family = "resnet19"
    assert keyed(backbone, task, table) != same


def test_the_tokenizer_and_the_longest_text_are_in_the_key(places):
    flags = places[1][TEXT]
    folder = flags[flags.index("--backbone") + 1]

    def encoding(**changes):
        backbone = backbones.load(folder, "none")
        task = mmt.tasks.TASKS[TEXT].make(resolve(**(parse(TEXT, flags, {}, "a test") | changes)), backbone)
        return task

    one, other = encoding(), encoding(max_length=31)
    assert one.input.encoding() == encoding().input.encoding() != other.input.encoding()
    before = one.input.encoding()
    one.input.tokenizer(["a b c"], truncation=True, max_length=5)
    assert one.input.encoding() == before, "what the last call asked for"
    one.input.tokenizer.add_tokens(["zz"])
    assert one.input.encoding() != before


def test_pooling_is_in_the_key_of_pooled_features_only(places):
    flags = [*places[1][TEXT], *COMMON, *LOOP]

    def named(pooling: str, start: int) -> dict[str, str]:
        made, machine = prepared(TEXT, [*flags, "--pooling", pooling])
        return entries.name_entries({"train": States(made.model, made.splits.train, machine, start, made.cache)})

    assert named("mean", 4) == named("mean", 4) != named("cls", 4)
    assert named("mean", 3) == named("cls", 3)
    assert named("mean", 2) == named("cls", 2)


def test_the_model_of_a_gpu_and_its_arithmetic_are_in_the_key(places, monkeypatch):
    made, machine = prepared(TEXT, [*places[1][TEXT], *COMMON, *LOOP])

    def named(gpu: str, device: str = "cuda") -> dict[str, str]:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: gpu)
        there = replace(machine, accelerator=SimpleNamespace(device=torch.device(device)))
        return entries.name_entries({"train": States(made.model, made.splits.train, there, 4, made.cache)})

    tf32 = named("one")
    assert tf32 == named("one") != named("another")
    assert named("one", "cpu") == named("another", "cpu") and key.device_name(torch.device("cpu")) == "cpu"
    monkeypatch.setattr(entries, "arithmetic", lambda precision, device: precision)
    assert named("one") != tf32


def test_a_changed_file_changes_the_fingerprint_even_with_its_old_time(tmp_path):
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.new("RGB", (8, 8), label == "a" and (255, 0, 0) or (0, 0, 9)).save(tmp_path / "data" / label / "1.bmp")
    file = tmp_path / "data" / "a" / "1.bmp"

    def settle():  # a file changed within the last seconds is not remembered
        for path in (tmp_path / "data").rglob("*.bmp"):
            os.utime(path, (1, 1))

    settle()
    first = key.contents(sources.load(str(tmp_path / "data"), "image"), tmp_path)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    settle()
    assert key.contents(sources.load(str(tmp_path / "data"), "image"), tmp_path) != first


def test_fingerprints_are_remembered(tmp_path, monkeypatch):
    from PIL import Image

    (tmp_path / "data" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "a" / "1.png")
    monkeypatch.setattr(stamps, "SETTLED_SECONDS", -1.0)
    table, again = (sources.load(str(tmp_path / "data"), "image") for _ in range(2))
    first = key.contents(table, tmp_path)
    assert first == table.inputs
    monkeypatch.setattr(digests, "read_contents", None)  # nothing is read again
    assert key.contents(again, tmp_path) == first


def test_times_of_segments_are_told_apart_where_their_ids_round(tmp_path, monkeypatch):
    import soundfile

    monkeypatch.setattr(stamps, "SETTLED_SECONDS", -1.0)
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000, np.float32), 16_000)
    found = set()
    for stop in ("0.5", "0.501"):
        (tmp_path / "metadata.csv").write_text(f"file_name,start,end,text\nlong.wav,0,{stop},one\n")
        table = sources.load(str(tmp_path), "audio")
        assert table.ids == ["long.wav#0.00-0.50"]
        found |= {key.contents(table, tmp_path)}
    assert len(found) == 2


def test_pictures_pass_in_small_batches_with_the_same_bytes_on_any_number_of_cores(places, tmp_path, monkeypatch):
    before, entries = torch.get_num_threads(), []
    monkeypatch.setattr(image, "PIXELS", 5 * 32 * 32)
    sizes, real = set(), Model.reach

    def reach(self, state, start, stop):
        if start == 0:
            sizes.add(len(state["x"]))
        return real(self, state, start, stop)

    monkeypatch.setattr(Model, "reach", reach)
    try:
        for threads in ("1", "3"):
            flags = [*places[1][IMAGE], *COMMON, *LOOP, "--augment", "none", "--threads", threads, "--cache", "on"]
            run = fit(IMAGE, [*flags, "--cache-dir", str(tmp_path / threads)], tmp_path / f"run-{threads}")
            assert torch.get_num_threads() == int(threads)
            assert max(sizes) == 5
            sizes.clear()
            shards = sorted((tmp_path / threads).rglob("*.safetensors"))
            entries.append({path.relative_to(tmp_path / threads): path.read_bytes() for path in shards})
            assert run.result["cache"]["cut"] == "features"
    finally:
        torch.set_num_threads(before)
    assert entries[0] and entries[0] == entries[1]


@pytest.mark.parametrize(
    ("task", "strategy", "words"),
    [
        (TEXT, ["--strategy", "full"], "phase full: the first stage trains"),
        (IMAGE, ["--strategy", "partial"], "phase partial: random augmentation"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(places, tmp_path, task, strategy, words):
    flags = [*places[1][task], *COMMON, *strategy, "--cache", "on"]
    with pytest.raises(MMTransferError, match=f"Nothing can be cached: {words}"):
        fit(task, flags, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_augmentation_before_the_cut_is_not_cached_and_said(places, tmp_path, caplog):
    flags = [*places[1][IMAGE], *COMMON, "--epochs", "1", "--strategy", "partial", "--cache-dir", str(tmp_path / "c")]
    run = fit(IMAGE, flags, tmp_path / "run")
    assert run.result["cache"]["cut"] is None
    assert any("not cached: random augmentation" in line for line in run.result["warnings"])


def test_a_folder_that_cannot_be_written_costs_only_time(places, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    flags = [*places[1][TEXT], *COMMON, *LOOP, "--cache-dir", str(tmp_path / "file")]
    for mode in ("on", "auto"):
        run = fit(TEXT, [*flags, "--cache", mode], tmp_path / mode)
        assert run.result["status"] == "finished" and run.result["cache"]["cut"] is None
        assert sum("not cached" in line for line in run.result["warnings"]) >= 1


def test_what_does_not_fit_is_not_cached(text, tmp_path):
    run = fit(TEXT, [*text, "--cache", "on", "--cache-limit", "1e-7"], tmp_path / "run")
    assert run.result["cache"]["cut"] is None
    assert any("--cache-limit" in line for line in run.result["warnings"])
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize("strategy", [LOOP, ["--strategy", "linear-probe"]], ids=["loop", "exact"])
@pytest.mark.parametrize("place", ["first shard", "a later shard", "index"])
def test_a_disk_that_fills_up_while_the_cache_is_built_costs_only_time(text, tmp_path, monkeypatch, strategy, place):
    flags = [*(word for word in text if word not in LOOP), *strategy]
    plain = fit(TEXT, [*flags, "--cache", "off"], tmp_path / "plain")
    replacing, named = files.replacing, {"first shard": "00000", "a later shard": "00001", "index": INDEX}[place]

    @contextmanager
    def full(path, shared=False):
        with replacing(path, shared) as temporary:
            yield temporary
            if "cache" in path.parts and path.name.startswith(named):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files, "replacing", full)
    monkeypatch.setattr(features, "shards", partial_of(features.shards, target=1))
    run = fit(TEXT, [*flags, "--cache", "on", "--keep-checkpoints"], tmp_path / "run")
    assert any(
        "features are not cached: " in line and "No space left on device; what was" in line
        for line in run.result["warnings"]
    )
    assert run.result["status"] == "finished" and predictions(run) == predictions(plain)
    if strategy == LOOP:
        assert losses(run) == losses(plain) and run.result["cache"]["cut"] is None
        state = json.loads(next(run.folder.checkpoints.glob("step-*/state.json")).read_text())
        assert state["cached"] == [False], "a resumed run is computed in the same way"
    assert not [path for path in (tmp_path / "cache" / "features").rglob("*") if path.is_file()], "room is made"


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_entry_is_thrown_away_aloud_and_built_again(text, tmp_path, damage):
    first = fit(TEXT, [*text, "--cache", "on"], tmp_path / "first")
    for entry in (tmp_path / "cache" / "features").iterdir():
        shard = entry / "00000.safetensors"
        if damage == "cut":
            shard.write_bytes(shard.read_bytes()[:-1])
            continue
        # whole, with the right digests, but of another model
        with safe_open(shard, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in ("x", "rows")}
        tensors["x"] = tensors["x"] * 1.01
        save_file(tensors, shard)
        digest = features._digest(shard)
        index = json.loads((entry / INDEX).read_text())
        (entry / INDEX).write_text(json.dumps(index | {"shards": {shard.name: digest}}))
    again = fit(TEXT, [*text, "--cache", "on"], tmp_path / "again")
    reason = "not what was written" if damage == "cut" else "rows computed again are not what it holds"
    assert sum(reason in line for line in again.result["warnings"]) == 2
    assert again.result["cache"]["hits"] == 0 and losses(again) == losses(first)
    assert fit(TEXT, [*text, "--cache", "on"], tmp_path / "third").result["cache"]["hits"] == 2


def test_a_run_that_is_stopped_while_it_builds_goes_on(text, tmp_path, monkeypatch):
    whole = fit(TEXT, [*text, "--cache", "on"], tmp_path / "whole")
    own = [*text[:-1], str(tmp_path / "other"), "--cache", "on"]
    run, calls = States.run, []

    def stopping(*given):
        for step in run(*given):
            yield step
            calls.append(step)
            if len(calls) == 1:
                raise Stopped(True)

    monkeypatch.setattr(States, "run", stopping)
    with pytest.raises(Interrupted, match="--resume"):
        fit(TEXT, own, tmp_path / "stopped")
    assert json.loads((tmp_path / "stopped" / "result.json").read_text())["status"] == "stopped"
    assert losses(fit(TEXT, [*own, "--resume"], tmp_path / "stopped")) == losses(whole)


def test_costs_add_up_and_can_say_no():
    units = {"train": 100.0, "validation": 10.0, "test": 10.0}
    costs = Costs(load=0.1, prefix=0.9, write=0.05, read=0.01)
    cached, plain = costs.totals(units, set(units), epochs=10)
    assert cached == pytest.approx(120 * 1.05 + (1000 + 120) * 0.01)
    assert plain == pytest.approx((1000 + 120) * 1.0)
    assert costs.totals(units, set(), 10)[0] == pytest.approx(cached - 120 * 1.05)
    slow = Costs(load=0.1, prefix=0.1, write=0.5, read=0.3)
    assert slow.totals(units, set(units), 10)[0] > slow.totals(units, set(units), 10)[1]


@pytest.mark.parametrize(("read", "cut"), [(0.0, "features"), (1e6, None)], ids=["yes", "no"])
def test_auto_takes_what_is_expected_to_be_faster(text, tmp_path, monkeypatch, caplog, read, cut):
    costs = Costs(load=1.0, prefix=1.0, write=1.0, read=read)
    monkeypatch.setattr(estimate, "measure", lambda *given: costs)
    run = fit(TEXT, [*text, "--cache", "auto"], tmp_path / "run")
    assert run.result["cache"]["cut"] == cut
    expected = run.result["cache"]["expected"]
    assert (expected["cached"] < expected["uncached"]) == (cut is not None)
    assert f"{expected['cached']:.1f} s expected" in caplog.text


@pytest.fixture
def partial(places):
    """The training examples of a run whose last stage trains, behind the others, and their plan."""
    flags = [*places[1][IMAGE], *COMMON, "--strategy", "partial", "--augment", "none"]
    made, machine = prepared(IMAGE, flags)
    made.model.backbone.freeze(range(4))
    model = made.model.starting(Selection((4,))).train()
    plan = Plan(made.splits.train.lengths, int(made.config.batch_size), model.task.input.budget(), made.config.seed)
    return States(model, made.splits.train, machine, model.start, made.cache), plan


def test_measuring_leaves_no_trace(partial, tmp_path):
    train, plan = partial
    model = train.model
    before, drawn = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    costs = estimate.measure(train, plan, tmp_path / "cache")
    assert min(costs.load, costs.prefix, costs.write, costs.read) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not list((tmp_path / "cache").iterdir())


def test_a_whole_micro_batch_is_timed_after_a_part_of_it(partial, tmp_path, monkeypatch):
    train, plan = partial
    passed, stored, reach, storing = [], [], train.model.reach, estimate._storing
    monkeypatch.setattr(
        train.model, "reach", lambda state, *stages: passed.append(len(state["x"])) or reach(state, *stages)
    )
    monkeypatch.setattr(
        estimate, "_storing", lambda cut, state, folder: stored.append(len(state["x"])) or storing(cut, state, folder)
    )
    estimate.measure(train, plan, tmp_path / "cache")
    assert passed == [1, 4] and stored == [4]  # the budget cuts a step into fours; an eighth of it, rounded up


def test_a_micro_batch_that_memory_does_not_hold_is_timed_in_parts(partial, tmp_path, monkeypatch):
    train, plan = partial
    passed, stored, most, reach, storing = [], [], [2], train.model.reach, estimate._storing

    def limited(state, *stages):
        if len(state["x"]) > most[0]:
            raise torch.OutOfMemoryError("no more")
        passed.append(len(state["x"]))
        return reach(state, *stages)

    monkeypatch.setattr(train.model, "reach", limited)
    monkeypatch.setattr(
        estimate, "_storing", lambda cut, state, folder: stored.append(len(state["x"])) or storing(cut, state, folder)
    )
    estimate.measure(train, plan, tmp_path / "cache")
    assert passed == [1, 2, 2] and stored == [4]
    most[0] = 0
    with pytest.raises(MMTransferError, match="Out of memory on a single example"):
        estimate.measure(train, plan, tmp_path / "cache")


def test_the_default_cache_is_off():
    assert Cache().mode == "off"


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["loop", "exact"])
def test_two_processes_share_one_build(places, tmp_path, solver):
    flags = [*places[1][TEXT], "--weights", "none", "--threads", "1", "--cache", "on", "--seed", "1"]
    flags += ["--strategy", "linear-probe", "--strategy.solver", solver, "--log-every", "1"]
    flags += ["--test", flags[flags.index("--train") + 1]]
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command += ["-m", "mmtransfer", "fit", TEXT, *flags, "--cache-dir", f"{out}-cache", "--out", str(out)]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(mmt.load(out))
    assert predictions(found[0], "test") == predictions(found[1], "test")
    assert found[0].metrics["validation"]["accuracy"] == found[1].metrics["validation"]["accuracy"]
    assert found[1].result["cache"]["cut"] == "features"
