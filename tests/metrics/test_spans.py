"""Scores of tagged words: seqeval's strict values, streaming in pieces, intervals of resampled sentences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from mmtransfer.errors import MMTransferError
from mmtransfer.iob2 import check_iob2, is_iob2, spans
from mmtransfer.metrics import EntityF1, TagAccuracy, TagF1, wilson
from mmtransfer.metrics.spans import counts
from mmtransfer.metrics.stored import metric_of

TAGS = ("O", "B-person", "I-person", "B-creative-work", "I-creative-work")
sentence = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=8)
sentences = st.lists(sentence, min_size=1, max_size=8).filter(any)
every_metric = pytest.mark.parametrize("build", [EntityF1, TagAccuracy, TagF1])


def sides(pairs) -> tuple[list[list[str]], list[list[str]]]:
    """Predictions and references of sentences of pairs."""
    return [[one for one, _ in own] for own in pairs], [[other for _, other in own] for own in pairs]


def fill(metric, pairs):
    predictions, references = sides(pairs)
    metric.add_batch(predictions=predictions, references=references)
    return metric


def seqevals(predictions, references, average: str | None = "micro"):
    """Precision, recall and F1 of seqeval, and by type with average None."""
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(references, predictions, average=average, scheme=IOB2, zero_division=0)[
            :3
        ]


def random_sentences(n: int, seed: int = 0):
    """Sentences of 1 to 9 words with mostly right tags."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        true = rng.choice(TAGS, int(rng.integers(1, 10)), p=[0.6, 0.15, 0.1, 0.1, 0.05]).tolist()
        predicted = [tag if rng.random() < 0.8 else str(rng.choice(TAGS)) for tag in true]
        pairs.append(list(zip(predicted, true, strict=True)))
    return pairs


@given(sentences)
@settings(max_examples=150, deadline=None)
def test_entities_are_seqevals(pairs):
    predictions, references = sides(pairs)
    precision, recall, f1 = seqevals(predictions, references)
    metric = fill(EntityF1(), pairs)
    kinds = metric.per_type()
    assert metric.compute() == pytest.approx({"entity_f1": f1, "entity_precision": precision, "entity_recall": recall})
    assert [score.value for score in kinds.values()] == pytest.approx(seqevals(predictions, references, None)[2])


@given(sentences)
@settings(max_examples=50, deadline=None)
def test_spans_are_seqevals(pairs):
    from seqeval.scheme import IOB2, Entities

    _, references = sides(pairs)
    known = [[entity.to_tuple()[1:] for entity in own] for own in Entities(references, IOB2).entities]
    assert [spans(tags) for tags in references] == known


@pytest.mark.parametrize(
    ("tags", "known"),
    [
        ([], []),
        (["O", "O"], []),
        (["I-a", "I-a"], []),
        (["O", "I-a", "B-a"], [("a", 2, 3)]),
        (["B-a", "B-a", "I-a"], [("a", 0, 1), ("a", 1, 3)]),
        (["B-a", "I-b", "I-b"], [("a", 0, 1)]),
        (["B-a", "I-b", "I-a"], [("a", 0, 1)]),
        (["B-a", "O", "I-a"], [("a", 0, 1)]),
        (["B", "I", "O", "B"], [("_", 0, 2), ("_", 3, 4)]),
        (["B-a-b", "I-a-b"], [("a-b", 0, 2)]),
    ],
)
def test_spans_of_edge_cases(tags, known):
    from seqeval.scheme import IOB2, Tokens

    assert spans(tags) == known == [entity.to_tuple()[1:] for entity in Tokens(tags, IOB2).entities]


@given(sentences)
@settings(max_examples=50, deadline=None)
def test_plain_tags_are_scikit_learns(pairs):
    words = [pair for own in pairs for pair in own]
    predictions, references = zip(*words, strict=True)
    metric = fill(TagF1(), pairs)
    assert metric.scores()["tag_f1_macro"].value == pytest.approx(f1_score(references, predictions, average="macro"))
    each = f1_score(references, predictions, average=None, zero_division=0)
    assert [score.value for score in metric.per_type().values()] == pytest.approx(each)
    accuracy = fill(TagAccuracy(), pairs).compute()
    assert accuracy == {"tag_accuracy": pytest.approx(accuracy_score(references, predictions))}


@given(sentences)
@settings(max_examples=30, deadline=None)
def test_counts_are_those_of_each_sentence(pairs):
    table = counts(*sides(pairs))
    assert table.shape == (len(pairs), 3) and table.dtype == np.int64
    right, predicted, true = table.sum(0)
    f1 = fill(EntityF1(), pairs).compute()["entity_f1"]
    assert f1 == pytest.approx(2 * right / max(predicted + true, 1))
    for own, row in zip(pairs, table, strict=True):
        assert counts(*sides([own])).tolist() == [row.tolist()]


@every_metric
def test_pieces_equal_the_whole(build):
    pairs = random_sentences(40)
    whole, pieces = fill(build(), pairs), build()
    for start in range(0, len(pairs), 7):
        fill(pieces, pairs[start : start + 7])
    assert len(pieces) == len(whole) == 40 and pieces.scores() == whole.scores()
    assert pieces.per_type() == whole.per_type() and pieces.compute() == whole.compute()


def test_equal_sentences_are_kept_once():
    metric = fill(EntityF1(), [[("B-a", "B-a"), ("O", "O")], [("O", "O"), ("B-a", "B-a")], [("O", "O")]] * 50)
    assert len(metric) == 150 and len(metric.cells) == 2


@every_metric
def test_the_interval_is_that_of_resampled_sentences(build):
    pairs = random_sentences(80)
    rng = np.random.default_rng(1)
    drawn = [fill(build(), [pairs[n] for n in rng.integers(0, 80, 80)]).compute() for _ in range(200)]
    for name, score in fill(build(), pairs).scores().items():
        p, half = score.value, (np.log(score.high / (1 - score.high)) - np.log(score.low / (1 - score.low))) / 2
        assert half * p * (1 - p) / 1.96 == pytest.approx(np.std([values[name] for values in drawn]), rel=0.25)
        assert score.n == 80 and score.low < p < score.high and "sentences" in score.method


def test_words_of_a_sentence_go_together():
    """Sentences that are right or wrong as a whole say as much as so many words alone, not more."""
    right, wrong = [("O", "O")] * 20, [("O", "B-a")] * 20
    score = fill(TagAccuracy(), [right, wrong] * 20).scores()["tag_accuracy"]
    assert score.high - score.low == pytest.approx(wilson(20, 40).high - wilson(20, 40).low, rel=0.05)


def test_where_nothing_varies_the_interval_is_wilsons_over_sentences():
    same = [[("B-a", "B-a")] * 9] * 7
    scores = fill(EntityF1(), same).scores() | fill(TagAccuracy(), same).scores() | fill(TagF1(), same).scores()
    assert {(score.value, score.low, score.n) for score in scores.values()} == {(1.0, wilson(7, 7).low, 7)}
    few = fill(EntityF1(), [*([[("O", "O")]] * 30), [("B-a", "B-a")]]).scores()
    assert few["entity_f1"].low == wilson(1, 1).low


def test_sentences_without_entities_have_f1_0_and_no_interval():
    metric = fill(EntityF1(), [[("O", "O")], []])
    assert {(score.value, score.low) for score in metric.scores().values()} == {(0.0, None)}
    assert metric.per_type() == {}


def test_each_type_has_its_references_as_n():
    types = fill(EntityF1(), [[("B-b", "B-a"), ("B-a", "B-a"), ("O", "B-a")]] * 4).per_type()
    assert {kind: (score.value, score.n) for kind, score in types.items()} == {"a": (0.5, 12), "b": (0.0, 0)}


@pytest.mark.parametrize(
    ("tags", "claims"),
    [
        ({"O", "B-a", "I-a"}, True),
        ({"I-a", "O"}, True),
        ({"B-a", "E-a", "S-a"}, True),
        ({"B", "I", "O"}, True),
        ({"O"}, False),
        (set(), False),
        ({"NN", "VB", "O"}, False),
        ({"A", "B", "O"}, False),
        ({"X-a", "Y-b"}, False),
    ],
)
def test_tags_that_are_meant_as_iob2(tags, claims):
    assert is_iob2(tags) is claims


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["O", "B-a", "I-a", "B-a", "B-b"], None),
        (["B", "I", "O"], None),
        ([], None),
        (["I-a"], "the tag 'I-a' of word 1 follows neither 'B-a' nor 'I-a'"),
        (["B-a", "O", "I-a"], "the tag 'I-a' of word 3 follows neither 'B-a' nor 'I-a'"),
        (["B-a", "I-a", "I-b"], "the tag 'I-b' of word 3 follows neither 'B-b' nor 'I-b'"),
        (["O", "I"], "the tag 'I' of word 2 follows neither 'B' nor 'I'"),
        (["O", "E-a"], "the tag 'E-a' of word 2 is none of O, B-TYPE and I-TYPE"),
        (["O-a"], "the tag 'O-a' of word 1 is none of O, B-TYPE and I-TYPE"),
        (["NOUN", "B-a"], "the tag 'NOUN' of word 1 is none of O, B-TYPE and I-TYPE"),
        ([""], "the tag '' of word 1 is none of O, B-TYPE and I-TYPE"),
    ],
)
def test_tags_that_are_not_iob2_are_told_with_their_word(tags, reason):
    assert check_iob2(tags) == reason


@every_metric
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([["O"], ["O"]], [["O"], ["O", "O"]], "Sentence 3 has 1 predicted tags for 2 true ones"),
        ([["O"], "OO"], [["O"], ["O", "O"]], "Sentence 3 has 'OO', which is no list of tags"),
        ([["O"], [0]], [["O"], ["O"]], r"Sentence 3 has \[0\], which is no list of tags"),
        ([["O"]], [], "1 predictions for 0 references"),
    ],
)
def test_wrong_inputs_are_named_and_not_counted(build, predictions, references, message):
    metric = build()
    with pytest.raises(MMTransferError, match="Nothing was added"):
        metric.scores()
    metric.add_batch(predictions=[["O"], ["O"]], references=[["O"], ["O"]])
    with pytest.raises(MMTransferError, match=message):
        metric.add_batch(predictions=predictions, references=references)
    assert len(metric) == 2


@pytest.mark.parametrize(
    ("kind", "name"), [(EntityF1, "entity_f1"), (TagAccuracy, "tag_accuracy"), (TagF1, "tag_f1_macro")]
)
def test_stored_predictions_give_the_scores_and_differences_of_runs(kind, name):
    random = np.random.default_rng(0)
    tags = ["B-a", "I-a", "B-b", "O", "O"]
    target = [[str(tag) for tag in random.choice(tags, random.integers(1, 9))] for _ in range(200)]

    def noisy(share):
        return [[str(random.choice(tags)) if random.random() < share else tag for tag in own] for own in target]

    runs = [{"target": target, "prediction": noisy(share)} for share in (0.1, 0.12, 0.4)]
    values = [kind().compute(predictions=run["prediction"], references=target)[name] for run in runs]
    drawn = kind.drawn(name, runs)
    assert drawn.statistic(np.ones((1, 200)))[0].tolist() == pytest.approx(values) and drawn.units == 200
    found = kind.difference(name, runs[:2], runs[2:])
    assert found.value == pytest.approx((values[0] + values[1]) / 2 - values[2]) and found.low > 0 and found.p < 1e-3
    assert metric_of(name, runs[0]) is kind
