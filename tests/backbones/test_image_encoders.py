"""Image encoders of transformers: checkpoints, processors, sizes, and a run of each through the command line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

import mmtransfer as mmt
from mmtransfer import backbones
from mmtransfer.backbones import carried, weights
from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import IMAGE
from mmtransfer.data.images import ImageTransform
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks.inputs import ImageInput

EVERY = [*tiny.IMAGES, *tiny.IMAGES_AND_TEXTS]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("family", EVERY)
def test_a_checkpoint_of_the_library(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny.image_checkpoint(tmp_path, family)
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load(str(tmp_path), modality="image").eval()
    tower = getattr(model, "vision_model", model)
    theirs = {name: value for name, value in tower.state_dict().items() if not name.startswith("pooler.")}
    own = backbone.library_state()
    assert own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name]) for name in own)
    assert ("dropped" in caplog.text) == (family in {"vit", *tiny.IMAGES_AND_TEXTS})
    own = backbone.preprocess
    assert (own["mean"], own["std"], own["image_size"]) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 32)
    assert weights.sha256(backbones.rebuild(backbone.describe())) != weights.sha256(backbone)


def test_pixels_are_those_of_the_processor(tmp_path: Path) -> None:
    tiny.image_checkpoint(tmp_path, "vit")
    own = backbones.load(str(tmp_path)).preprocess
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    transform = ImageTransform(own["image_size"], own["mean"], own["std"], own["crop_pct"])
    pixels = transform.normalise(transform(picture))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, trust_remote_code=False)
    theirs = processor(picture, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(pixels, theirs, rtol=0, atol=1e-6)


NORM: dict[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
HALVES = ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("values", "size", "crop", "norm"),
    [
        ({"size": 224}, 224, 1.0, HALVES),
        ({"size": {"height": 384, "width": 384}}, 384, 1.0, HALVES),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, 224, 0.875, HALVES),
        ({"size": 256, "crop_size": 224, "do_center_crop": True}, 224, 0.875, HALVES),
        ({"size": 224, "crop_size": 192, "do_center_crop": False}, 224, 1.0, HALVES),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, 224, 0.875, HALVES),  # ConvNeXt's
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, 384, 1.0, HALVES),
        ({"size": 64, "do_normalize": False}, 64, 1.0, ((0.0,) * 3, (1.0,) * 3)),
        ({"size": 64, "rescale_factor": 1 / 127.5}, 64, 1.0, ((0.25,) * 3, (0.25,) * 3)),
        ({"size": 64, "do_rescale": False}, 64, 1.0, ((0.5 / 255,) * 3, (0.5 / 255,) * 3)),
    ],
)
def test_processors(values: dict[str, Any], size: int, crop: float, norm: Any, tmp_path: Path) -> None:
    tiny.image_checkpoint(tmp_path, "vit", processor=None)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**NORM, **values}))
    own = backbones.load(str(tmp_path)).preprocess
    assert (own["image_size"], own["crop_pct"]) == (size, crop)
    assert np.allclose([own["mean"], own["std"]], norm)


def test_a_processor_inside_that_of_pictures_and_texts(tmp_path: Path) -> None:
    tiny.image_checkpoint(tmp_path, "clip", processor=None)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {**NORM, "size": 48}}))
    assert backbones.load(str(tmp_path)).preprocess["image_size"] == 48


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "No preprocessor_config.json beside the weights"),
        ({"size": 224}, "preprocessor_config.json is of no use here: it has no image_mean"),
        (NORM, "it has no size"),
        ({**NORM, "size": {"height": 224, "width": 384}}, "its pictures are no squares of one size"),
        ({**NORM, "size": {"longest_edge": 224}}, "its pictures are no squares of one size"),
        ({**NORM, "size": 224, "image_std": [0.5, 0.5, 0.0]}, "are not those of three channels"),
        ({**NORM, "size": 224, "image_mean": [0.5]}, "are not those of three channels"),
    ],
)
def test_a_processor_that_cannot_be_used(values: Any, message: str, tmp_path: Path) -> None:
    tiny.image_checkpoint(tmp_path, "vit", processor=None)
    if values is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    for chosen in (None, "none"):
        with pytest.raises(MMTransferError, match=message) as error:
            backbones.load(str(tmp_path), chosen)
        assert str(tmp_path) in str(error.value)


def test_what_is_done_in_another_way_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny.image_checkpoint(
        tmp_path, "vit", processor=transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=3)
    )
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbones.load(str(tmp_path))
    assert "resized by bicubic interpolation, here it is bilinear; squeezed into squares" in caplog.text


@pytest.mark.parametrize("family", ["vit", "dinov2", "dinov3_vit", "swin", "convnextv2", "clip", "siglip"])
def test_weights_from_a_file_of_a_classifier(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Under the names that published files have, which are not those of the library's modules."""
    ending = "Model" if family == "dinov3_vit" else "ModelForImageClassification"
    model = tiny.image_checkpoint(tmp_path, family, ending)
    with caplog.at_level(logging.INFO, "mmtransfer"):
        found = backbones.load(str(tmp_path), str(tmp_path / "model.safetensors"))
    whole = backbones.load(str(tmp_path))
    assert weights.sha256(found) == weights.sha256(whole)
    assert family == "dinov3_vit" or "dropped the old head: classifier.bias" in caplog.text
    theirs = dict(model.state_dict())
    assert any(torch.equal(value, theirs[name]) for value in found.library_state().values() for name in theirs)


@pytest.mark.parametrize("family", EVERY)
def test_a_run_of_each(family: str, tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    """Trained whole and behind a cached prefix; read again by us, and by transformers."""
    tiny.image_checkpoint(tmp_path / "checkpoint", family)
    generator = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 120, (32, 40, 3), dtype=np.uint8)
        pixels[..., number % 2] += 120
        Image.fromarray(pixels).save(folder / f"{number}.png")
    flags = ["--train", tmp_path / "data", "--backbone", tmp_path / "checkpoint", "--batch-size", 8, "--epochs", 2]
    for strategy in ("full", "linear-probe"):
        status, _, said = command(
            "fit", "image-classification", *flags, "--strategy", strategy, "--out", tmp_path / strategy
        )
        assert status == 0, said
    run = tmp_path / "full"
    trained, before = backbones.load(str(run)), backbones.load(str(tmp_path / "checkpoint"))
    assert weights.sha256(trained) != weights.sha256(before)
    assert weights.sha256(backbones.load(str(tmp_path / "linear-probe"))) == weights.sha256(before)
    pixels = {"x": torch.randn(2, 3, 32, 32)}
    with torch.no_grad():
        model = mmt.load(run).model.backbone
        assert torch.equal(trained.pool(trained.eval().run(pixels)), model.pool(model.run(pixels)))
    theirs, info = transformers.AutoModel.from_pretrained(
        run / "model", output_loading_info=True, trust_remote_code=False
    )
    assert set(info["unexpected_keys"]) <= {"classifier.weight", "classifier.bias"}  # the head, where it is its own
    assert all(name.startswith("pooler.") for name in info["missing_keys"])
    own = trained.library_state()
    assert all(torch.equal(theirs.state_dict()[name], value) for name, value in own.items())
    again = backbones.load(str(run / "model"), modality="image")  # as a folder of transformers
    assert again.preprocess["mean"] == before.preprocess["mean"] and weights.sha256(again) == weights.sha256(trained)
    assert len(mmt.load(run).predict([str(tmp_path / "data/a/0.png")])) == 1


def test_a_run_with_names_of_another_version_of_the_library(tmp_path: Path) -> None:
    tiny.image_checkpoint(tmp_path / "checkpoint", "dinov2")
    backbone = backbones.load(str(tmp_path / "checkpoint"))
    weights.save(backbone, tmp_path / "run/model")
    file = tmp_path / "run/model" / weights.TENSORS
    old = {name.replace("attention.q_proj", "attention.attention.query"): x for name, x in load_file(file).items()}
    save_file(old, file, weights.FORMAT)
    assert any("attention.query" in name for name in old)
    assert weights.sha256(backbones.load(str(tmp_path / "run"))) == weights.sha256(backbone)


def test_the_smallest_size() -> None:
    for family in ("swin", "convnext", "vit", "siglip_vision_model"):
        backbone = tiny.image_backbone(family).eval()
        smallest = backbone.preprocess["smallest_size"]
        assert torch.isfinite(backbone.pool(backbone.run({"x": torch.randn(1, 3, smallest, smallest)}))).all()
        with pytest.raises(RuntimeError):
            tiny.image_backbone(family).run({"x": torch.randn(1, 3, smallest - 1, smallest - 1)})


def test_positions_of_dinov3_are_shifted_only_where_its_patches_are_trained() -> None:
    backbone = tiny.image_backbone("dinov3_vit", pos_embed_shift=0.5).train()
    state = {"x": torch.randn(2, 3, 32, 32)}
    assert not torch.equal(backbone.run(state)["x"], backbone.run(state)["x"])
    backbone.freeze({0})
    assert torch.equal(backbone.run(state)["x"], backbone.run(state)["x"])


@pytest.mark.parametrize("family", ["vit", "dinov2", "swin", "convnextv2", "clip", "siglip"])
def test_the_head_that_a_checkpoint_carries(family: str, tmp_path: Path) -> None:
    labels = {"id2label": {0: "cat", 1: "dog", 2: "owl"}, "label2id": {"cat": 0, "dog": 1, "owl": 2}}
    model = tiny.image_checkpoint(tmp_path, family, "ModelForImageClassification", **labels)
    found = carried.load_with_head(str(tmp_path))
    assert found.names == ["cat", "dog", "owl"] and found.named
    assert found.settings == {"image_size": 32, "crop_pct": 1.0}
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found.backbone.eval().run({"x": x})["x"], model(x).logits)
    tiny.image_checkpoint(tmp_path / "headless", family)
    with pytest.raises(MMTransferError, match="not an image classifier"):
        carried.load_with_head(str(tmp_path / "headless"))


@pytest.mark.parametrize(
    ("processor", "given", "crop"),
    [({"size": 32}, None, 1.0), ({"size": 64, "crop_size": 48}, None, 0.75), ({"size": 32}, 0.9, 0.9)],
)
def test_a_run_crops_as_its_checkpoint_unless_it_is_told(
    processor: dict[str, Any], given: float | None, crop: float, tmp_path: Path
) -> None:
    tiny.image_checkpoint(tmp_path, "vit", processor=None)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**NORM, **processor}))
    assert cropped(backbones.load(str(tmp_path)), given) == crop


@pytest.mark.parametrize("name", ["resnet18", "builtin:image"])
def test_other_networks_crop_as_ever(name: str) -> None:
    backbone = backbones.load(name, "none")
    backbone.preprocess = {**backbone.preprocess, "crop_pct": 224 / 232}
    assert cropped(backbone, None) == 0.875 and cropped(backbone, 0.9) == 0.9


def cropped(backbone: Backbone, given: float | None) -> float:
    """The crop of a run on this backbone, whose user gave this one."""
    config = complete({"task": IMAGE, "train": "-", "crop_pct": given})
    return ImageInput(config, backbone, "pooled").transform.crop_pct
