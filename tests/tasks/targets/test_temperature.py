"""The temperature: the least likelihood there is, no answer changed, stored, exported, and absent from old models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp, softmax

from mmtransfer.config import TEXT
from mmtransfer.heads import LinearHead
from mmtransfer.resolution import complete
from mmtransfer.tasks.targets import MultiLabel, SingleLabel
from mmtransfer.tasks.targets.labels import Labels
from mmtransfer.tasks.targets.temperature import EXAMPLES, HOTTEST, MISTAKES, fitted, restored

NAMES = ["a", "b", "c"]


def overconfident(n, by=3.0, seed=0):
    """Logits that are `by` times too large, and answers as likely as they should be."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, 3))
    return by * logits, (random.random((n, 1)) < softmax(logits, 1).cumsum(1)).argmax(1)


def target_of(kind):
    target = kind(complete({"task": TEXT, "train": "-", "target": kind.name}))
    target.labels = Labels(NAMES)
    return target


def records_of(target, logits, answers):
    predictions = target.predict({"logits": torch.tensor(logits, dtype=torch.float32)})
    columns = {"prediction": predictions.answers, **predictions.columns, "target": answers}
    truth = torch.stack([target.tensor(answer) for answer in answers])
    return {**columns, "loss": target.loss({"logits": torch.tensor(logits)}, truth).tolist()}


def test_it_is_where_the_likelihood_is_best_and_finds_what_was_put_in():
    logits, true = overconfident(4000)
    found = fitted(logits, true)
    assert found == pytest.approx(3.0, rel=0.1)

    def loss(temperature):
        z = logits / temperature
        return (logsumexp(z, 1) - z[np.arange(len(z)), true]).mean()

    assert found == pytest.approx(minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x, rel=1e-3)
    labels = (np.random.default_rng(1).random(logits.shape) < expit(logits / 2)).astype(int)
    assert fitted(logits, labels) == pytest.approx(2.0, rel=0.1)


def test_too_few_examples_or_mistakes_say_nothing():
    logits, true = overconfident(1000)
    wrong, right = np.flatnonzero(logits.argmax(1) != true), np.flatnonzero(logits.argmax(1) == true)
    few, enough = wrong[: MISTAKES - 1], wrong[:MISTAKES]
    for chosen, known in (
        (np.concatenate([few, right[:200]]), False),
        (np.concatenate([enough, right[: EXAMPLES - MISTAKES]]), True),
        (np.concatenate([enough, right[: EXAMPLES - MISTAKES - 1]]), False),
    ):
        assert (fitted(logits[chosen], true[chosen]) is not None) == known
    assert fitted(-logits[right], true[right]) == HOTTEST  # worse than chance: no temperature is hot enough


@pytest.mark.parametrize("kind", [SingleLabel, MultiLabel])
def test_answers_stay_probabilities_get_better_and_it_is_stored_and_exported(kind):
    target = target_of(kind)
    logits, true = overconfident(1000)
    answers = [NAMES[number] if kind is SingleLabel else [NAMES[number]] for number in true]
    before = target.tune(records_of(target, logits, answers))
    after = target.calibrate(before)
    assert after["prediction"] == before["prediction"] and target.temperature > 1.5
    again = records_of(target, logits, answers)
    assert again["prediction"] == after["prediction"]
    assert np.allclose(np.stack(again["logits"]), np.stack(after["logits"]), atol=1e-4)
    assert np.allclose(again["loss"], after["loss"], atol=1e-5)
    for name in ("ece", "nll", "brier"):
        assert target.values(after)[name] < target.values(before)[name]
    assert target.values(after)["nll"] == pytest.approx(np.mean(after["loss"]), rel=1e-4)
    assert target.calibrate(after)["prediction"] == after["prediction"]  # fitted already: the same again
    assert np.allclose(np.stack(target.calibrate(after)["logits"]), np.stack(after["logits"]), atol=1e-4)

    other = target_of(kind)
    other.restore(target.state())
    assert other.temperature == target.temperature
    assert records_of(other, logits, answers)["prediction"] == again["prediction"]
    head, x = LinearHead(4, 3), torch.randn(5, 4)
    (weight, bias), *_ = target.exported(head)["head"].layers
    assert torch.allclose(x @ weight.T + bias, head(x) / target.temperature, atol=1e-6)


def test_a_model_of_before_has_none_and_a_damaged_one_is_refused():
    old = target_of(SingleLabel)
    old.restore({"labels": NAMES})
    assert old.temperature == 1.0
    for wrong in (0.0, -1.0, float("inf"), "hot"):
        with pytest.raises(ValueError, match="temperature"):
            restored({"temperature": wrong})
