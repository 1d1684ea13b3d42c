"""Texts and pairs of texts as tokens; what a pair's second text is to the backbone."""

from __future__ import annotations

import pytest
import tiny
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from mmtransfer.backbones import pretrained
from mmtransfer.config import TEXT
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks import TASKS, collate

SHAPE = {"model_type": "bert", **tiny.BERT, "num_hidden_layers": 1}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    vocabulary = tmp_path_factory.mktemp("bert") / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123))]))
    made = pretrained.build(SHAPE)
    made.tokenizer = BertTokenizerFast(str(vocabulary))
    return made.eval()


def task_on(backbone, rows, **settings):
    task = TASKS[TEXT].make(complete({"task": TEXT, "train": "-", "max_length": 32, **settings}), backbone)
    table = sources.load(rows, "text", task.columns())
    task.prepare(table)
    return task, table


PAIRS = [(("a b", "c"), "x"), (("d", "e f g"), "y")]


def test_a_pair_is_one_sequence_of_two_types(backbone):
    task, table = task_on(backbone, PAIRS)
    rows, lengths = task.input.rows(task.check(table, "train"))
    assert lengths.tolist() == [6, 7]
    batch = collate([task.encode(row, None) for row in rows])
    assert batch.state["types"].tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert batch.state["x"][0].tolist() == [2, 5, 6, 3, 7, 3, 0] and batch.targets.tolist() == [0, 1]


def test_the_backbone_sees_the_types_as_the_library_does(backbone):
    task, table = task_on(backbone, PAIRS)
    batch = collate([task.encode(task.input.rows(table)[0][0], None)])
    library = BertModel(BertConfig(**SHAPE), add_pooling_layer=False).eval()
    library.load_state_dict(backbone.library_state())
    with torch.no_grad():
        known = library(batch.state["x"], token_type_ids=batch.state["types"]).last_hidden_state
        found = backbone.run(batch.state)["x"]
        without = backbone.run({name: value for name, value in batch.state.items() if name != "types"})["x"]
    assert torch.allclose(found, known, atol=1e-5) and not torch.allclose(found, without, atol=1e-3)


def test_single_texts_have_no_types(backbone):
    task, table = task_on(backbone, [("a b", "x"), ("c", "y")])
    rows, _ = task.input.rows(table)
    assert "types" not in collate([task.encode(row, None) for row in rows]).state


def test_a_backbone_with_one_type_gets_none(backbone):
    config = backbone.config
    backbone.config = {**config, "type_vocab_size": 1}
    try:
        task, table = task_on(backbone, PAIRS)
        assert "types" not in task.input.rows(table)[0].column_names
    finally:
        backbone.config = config


def test_pairs_are_joined_before_any_training_data_was_seen(backbone):
    task = TASKS[TEXT].make(complete({"task": TEXT, "train": "-", "max_length": 32}), backbone)
    table = sources.load([("a b", "c")], "text", task.columns(), labelled=False)
    assert task.input.rows(table)[1].tolist() == [6]


def test_a_long_pair_loses_tokens_of_its_longer_text(backbone):
    task, table = task_on(backbone, [(("a", " ".join("bcdefghijk")), "x"), (("a", "b"), "y")], max_length=8)
    rows, lengths = task.input.rows(table)
    assert lengths.tolist() == [8, 5] and rows[0]["tokens"] == [2, 5, 3, 6, 7, 8, 9, 3]


def test_pairs_and_single_texts_do_not_mix(backbone, tmp_path):
    task, _ = task_on(backbone, PAIRS)
    single = sources.load([("a", "x")], "text")
    with pytest.raises(MMTransferError, match="The training data are pairs, these are single texts") as caught:
        task.check(single, "test")
    assert "--pair-column" in caught.value.do
    with pytest.raises(MMTransferError, match="not a pair of texts, but a str"):
        sources.load(["a"], "text", task.columns(), labelled=False)
    other = TASKS[TEXT].make(task.config, backbone)
    other.restore(task.state(), tmp_path)
    assert other.columns().paired is True
    alone, _ = task_on(backbone, [("a", "x"), ("b", "y")])
    with pytest.raises(MMTransferError, match="The training data are single texts, these are pairs"):
        alone.check(sources.load(PAIRS, "text"), "validation")
