"""The contract of DESIGN.md over everything registered, at every cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
import transformers
from torch import Tensor, nn

from mmtransfer import backbones
from mmtransfer.backbones import speech, text, vision
from mmtransfer.backbones.contract import check_backbone
from mmtransfer.backbones.staged import Backbone, State

IMAGES = ("resnet18", "vgg11", "vgg11_bn", "mobilenet_v2", "squeezenet1_0", "squeezenet1_1")

BERT = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}

WAV2VEC2 = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
VARIANTS = {
    f"{norm}-{'stable' if stable else 'plain'}": {
        **WAV2VEC2,
        "feat_extract_norm": norm,
        "do_stable_layer_norm": stable,
        "conv_bias": norm == "layer",
    }
    for norm in ("group", "layer")
    for stable in (False, True)
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def torchvision_features(name: str) -> Any:
    """torchvision's own forward with what comes after the features taken out."""

    def forward(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = torchvision.models.get_model(name, weights=None).eval()
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        assert not unexpected
        if isinstance(model, torchvision.models.VGG):
            model.classifier[6] = nn.Identity()
            assert {key.rsplit(".", 1)[0] for key in missing} == {"classifier.6"}
        elif isinstance(model, torchvision.models.ResNet):
            model.fc = nn.Identity()
        elif isinstance(model, torchvision.models.SqueezeNet):
            model.classifier = nn.AdaptiveAvgPool2d(1)
        else:
            model.classifier = nn.Identity()
        return model(state["x"])

    return forward


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    backbone = backbones.load(name, "none")
    # at 96 px the last maps are 3 x 3: with fewer places BatchNorm's statistics make float32 itself unsure of 1e-5
    x = torch.randn(2, 3, 64, 64) if name.startswith("vgg") else torch.randn(4, 3, 96, 96)
    cuts = check_backbone(backbone, {"x": x}, torchvision_features(name))
    assert cuts == len(backbone.stages) + 1 >= 5


def test_every_image_family_is_checked() -> None:
    checked = {torchvision.models.get_model_builder(name).__module__ for name in IMAGES}
    assert checked == {family.__module__ for family in vision.FAMILIES}


def make(config: dict[str, Any], family: str) -> Backbone:
    return backbones.rebuild(
        {
            "name": "tiny",
            "modality": "text" if family in text.FAMILIES else "speech",
            "family": family,
            "source": "random weights",
            "config": {"model_type": family, **config},
            "preprocess": {},
        }
    )


@pytest.mark.parametrize("family", list(text.FAMILIES))
def test_text(family: str) -> None:
    backbone = make(BERT, family)

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = transformers.BertModel(transformers.BertConfig(**BERT), add_pooling_layer=False).eval()
        model.load_state_dict(tensors, strict=True)
        return model(state["x"]).last_hidden_state.mean(1)

    state = {"x": torch.randint(1, 60, (4, 12)), "lengths": torch.tensor([12, 7, 3, 1])}
    assert check_backbone(backbone, state, theirs) == 1 + BERT["num_hidden_layers"] + 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_speech(variant: str) -> None:
    config = VARIANTS[variant]
    backbone = make(config, "wav2vec2")

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**config)).eval()
        model.load_state_dict(tensors, strict=True)
        return model(state["x"]).last_hidden_state

    lengths = torch.tensor([1500, 1203, 400, 61])
    x = torch.randn(4, 1500)
    x[torch.arange(1500) >= lengths[:, None]] = 0
    assert check_backbone(backbone, {"x": x, "lengths": lengths}, theirs) == 5


def test_speech_of_standard_strides() -> None:
    backbone = backbones.load("wav2vec2-small")
    lengths = torch.tensor([8000, 400])
    x = torch.randn(2, 8000) * (torch.arange(8000) < lengths[:, None])
    assert check_backbone(backbone, {"x": x, "lengths": lengths}) == len(backbone.stages) + 1
    assert 2e6 < sum(p.numel() for p in backbone.parameters()) < 4e6


def unmasked(stage: speech.Projection, state: State, context: dict[str, Any]) -> State:
    x = stage.projection(state["x"])[0]
    return {**state, "x": stage.norm(x + stage.positions(x))}


@pytest.mark.parametrize("leak", ["attention", "group norm", "convolutional positions"])
def test_a_stage_that_sees_its_padding_fails(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if leak == "attention":
        monkeypatch.setattr(speech.Wav2Vec2Backbone, "context", lambda self, state, start: {"mask": None})
    elif leak == "group norm":
        monkeypatch.setattr(speech, "masked_group_norm", lambda x, frames, norm: norm(x))
    else:
        monkeypatch.setattr(speech.Projection, "forward", unmasked)
    backbone = make(VARIANTS["group-plain"], "wav2vec2")
    x = torch.randn(2, 1500)
    x[1, 700:] = 0
    with pytest.raises(AssertionError, match="example 1 in the batch"):
        check_backbone(backbone, {"x": x, "lengths": torch.tensor([1500, 700])})


def test_a_tensor_in_two_stages_fails() -> None:
    backbone = make(BERT, "bert")
    backbone.stages[1].extra = backbone.stages[2].layer.output.dense
    state = {"x": torch.randint(1, 60, (2, 4)), "lengths": torch.tensor([4, 2])}
    with pytest.raises(AssertionError, match="is in 2 stages"):
        check_backbone(backbone, state)


def test_a_stage_that_changes_the_state_given_fails() -> None:
    backbone = backbones.load("squeezenet1_1", "none")
    backbone.stages[1].parts = nn.ModuleDict({"first": nn.ReLU(inplace=True), **backbone.stages[1].parts})
    backbone.stages[0].parts["shift"] = Shift()
    with pytest.raises(AssertionError, match="changed x of the state given|differs from the run as a whole"):
        check_backbone(backbone, {"x": torch.randn(2, 3, 64, 64)})


class Shift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 1


def test_autocast() -> None:
    for backbone, x in (
        (make(VARIANTS["group-plain"], "wav2vec2"), torch.randn(2, 1500)),
        (make(BERT, "bert"), torch.randint(1, 60, (2, 9))),
    ):
        state = {"x": x, "lengths": torch.tensor([x.shape[1], x.shape[1] // 2])}
        exact = backbone.eval().run(state)["x"]
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone.run(state)["x"]
        assert torch.cosine_similarity(exact[0], rough[0].float(), dim=-1).min() > 0.99
