"""The contract of backbones over everything registered, at every cut."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import tiny
import torch
import torchaudio
import torchvision
import transformers
from torch import Tensor, nn

from mmtransfer import backbones
from mmtransfer.backbones import deepspeech, image_encoders, speech, text, vision, vision_families
from mmtransfer.backbones.contract import check_backbone, features
from mmtransfer.backbones.staged import Backbone, State

# the smallest network of each family, at a size that leaves BatchNorm's statistics several places a channel where that
# is cheap: with fewer, float32 itself is unsure of 2e-5
IMAGES = {
    "alexnet": (2, 63),
    "convnext_tiny": (2, 32),
    "densenet121": (4, 64),
    "efficientnet_b0": (4, 64),
    "efficientnet_v2_s": (3, 64),
    "googlenet": (2, 224),
    "inception_v3": (2, 299),
    "maxvit_t": (3, 64),
    "mnasnet0_5": (4, 96),
    "mobilenet_v2": (4, 96),
    "mobilenet_v3_small": (4, 96),
    "regnet_x_400mf": (4, 128),
    "resnet18": (4, 96),
    "shufflenet_v2_x0_5": (4, 96),
    "squeezenet1_0": (4, 96),
    "squeezenet1_1": (4, 96),
    "swin_t": (2, 64),
    "swin_v2_t": (2, 64),
    "vgg11": (2, 64),
    "vgg11_bn": (2, 64),
    "vit_b_32": (2, 32),
}
"""Network -> (pictures, pixels of a side)."""

SMALL: dict[str, Any] = {
    "vit_b_32": lambda: torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32
    ),
    "maxvit_t": lambda: torchvision.models.MaxVit(
        (64, 64), 8, 2, [8, 16, 16, 16], [1, 1, 1, 1], head_dim=8, stochastic_depth_prob=0.1
    ),
    # at its own initialisation, 0.01, BatchNorm's epsilon weighs and rounding grows
    "googlenet": lambda: torchvision.models.GoogLeNet(aux_logits=False, transform_input=True, init_weights=False),
}
"""Networks of families that have none small or tame enough."""

VARIANTS = {
    f"{norm}-{'stable' if stable else 'plain'}": {
        **tiny.WAV2VEC2,
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


def torchvision_model(name: str) -> nn.Module:
    if name in SMALL:
        return SMALL[name]()
    return torchvision.models.get_model(name, weights=None, **vision.family(name).options)


def torchvision_features(name: str) -> Any:
    """torchvision's own forward with its last layer taken out."""

    def forward(tensors: dict[str, Tensor], state: State) -> Tensor:
        row = vision.family(name)
        model = torchvision_model(name).eval()
        versions = {"_metadata": model.state_dict()._metadata}  # MNASNet refuses tensors without one
        named = type("Named", (dict,), versions)(tensors)
        missing, unexpected = model.load_state_dict(named, strict=False)
        assert not unexpected and all(key.startswith(row.head) for key in missing)
        last = nn.AdaptiveAvgPool2d(1) if isinstance(model, torchvision.models.SqueezeNet) else nn.Identity()
        parent, _, child = row.head.rpartition(".")
        setattr(model.get_submodule(parent), child, last)
        return model(state["x"])

    return forward


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    backbone = vision.VisionBackbone(name, torchvision_model(name), {}, {})
    count, side = IMAGES[name]
    cuts = check_backbone(backbone, {"x": torch.randn(count, 3, side, side)}, torchvision_features(name))
    assert cuts == len(backbone.stages) + 1 >= 5


def test_every_image_family_is_checked() -> None:
    checked = {torchvision.models.get_model_builder(name).__module__ for name in IMAGES}
    assert checked == {family.__module__ for family in vision_families.FAMILIES}


POOLED: dict[str, Any] = {
    "vit": lambda output: output.last_hidden_state[:, 0],
    "dinov2": lambda output: torch.cat([output.pooler_output, output.last_hidden_state[:, 1:].mean(1)], 1),
}
"""What the library's own classifiers read, where it is not its model's `pooler_output`."""


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("family", tiny.IMAGES)
def test_image_encoders(family: str, side: int) -> None:
    """At the size of the positions, and at another, for which they are interpolated."""
    config = tiny.IMAGES[family]
    backbone = tiny.image_backbone(family)
    for parameter in backbone.parameters():  # norms and scales of 1 and 0 would hide what is left out
        torch.nn.init.normal_(parameter, std=0.3)

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(family, **config)).eval()
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        assert not unexpected and all(name.startswith("pooler.") for name in missing)
        learned = "interpolate_pos_encoding" in inspect.signature(type(model).forward).parameters
        output = model(state["x"], **({"interpolate_pos_encoding": True} if learned else {}))
        hidden = backbone.eval().run(state, 0, len(backbone.stages) - (family == "siglip_vision_model"))["x"]
        if family not in ("convnext", "convnextv2", "clip_vision_model"):  # whose norm is behind the pooling
            torch.testing.assert_close(hidden.reshape(output.last_hidden_state.shape), output.last_hidden_state)
        return POOLED.get(family, lambda output: output.pooler_output)(output)

    stages = len(config.get("depths", [0, 0, 0])) + 1 + (family == "siglip_vision_model")
    assert check_backbone(backbone, {"x": torch.randn(3, 3, side, side)}, theirs) == stages + 1


def test_every_image_encoder_is_checked() -> None:
    assert set(image_encoders.FAMILIES) == {*tiny.IMAGES, *tiny.IMAGES_AND_TEXTS}


def make(config: dict[str, Any], family: str) -> Backbone:
    return backbones.rebuild(
        {
            "name": "tiny",
            "modality": "text" if family in tiny.TEXTS else "speech",
            "family": family,
            "source": "random weights",
            "config": {"model_type": family, **config},
            "preprocess": {},
        }
    )


@pytest.mark.parametrize("family", tiny.TEXTS)
def test_text(family: str) -> None:
    shape = tiny.text_shape(family, num_hidden_layers=3)
    backbone = make(shape, family)

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        config = transformers.AutoConfig.for_model(family, **shape)
        model = transformers.AutoModel.from_config(config).eval()
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        assert not unexpected and all("pooler" in name for name in missing)
        hidden = model(state["x"]).last_hidden_state
        return hidden[:, -1] if backbone.pooling == "last" else hidden.mean(1)

    state = {"x": torch.randint(2, 60, (4, 12)), "lengths": torch.tensor([12, 7, 3, 1])}
    state["x"][torch.arange(12) >= state["lengths"][:, None]] = 0
    stages = 1 if family not in text.FAMILIES else 4
    assert check_backbone(backbone, state, theirs) == stages + 1


def test_every_text_family_is_checked() -> None:
    assert set(text.FAMILIES) < set(tiny.TEXTS)


@pytest.mark.parametrize("family", speech.FAMILIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_speech(variant: str, family: str) -> None:
    config = VARIANTS[variant]
    backbone = make(config, family)

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(family, **config)).eval()
        model.load_state_dict(tensors, strict=True)
        return model(state["x"]).last_hidden_state

    lengths = torch.tensor([1500, 1203, 400, 61])
    x = torch.randn(4, 1500)
    x[torch.arange(1500) >= lengths[:, None]] = 0
    assert check_backbone(backbone, {"x": x, "lengths": lengths}, theirs) == 5


@pytest.mark.parametrize("family", [*tiny.TEXTS, *speech.FAMILIES, *tiny.IMAGES])
def test_every_trained_parameter_gets_a_gradient(family: str) -> None:
    """A parameter without one stops DistributedDataParallel."""
    if family in tiny.IMAGES:
        backbone, state = tiny.image_backbone(family), {"x": torch.randn(2, 3, 32, 32)}
    else:
        spoken = family in speech.FAMILIES
        backbone = make(VARIANTS["group-plain"] if spoken else tiny.text_shape(family), family)
        x = torch.randn(2, 1500) if spoken else torch.randint(2, 60, (2, 12))
        state = {"x": x, "lengths": torch.tensor([x.shape[1], x.shape[1] // 2])}
    backbone.mask_prob = 0.0
    for frozen in ((), (0,)):
        if len(backbone.stages) == 1 and frozen:
            continue
        backbone.freeze(frozen)
        backbone.zero_grad()
        features(backbone, backbone.train().run(state)).square().sum().backward()
        assert [name for name, p in backbone.named_parameters() if p.requires_grad != (p.grad is not None)] == []


def test_deepspeech() -> None:
    backbone = deepspeech.DeepSpeechBackbone(n_hidden=32)

    def theirs(tensors: dict[str, Tensor], state: State) -> Tensor:
        model = torchaudio.models.DeepSpeech(n_feature=880, n_hidden=32, n_class=32).eval()
        model.load_state_dict(tensors, strict=False)
        model.out, seen = nn.Identity(), []
        model.fc4.register_forward_hook(lambda layer, given, output: seen.append(output))
        model(backbone.run(state, 0, 1)["x"][:, None])
        return seen[0].transpose(0, 1)

    lengths = torch.tensor([4000, 2345, 720, 400])
    x = torch.randn(4, 4000) * (torch.arange(4000) < lengths[:, None])
    assert check_backbone(backbone, {"x": x, "lengths": lengths}, theirs) == 7


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
    backbone = make(tiny.BERT, "bert")
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
        (make(tiny.BERT, "bert"), torch.randint(1, 60, (2, 9))),
        *((tiny.image_backbone(family), torch.randn(2, 3, 32, 32)) for family in tiny.IMAGES),
    ):
        state = {"x": x, "lengths": torch.tensor([x.shape[1], x.shape[1] // 2])}
        exact = backbone.eval().run(state)["x"]
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone.run(state)["x"]
        assert torch.cosine_similarity(exact[0], rough[0].float(), dim=-1).min() > 0.99
