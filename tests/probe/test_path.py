"""How far a path of penalties goes, and that its choice does not depend on how it came there."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from mmtransfer.probe import Rows, logistic, solve

PENALTIES = [10.0 ** (1 - 0.5 * step) for step in range(15)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def halves(x, y, first, classes) -> tuple[Rows, Rows]:
    return Rows([x[:first]], [y[:first]], "classes", classes), Rows([x[first:]], [y[first:]], "classes", classes)


def bundled(name: str) -> tuple[Rows, Rows]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:500]
    x, y = (x[order] - x.mean(0)) / np.maximum(x.std(0), 1e-3), y[order]
    return halves(torch.tensor(x, dtype=torch.float32), torch.tensor(y), len(x) * 2 // 3, int(y.max()) + 1)


def apart(classes: int, width: int, count: int, distance: float) -> tuple[Rows, Rows]:
    """Classes that nearly no example is on the wrong side of."""
    random = torch.Generator().manual_seed(0)
    centres, y = (
        torch.randn(classes, width, generator=random),
        torch.randint(0, classes, (3 * count,), generator=random),
    )
    return halves(centres[y] * distance + torch.randn(3 * count, width, generator=random), y, count, classes)


SETS = {
    "digits": lambda: bundled("digits"),
    "wine": lambda: bundled("wine"),
    "breast cancer": lambda: bundled("breast_cancer"),
    "far apart": lambda: apart(5, 60, 150, 1.2),
    "more features than examples": lambda: apart(2, 400, 100, 0.25),
}


def loss(model, rows: Rows) -> float:
    x, y = rows.features[0].double(), rows.targets[0]
    return float(torch.nn.functional.cross_entropy(x @ model.weight.T + model.bias, y))


@pytest.mark.parametrize("name", SETS)
def test_from_zero_and_from_the_penalty_before_the_validation_loss_is_the_same(name):
    train, validation = SETS[name]()
    before, worst = None, 0.0
    for penalty in PENALTIES:
        warm = logistic(train, penalty * train.square, before)
        cold = logistic(train, penalty * train.square)
        worst = max(worst, abs(loss(cold, validation) / loss(warm, validation) - 1))
        before = warm
    assert worst < 0.01


def noise(kind: str, seed: int = 0) -> tuple[Rows, Rows]:
    """Many features that say next to nothing: the stronger the penalty, the better."""
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(240, 40, generator=random), torch.randint(0, 2, (240,), generator=random)
    x[:, 0] += 0.1 * y
    targets = torch.stack([y, 1 - y], 1).float() if kind == "labels" else y
    return tuple(Rows([x[part]], [targets[part]], kind, 2) for part in (slice(0, 120), slice(120, 240)))


@pytest.mark.parametrize("kind", ["classes", "labels"])
@pytest.mark.parametrize("folds", [0, 4])
def test_the_path_goes_on_to_stronger_penalties_while_they_are_better_and_says_so(kind, folds, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    logging.getLogger("mmtransfer").propagate = True
    train, validation = noise(kind)
    found = solve(train, None if folds else validation, folds=torch.arange(len(train)) % folds if folds else None)
    tried = [point.penalty for point in found.path]
    assert tried == sorted(tried, reverse=True) and found.penalty > 0.01 and 0.011 < max(tried) <= 10
    assert max(tried) == pytest.approx(10) or found.penalty < max(tried)
    said = caplog.text
    assert "so more were tried" in said or "is the strongest that is tried" in said


def test_the_path_goes_on_to_weaker_penalties_while_they_are_better(caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    logging.getLogger("mmtransfer").propagate = True
    train, validation = apart(3, 10, 300, 6.0)
    found = solve(train, validation)
    assert min(point.penalty for point in found.path) == pytest.approx(1e-6)
    assert "is the weakest that is tried" in caplog.text
    kept = solve(train, validation, limits=(1e-2, 1e-5))
    assert min(point.penalty for point in kept.path) == pytest.approx(1e-5)


@pytest.mark.parametrize("value", [0.0, 3.7, 1e4])
@pytest.mark.parametrize("folds", [0, 3])
def test_inputs_that_are_all_the_same_make_a_head_that_knows_the_shares(value, folds):
    y, random = torch.tensor([0] * 20 + [1] * 10), torch.Generator().manual_seed(0)

    def rows():
        return Rows([torch.full((30, 8), value) * (1 + 1e-7 * torch.randn(30, 8, generator=random))], [y], "classes", 2)

    train, validation = rows(), rows()
    found = solve(train, None if folds else validation, folds=torch.arange(30) % folds if folds else None)
    shares = torch.softmax(found.final(validation.features[0]), 1)
    assert torch.allclose(shares, torch.tensor([2 / 3, 1 / 3]).expand(30, 2), atol=0.05)


def test_a_feature_that_never_varies_changes_nothing():
    train, validation = apart(3, 10, 60, 1.0)
    wider = [
        Rows([torch.cat([rows.features[0], torch.full((len(rows), 1), 5.0)], 1)], rows.targets, "classes", 3)
        for rows in (train, validation)
    ]
    for penalty in (1.0, 1e-4):
        plain, more = logistic(train, penalty), logistic(wider[0], penalty)
        assert loss(more, wider[1]) == pytest.approx(loss(plain, validation), rel=0.01)


def test_one_example_a_class():
    x = torch.eye(6)
    rows = Rows([x], [torch.arange(6)], "classes", 6)
    for found in (solve(rows, rows), solve(rows, folds=torch.arange(len(rows)) % 3), solve(rows)):
        assert found.final.weight.isfinite().all() and found.final.bias.isfinite().all()
        assert (found.final(x).argmax(1) == torch.arange(6)).all()
