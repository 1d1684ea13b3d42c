"""What published weights bring with them: sizes, old names, auxiliary heads, the scaling of the input."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from mmtransfer import backbones
from mmtransfer.backbones import vision, weights
from mmtransfer.errors import MMTransferError


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_every_classification_network_of_torchvision_has_a_row() -> None:
    assert vision.names() == torchvision.models.list_models(module=torchvision.models)


def test_sizes_and_normalisation_are_those_of_the_weights() -> None:
    def found(name: str, entry: Any = None) -> dict[str, Any]:
        return vision.preprocessing(name, torch.nn.Module(), entry)

    assert found("inception_v3")["image_size"] == 299 and found("inception_v3")["fixed_size"]
    assert found("efficientnet_b3")["image_size"] == 300 and not found("efficientnet_b3")["fixed_size"]
    assert found("efficientnet_v2_l")["mean"] == (0.5, 0.5, 0.5)
    assert found("resnet50")["crop_pct"] == 224 / 256
    newer = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    assert found("resnet50", newer)["crop_pct"] == 224 / 232


def test_random_weights_have_statistics_that_a_short_run_can_settle() -> None:
    def momenta(backbone: backbones.Backbone) -> list[float]:
        return [module.momentum for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]

    assert set(momenta(backbones.load("mnasnet0_5", "none"))) == {0.1}
    assert max(momenta(vision.build("mnasnet0_5"))) < 0.001


def test_weights_for_larger_pictures_make_a_larger_network() -> None:
    entry = torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
    assert vision.size_of("vit_b_16", entry) == {"image_size": 384}
    assert vision.size_of("resnet50", torchvision.models.ResNet50_Weights.IMAGENET1K_V1) == {}


def test_auxiliary_heads_are_dropped_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full = torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True).eval()
    torch.save(full.state_dict(), tmp_path / "w.pth")
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load("googlenet", str(tmp_path / "w.pth")).eval()
    assert "aux1.fc1.weight" in caplog.text and "fc.bias (1000,)" in caplog.text
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = backbone.pool(backbone.run({"x": x}))
        torch.testing.assert_close(full.fc(features), full(x), rtol=0, atol=1e-5 * float(full(x).abs().max()))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("vit_b_16", ("encoder.layers.encoder_layer_0.mlp.linear_2.bias", "encoder.layers.encoder_layer_0.mlp.3.bias")),
        (
            "densenet121",
            (
                "features.denseblock1.denselayer1.norm.2.running_mean",
                "features.denseblock1.denselayer1.norm2.running_mean",
            ),
        ),
    ],
)
def test_names_of_older_files(name: str, old: tuple[str, str]) -> None:
    assert vision.renamed(old[0], vision.family(name).renamed) == old[1]
    assert vision.renamed(old[1], vision.family(name).renamed) == old[1]


def test_a_run_with_a_network_of_its_own_size(tmp_path: Path) -> None:
    backbone = vision.build("swin_t")
    weights.save(backbone, tmp_path / "model")
    again = backbones.load(str(tmp_path))
    assert again.preprocess == {**backbone.preprocess, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert weights.sha256(again) == weights.sha256(backbone)


@pytest.mark.parametrize("weights_name", ["IMAGENET1K_V1", "official"])
def test_deepspeech_has_no_checkpoint(weights_name: str) -> None:
    with pytest.raises(MMTransferError, match="no official checkpoint of torchaudio's DeepSpeech"):
        backbones.load("deepspeech", weights_name)
