"""Weights from files, folders, runs and by name; what does not fit is refused by name."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import tiny
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

from mmtransfer import backbones
from mmtransfer.backbones import weights
from mmtransfer.errors import MMTransferError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "is", "my", "card"]
BERT = transformers.BertConfig(**{**tiny.BERT, "vocab_size": len(WORDS)})
QUANTISER = {"num_codevectors_per_group": 4, "codevector_dim": 8, "proj_codevector_dim": 8}
WAV2VEC2 = transformers.Wav2Vec2Config(**tiny.WAV2VEC2, **QUANTISER, vocab_size=20)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def squeezenet(tmp_path: Path) -> Path:
    path = tmp_path / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder as a user has it: heads and pooler in the weights, the tokenizer beside them."""
    folder = tmp_path / "bert"
    transformers.BertForPreTraining(BERT).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(MMTransferError) as caught:
        call()
    return str(caught.value)


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> str:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return str(path)


def test_a_file_whose_head_is_dropped_aloud(squeezenet: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load("squeezenet1_1", str(squeezenet))
    assert "dropped the old head: classifier.1.bias (1000,), classifier.1.weight (1000, 512, 1, 1)" in caplog.text
    file = load_file(squeezenet)
    state = backbone.library_state()
    assert set(file) - set(state) == {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(file[name], value) for name, value in state.items())
    assert backbone.source == str(squeezenet)


def test_pth_and_safetensors_are_the_same(squeezenet: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in load_file(squeezenet).items()}}, path)
    found = weights.sha256(backbones.load("squeezenet1_1", str(path)))
    assert found == weights.sha256(backbones.load("squeezenet1_1", str(squeezenet)))
    assert found != weights.sha256(backbones.load("squeezenet1_1", "none"))


def test_missing_unexpected_and_misshapen_tensors_are_listed(squeezenet: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        del tensors["features.0.weight"]
        tensors["features.99.weight"] = torch.zeros(1)
        tensors["features.0.bias"] = torch.zeros(3)

    path = edited(squeezenet, change)
    message = refused(lambda: backbones.load("squeezenet1_1", path))
    assert "1 missing: features.0.weight" in message
    assert "1 unexpected: features.99.weight" in message
    assert "features.0.bias (3,) instead of (64,)" in message
    assert f"weights={str(path)!r}" in message


def test_weights_of_another_network_name_ten_and_the_count(squeezenet: Path) -> None:
    message = refused(lambda: backbones.load("resnet18", str(squeezenet)))
    missing, unexpected = message.splitlines()[0].removeprefix("The weights are not this backbone's: ").split("; ")
    assert missing.startswith("100 missing: conv1.weight, bn1.weight") and missing.count(",") == 9
    assert unexpected.startswith("52 unexpected: classifier.1.bias") and unexpected.count(",") == 9


def test_files_from_before_batch_norm_counted(tmp_path: Path) -> None:
    tensors = torchvision.models.resnet18(weights=None).state_dict()
    old = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    state = backbones.load("resnet18", str(tmp_path / "old.pth")).library_state()
    assert torch.equal(state["layer4.1.conv2.weight"], tensors["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such weights file"), (b"junk", "Not a readable weights file"), (b"", "Not a readable weights file")],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_bad_files(tmp_path: Path, content: bytes | None, message: str, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    if content is not None:
        path.write_bytes(content)
    assert message in refused(lambda: backbones.load("resnet18", str(path)))


def test_only_tensors_are_unpickled(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "code": os.system}, tmp_path / "evil.pt")
    assert "Not a readable weights file" in refused(lambda: weights.state_from_file(tmp_path / "evil.pt"))


def test_a_weights_name_that_torchvision_does_not_have() -> None:
    assert "did you mean IMAGENET1K_V1" in refused(lambda: backbones.load("vgg11", "IMAGENET1K_V3"))


def test_torchvision_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    message = refused(lambda: backbones.load("resnet18"))
    assert "https://download.pytorch.org/models/resnet18-" in message
    assert "weights=FILE" in message and "none" in message


def test_torchvision_weights_come_through_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    published = torchvision.models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", lambda self, **kwargs: published)
    backbone = backbones.load("resnet18")
    assert torch.equal(backbone.library_state()["conv1.weight"], published["conv1.weight"])
    assert "ResNet18_Weights.IMAGENET1K_V1" in backbone.source


@pytest.mark.parametrize(("name", "nearest"), [("resnet8", "resnet18"), ("vgg", "vgg1"), ("wav2vec-smal", "wav2vec2")])
def test_a_name_with_a_typo(name: str, nearest: str) -> None:
    message = refused(lambda: backbones.load(name))
    assert f"Unknown backbone {name!r}" in message and nearest in message


def test_names() -> None:
    found = backbones.names()
    assert {"vgg16", "vgg16_bn", "resnet50", "wide_resnet50_2", "mobilenet_v2", "squeezenet1_0"} <= set(found)
    assert {"inception_v3", "vit_b_16", "convnext_tiny", "wav2vec2-small", "deepspeech"} <= set(found)
    assert "raft_large" not in found


@pytest.mark.parametrize("name", ["./nope", "/no/such/folder", "a/b/c"])
def test_folders_that_are_not_there(name: str) -> None:
    assert "No such folder" in refused(lambda: backbones.load(name))


def test_a_folder_that_is_no_backbone(tmp_path: Path) -> None:
    assert "Neither a finished run" in refused(lambda: backbones.load(str(tmp_path)))


def test_the_wrong_modality(bert: Path) -> None:
    message = refused(lambda: backbones.load(str(bert), modality="image"))
    assert "is a backbone for text, the task needs one for image" in message
    assert "for image" in refused(lambda: backbones.load("resnet18", modality="text"))


def test_a_bert_folder_with_heads(bert: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load(str(bert), modality="text")
    assert "bert.pooler.dense.weight" in caplog.text and "cls.predictions.bias" in caplog.text
    file = load_file(bert / "model.safetensors")
    assert all(torch.equal(file[f"bert.{name}"], value) for name, value in backbone.library_state().items())
    assert backbone.tokenizer("where is my card?")["input_ids"] == [2, 5, 6, 7, 8, 1, 3]
    assert all(module.training for module in backbone.modules())


def test_a_bert_file_for_a_bert_folder(bert: Path) -> None:
    expected = weights.sha256(backbones.load(str(bert)))
    random = backbones.load(str(bert), "none")
    assert weights.sha256(random) != expected and random.source == "random weights" and random.tokenizer is not None
    assert weights.sha256(backbones.load(str(bert), str(bert / "model.safetensors"))) == expected


def test_half_precision_files_become_float32(bert: Path) -> None:
    edited(bert / "model.safetensors", lambda tensors: tensors.update({k: v.half() for k, v in tensors.items()}))
    assert {value.dtype for value in backbones.load(str(bert)).library_state().values()} == {torch.float32}


def test_transformers_weights_that_do_not_fit(bert: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        del tensors["bert.encoder.layer.0.attention.self.query.weight"]
        tensors["bert.encoder.layer.0.strange.weight"] = torch.zeros(1)
        tensors["bert.encoder.layer.1.output.dense.bias"] = torch.zeros(3)

    edited(bert / "model.safetensors", change)
    message = refused(lambda: backbones.load(str(bert)))
    assert "1 missing: encoder.layer.0.attention.self.query.weight" in message
    assert "1 unexpected: bert.encoder.layer.0.strange.weight" in message
    assert "1 misshapen: encoder.layer.1.output.dense.bias" in message


def test_damaged_transformers_folders(bert: Path) -> None:
    (bert / "model.safetensors").write_bytes(b"junk")
    assert "Not readable" in refused(lambda: backbones.load(str(bert)))
    (bert / "model.safetensors").unlink()
    assert "Not readable" in refused(lambda: backbones.load(str(bert)))
    (bert / "config.json").write_text("{")
    assert "Not readable" in refused(lambda: backbones.load(str(bert)))


def test_a_folder_without_its_tokenizer(tmp_path: Path) -> None:
    transformers.BertModel(BERT).save_pretrained(tmp_path)
    assert "No tokenizer beside the weights" in refused(lambda: backbones.load(str(tmp_path)))


def test_a_model_type_that_is_not_here(tmp_path: Path) -> None:
    for kind in ("detr", "t5", "nonesuch"):  # of pictures, with a decoder, of nobody
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        assert f"Unknown model type '{kind}'" in refused(lambda: backbones.load(str(tmp_path)))


def test_a_hub_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", offline)
    message = refused(lambda: backbones.load("google-bert/no-such-model-here"))
    assert "Could not get 'google-bert/no-such-model-here'" in message and "huggingface.co" in message
    assert "local folder" in message and "weights='none'" in message


@pytest.mark.parametrize("head", [transformers.Wav2Vec2ForPreTraining, transformers.Wav2Vec2ForCTC])
def test_wav2vec2_folders_with_heads(tmp_path: Path, head: Any, caplog: pytest.LogCaptureFixture) -> None:
    head(WAV2VEC2).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000, "do_normalize": False}))
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load(str(tmp_path))
    assert "dropped" in caplog.text and ("quantizer" in caplog.text or "lm_head" in caplog.text)
    file = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(file[f"wav2vec2.{name}"], value) for name, value in backbone.library_state().items())
    assert backbone.preprocess == {"sample_rate": 8000, "normalise": False}


def test_wav2vec2_files_with_the_old_names_of_weight_norm(tmp_path: Path) -> None:
    transformers.Wav2Vec2ForCTC(WAV2VEC2).save_pretrained(tmp_path)
    file = load_file(tmp_path / "model.safetensors")
    new = "conv.parametrizations.weight.original"
    old = {name.replace(f"{new}0", "conv.weight_g").replace(f"{new}1", "conv.weight_v"): v for name, v in file.items()}
    assert old.keys() != file.keys()
    torch.save(old, tmp_path / "old.bin.pt")
    found = backbones.load(str(tmp_path), str(tmp_path / "old.bin.pt"))
    assert weights.sha256(found) == weights.sha256(backbones.load(str(tmp_path)))


def test_wav2vec2_without_a_mask_embedding_of_its_own(tmp_path: Path) -> None:
    config = transformers.Wav2Vec2Config(**{**WAV2VEC2.to_dict(), "mask_time_prob": 0.0, "mask_feature_prob": 0.0})
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path)
    backbone = backbones.load(str(tmp_path))
    assert backbone.mask_prob == 0 and "masked_spec_embed" in backbone.library_state()
    weights.save(backbone, tmp_path / "run" / "model")
    assert weights.sha256(backbones.load(str(tmp_path / "run"))) == weights.sha256(backbone)


@pytest.mark.parametrize("kind", ["image", "text", "speech"])
def test_a_run_is_a_backbone(kind: str, bert: Path, tmp_path: Path) -> None:
    first = {"image": "squeezenet1_1", "text": str(bert), "speech": "wav2vec2-small"}[kind]
    backbone = backbones.load(first, "none")
    run = tmp_path / "run"
    weights.save(backbone, run / "model")
    again = backbones.load(str(run), modality=kind)
    assert weights.sha256(again) == weights.sha256(backbone)
    assert again.source == str(run) and again.name == backbone.name
    assert again.describe().keys() == backbone.describe().keys()
    assert weights.sha256(backbones.load(str(run), "none")) != weights.sha256(backbone)
    if kind == "text":
        text = "where is my card?"
        assert again.tokenizer(text)["input_ids"] == backbone.tokenizer(text)["input_ids"]
    second = tmp_path / "second"
    weights.save(again, second / "model")
    assert weights.sha256(backbones.load(str(second))) == weights.sha256(backbone)


def test_a_run_without_its_weights(tmp_path: Path) -> None:
    weights.save(backbones.load("squeezenet1_1", "none"), tmp_path / "model")
    (tmp_path / "model" / weights.TENSORS).unlink()
    assert "backbone.safetensors is missing" in refused(lambda: backbones.load(str(tmp_path)))


def test_a_frozen_backbone_is_stored_once(tmp_path: Path) -> None:
    backbone = backbones.load("squeezenet1_1", "none")
    for run in ("a", "b"):
        weights.save(backbone, tmp_path / run / "model", tmp_path / ".weights")
    files = [tmp_path / run / "model" / weights.TENSORS for run in ("a", "b")]
    (kept,) = (tmp_path / ".weights").iterdir()
    assert kept.name == f"{weights.sha256(backbone)}.safetensors"
    assert {path.stat().st_ino for path in files} == {kept.stat().st_ino}


def test_where_links_fail_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*args: Any, **kwargs: Any) -> None:
        raise OSError("links are not supported")

    monkeypatch.setattr(os, "link", no_links)
    backbone = backbones.load("squeezenet1_1", "none")
    weights.save(backbone, tmp_path / "a" / "model", tmp_path / ".weights")
    assert weights.sha256(backbones.load(str(tmp_path / "a"))) == weights.sha256(backbone)


def test_channels_last_weights_are_saved(tmp_path: Path) -> None:
    backbone = backbones.load("squeezenet1_1", "none")
    expected = weights.sha256(backbone)
    weights.save(backbone.to(memory_format=torch.channels_last), tmp_path / "model")
    assert weights.sha256(backbones.load(str(tmp_path))) == expected


def test_saved_tensors_have_the_library_s_names(tmp_path: Path) -> None:
    weights.save(backbones.load("resnet18", "none"), tmp_path)
    model = torchvision.models.resnet18(weights=None)
    missing, unexpected = model.load_state_dict(load_file(tmp_path / weights.TENSORS), strict=False)
    assert set(missing) == {"fc.weight", "fc.bias"} and not unexpected


def test_minilm(minilm: Path) -> None:
    backbone = backbones.load(str(minilm))
    model = transformers.AutoModel.from_pretrained(minilm, dtype=torch.float32).eval()
    ids = torch.tensor([backbone.tokenizer("where is my card?")["input_ids"]])
    with torch.no_grad():
        found = backbone.eval().pool(backbone.run({"x": ids, "lengths": torch.tensor([ids.shape[1]])}))
        expected = model(ids).last_hidden_state.mean(1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert backbone.width == 384 and len(backbone.stages) == 7


@pytest.mark.real
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_converted_weights(data_folder: Path, name: str) -> None:
    path = data_folder / "weights" / f"{name}.safetensors"
    backbone = backbones.load(name, str(path)).eval()
    model = torchvision.models.get_model(name, weights=None).eval()
    model.load_state_dict(load_file(path))
    model.classifier = torch.nn.AdaptiveAvgPool2d(1) if name == "squeezenet1_1" else torch.nn.Identity()
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        found, expected = backbone.pool(backbone.run({"x": x})), model(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_weights_that_are_no_numbers_name_their_file(tmp_path):
    backbone = backbones.load("squeezenet1_1", "none")
    state = backbone.library_state()
    state["features.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "bad.safetensors")
    with pytest.raises(MMTransferError, match="not all finite numbers: stages.0") as caught:
        backbones.load("squeezenet1_1", str(tmp_path / "bad.safetensors"))
    assert caught.value.where == f"--weights {tmp_path / 'bad.safetensors'}"
