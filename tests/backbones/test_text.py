"""Positions, poolings and the encoders that have no class of their own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import tiny
import torch
import transformers

from mmtransfer import backbones
from mmtransfer.backbones import pretrained, text, weights
from mmtransfer.errors import MMTransferError


def make(family: str, **more: int) -> text.TextBackbone:
    backbone = pretrained.build({"model_type": family, **tiny.BERT, **more})
    assert isinstance(backbone, text.TextBackbone)
    return backbone.eval()


def test_poolings() -> None:
    backbone = make("bert")
    x = torch.arange(24.0).reshape(2, 3, 4)
    state = {"x": x, "lengths": torch.tensor([3, 2])}
    assert torch.equal(backbone.pool(state)[1], x[1, :2].mean(0))
    backbone.pooling = "cls"
    assert torch.equal(backbone.pool(state), x[:, 0])
    backbone.pooling = "last"
    assert torch.equal(backbone.pool(state), torch.stack([x[0, 2], x[1, 1]]))
    backbone.pooling = "unit"
    (one, two), mean = backbone.pool(state), x[1, :2].mean(0)
    assert torch.allclose(one.norm(), torch.tensor(float(len(one))).sqrt())
    assert torch.allclose(two / two.norm(), mean / mean.norm(), atol=1e-6) and torch.allclose(two.norm(), one.norm())
    with pytest.raises(MMTransferError, match="Unknown pooling 'max'"):
        text.check_pooling("max")


def test_a_run_keeps_its_pooling() -> None:
    description = make("bert").describe()
    assert backbones.rebuild({**description, "pooling": "cls"}).pooling == "cls"
    assert make("gpt2", n_positions=40).pooling == "last"


def test_positions() -> None:
    assert make("bert").positions == 40
    assert make("roberta", pad_token_id=1).positions == 38
    assert make("mpnet").positions == 38
    backbone = make("roberta", pad_token_id=1)
    longest = {"x": torch.randint(2, 60, (1, 38)), "lengths": torch.tensor([38])}
    assert backbone.run(longest)["x"].shape == (1, 38, 16)
    assert pretrained.build({"model_type": "gpt2", "n_positions": 17, "n_embd": 12, "n_layer": 1}).positions == 17


def test_padding_of_roberta_does_not_count_as_a_token() -> None:
    """collate pads with 0, which is a token of RoBERTa's; its positions must not depend on that."""
    backbone = make("roberta", pad_token_id=1)
    short = torch.randint(2, 60, (1, 5))
    padded = torch.cat([short, torch.zeros(1, 4, dtype=torch.int64)], 1)
    lengths = torch.tensor([5])
    alone, batched = (backbone.run({"x": x, "lengths": lengths})["x"][:, :5] for x in (short, padded))
    torch.testing.assert_close(alone, batched)


def test_an_encoder_without_a_class_is_one_stage_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = transformers.AlbertConfig(**tiny.BERT, embedding_size=8)
    transformers.AlbertForMaskedLM(config).save_pretrained(tmp_path)
    words = ["<pad>", "<unk>", *"abcdefg"]
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "mmtransfer"):
        backbone = backbones.load(str(tmp_path), modality="text")
    assert "albert has no stages here: it is one stage, frozen or trained as a whole" in caplog.text
    assert "predictions.bias" in caplog.text and len(backbone.stages) == 1
    weights.save(backbone, tmp_path / "run" / "model")
    again = backbones.load(str(tmp_path / "run"))
    assert weights.sha256(again) == weights.sha256(backbone)


@pytest.mark.parametrize("family", ["bert", "electra", "albert"])
def test_which_text_of_a_pair_a_token_belongs_to(family: str) -> None:
    """A stage of embeddings and an encoder of one stage, as the library has it."""
    backbone = make(family, embedding_size=16, type_vocab_size=2)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**backbone.config)).eval()
    model.load_state_dict(backbone.library_state(), strict=False)
    x, types = torch.randint(2, 60, (1, 7)), torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    state = {"x": x, "lengths": torch.tensor([7])}
    with torch.no_grad():
        found = backbone.run({**state, "types": types})["x"]
        torch.testing.assert_close(found, model(x, token_type_ids=types).last_hidden_state, rtol=0, atol=1e-5)
        assert not torch.allclose(found, backbone.run(state)["x"], atol=1e-4)
