"""A checkpoint with the head that it carries gives the library's own outputs; without one it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import torchvision
import transformers

from mmtransfer.backbones import carried
from mmtransfer.backbones.staged import State
from mmtransfer.errors import MMTransferError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
ENCODERS = ("bert", "roberta", "distilbert", "electra", "mpnet", "gpt2")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)


def classifier(folder: Path, family: str, **more: Any) -> Any:
    config = transformers.AutoConfig.for_model(family, **tiny.text_shape(family, num_labels=3), **more)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    tokenizer(folder)
    return model.eval()


def ctc(folder: Path, symbols: list[str], blank: int, family: str = "wav2vec2") -> Any:
    """A CTC model with its vocabulary as fine-tuned ones have it: special tokens in between, the blank anywhere."""
    config = transformers.AutoConfig.for_model(family, **tiny.WAV2VEC2, vocab_size=len(symbols), pad_token_id=blank)
    model = transformers.AutoModelForCTC.from_config(config)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({symbol: number for number, symbol in enumerate(symbols)}))
    transformers.Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), pad_token=symbols[blank], word_delimiter_token="|", unk_token="<unk>"
    ).save_pretrained(folder)
    return model.eval()


def refused(name: str, weights: str | None = None) -> str:
    with pytest.raises(MMTransferError) as caught:
        carried.load_with_head(name, weights)
    return str(caught.value)


@pytest.mark.parametrize("family", ENCODERS)
def test_text_classifiers(family: str, tmp_path: Path) -> None:
    model = classifier(tmp_path, family, id2label={0: "no", 1: "yes", 2: "perhaps"})
    found = carried.load_with_head(str(tmp_path))
    assert found.names == ["no", "yes", "perhaps"] and found.named
    ids, lengths = torch.randint(2, 60, (2, 9)), torch.tensor([9, 4])
    ids[1, 4:] = 0  # what a batch is padded with
    state: State = {"x": ids, "lengths": lengths}
    types = {}
    if found.backbone.config.get("type_vocab_size"):  # pairs
        state["types"] = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0, 0, 0]])
        types = {"token_type_ids": state["types"]}
    with torch.no_grad():
        logits = found.backbone.eval().run(state)["x"]
        alone = [
            model(row[None, :length], **{key: value[n : n + 1, :length] for key, value in types.items()}).logits[0]
            for n, (row, length) in enumerate(zip(ids, lengths, strict=True))
        ]
    torch.testing.assert_close(logits, torch.stack(alone), rtol=0, atol=1e-6)


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    classifier(tmp_path, "bert")
    found = carried.load_with_head(str(tmp_path))
    assert found.names == ["0", "1", "2"] and not found.named
    assert found.settings == {"max_length": 40}


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "googlenet"])
def test_images_from_a_file(name: str, tmp_path: Path) -> None:
    options = {"init_weights": False, "transform_input": True} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=7, **options).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    found = carried.load_with_head(name, str(tmp_path / "w.pth"))
    assert found.names == list("0123456") and not found.named
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found.backbone.eval().run({"x": x})["x"], model(x))


def test_published_images_have_their_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torchvision.models.squeezenet1_1(weights=None).eval()
    kind = torchvision.models.SqueezeNet1_1_Weights
    monkeypatch.setattr(kind, "get_state_dict", lambda self, **kwargs: model.state_dict())
    found = carried.load_with_head("squeezenet1_1")
    assert found.named and found.names[:2] == ["tench", "goldfish"]
    assert found.settings == {"image_size": 224, "crop_pct": 0.875}


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_ctc_models(family: str, tmp_path: Path) -> None:
    symbols = ["<unk>", "|", "E", "<pad>", "T", "'"]
    model = ctc(tmp_path, symbols, 3, family)
    found = carried.load_with_head(str(tmp_path))
    assert found.names == ["<blank>", "|", "", "E", "T", "'"] and found.ctc is not None
    x = torch.randn(1, 1500)
    with torch.no_grad():
        features = found.backbone.eval().run({"x": x, "lengths": torch.tensor([1500])})["x"]
        logits = torch.nn.functional.linear(features, found.ctc["weight"], found.ctc["bias"])
        expected = model(x).logits[..., [3, 1, 0, 2, 4, 5]]
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_checkpoints_without_a_head_say_so(tmp_path: Path) -> None:
    text, speech = tmp_path / "text", tmp_path / "speech"
    transformers.BertModel(transformers.BertConfig(**tiny.BERT)).save_pretrained(text)
    tokenizer(text)
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**tiny.WAV2VEC2)).save_pretrained(speech)
    message = refused(str(text))
    assert f"{text} carries no head: config.json names BertModel, not a text classifier" in message
    assert "mmtransfer.fit(" in message
    assert "names Wav2Vec2Model, not a CTC model" in refused(str(speech))
    assert "random weights have learned no labels" in refused("resnet18", "none")
    assert "mmtransfer.fit(" in refused("wav2vec2-small") and "mmtransfer.fit(" in refused("deepspeech")


def test_a_file_without_its_head(tmp_path: Path) -> None:
    tensors = torchvision.models.squeezenet1_1(weights=None).state_dict()
    torch.save({name: value for name, value in tensors.items() if "classifier" not in name}, tmp_path / "w.pth")
    assert "squeezenet1_1 would have it under classifier" in refused("squeezenet1_1", str(tmp_path / "w.pth"))


def test_a_vocabulary_without_a_space_is_refused(tmp_path: Path) -> None:
    ctc(tmp_path, ["<pad>", "A", "B"], 0)
    with pytest.raises(MMTransferError, match="has no symbol between words"):
        carried.vocabulary(str(tmp_path))
