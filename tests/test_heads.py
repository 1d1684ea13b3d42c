"""Heads on anybody's features."""

from __future__ import annotations

import pytest
import torch

from mmtransfer.heads import CTCHead, LinearHead, MLPHead


@pytest.mark.parametrize("head", [LinearHead(8, 3), MLPHead(8, 3), MLPHead(8, 3, hidden=(5, 4))])
def test_leading_axes_are_kept(head):
    assert head(torch.randn(2, 8)).shape == (2, 3)
    assert head(torch.randn(2, 5, 8)).shape == (2, 5, 3)


def test_ctc_head_gives_log_probabilities_in_float32():
    head = CTCHead(8, 5).to(torch.bfloat16)
    found = head(torch.randn(2, 6, 8, dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert torch.allclose(found.exp().sum(-1), torch.ones(2, 6), atol=1e-5)


def test_padding_says_blank_and_valid_frames_do_not_see_it():
    head, features = CTCHead(8, 5), torch.randn(2, 6, 8)
    found = head(features, torch.tensor([6, 2]))
    assert (found[1, 2:].argmax(-1) == 0).all()
    assert torch.equal(found[1, :2], head(features)[1, :2])


def test_ctc_loss_of_the_head_has_finite_gradients():
    head, features = CTCHead(8, 5), torch.randn(2, 6, 8)
    lengths = torch.tensor([6, 3])
    log_probs = head(features, lengths).transpose(0, 1)
    torch.nn.functional.ctc_loss(log_probs, torch.tensor([[1, 2], [3, 3]]), lengths, torch.tensor([2, 2])).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
