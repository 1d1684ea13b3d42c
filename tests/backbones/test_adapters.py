"""Adapters beside peft: what is exported is what peft computes, on the library's own model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmtransfer import api
from mmtransfer.backbones import adapters, pretrained
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError

peft = pytest.importorskip("peft", reason="peft is in the extra [test]")


def text(family: str) -> Backbone:
    return pretrained.build({"model_type": family, **tiny.text_shape(family)})


def peft_features(base: Any, folder: Path, **inputs: Tensor) -> Tensor:
    with torch.no_grad():
        features: Tensor = peft.PeftModel.from_pretrained(base, str(folder)).eval()(**inputs).last_hidden_state
    return features


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert", "vit"])
def test_peft_reads_what_is_exported(family: str, dora: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = (text(family) if family in tiny.TEXTS else tiny.image_backbone(family)).eval()
    base = getattr(transformers, backbone.library)._from_config(
        transformers.AutoConfig.for_model(family, **{k: v for k, v in backbone.config.items() if k != "model_type"}),
        **backbone.options,  # type: ignore[attr-defined]  # of transformers' families
    )
    base.load_state_dict(backbone.library_state(), strict=False)
    count = len(backbone.stages)
    adapters.attach(backbone, [count - 2, count - 1], rank=2, alpha=6.0, dropout=0.0, dora=dora)
    for _, _, adapter in adapters.adapted(backbone):
        torch.nn.init.normal_(adapter.B)
        if adapter.magnitude is not None:
            torch.nn.init.uniform_(adapter.magnitude, 0.5, 1.0)
    exported = adapters.export(backbone)
    assert exported is not None
    (tmp_path / "adapter_config.json").write_text(json.dumps(exported[0]))
    save_file(exported[1], tmp_path / "adapter_model.safetensors", {"format": "pt"})
    if family == "vit":
        pixels = torch.randn(2, 3, 32, 32)
        state, inputs = {"x": pixels}, {"pixel_values": pixels}
    else:
        ids = torch.randint(5, 50, (2, 7))
        state, inputs = {"x": ids, "lengths": torch.tensor([7, 7])}, {"input_ids": ids}
    with torch.no_grad():
        ours = backbone.run(state)["x"]
    theirs = peft_features(base.eval(), tmp_path, **inputs)
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)
    for _, _, adapter in adapters.adapted(backbone):
        torch.nn.init.zeros_(adapter.B)
    with torch.no_grad():
        assert not torch.allclose(backbone.run(state)["x"], theirs, atol=1e-3)


def test_a_run_keeps_its_adapters_for_peft_and_a_plain_model(tmp_path: Path) -> None:
    settings = tiny.text_settings(tmp_path)
    words = [chr(97 + n) for n in range(26)]
    settings |= {"backbone": str(tiny.bert(tmp_path / "base", words, weights=True)), "weights": None}
    settings |= {"strategy": "lora", "strategy_options": {"n": 1, "rank": 2}, "lr": 3e-3}
    run = api.fit(**settings, out=str(tmp_path / "run"))
    held = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert {name.split(".layer.")[1][0] for name in held} == {"1"} and len(held) == 2 * 6
    backbone = run.model.backbone.eval()
    ids = torch.randint(5, 30, (2, 6))
    with torch.no_grad():
        ours = backbone.run({"x": ids, "lengths": torch.tensor([6, 6])})["x"]
        plain = transformers.AutoModel.from_pretrained(tmp_path / "run" / "model").eval()(ids).last_hidden_state
        base = transformers.AutoModel.from_pretrained(tmp_path / "base").eval()
        assert not torch.allclose(base(ids).last_hidden_state, ours, atol=1e-3)
    assert torch.allclose(plain, ours, atol=1e-5)
    assert torch.allclose(peft_features(base, tmp_path / "run" / "adapter", input_ids=ids), ours, atol=1e-5)
    assert run.result["parameters"]["trainable"] == sum(value.numel() for value in held.values()) + 2 * 16 + 2


@pytest.mark.parametrize(
    ("stages", "rank", "words"),
    [([0], 2, "no linear layers of attention or MLP"), ([1], 17, "Rank 17 is no lower than that of the layers, 16")],
)
def test_what_cannot_be_adapted_is_refused(stages: list[int], rank: int, words: str) -> None:
    with pytest.raises(MMTransferError, match=words):
        adapters.attach(text("bert"), stages, rank, 1.0, 0.0, False)
