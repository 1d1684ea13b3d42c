"""Built-in backbones: packed and read back, refused where damaged, missing, unknown or of another task."""

from __future__ import annotations

import pytest
import tiny
import torch

from mmtransfer import backbones
from mmtransfer.backbones import builtin, carried, pretrained
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError


def small_bert() -> Backbone:
    torch.manual_seed(0)
    return pretrained.build({"model_type": "bert", **tiny.BERT})


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Backbone:
    """A tiny text and a tiny image backbone in the place of the real ones."""
    monkeypatch.setattr(builtin, "FOLDER", tmp_path)
    torch.manual_seed(0)
    builtin.pack(backbones.load("squeezenet1_1", "none"), "image", "# card\n")
    bert = small_bert()
    builtin.pack(bert, "text", "# card\n")
    return bert


def test_packed_in_half_and_read_in_single_precision(packed, tmp_path):
    found = backbones.load("builtin", modality="text")
    assert found.source == "builtin:text" and (tmp_path / "text" / "MODEL_CARD.md").read_text() == "# card\n"
    theirs, own = packed.library_state(), found.library_state()
    for name, value in own.items():
        assert value.dtype in (torch.float32, torch.int64)
        expected = theirs[name].half().float() if theirs[name].dim() > 1 else theirs[name]
        assert torch.equal(value, expected), name
    assert any(not torch.equal(theirs[name], value) for name, value in own.items())


def test_the_modality_chooses_and_a_name_says_it(packed):
    assert backbones.load("builtin", modality="image").name == "squeezenet1_1"
    assert backbones.load("builtin:image").modality == "image"
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin")
    assert "give one of builtin:image, builtin:text, builtin:speech" in error.value.do


def test_random_weights_keep_the_architecture(packed):
    torch.manual_seed(1)
    first = backbones.load("builtin", "none", "text")
    assert first.source == "random weights" and first.width == 16
    differs = [not torch.equal(a, b) for a, b in zip(first.parameters(), packed.parameters(), strict=True)]
    assert any(differs)


def test_a_backbone_of_another_task_is_refused(packed):
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin:text", modality="image")
    assert error.value.what == "builtin:text is a backbone for text, the task needs one for image"


def test_an_unknown_name_is_told_the_known_ones(packed):
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin:txt", modality="text")
    assert error.value.what == "Unknown built-in backbone 'txt'" and "did you mean text" in error.value.do
    with pytest.raises(MMTransferError, match="did you mean builtin"):
        backbones.load("buildin")


def test_weights_by_name_are_refused(packed):
    with pytest.raises(MMTransferError, match="Unknown weights 'IMAGENET1K_V1'"):
        backbones.load("builtin", "IMAGENET1K_V1", "image")


@pytest.mark.parametrize("file", ["backbone.safetensors", "backbone.json"])
def test_a_damaged_file_is_named(packed, tmp_path, file):
    content = bytearray((tmp_path / "text" / file).read_bytes())
    content[-3] ^= 1
    (tmp_path / "text" / file).write_bytes(content)
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin", modality="text")
    assert error.value.what == f"The built-in backbone for text is damaged: {file} has another checksum"
    assert error.value.where == str(tmp_path / "text") and "install mmtransfer again" in error.value.do
    backbones.load("builtin", modality="image")


def test_a_missing_file_and_a_missing_backbone_are_named(packed, tmp_path):
    (tmp_path / "text" / "backbone.safetensors").unlink()
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin", modality="text")
    assert error.value.what == "The built-in backbone for text is not whole: backbone.safetensors is missing"
    with pytest.raises(MMTransferError) as error:
        backbones.load("builtin", modality="speech")
    assert error.value.what == "The built-in backbone for speech is not installed"


def test_what_float16_cannot_hold_is_not_packed(packed):
    backbone = small_bert()
    backbone.stages[1].layer.output.dense.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match="not finite in float16: encoder.layer.0.output.dense.weight"):
        builtin.pack(backbone, "text", "")


def test_the_speech_backbone_carries_its_head():
    """Ours and transformers' reading of the packed folder are one model."""
    from transformers import AutoModelForCTC

    found = carried.load_with_head("builtin:speech")
    assert found.names[:3] == ["<blank>", "|", "'"] and len(found.names) == 29 and found.ctc is not None
    model = AutoModelForCTC.from_pretrained(builtin.FOLDER / "speech", dtype=torch.float32).eval()
    x = torch.randn(1, 16000)
    with torch.inference_mode():
        state = found.backbone.eval().run({"x": x, "lengths": torch.tensor([16000])})
        ours = state["x"] @ found.ctc["weight"].T + found.ctc["bias"]
        torch.testing.assert_close(ours, model(x).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(MMTransferError, match="carries no head"):
        carried.load_with_head("builtin:text")


def test_the_shipped_backbones_are_whole_and_small():
    shipped = [name for name in builtin.MODALITIES if (builtin.FOLDER / name).is_dir()]
    if not shipped:
        pytest.skip("no backbone is packed in this checkout: python -m benchmarks.pretrain.NAME pack")
    total = 0
    for name in shipped:
        backbone = backbones.load("builtin", modality=name)
        assert all(value.isfinite().all() for value in backbone.parameters())
        total += (builtin.FOLDER / name / "backbone.safetensors").stat().st_size
        assert "Licence" in (builtin.FOLDER / name / "MODEL_CARD.md").read_text()
    assert total <= 16e6
