"""Files decoded once: the same evaluation, crops drawn from a smaller picture, the same samples; what can go wrong."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import mmtransfer as mmt
from mmtransfer.cache import features
from mmtransfer.cache.features import Features
from mmtransfer.cli.flags import parse
from mmtransfer.config import AUDIO, IMAGE
from mmtransfer.data import images
from mmtransfer.engine import decoding, phases
from mmtransfer.engine.decoding import Costs, prepare_decoded
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.processes import accelerator
from mmtransfer.engine.signals import Interrupted
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.training import Training
from mmtransfer.preparation import prepare
from mmtransfer.resolution import resolve
from mmtransfer.tasks import Task

COMMON = ["--strategy", "full", "--epochs", "2", "--batch-size", "4", "--threads", "1"]
COMMON += ["--workers", "0", "--precision", "fp32", "--layout", "contiguous", "--log-every", "1", "--lr", "1e-3"]


@pytest.fixture(autouse=True)
def heard(caplog):
    logging.getLogger("mmtransfer").propagate = True
    caplog.set_level(logging.INFO, "mmtransfer")


@pytest.fixture(autouse=True)
def pays(monkeypatch):
    """Decoding once saves enough, however little it saves."""
    monkeypatch.setattr(decoding, "SAVED", float("-inf"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[str]:
    """Flags of 16 JPEGs of 120 x 90 pixels, twice what the network sees."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    data = folder / "jpeg"
    for number in range(16):
        place = data / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        rough = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((120, 90), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=95)
    return ["--train", str(data), "--backbone", "builtin", "--image-size", "32", *COMMON]


def start(task: str, flags: list[str], place: Path) -> tuple[Training, Task, Splits]:
    """A run up to its first phase."""
    config = resolve(**parse(task, flags, {}, "a test"))
    machine = Machine.as_it_is(config, accelerator())
    prepared = prepare(config, machine)
    training = Training(config, machine, place, TrainState(), prepared.cache)
    task = prepared.model.task
    return training, task, prepare_decoded(training, task, prepared.splits, prepared.plan[0])


@pytest.fixture
def started(pictures, tmp_path):
    """Starts a run on the pictures, with light augmentation, as often as it is called."""
    flags = [*pictures, "--augment", "light", "--cache-dir", str(tmp_path / "cache")]
    return lambda *more: start(IMAGE, [*flags, *more], tmp_path)


def fit(task: str, flags: list[str], out: Path) -> mmt.Run:
    return mmt.fit(**parse(task, [*flags, "--out", str(out)], {}, "a test"))


def losses(run: mmt.Run) -> list[float]:
    return [json.loads(line)["loss"] for line in run.folder.log.read_text().splitlines()]


def entries(run: mmt.Run) -> dict:
    return run.result["cache"]["decoded"]


def test_without_augmentation_nothing_changes_but_that_files_are_read_once(pictures, tmp_path, monkeypatch):
    flags = [*pictures, "--augment", "none", "--cache-dir", str(tmp_path / "cache")]
    plain = fit(IMAGE, [*flags, "--cache", "off"], tmp_path / "plain")
    monkeypatch.setattr(decoding, "measure", lambda one: Costs(1.0, 1.0, 0.0, 3100.0))
    opened = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda image: opened.append(image["path"]) or decode(image))
    built = fit(IMAGE, flags, tmp_path / "built")
    assert len(opened) == len(set(opened)) == 16
    assert losses(plain) == losses(built) and plain.metrics == built.metrics
    assert entries(plain) == {} and [one["hit"] for one in entries(built).values()] == [False, False]


def test_random_crops_are_drawn_from_smaller_pictures(started):
    training, task, found = started()
    kept = found.train.decoded[0]
    assert kept.shape == (37, 49, 3) and kept.dtype == torch.uint8  # 1.15 times 32
    assert found.validation.decoded[0].shape == (3, 32, 32)
    row, picture = found.train.rows[0], Image.fromarray(kept.numpy())
    whole = images.decode(row["image"]).resize(picture.size, Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(whole).astype(int) - kept.numpy()).mean() < 5
    drawn, expected = task.encode(row, 5, kept).x, task.input.transform(picture, 5)
    assert int((drawn.int() - expected.int()).abs().max()) <= 1  # a tensor is resized like a picture
    (batch,) = found.train.batches(task, [[0]], 0, False, 7, 0)
    (seen,) = found.train.batches(task, [[0]], 0, False)
    assert not torch.equal(batch.state["x"][0], seen.state["x"][0]), "what evaluation sees is in the file"
    assert torch.equal(seen.state["x"][0], task.encode(found.train.rows[0], None).x)


def test_a_stopped_run_goes_on_with_what_it_did(pictures, tmp_path, monkeypatch):
    flags = [*pictures, "--augment", "light", "--cache-dir", str(tmp_path / "cache")]
    whole = fit(IMAGE, flags, tmp_path / "whole")
    validate = phases._validate

    def interrupted(training, *others):
        validate(training, *others)
        training.stop.signals.append(15)

    monkeypatch.setattr(phases, "_validate", interrupted)
    with pytest.raises(Interrupted):
        fit(IMAGE, flags, tmp_path / "stopped")
    monkeypatch.setattr(phases, "_validate", validate)
    monkeypatch.setattr(decoding, "SAVED", float("inf"))  # measured again, it would not pay
    shutil.rmtree(tmp_path / "cache")
    resumed = fit(IMAGE, ["--resume"], tmp_path / "stopped")
    assert losses(resumed) == losses(whole) and entries(resumed).keys() == {"train", "validation"}


@pytest.mark.parametrize("augment", ["none", "light"])
def test_recordings_are_the_same_samples(tmp_path, augment):
    flags = [*tiny.sounds(tmp_path), "--weights", "none", *COMMON, "--augment", augment]
    training, task, found = start(AUDIO, [*flags, "--cache-dir", str(tmp_path / "cache")], tmp_path)
    for examples in (found.train, found.validation):
        for seed in (None, 3):
            files = replace(examples, decoded=None).batches(task, [[1, 0, 2]], 0, False, seed, 1)
            (one,), (other,) = files, examples.batches(task, [[1, 0, 2]], 0, False, seed, 1)
            assert torch.equal(one.state["x"], other.state["x"])
    assert training.cache.figures.decoded["train"]["bytes"] > 0


def test_an_entry_is_found_again_and_a_damaged_one_built_anew(started, caplog):
    first, *_ = started()
    again, *_ = started()
    assert [one["hit"] for one in first.cache.figures.decoded.values()] == [False, False]
    assert [one["hit"] for one in again.cache.figures.decoded.values()] == [True, True]
    for shard in first.cache.store.features.rglob("*.safetensors"):
        data = bytearray(shard.read_bytes())
        data[-1] ^= 1
        shard.write_bytes(bytes(data))
    anew, *_ = started()
    assert caplog.text.count("is not what was written") == 2
    assert [one["hit"] for one in anew.cache.figures.decoded.values()] == [False, False]
    (listed, _) = anew.cache.store.listing()
    assert (listed["state"], listed["cut"], listed["split"]) == ("ready", "decoded", "train")


def test_an_entry_of_other_pixels_is_thrown_away(started, caplog, monkeypatch):
    started()
    row = Features.row

    def brighter(self, index):
        found = row(self, index).clone()
        found[-1] += 1
        return found

    monkeypatch.setattr(Features, "row", brighter)
    started()
    assert "examples decoded again are not what it holds" in caplog.text


def test_a_full_disk_while_it_is_built_ends_nothing_and_what_was_built_makes_room(started, caplog, monkeypatch):
    write = features._write

    def full(path, tensors):
        if any(path.parent.glob("*.safetensors")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, tensors)

    monkeypatch.setattr(features, "_write", full)
    monkeypatch.setattr(features, "shards", partial(features.shards, target=1))
    training, _, found = started()
    assert "files are decoded in every epoch" in caplog.text and "No space left" in caplog.text
    assert found.train.decoded is None and not training.cache.figures.decoded
    assert training.cache.store.bytes() == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--cache-limit", "1e-6"], "more than --cache-limit"), (["--cache", "off"], ""), (["--epochs", "1"], "")],
)
def test_nothing_is_kept_where_it_may_not_be_or_is_read_once(started, caplog, flags, said):
    training, _, found = started(*flags)
    assert found.train.decoded is None and found.validation.decoded is None and said in caplog.text
    assert training.cache.store.bytes() == 0


@pytest.mark.parametrize(("epochs", "pays"), [(1, False), (5, True)])
def test_the_rule_weighs_what_is_saved_against_what_it_costs(epochs, pays, monkeypatch, caplog):
    monkeypatch.setattr(decoding, "SAVED", 10.0)

    class One:
        examples, key = range(1000), "a"

        class training:  # noqa: N801
            class machine:  # noqa: N801
                class workers:  # noqa: N801
                    count = 0

            class cache:  # noqa: N801
                class store:  # noqa: N801
                    has = staticmethod(lambda key: False)

    monkeypatch.setattr("mmtransfer.launcher.own_cores", lambda: 1)
    assert decoding._pays({"train": Costs(0.01, 0.008, 0.001, 1000.0)}, {"train": One}, epochs) == pays
    assert f"{10 * epochs:.1f} s expected if they are decoded in each of {epochs} epochs" in caplog.text
