"""Tags: the first piece of each word is read, spans stay spans, words that are not read are told."""

from __future__ import annotations

import copy
import itertools
import logging

import pytest
import torch
from transformers import BertTokenizerFast

from mmtransfer.backbones import pretrained
from mmtransfer.config import TAGS
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks import TASKS, collate
from mmtransfer.tasks.readout import tokens
from mmtransfer.tasks.targets.tags import best_sequences
from tests.tasks.test_text_classification import SHAPE

ROWS = [(["ab", "c"], ["B-x", "I-x"]), (["a"], ["O"]), (["bc", "a", "c"], ["O", "B-y", "O"])]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Two letters are two pieces."""
    letters = [chr(number) for number in range(97, 123)]
    vocabulary = tmp_path_factory.mktemp("bert") / "vocab.txt"
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary.write_text("\n".join(entries))
    made = pretrained.build({**SHAPE, "vocab_size": len(entries)})
    made.tokenizer = BertTokenizerFast(str(vocabulary))
    return made.eval()


def task_on(backbone, rows, **settings):
    task = TASKS[TAGS].make(complete({"task": TAGS, "train": "-", "max_length": 32, **settings}), backbone)
    table = sources.load(rows, "words", task.columns())
    task.prepare(table)
    return task, table


def test_the_head_sees_the_first_piece_of_each_word(backbone):
    task, table = task_on(backbone, ROWS)
    rows, lengths = task.input.rows(task.check(table, "train"))
    assert lengths.tolist() == [5, 3, 6]  # with the two special tokens
    assert [row["firsts"] for row in rows] == [[2, 4], [2], [2, 4, 5]]
    batch = collate([task.encode(row, None) for row in rows])
    numbers = torch.arange(6.0).expand(3, 6)[..., None]
    state = tokens(backbone, {**batch.state, "x": numbers})
    assert state["x"][..., 0].tolist() == [[1, 3, 0], [1, 0, 0], [1, 3, 4]] and state["lengths"].tolist() == [2, 1, 3]
    assert batch.targets.tolist() == [[0, 2, -100], [4, -100, -100], [4, 1, 4]]
    stored = task.input.beside(rows)["firsts"]
    assert [first.tolist() for first in stored] == [[2, 4], [2], [2, 4, 5]]


def test_a_steps_loss_is_the_mean_over_its_words(backbone):
    task, table = task_on(backbone, ROWS)
    outputs = {"logits": torch.randn(3, 3, 5), "lengths": torch.tensor([2, 1, 3])}
    targets = collate([task.encode(row, None) for row in task.input.rows(table)[0]]).targets
    losses, weights = task.target.loss(outputs, targets), torch.tensor(task.target.weights(table))
    known = torch.nn.functional.cross_entropy(outputs["logits"].flatten(0, 1), targets.flatten(), ignore_index=-100)
    assert ((losses * weights).sum() / weights.sum()).item() == pytest.approx(known.item())


def test_predicted_tags_are_iob2_and_the_best_of_those(backbone):
    task, _ = task_on(backbone, ROWS)
    names, allowed = task.target.labels.names, task.target._allowed()
    assert names == ["B-x", "B-y", "I-x", "I-y", "O"]
    torch.manual_seed(0)
    scores = torch.randn(20, 4, 5).log_softmax(-1)

    def possible(tags):
        return allowed[-1, tags[0]] and all(allowed[one, two] for one, two in itertools.pairwise(tags))

    for row, found in zip(scores, best_sequences(scores, allowed).tolist(), strict=True):
        paths = [path for path in itertools.product(range(5), repeat=4) if possible(path)]
        assert tuple(found) == max(
            paths, key=lambda path: sum(row[place, tag] for place, tag in enumerate(path)).item()
        )
    whole = task.target.predict({"logits": scores, "lengths": torch.full((20,), 4)}).answers
    padded = torch.cat([scores, 9 * torch.randn(20, 3, 5)], 1)
    assert task.target.predict({"logits": padded, "lengths": torch.full((20,), 4)}).answers == whole


def test_words_that_are_not_read_are_told_and_answered(backbone, caplog):
    caplog.set_level(logging.WARNING, "mmtransfer")
    rows = [(["a", "\ufe0f", "b", "c"], ["O"] * 4), (["a", "b", "c", "d"], ["B-x", "O", "O", "O"])]
    task, table = task_on(backbone, rows, max_length=5)
    assert [row["firsts"] for row in task.input.rows(task.check(table, "test"))[0]] == [[2, -1, 3, 4], [2, 3, 4, -1]]
    assert "1 words have no piece in the backbone's vocabulary" in caplog.text
    assert "1 words lie behind --max-length 5" in caplog.text
    batch = collate([task.encode(row, None) for row in task.input.rows(table)[0]])
    state = tokens(backbone, {**batch.state, "x": torch.ones(2, 5, 1)})
    assert state["x"][..., 0].tolist() == [[1, 0, 1, 1], [1, 1, 1, 0]] and state["lengths"].tolist() == [4, 4]


def test_tags_that_are_not_iob2_name_row_and_word(backbone):
    rows = [*ROWS, (["a", "b"], ["O", "I-x"])]
    task, table = task_on(backbone, rows)
    with pytest.raises(MMTransferError, match="3: the tag 'I-x' of word 2 follows neither") as caught:
        task.check(table, "train")
    assert "--skip-bad" in caught.value.do
    task, table = task_on(backbone, rows, skip_bad=True)
    assert task.check(table, "train").ids == ["0", "1", "2"]


def test_plain_tags_are_scored_by_words(backbone):
    task, _ = task_on(backbone, [(["a", "b"], ["noun", "verb"]), (["c"], ["noun"])])
    assert task.target.primary == "tag_accuracy" and not task.target.spans
    records = {"prediction": [["noun", "noun"], ["noun"]], "target": [["noun", "verb"], ["noun"]]}
    scores = task.target.measure(records)
    assert scores["tag_accuracy"].value == pytest.approx(2 / 3) and scores["tag_f1_macro"].value == pytest.approx(0.4)
    spans, _ = task_on(backbone, ROWS)
    assert spans.target.primary == "entity_f1"


def test_a_type_seen_only_in_single_words_may_have_longer_spans(backbone):
    task, _ = task_on(backbone, [(["a", "b"], ["B-x", "O"])])
    assert "I-x" in task.target.labels.names


def test_words_of_a_tokenizer_of_bytes_are_read_behind_a_space(backbone):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", *"thecasĠ", "th", "the", "Ġt", "Ġth", "Ġthe", "at", "ca", "cat", "Ġc", "Ġcat"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e"), ("a", "t"), ("c", "at"), ("Ġ", "c")]
    bytes_ = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [*merges, ("Ġc", "at")][:8]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_, unk_token="<unk>")
    in_a_text = tokenizer.convert_ids_to_tokens(tokenizer(" the cat")["input_ids"])
    own = copy.copy(backbone)
    own.tokenizer = tokenizer
    task, table = task_on(own, [(["the", "cat"], ["O", "B-x"])])
    rows, _ = task.input.rows(table)
    assert tokenizer.convert_ids_to_tokens(rows[0]["tokens"]) == in_a_text and "Ġ" in in_a_text[0]
