"""Features: the backbone's own, in the order of the ids, from a name or a run, as files that others read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import nn

import mmtransfer as mmt
from mmtransfer.backbones.contract import features
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.data import audio, digests, mapped, sources, stamps
from mmtransfer.data.kinds import image
from mmtransfer.data.reading import TABLES
from mmtransfer.embedding import Features, features_of
from mmtransfer.engine.entries import CHECKED
from mmtransfer.engine.model import Model
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks import TASKS

MAKERS = {IMAGE: tiny.images, TEXT: tiny.text, SPEECH: tiny.speech}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    made = {}
    for task, make in MAKERS.items():
        given = parse(task, [*make(folder), "--weights", "none", "--epochs", "1"], {}, "a test")
        run = mmt.fit(**given, threads=1, strategy="linear-probe", out=folder / task)
        made[task] = (run, given["validation"])
    return made


@pytest.mark.parametrize("task", MAKERS)
def test_features_are_the_backbones_of_each_example_alone(runs, task):
    run, data = runs[task]
    found = run.embed(data)
    assert found.ids == [prediction.id for prediction in run.predict(data)] and len(found.ids) == 12
    assert found.values.dtype == np.float32 and found.values.shape == (12, run.model.backbone.width)
    table = run._table(data, labelled=False, option="a test")
    rows, lengths = run.model.task.input.rows(table)
    backbone = run.model.backbone.eval()
    for number in (0, int(lengths.argmin())):
        one = run.model.task.encode(rows[number], None)
        state = {"x": one.x[None]} | ({"lengths": torch.tensor([one.length])} if one.length else {})
        with torch.no_grad():
            expected = features(backbone, backbone.run(run.model.task.input.on_device(state)))[0]
        expected = expected.mean(0) if task == SPEECH else expected
        assert found.values[number] == pytest.approx(expected.numpy(), abs=1e-5 * float(expected.abs().max()))


@pytest.fixture
def passed(monkeypatch):
    """The number of examples that went through a whole backbone, as a list of batches' sizes."""
    sizes, run = [], Backbone.run

    def counting(self, state, *cut):
        sizes.append(len(state["x"]))
        return run(self, state, *cut)

    monkeypatch.setattr(Backbone, "run", counting)
    return sizes


def flags_of(task, run, **more):
    """What `embed` needs beside the backbone's name for the inputs that the run saw."""
    sizes = {IMAGE: {"image_size": 32}, TEXT: {"max_length": 32}, SPEECH: {}}
    return {"weights": str(run.folder.model / "backbone.safetensors"), **sizes[task], **more}


@pytest.mark.parametrize("task", [IMAGE, TEXT])
def test_what_a_probe_has_stored_is_read_and_not_computed(runs, passed, tmp_path, task):
    run, data = runs[task]
    given, place = flags_of(task, run, cache_dir=str(tmp_path)), run.config
    again = {"train": place.train, "validation": data, "strategy": "linear-probe", "threads": 1, "augment": None}
    again = {name: value for name, value in again.items() if task == IMAGE or name != "augment"}
    probe = mmt.fit(task=task, backbone=place.backbone, out=tmp_path / "probe", **again, **given)
    assert probe.result["cache"]["cut"] == "features"
    passed.clear()
    found = mmt.embed(place.backbone, data, **given)
    by_run = mmt.embed(probe.folder.path, data)
    assert passed == [1] * 2 * CHECKED, "only the check of the entry computes anything"
    passed.clear()
    scores = probe.evaluate(data)
    assert passed == [1] * CHECKED
    passed.clear()
    plain = mmt.embed(place.backbone, data, **given, **{"cache": "off"})
    uncached = mmt.load(probe.folder.path)
    uncached.config = replace(uncached.config, cache="off")
    assert {name: score.value for name, score in uncached.evaluate(data).items()} == {
        name: score.value for name, score in scores.items()
    }
    assert sum(passed) == 2 * 12
    for one in (found, by_run):
        assert one.ids == plain.ids and np.array_equal(one.values, plain.values)


def parquet_of_pictures(folder, path):
    """The pictures of class folders as bytes in a Parquet file."""
    found = sorted(folder.glob("*/*.png"))
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in found]
    datasets.Dataset.from_dict({"image": cells, "label": [file.parent.name for file in found]}).to_parquet(path)
    return path


def test_data_that_are_evaluated_or_embedded_are_read_as_those_of_a_run(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "SMALL", 0)
    monkeypatch.setattr(stamps, "SETTLED_SECONDS", -1.0)
    run, folder = runs[IMAGE]
    path, cache = parquet_of_pictures(Path(folder), tmp_path / "a.parquet"), tmp_path / "cache"
    own = mmt.load(run.folder.path)
    own.config = replace(run.config, cache="off", cache_dir=str(cache))
    plain, features = own.evaluate(path), own.embed(path)
    own.config = replace(run.config, cache_dir=str(cache))
    own.predict(path)
    assert not cache.exists(), "without a cache, and for predictions, nothing is written"
    calls, held = [], []
    monkeypatch.setattr(digests, "of", lambda *call, of=digests.of: calls.append(len(call[0])) or of(*call))
    monkeypatch.setattr(image.Image, "fault", lambda *call: held.append(call))
    for source in (path, folder):
        for _ in range(2):
            assert own.evaluate(source) == plain
            assert np.array_equal(own.embed(source).values, features.values)
    assert len(list((cache / TABLES).iterdir())) == 1 and calls == [12] * 4 and not held


def test_features_of_recordings_are_stored_as_vectors_beside_the_frames_of_a_probe(runs, passed, tmp_path):
    run, data = runs[SPEECH]
    given = flags_of(SPEECH, run, cache_dir=str(tmp_path), max_seconds=0.15)
    plain = mmt.embed(run.config.backbone, data, **given, cache="off")
    pieces = sum(passed)
    assert pieces > 12, "some recordings are cut"
    passed.clear()
    built = mmt.embed(run.config.backbone, data, **given)
    assert sum(passed) == pieces + 1, "and one to see how large a row is"
    read = mmt.embed(run.config.backbone, data, **given)
    assert sum(passed) == pieces + 1 + CHECKED
    assert np.array_equal(built.values, plain.values) and np.array_equal(read.values, plain.values)
    (shard,) = tmp_path.rglob("*.safetensors")
    assert load_file(shard)["x"].shape == (pieces, 16)


def test_pairs_are_stored_apart_from_their_first_texts(runs, tmp_path):
    run, _ = runs[TEXT]
    given = flags_of(TEXT, run, cache_dir=str(tmp_path), cache="on")
    data = [["a b c", "d e"], ["a", "x y z"]]
    one, other = (mmt.embed(run.config.backbone, rows, **given) for rows in (data, [first for first, _ in data]))
    assert len(list((tmp_path / "features").iterdir())) == 2 and not np.allclose(one.values, other.values, atol=1e-3)
    assert np.array_equal(one.values, mmt.embed(run.config.backbone, data, **given | {"cache": "off"}).values)


def test_a_list_is_stored_only_if_asked(runs, tmp_path):
    run, _ = runs[TEXT]
    given = flags_of(TEXT, run, cache_dir=str(tmp_path))
    mmt.embed(run.config.backbone, ["a b", "c"], **given)
    assert not list(tmp_path.iterdir())
    mmt.embed(run.folder.path, ["a b", "c"], cache="on", cache_dir=str(tmp_path))
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_a_run_by_its_folder_and_its_backbone_by_name_agree(runs):
    run, data = runs[TEXT]
    by_folder = mmt.embed(run.folder.path, data)
    assert np.array_equal(by_folder.values, run.embed(data).values)
    again = mmt.embed(run.folder.path / "model" / "..", data)
    assert np.array_equal(again.values, by_folder.values)
    with pytest.raises(MMTransferError, match="with its own settings, not with precision"):
        mmt.embed(run.folder.path, data, precision="bf16")


def test_a_long_recording_is_the_mean_of_its_pieces_by_length(runs):
    run, _ = runs[SPEECH]
    recording = np.random.default_rng(0).normal(size=24_000).astype(np.float32) * 0.1
    config = replace(run.config, max_seconds=0.6)
    task, backbone = TASKS[SPEECH].make(config, run.model.backbone), run.model.backbone
    table = sources.load([recording], "audio", labelled=False)
    pieces, owners = task.input.pieces(table)
    assert len(owners) > 1
    lengths = task.input.rows(pieces)[1]
    machine, patient = run._machine(), TASKS[SPEECH].make(replace(config, max_seconds=9.0), backbone)
    alone, joined = (Model(backbone, nn.Identity(), each, "fp32", pooled=True) for each in (patient, task))
    parts = features_of(alone, config, machine, _arrays(task, pieces)).values
    whole = features_of(joined, config, machine, [recording])
    assert whole.ids == ["0"] and whole.values[0] == pytest.approx(np.average(parts, 0, lengths), rel=1e-4)


def _arrays(task, table) -> list[np.ndarray]:
    """The samples of each row, as they are before normalisation."""
    return [audio.read_samples(row["audio"], task.input.rate).numpy() for row in table.rows]


def test_a_name_takes_weights_and_a_seed_and_lists(runs):
    pictures = [np.full((9, 9, 3), value, np.uint8) for value in (0, 90, 250)]
    one, other, third = (
        mmt.embed("resnet18", pictures, weights="none", image_size=32, seed=seed).values for seed in (0, 0, 1)
    )
    assert one.shape == (3, 512) and np.array_equal(one, other) and not np.allclose(one, third)


def test_built_in_data_has_parts_whose_labels_are_not_read():
    found = mmt.embed("resnet18", "builtin:digits", split="test", weights="none", image_size=8)
    assert len(found.ids) == 359 and found.ids[0].startswith("digits/")


def test_files_hold_ids_and_features(tmp_path):
    made = Features(["a", "b/ü.png", "c"], np.arange(6, dtype=np.float32).reshape(3, 2))
    made.save(tmp_path / "deep" / "x.npy")
    made.save(tmp_path / "x.parquet")
    assert np.array_equal(np.load(tmp_path / "deep" / "x.npy"), made.values)
    assert (tmp_path / "deep" / "x.ids.txt").read_text(encoding="utf-8").splitlines() == made.ids
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32())
    assert table.to_pydict() == {"id": made.ids, "features": made.values.tolist()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "x.parquet"]


def test_the_verb_writes_what_embed_gives(runs, tmp_path, command):
    run, data = runs[IMAGE]
    own = tmp_path / "cache"
    status, printed, said = command("embed", run.folder.path, data, "--out", tmp_path / "x.npy", "--cache-dir", own)
    assert status == 0 and "12 x 512 features" in printed, said
    assert len(list((own / "features").iterdir())) == 1
    assert np.array_equal(np.load(tmp_path / "x.npy"), run.embed(data).values)


def test_a_file_of_another_kind_is_refused_before_anything_is_loaded(tmp_path, command):
    status, _, said = command("embed", "no-such-backbone", "x", "--out", tmp_path / "x.csv")
    assert status == 2 and "written as .npy or .parquet, not .csv" in said and "x.npy" in said
    status, _, said = command("embed", "resnet81", "builtin:digits", "--out", tmp_path / "x.npy")
    assert status == 2 and "Unknown backbone 'resnet81'" in said
    status, _, said = command(
        "embed", "resnet18", "builtin:digits", "--weights", "none", "--max-length", 3, "--out", "x.npy"
    )
    assert status == 2 and f"{IMAGE} does not read --max-length" in said
