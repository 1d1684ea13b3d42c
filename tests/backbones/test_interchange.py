"""transformers reads a run's model/ folder, and computes what we do; the weights are there once."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
import transformers

from mmtransfer.backbones import carried, interchange, pretrained, vision, weights
from mmtransfer.heads import CTCHead


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "gpt2", "albert"])
def test_text(family: str, tmp_path: Path) -> None:
    backbone = pretrained.build({"model_type": family, **tiny.text_shape(family)}).eval()
    weights.save(backbone, tmp_path)
    interchange.write(backbone, tmp_path)
    model, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"] and all("pooler" in name for name in info["missing_keys"])
    x = torch.randint(2, 60, (1, 9))
    with torch.no_grad():
        found = backbone.run({"x": x, "lengths": torch.tensor([9])})["x"]
        torch.testing.assert_close(model.eval()(x).last_hidden_state, found, rtol=0, atol=1e-5)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == [weights.TENSORS]


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_speech(family: str, tmp_path: Path) -> None:
    backbone = pretrained.build({"model_type": family, **tiny.WAV2VEC2}).eval()
    symbols = ["<blank>", "|", "a", "b", ""]
    head = CTCHead(16, len(symbols))
    weights.save(backbone, tmp_path)
    interchange.write(backbone, tmp_path, dict(head.linear.state_dict()), symbols)
    x = torch.randn(1, 1500)
    with torch.no_grad():
        features = backbone.run({"x": x, "lengths": torch.tensor([1500])})["x"]
        encoder = transformers.AutoModel.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(encoder(x).last_hidden_state, features, rtol=0, atol=1e-5)
        model, info = transformers.AutoModelForCTC.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        torch.testing.assert_close(model.eval()(x).logits.log_softmax(-1), head(features), rtol=0, atol=1e-5)
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert processor.tokenizer.decode([0, 2, 2, 0, 2, 1, 3]) == "aa b"
    assert processor.feature_extractor.sampling_rate == 16000
    sizes = {file.name: file.stat().st_size for file in tmp_path.glob("*.safetensors")}
    assert sizes.keys() == {weights.TENSORS, interchange.CTC} and sizes[interchange.CTC] < 1000
    names, tensors = carried.vocabulary(str(tmp_path))  # and so do we
    assert names == symbols and torch.equal(tensors["weight"], head.linear.weight)


def test_what_is_not_of_transformers_writes_nothing(tmp_path: Path) -> None:
    interchange.write(vision.build("squeezenet1_1"), tmp_path)
    assert not list(tmp_path.iterdir())
