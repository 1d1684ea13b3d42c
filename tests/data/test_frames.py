"""Data as Python's libraries hold it: frames, columns, Datasets of torch."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from mmtransfer.config import RunConfig
from mmtransfer.data import sources
from mmtransfer.data.columns import Columns
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve

TEXTS, LABELS = ["good film", "bad play", "good song"], ["x", "y", "x"]


class Foreign:
    """A frame of a library that nobody here knows, which gives Arrow, as polars does."""

    def __init__(self, **columns: Any) -> None:
        self.table = pyarrow.table(columns)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


class Pictures(Dataset):  # type: ignore[type-arg]
    classes = ("cat", "dog")

    def __init__(self, channels_first: bool) -> None:
        self.channels_first = channels_first

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        pixels = np.full((8, 10, 3), 50 * number, np.uint8)
        if self.channels_first:
            return torch.from_numpy(pixels).permute(2, 0, 1) / 255, torch.tensor(number % 2)
        return Image.fromarray(pixels), number % 2


FORMS: list[Any] = [
    pandas.DataFrame({"text": TEXTS, "label": LABELS}),
    pandas.DataFrame({"label": pandas.Categorical(LABELS), "text": pandas.array(TEXTS, "string")}, index=[7, 8, 9]),
    pyarrow.table({"text": TEXTS, "label": LABELS}),
    Foreign(text=TEXTS, label=LABELS),
    {"text": TEXTS, "label": np.array(LABELS)},
    {"text": tuple(TEXTS), "label": pandas.Series(LABELS)},
    datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}),
]


@pytest.mark.parametrize("given", FORMS, ids=lambda given: type(given).__name__)
def test_a_table_of_any_library_is_read(given: Any) -> None:
    table = sources.load(given, "text")
    assert (table.column("text"), table.answers, table.ids) == (TEXTS, LABELS, ["0", "1", "2"])


def test_a_polars_frame_is_read() -> None:
    polars = pytest.importorskip("polars")
    table = sources.load(polars.DataFrame({"text": TEXTS, "label": LABELS}), "text")
    assert (table.column("text"), table.answers) == (TEXTS, LABELS)


def test_what_is_missing_in_a_frame_is_a_bad_example() -> None:
    frame = pandas.DataFrame({"text": ["a", None, "c"], "label": pandas.array([1, 2, None], "Int64")})
    with pytest.raises(MMTransferError, match="row 1: the text is empty; row 2: the label is empty"):
        sources.load(frame, "text")
    assert sources.load(frame, "text", skip_bad=True).answers == ["1"]


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_dataset_of_torch_names_its_classes(channels_first: bool) -> None:
    whole = Pictures(channels_first)
    table = sources.load(whole, "image", Columns(kind="label"))
    assert table.answers == ["cat", "dog"] * 2
    assert sources.load(Subset(whole, [1, 3]), "image", Columns(kind="label")).answers == ["dog", "dog"]
    assert sources.load(whole, "image", labelled=False).column("image") == table.column("image")
    shown = sources.load([(Image.fromarray(np.full((8, 10, 3), 50, np.uint8)), "cat")], "image", Columns(kind="label"))
    assert table.column("image")[1] == shown.column("image")[0]  # the same picture in both forms


def test_other_datasets_of_torch() -> None:
    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(zip(TEXTS, LABELS, strict=True))

    assert sources.load(Stream(), "text").answers == LABELS
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert sources.load(TensorDataset(pixels, torch.tensor([0, 1])), "image").answers == ["0", "1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": TEXTS, "label": LABELS[:2]}, "not of one length: 'text' 3, 'label' 2"),
        ({"text": TEXTS, "label": "xyx"}, "A column cannot be a str"),
        (pandas.DataFrame({"text": []}), "The table has no rows"),
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), "names a column twice"),
        (np.zeros(3), "Data cannot be a ndarray"),
        ({1, 2}, "Data cannot be a set"),
    ],
)
def test_what_is_no_table_is_refused(given: Any, message: str) -> None:
    with pytest.raises(MMTransferError, match=message):
        sources.load(given, "text")


def test_settings_hold_a_frame_without_comparing_it() -> None:
    frame = pandas.DataFrame({"text": TEXTS, "label": LABELS})
    config = resolve(task="text-classification", train=frame, test=frame, strategy="linear-probe")
    assert config.train is frame and config.as_dict()["train"] == "python:3 rows"
    again = resolve(RunConfig(task="text-classification", train=frame))
    assert again.train is frame
