"""Rows of an Arrow table: looked up as `datasets` would give them."""

from __future__ import annotations

import datasets
import pyarrow as pa

from mmtransfer.data.columnar import Rows


def test_rows_are_what_datasets_gives() -> None:
    files = [{"path": "a.png", "bytes": None}, {"path": None, "bytes": b"b"}, {"path": "c.png", "bytes": None}]
    part = {"id": ["0", "1", "2"], "image": files, "labels": [["x"], [], None], "value": [0.5, None, 2.0]}
    table = pa.concat_tables([pa.table(part), pa.table(part)])  # in pieces
    rows, known = Rows(table), datasets.Dataset(table)
    assert len(rows) == len(known) == 6 and rows.column_names == known.column_names
    assert [rows[number] for number in range(6)] == list(known)
    assert rows[[4, 0]] == known[[4, 0]] and rows[[]] == {name: [] for name in part}
    assert rows.column("labels") == list(known["labels"])
