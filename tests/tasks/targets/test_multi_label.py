"""Several labels: separators, targets, loss, the threshold, predictions, a split that keeps every label."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from mmtransfer.config import TEXT
from mmtransfer.data import sources
from mmtransfer.data.columns import Columns
from mmtransfer.data.splits import holdout
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks.targets import MultiLabel
from mmtransfer.tasks.targets.multi_label import best_cut


def table_of(answers, separator="|"):
    rows = [(f"text {n}", answer) for n, answer in enumerate(answers)]
    return sources.load(rows, "text", Columns(kind="labels", separator=separator))


def target_of(answers, **settings):
    config = complete({"task": TEXT, "train": "-", "target": "multi-label", **settings})
    target, table = MultiLabel(config), table_of(answers, config.label_separator or "|")
    target.prepare(table)
    return target, table


def test_targets_say_0_or_1_of_every_label():
    target, table = target_of(["b|a", "", "c"])
    assert target.labels.names == ["a", "b", "c"] and target.outputs == 3
    rows = [target.tensor(answer).tolist() for answer in table.column("labels")]
    assert rows == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_an_unseen_label_names_the_row_and_the_nearest():
    target, _ = target_of(["cat|dog", "dog"])
    with pytest.raises(MMTransferError, match="unseen in training: 'cats'") as caught:
        target.check(table_of(["dog", "dog|cats"]), "test", None)
    assert "first in row 1" in caught.value.where and "closest to 'cats': cat" in caught.value.do


@pytest.mark.parametrize(
    ("answers", "found"),
    [(["a,b", "b", "c,b"], ","), (["a; b", "c"], ";"), (["a b", "b", "a"], " "), (["red apple,pear", "pear"], ",")],
)
def test_another_separator_is_refused_and_named(answers, found):
    with pytest.raises(MMTransferError, match=r"Unknown separator: '\|' never parts two labels") as caught:
        target_of(answers)
    assert f"hold {found!r}" in caught.value.what and f"--label-separator {found!r}" in caught.value.do
    assert len(target_of(answers, label_separator=found)[0].labels) == len(
        {part.strip() for answer in answers for part in answer.split(found)}
    )


def test_labels_of_words_and_commas_beside_the_separator_are_labels():
    assert target_of(["red apple", "green pear"])[0].labels.names == ["green pear", "red apple"]
    assert target_of(["a,b|c", "c"])[0].labels.names == ["a,b", "c"]


def test_no_label_at_all_is_refused():
    with pytest.raises(MMTransferError, match="No training example has a label"):
        target_of(["", ""])


def test_the_mean_over_labels_is_torchs_own_over_examples_and_labels():
    target, _ = target_of(["a|b", "c"])
    logits = torch.randn(5, 3, dtype=torch.float64)
    targets = torch.randint(0, 2, (5, 3)).float()
    losses = target.loss({"logits": logits}, targets)
    known = F.binary_cross_entropy_with_logits(logits, targets.double())
    assert losses.shape == (5,) and losses.mean().item() == pytest.approx(known.item(), abs=1e-12)


def test_the_best_cut_is_the_best_of_all():
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(size=(40, 3)), 1).astype(np.float32)
    truth = rng.random((40, 3)) < 1 / (1 + np.exp(2 - logits))
    cuts = np.append(np.unique(logits) - 0.05, 9.0)
    best = max(f1_score(truth, logits > cut, average="micro", zero_division=0) for cut in cuts)
    cut = best_cut(logits, truth)
    assert f1_score(truth, logits > cut, average="micro") == best
    assert np.abs(logits - cut).min() > 0.04


def test_a_cut_is_in_the_middle_of_a_gap_and_0_where_nothing_is_true():
    logits = np.array([[60.0, -1.0], [50.0, 40.0]], np.float32)
    assert best_cut(logits, np.array([[1, 0], [1, 0]], bool)) == 45.0
    assert best_cut(logits, np.ones((2, 2), bool)) == -1.5
    assert best_cut(logits, np.zeros((2, 2), bool)) == 0.0


def test_of_equally_good_cuts_the_nearest_to_an_even_chance_is_taken():
    logits = np.array([[5, 4, 3, 2, 0.25, -0.25, -1, -2, -3, -4]], np.float32)
    truth = np.zeros((1, 10), bool)
    truth[0, [0, 4, 9]] = True  # one right of one, and two right of five, are both an F1 of 1/2
    assert best_cut(logits, truth) == 0.0


def test_the_threshold_is_tuned_kept_and_used():
    target, _ = target_of(["a|b", "c"])
    logits = torch.tensor([[-1.0, -1.0, -4.0], [-4.0, -4.0, -2.0], [-5.0, -5.0, -5.0]])
    predictions = target.predict({"logits": logits})
    assert predictions.answers == [[], [], []]
    records = {"id": list("xyz"), "prediction": predictions.answers, "target": [["a", "b"], ["c"], []]}
    tuned = target.tune({**records, **predictions.columns})
    assert target.cut == -3.0 and tuned["prediction"] == [["a", "b"], ["c"], []]
    assert target.measure(tuned)["subset_accuracy"].value == 1.0
    restored = MultiLabel(target.config)
    restored.restore(json.loads(json.dumps(target.state())))
    assert restored.predict({"logits": logits}).answers == tuned["prediction"]
    assert target.state()["threshold"] == pytest.approx(float(torch.tensor(-3.0).sigmoid()))


def test_a_prediction_has_its_labels_and_the_probability_of_exactly_these():
    target, _ = target_of(["a; b", "c; a"], label_separator=";")
    logits = np.array([2.0, 0.5, -1.0], np.float32)
    shown = target.present({"id": "x", "prediction": ["a", "b"], "logits": logits})
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert (shown.label, shown.labels, shown.value) == ("a;b", ("a", "b"), None)
    assert shown.score == pytest.approx(p[0] * p[1] * (1 - p[2]))
    assert list(shown.scores.values()) == pytest.approx(p.tolist())
    assert target.present({"id": "x", "prediction": [], "logits": logits}).label == ""


def test_scores_stand_by_label_and_agree_with_the_primary():
    target, _ = target_of(["a|b", "c"])
    records = {"prediction": [["a"], ["b", "c"]], "target": [["a", "b"], ["c"]]}
    scores = target.measure(records)
    assert {"f1_macro", "f1_micro", "f1_weighted", "f1_samples", "subset_accuracy", "f1[c]"} <= scores.keys()
    assert scores[target.primary].value == pytest.approx(2 / 3)


def test_a_split_keeps_every_label_in_training():
    answers = ["a|b", "a|c", "a|d", "a", "a", "", "a|b", "a|d", "b", "c"] + ["a"] * 10
    target, table = target_of(answers)
    strata = target.strata(table)
    assert strata.count(None) <= 4
    for seed in range(20):
        rest, held = holdout(strata, len(answers), 0.4, seed)
        assert {label for row in table.select(rest).column("labels") for label in row} == set("abcd")
        assert len(held) == round(0.4 * (len(answers) - strata.count(None)))


def test_a_split_that_would_lose_labels_is_refused():
    target, table = target_of(["a", "b", "c|a"])
    with pytest.raises(MMTransferError, match="2 of 3 examples are needed to keep every label in training"):
        target.strata(table)
