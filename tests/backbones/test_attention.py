"""Attention by products: what PyTorch's kernel computes, taken where the kernel is slow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tiny_runs import PICTURES, RECORDINGS, TEXTS, begin

from mmtransfer.backbones import attention

LAYER = SimpleNamespace(is_causal=False, training=True)


def drawn(dtype=torch.float32, positions=9):
    torch.manual_seed(0)
    return [torch.randn(3, 2, positions, 8, dtype=dtype).requires_grad_() for _ in range(3)]


def mask(*lengths, positions=9):
    return (torch.arange(positions) < torch.tensor(lengths)[:, None])[:, None, None, :]


def gradients(found, *inputs):
    return torch.autograd.grad(found.square().sum(), inputs)


@pytest.mark.parametrize("where", [None, mask(9, 4, 1)], ids=["everywhere", "padded"])
@pytest.mark.parametrize("scaling", [None, 0.5])
def test_it_computes_what_the_kernel_does(where, scaling):
    inputs = drawn()
    ours = attention.by_products(*inputs, where, scaling=scaling)
    kernel = torch.nn.functional.scaled_dot_product_attention(*inputs, where, scale=scaling).transpose(1, 2)
    assert torch.allclose(ours, kernel, atol=1e-6) and ours.is_contiguous()
    for one, other in zip(gradients(ours, *inputs), gradients(kernel, *inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_bf16_is_as_near_to_float32_as_it_can_be():
    inputs = drawn()
    exact = attention.by_products(*inputs, mask(9, 4, 1))
    rough = attention.by_products(*(each.bfloat16() for each in inputs), mask(9, 4, 1))
    assert rough.dtype == torch.bfloat16 and (rough - exact).abs().max() < 0.03


def test_where_there_is_nothing_to_look_at_nothing_is_nan():
    inputs = drawn(torch.bfloat16)
    found = attention.by_products(*inputs, mask(0, 4, 9))
    assert found.isfinite().all() and all(each.isfinite().all() for each in gradients(found, *inputs))


def test_dropout_leaves_weights_out_and_keeps_the_mean():
    inputs = drawn()
    torch.manual_seed(0)
    found = torch.stack([attention.by_products(*inputs, mask(9, 4, 1), 0.5) for _ in range(4000)])
    plain = attention.by_products(*inputs, mask(9, 4, 1))
    assert not torch.allclose(found[0], plain, atol=0.1) and torch.allclose(found.mean(0), plain, atol=0.15)


def test_the_kernel_is_taken_where_it_is_faster_or_its_own_mask_is_asked_for(monkeypatch):
    taken = []
    monkeypatch.setattr(attention, "by_products", lambda query, *others: taken.append(query.dtype) or query)
    for dtype, dropout, module, others in (
        (torch.float32, 0.0, LAYER, {}),
        (torch.bfloat16, 0.0, SimpleNamespace(is_causal=True), {}),
        (torch.bfloat16, 0.0, LAYER, {"is_causal": True}),
    ):
        attention.attend(module, *drawn(dtype), None, dropout=dropout, **others)
    attention.attend(LAYER, *drawn(torch.bfloat16), mask(9, 4, 1).bfloat16())  # one that is added
    assert taken == []
    attention.attend(LAYER, *drawn(torch.bfloat16), mask(9, 4, 1))
    attention.attend(LAYER, *drawn(), mask(9, 4, 1), dropout=0.1)
    assert taken == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize(
    "family", sorted({*TEXTS, *PICTURES, *RECORDINGS} - {"albert", "swin", "convnext", "resnet18"})
)
def test_layers_of_every_family_take_it(family, tmp_path, monkeypatch):
    taken, real = [], attention.by_products
    monkeypatch.setattr(attention, "by_products", lambda *given: taken.append(0) or real(*given))
    model = begin(family, "linear-probe", tmp_path).model.eval()
    state = {
        "text": {"x": torch.randint(5, 12, (2, 9)), "lengths": torch.tensor([9, 5])},
        "image": {"x": torch.randn(2, 3, 32, 32)},
        "speech": {"x": torch.randn(2, 1500), "lengths": torch.tensor([1500, 900])},
    }[model.backbone.modality]
    with torch.no_grad():
        exact = model.backbone.run(dict(state))["x"]
        assert taken == []
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.backbone.run(dict(state))["x"]
    assert bool(taken) is (family not in ("mpnet", "wavlm")), "these two have a bias in their attention"
    assert torch.allclose(exact, rough.float(), atol=0.15, rtol=0.1)
