"""Parquet, datasets and what is saved of them; the hub with the library in its place."""

from __future__ import annotations

import json

import datasets
import pyarrow as pa
import pytest

from mmtransfer import hub
from mmtransfer.data import arrow
from mmtransfer.errors import MMTransferError

LABEL = datasets.ClassLabel(names=["ant", "bee"])
FEATURES = datasets.Features({"label": LABEL, "tags": datasets.List(LABEL), "text": datasets.Value("string")})


def small() -> datasets.Dataset:
    rows = {"label": [1, 0, -1], "tags": [[0, 1], [], [1]], "text": ["a", "2", "c"]}
    return datasets.Dataset.from_dict(rows, features=FEATURES)


def refused(call, *args) -> MMTransferError:
    with pytest.raises(MMTransferError) as error:
        call(*args)
    return error.value


@pytest.mark.parametrize("kind", ["parquet", "dataset", "saved"])
def test_class_numbers_become_names_and_lists_stay_lists(tmp_path, kind):
    if kind == "parquet":
        small().to_parquet(tmp_path / "a.parquet")
        found = arrow.read_parquet(tmp_path / "a.parquet", "a")
    elif kind == "saved":
        small().save_to_disk(tmp_path / "a")
        assert arrow.is_saved(tmp_path / "a") and not arrow.is_saved(tmp_path)
        found = arrow.saved(tmp_path / "a", "train", False, "a")
    else:
        found = arrow.from_dataset(small(), "a")
    assert found.column("label") == ["bee", "ant", None]
    assert found.column("tags") == [["ant", "bee"], [], ["bee"]]
    assert found.header == ["label", "tags", "text"] and found.wordy == ["label", "text"]
    assert found.places[2] == "row 2" and len(found) == 3


def test_the_older_spelling_of_a_list_of_labels():
    feature = {"_type": "ClassLabel", "names": ["ant", "bee"]}
    for spelled in ([feature], {"_type": "Sequence", "feature": feature}):
        metadata = {"huggingface": json.dumps({"info": {"features": {"tags": spelled}}})}
        table = pa.table({"tags": [[1], [0, 1]]}).replace_schema_metadata(metadata)
        assert arrow.from_table(table, "a").column("tags") == [["bee"], ["ant", "bee"]]


def test_a_dataset_is_read_in_its_own_order():
    chosen = small().select([2, 0])
    assert arrow.from_dataset(chosen, "a").column("text") == ["c", "a"]
    assert arrow.from_dataset(small().filter(lambda row: row["text"] == "c"), "a").column("text") == ["c"]


def test_parquet_that_is_none(tmp_path):
    (tmp_path / "a.parquet").write_text("text,label\na,x\n")
    error = refused(arrow.read_parquet, tmp_path / "a.parquet", "--train a.parquet")
    assert error.what.startswith("Not a readable Parquet file: ") and error.where == "--train a.parquet"
    assert refused(arrow.from_table, pa.table({"a": []}), "a").what == "The table has no rows"


def damage(folder, how: str) -> None:
    if how == "data":
        next(folder.glob("*.arrow")).write_bytes(b"not arrow")
    elif how == "missing":
        next(folder.glob("*.arrow")).unlink()
    elif how == "state":
        (folder / "state.json").write_text("{}")
    else:
        info = json.loads((folder / "dataset_info.json").read_text())
        info["features"]["text"]["_type"] = "TextOfAnotherVersion"
        (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize("how", ["version", "data", "missing", "state"])
def test_a_saved_dataset_of_another_version_or_damaged(tmp_path, how):
    small().save_to_disk(tmp_path / "a")
    damage(tmp_path / "a", how)
    error = refused(arrow.saved, tmp_path / "a", "train", False, "--train a")
    assert error.what.startswith("Not readable as a saved dataset: ") and error.where == "--train a"
    assert f"of another version than datasets {datasets.__version__}: save it again" in error.do
    assert how != "version" or "TextOfAnotherVersion" in error.what


def test_the_only_part_is_taken_where_any_will_do():
    parts = datasets.DatasetDict(strange=small())
    assert arrow.part(parts, "test", True, "a") is parts["strange"]
    assert refused(arrow.part, parts, "train", False, "a").what == "The dataset has no train part, only 'strange'"


@pytest.fixture
def library(monkeypatch):
    """What datasets.load_dataset is asked for; it gives a DatasetDict, or one split of it."""
    asked: list[tuple] = []

    def load(name, config=None, split=None):
        asked.append((name, config, split, datasets.config.HF_HUB_OFFLINE))
        if "missing" in name:
            raise ConnectionError(f"Couldn't reach {name}\nand more")
        parts = datasets.DatasetDict(train=small(), test=small().select([0]))
        return parts[split] if split else parts

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    return asked


def test_a_name_on_the_hub(library, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: True)
    assert len(arrow.from_hub("hub:org/name", "test", False, "a")) == 1
    assert len(arrow.from_hub("hub:org/name:small:train", "test", False, "a")) == 3
    assert len(arrow.from_hub("hub:name::test", "train", False, "a")) == 1
    assert library == [
        ("org/name", None, None, False),
        ("org/name", "small", "train", False),
        ("name", None, "test", False),
    ]
    error = refused(arrow.from_hub, "hub:org/missing", "train", False, "--train hub:org/missing")
    assert error.what == "Could not get 'org/missing': Couldn't reach org/missing"


def test_the_hub_out_of_reach(library, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: False)
    assert len(arrow.from_hub("hub:org/name", "train", False, "a")) == 3  # from the cache
    assert library[0][3] and not datasets.config.HF_HUB_OFFLINE
    error = refused(arrow.from_hub, "hub:org/missing", "train", False, "--train hub:org/missing")
    assert "not in the local cache" in error.what and "give a local file" in error.do
    assert refused(arrow.from_hub, "hub:", "train", False, "a").what == "Not the name of a dataset on the hub: 'hub:'"
