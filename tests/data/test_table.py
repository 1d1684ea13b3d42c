"""Tables: rows by number, what was skipped, and a fingerprint of contents."""

from __future__ import annotations

import numpy as np
import pytest

from mmtransfer.data import digests, table
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError


def words(texts: list[str], labels: list[str], ids: list[str] | None = None) -> Table:
    return table.make("text", "a.csv", ids or [str(i) for i in range(len(texts))], texts, labels)


def pictures(folder, contents: dict[str, bytes]) -> Table:
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    files = [{"path": str(folder / name), "bytes": None} for name in contents]
    return table.make("image", str(folder), list(contents), files, ["x"] * len(files))


def test_rows_have_the_standard_columns():
    assert words(["a", "b"], ["x", "y"]).rows[1] == {"id": "1", "text": "b", "label": "y"}
    made = table.make("audio", "s", ["u"], [{"path": "/u.wav", "bytes": None}], ["hello"], [None])
    assert made.rows[0] == {
        "id": "u",
        "audio": {"path": "/u.wav", "bytes": None},
        "transcript": "hello",
        "speaker": None,
    }


def test_select_takes_rows_in_order_and_holds_only_them():
    chosen = words(list("abcd"), list("wxyz")).select(np.array([2, 0]))
    assert chosen.ids == ["2", "0"] and chosen.column("text") == ["c", "a"] and len(chosen) == 2
    assert chosen.rows.table.num_rows == 2
    assert len(chosen.select([])) == 0


def test_without_records_what_goes():
    left = words(list("abcd"), list("wxyz")).without([3, 1], ["too long", "unseen"]).without([0], ["odd"])
    assert left.ids == ["2"]
    assert left.skipped == (
        {"id": "3", "reason": "too long"},
        {"id": "1", "reason": "unseen"},
        {"id": "0", "reason": "odd"},
    )
    assert left.select([0]).skipped == left.skipped


def test_the_fingerprint_does_not_depend_on_order_or_folder(tmp_path):
    made = words(list("abcd"), list("wxyz"))
    assert made.fingerprint == made.select([3, 1, 0, 2]).fingerprint
    assert len(made.fingerprint) == 32
    first = pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2"})
    again = pictures(tmp_path / "two", {"b.png": b"2", "a.png": b"1"})
    assert first.fingerprint == again.fingerprint


def test_the_fingerprint_tells_every_difference(tmp_path):
    tables = [
        words(["a", "b"], ["x", "y"]),
        words(["a", "b"], ["y", "x"]),
        words(["a", "b"], ["x", "y"], ids=["1", "0"]),
        words(["a"], ["x"]),
        words(["", "b"], ["xa", "y"]),
        words(["a", "b"], ["x", "z"]),
        pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2"}),
        pictures(tmp_path / "two", {"a.png": b"1", "b.png": b"3"}),
    ]
    assert len({made.fingerprint for made in tables}) == len(tables)


def test_inputs_are_told_by_what_a_model_sees_and_by_their_order(tmp_path):
    made = words(["a", "b"], ["x", "y"])
    unlabelled = table.make("text", "s", ["7", "8"], ["a", "b"])
    assert made.inputs == words(["a", "b"], ["y", "y"]).inputs == unlabelled.inputs
    others = [made.select([1, 0]), words(["ab", ""], ["x", "y"]), words(["a"], ["x"])]
    others += [table.make("text", "s", ["7", "8"], ["a", "b"], pairs=pairs) for pairs in (["a", "b"], ["b", "a"])]
    others += [pictures(tmp_path / name, {"a.png": name.encode()}) for name in ("1", "2")]
    assert len({one.inputs for one in [made, *others]}) == 1 + len(others)
    voice = {"path": None, "bytes": b"1"}
    said = [table.make("audio", "s", ["a"], [voice], [words], ["me"]).inputs for words in ("one", "two")]
    assert said[0] == said[1]
    cut = [table.make("audio", "s", ["a"], [{**voice, "start": 0.0, "stop": stop}]).inputs for stop in (1.0, 1.001)]
    assert len({said[0], *cut}) == 3


def test_files_are_read_once(tmp_path, monkeypatch):
    made = pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2"})
    read: list[str] = []
    contents = digests.read_contents
    monkeypatch.setattr(digests, "read_contents", lambda file: read.append(file["path"]) or contents(file))
    assert made.fingerprint != made.inputs
    assert sorted(read) == [str(tmp_path / "one" / name) for name in ("a.png", "b.png")]


@pytest.mark.parametrize("data", [b"", b"\x00" * 10])
def test_bytes_and_paths_have_one_fingerprint(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    path, held = ({"path": str(tmp_path / "a"), "bytes": None}, {"path": None, "bytes": data})
    prints = {table.make("image", "s", ["a"], [file]).fingerprint for file in (path, held)}
    assert len(prints) == 1


def test_content_ignores_ids_and_order_and_nothing_else(tmp_path):
    made = words(["a", "b", "b"], ["x", "y", "y"])
    assert (
        made.content == made.select([2, 0, 1]).content == words(["b", "a", "b"], ["y", "x", "y"], list("pqr")).content
    )
    others = [words(["a", "b"], ["x", "y"]), words(["a", "a", "b"], ["x", "x", "y"]), words(["a"], ["x"])]
    others += [words(["a", "b", "b"], ["x", "y", "x"]), table.make("text", "s", list("pqr"), ["a", "b", "b"])]
    others.append(table.make("text", "s", list("pqr"), ["a", "b", "b"], ["x", "y", "y"], pairs=["", "", ""]))
    assert len({one.content for one in [made, *others]}) == 1 + len(others)
    first = pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2"})
    again = pictures(tmp_path / "two", {"c.png": b"2", "d.png": b"1"})
    assert first.content == again.content and first.fingerprint != again.fingerprint


def test_digests_go_along_with_the_rows(tmp_path, monkeypatch):
    whole = pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2", "c.png": b"3"}).digested()
    fresh = pictures(tmp_path / "two", {"a.png": b"1", "c.png": b"3"})
    monkeypatch.setattr(digests, "read_contents", None)  # nothing is read again
    for part in (whole.select([0, 2]), whole.without([1], ["odd"])):
        prints = part.fingerprint, part.inputs, part.content
    monkeypatch.undo()
    assert prints == (fresh.fingerprint, fresh.inputs, fresh.content)


def test_a_file_that_is_gone_is_named(tmp_path):
    made = pictures(tmp_path / "one", {"a.png": b"1", "b.png": b"2"})
    (tmp_path / "one" / "b.png").unlink()
    with pytest.raises(MMTransferError) as caught:
        made.digested()
    assert caught.value.where == str(tmp_path / "one" / "b.png")
