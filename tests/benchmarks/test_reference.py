"""The pages of the API reference are there, and no link of theirs is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import reference


def test_the_reference_has_a_page_for_each_public_module_and_no_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pdoc makes the pages: pip install -e '.[dev]'")
    pages = reference.write(tmp_path)
    names = {page.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".") for page in pages}
    assert set(reference.MODULES) <= names
    assert reference.broken(pages) == []
    assert "Trains a model and writes its run folder" in (tmp_path / "mmtransfer.html").read_text()


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">b</a> <a href="#here">here</a> <a id="own" href="#own">o</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p> <a href="c.html">c</a> <a href="https://example.org/x">x</a>')
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    assert reference.broken(pages) == ["a.html: #here", "b.html: c.html"]
