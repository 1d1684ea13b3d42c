"""timm's networks as backbones; without timm only the message that says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmtransfer import backbones
from mmtransfer.backbones import weights
from mmtransfer.backbones.contract import check_backbone
from mmtransfer.errors import MMTransferError

STAGED = {"test_vit": 7, "test_vit2": 9, "test_vit3": 10}
"""Plain ViTs that pool the class token, the mean without registers, by attention -> stages: patches and blocks."""
WHOLE = ["test_convnext", "test_resnet"]


def refused(name: str, chosen: str | None = None) -> str:
    with pytest.raises(MMTransferError) as error:
        backbones.load(name, chosen)
    return str(error.value)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "timm is not installed" in refused("timm:test_vit")
    with pytest.raises(MMTransferError, match=r"pip install 'mmtransfer\[timm\]'"):
        backbones.check("timm:test_vit")


@pytest.mark.parametrize("name", [*STAGED, *WHOLE])
def test_networks(name: str) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    backbone = backbones.load(f"timm:{name}", "none", modality="image")

    def theirs(tensors: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> torch.Tensor:
        model = timm.create_model(name, num_classes=0).eval()
        model.load_state_dict(tensors, strict=True)
        return model(state["x"])

    assert len(backbone.stages) == STAGED.get(name, 1)
    side = backbone.preprocess["image_size"]
    assert check_backbone(backbone, {"x": torch.randn(3, 3, side, side)}, theirs) == len(backbone.stages) + 1


@pytest.mark.parametrize("name", STAGED)
def test_features_of_an_earlier_block(name: str) -> None:
    pytest.importorskip("timm")
    backbone = backbones.load(f"timm:{name}", "none").eval()
    backbone.depth = 3
    state = backbone.run({"x": torch.randn(2, 3, 160, 160)})
    tokens = state["x"]
    expected = tokens[:, 0] if name == "test_vit" else tokens[:, 1:].mean(1)
    assert torch.equal(backbone.pool(state), expected)


def test_weights_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", num_classes=5)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    with caplog.at_level("INFO", "mmtransfer"):
        backbone = backbones.load("timm:test_vit", str(tmp_path / "w.safetensors"))
    assert "dropped the old head: head.bias (5,), head.weight (5, 64)" in caplog.text
    assert torch.equal(backbone.library_state()["pos_embed"], model.state_dict()["pos_embed"])


def test_names_and_weights_that_are_not_there() -> None:
    pytest.importorskip("timm")
    assert "Unknown network of timm 'test_vitt'" in refused("timm:test_vitt")
    assert "Could not get timm's test_vit: not in the local cache" in refused("timm:test_vit")
    assert "Unknown weights 'IMAGENET'" in refused("timm:test_vit", "IMAGENET")
    with pytest.raises(MMTransferError, match="is a backbone for image, the task needs one for text"):
        backbones.load("timm:test_vit", modality="text")


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_run(name: str, tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("timm")
    generator = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    words: list[Any] = ["--train", tmp_path / "data", "--backbone", f"timm:{name}", "--weights", "none", "--epochs", 1]
    status, _, said = command("fit", "image-classification", *words, "--batch-size", 4, "--out", tmp_path / "run")
    assert status == 0, said
    trained = backbones.load(str(tmp_path / "run"))
    assert trained.name == f"timm:{name}" and not (tmp_path / "run/model/config.json").exists()
    assert weights.sha256(backbones.rebuild(trained.describe())) != weights.sha256(trained)
