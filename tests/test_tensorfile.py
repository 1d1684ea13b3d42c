"""Files of tensors: the bytes that the library itself would write, and their digest."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save

from mmtransfer import files, tensorfile


@pytest.mark.parametrize("chunk", [3, tensorfile.CHUNK_BYTES])
def test_the_bytes_are_the_librarys_and_the_digest_is_theirs(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(tensorfile, "CHUNK_BYTES", chunk)
    tensors = {"b": torch.randn(3, 5), "a.ü": torch.randn(2), "n": torch.arange(7), "step": torch.tensor(4.0)}
    tensors |= {"half": torch.randn(3).bfloat16(), "none": torch.zeros(0, 4)}
    digest = tensorfile.write(tmp_path / "x", tensors)
    assert (tmp_path / "x").read_bytes() == save(tensors)
    assert digest == files.digest(tmp_path / "x")


@pytest.mark.parametrize("name", tensorfile.TYPES)
def test_every_type_is_read_back(tmp_path, name):
    value = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    tensorfile.write(tmp_path / "x", {"v": value, "wide": torch.zeros(1, dtype=torch.float64)})
    found = load_file(tmp_path / "x")["v"]
    assert found.dtype == value.dtype and torch.equal(found.view(torch.uint8), value.view(torch.uint8))


def test_layouts_views_and_gradients_are_no_obstacle(tmp_path):
    weight = torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    shared = torch.randn(4, 4)
    tensorfile.write(tmp_path / "x", {"w": weight, "all": shared, "row": shared[1], "across": shared.T})
    found = load_file(tmp_path / "x")
    expected = {"w": weight, "all": shared, "row": shared[1], "across": shared.T}
    assert all(torch.equal(found[name], value) for name, value in expected.items())
