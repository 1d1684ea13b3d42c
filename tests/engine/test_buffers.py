"""Running statistics that are kept and put back."""

from __future__ import annotations

import torch
from torch import nn

from mmtransfer.engine.buffers import Buffers


def test_what_a_forward_pass_has_moved_is_put_back():
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(4, 3))
    buffers = Buffers(norm.buffers())
    buffers.keep()
    before = [buffer.clone() for buffer in norm.buffers()]
    norm(torch.randn(4, 3))
    assert not torch.equal(norm.running_mean, before[0]) and norm.num_batches_tracked == 2
    buffers.restore()
    assert all(torch.equal(now, then) for now, then in zip(norm.buffers(), before, strict=True))


def test_a_network_without_any_has_nothing_to_keep():
    buffers = Buffers([])
    buffers.keep()
    buffers.restore()
    assert buffers.groups == []


def test_tensors_of_one_type_are_copied_together(monkeypatch):
    called, copy = [], torch._foreach_copy_

    def counted(into, those):
        called.append({tensor.dtype for tensor in those})
        copy(into, those)

    monkeypatch.setattr(torch, "_foreach_copy_", counted)
    norms = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    Buffers(norms.buffers()).keep()
    assert called == [{torch.float32}, {torch.int64}]
