"""The inputs of benchmarks/large.py are what `fit` reads."""

from __future__ import annotations

import pytest

from benchmarks import large
from mmtransfer.data.sources import load


@pytest.mark.parametrize(("case", "size", "count"), [("csv", 30, 30), ("folder", 20, 20), ("parquet", 0.001, 100)])
def test_inputs_are_made_once_and_are_read(case, size, count, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "PLACE", tmp_path)
    monkeypatch.setattr(large, "SETTLED", 0.0)
    path = large.made(case, size)
    monkeypatch.setattr(large, "MAKERS", {})
    assert large.made(case, size) == path
    table = load(path, "text" if case == "csv" else "image")
    assert len(table) == count and len(set(table.column("label"))) == 10
