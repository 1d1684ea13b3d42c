"""Exact heads against brute force and scikit-learn; choosing penalties; class names."""

from __future__ import annotations

import warnings

import pytest
import torch

from mmtransfer.probe import PENALTIES, Rows, logistic, ridge, solve
from mmtransfer.probe.lbfgs import minimise
from mmtransfer.probe.losses import scored
from mmtransfer.probe.path import following


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def problem(n=240, width=12, classes=4, parts=3, shift=3.0):
    """Correlated features far from zero, in several parts of uneven size, and noisy classes."""
    x = torch.randn(n, width) @ torch.randn(width, width) * 0.3 + shift
    y = ((x - shift) @ torch.randn(width, classes) + torch.randn(n, classes)).argmax(1)
    cuts = [n // 2, n // 3, n - n // 2 - n // 3][:parts] if parts > 1 else [n]
    return Rows(x.split(cuts), y.split(cuts), "classes", classes)


def objective(rows, weight, bias, penalty, prior=0.0):
    x, y = torch.cat(list(rows.features)).double(), torch.cat(list(rows.targets))
    loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, y)
    return float(loss + 0.5 * penalty * (weight - prior).square().sum())


@pytest.mark.parametrize(("penalty", "classes"), [(1e-1, 4), (1e-2, 11), (1e-4, 4)])
def test_logistic_reaches_the_minimum_that_scikit_learn_reaches(penalty, classes):
    from sklearn.linear_model import LogisticRegression

    rows = problem(classes=classes)
    ours = logistic(rows, penalty, tolerance=1e-5)
    x, y = torch.cat(list(rows.features)).double().numpy(), torch.cat(list(rows.targets)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=5000).fit(x, y)
    value = objective(rows, ours.weight, ours.bias, penalty)
    reached = objective(rows, torch.tensor(theirs.coef_), torch.tensor(theirs.intercept_), penalty)
    assert value == pytest.approx(ours.value, abs=1e-5)
    assert value <= reached + 1e-5


def test_the_default_tolerance_is_close_to_the_minimum_and_takes_few_evaluations():
    rows = problem()
    for penalty in PENALTIES:
        rough, fine = logistic(rows, penalty * rows.square), logistic(rows, penalty * rows.square, tolerance=1e-8)
        assert rough.value - fine.value < 1e-4 * fine.value
        assert rough.evaluations < 60


def test_a_path_takes_fewer_evaluations_from_where_the_two_models_before_point_to():
    rows = problem(classes=11)

    def path(start):
        models = []
        for penalty in PENALTIES:
            models.append(logistic(rows, penalty * rows.square, start(models)))
        return models

    pointed, last = path(following), path(lambda models: models[-1] if models else None)
    assert sum(model.evaluations for model in pointed) < 0.9 * sum(model.evaluations for model in last)
    for model, other in zip(pointed, last, strict=True):
        assert model.value == pytest.approx(other.value, rel=1e-4)


def test_the_answer_depends_on_neither_start_nor_parts_nor_order():
    rows = problem()
    one = logistic(rows, 1e-2, tolerance=1e-9)
    again = logistic(rows, 1e-2, start=logistic(rows, 1.0), tolerance=1e-9)
    x, y = torch.cat(list(rows.features)), torch.cat(list(rows.targets))
    order = torch.randperm(len(x))
    whole = logistic(Rows([x[order]], [y[order]], "classes", 4), 1e-2, tolerance=1e-9)
    for other in (again, whole):
        assert torch.allclose(one.weight, other.weight, atol=2e-3)
        assert abs(one.value - other.value) < 1e-7


def test_weights_of_examples_are_repetitions():
    rows = problem(n=60, parts=1)
    counts = torch.randint(0, 3, (60,))
    x, y = rows.features[0].repeat_interleave(counts, 0), rows.targets[0].repeat_interleave(counts)
    repeated = logistic(Rows([x], [y], "classes", 4), 1e-2, tolerance=1e-9)
    weighted = logistic(rows.weighted(counts.float()), 1e-2, tolerance=1e-9)
    assert torch.allclose(repeated.weight, weighted.weight, atol=1e-3)


def test_labels_are_one_binary_problem_each():
    rows = problem(parts=1)
    labels = torch.stack([rows.targets[0] == 0, rows.targets[0] > 1, rows.targets[0] == 3], 1).float()
    together = logistic(Rows(rows.features, [labels], "labels", 3), 1e-2, tolerance=1e-9)
    for number in range(3):
        alone = logistic(Rows(rows.features, [labels[:, number : number + 1]], "labels", 1), 1e-2, tolerance=1e-9)
        assert torch.allclose(together.weight[number], alone.weight[0], atol=1e-3)


def test_a_feature_that_never_varies_and_bfloat16_features():
    rows = problem(parts=1)
    x = torch.cat([rows.features[0], torch.full((240, 2), 7.0)], 1).bfloat16()
    found = logistic(Rows([x], rows.targets, "classes", 4), 1e-5)
    assert found.weight.isfinite().all() and found.weight.dtype == torch.float64


def test_a_class_without_an_example():
    rows = Rows(problem(classes=4).features, problem(classes=3).targets, "classes", 4)
    found = logistic(rows, 1e-3)
    assert found.weight.isfinite().all() and found.bias.isfinite().all()
    assert (found(rows.features[0]).argmax(1) != 3).all()


def test_weights_are_pulled_to_a_prior():
    rows, prior = problem(n=30, parts=1), torch.randn(4, 12)
    assert torch.allclose(logistic(rows, 1e6, prior=prior).weight, prior.double(), atol=1e-4)
    found = logistic(rows, 1e-2, prior=prior, tolerance=1e-9)
    assert (found.weight - prior).norm() < (logistic(rows, 1e-2).weight - prior).norm()


@pytest.mark.parametrize("kind", ["classes", "labels"])
@pytest.mark.parametrize("pulled", [False, True])
def test_of_more_features_than_examples_the_span_alone_is_searched_to_the_same_answer(kind, pulled):
    x, y = torch.randn(20, 100) + 2, torch.arange(20) % 3
    targets = torch.nn.functional.one_hot(y, 3).float() if kind == "labels" else y
    prior = 0.1 * torch.randn(3, 100) if pulled else None
    few = logistic(Rows([x], [targets], kind, 3), 1e-1, prior=prior, tolerance=1e-9)
    often = Rows([x, x, x], [targets, targets, targets], kind, 3)  # too many for the short way
    many = logistic(often, 1e-1, prior=prior, tolerance=1e-9)
    assert torch.allclose(few.weight, many.weight, atol=1e-4) and torch.allclose(few.bias, many.bias, atol=1e-3)
    again = logistic(Rows([x], [targets], kind, 3), 1e-1, many, prior)
    assert again.evaluations < few.evaluations / 2 and again.value == pytest.approx(few.value, rel=1e-4)


@pytest.mark.parametrize(("n", "width"), [(30, 5), (20, 40)], ids=["primal", "dual"])
def test_ridge_and_its_leave_one_out_errors_against_brute_force(n, width):
    x, y = torch.randn(n, width) + 2, torch.randn(n, 2)
    penalties = (0.5, 0.01)
    found = ridge(Rows(x.split([n // 2, n - n // 2]), y.split([n // 2, n - n // 2]), "values", 2), penalties)

    def fitted(x, y, ridge):
        x, y = x.double(), y.double()
        centred = x - x.mean(0)
        weight = torch.linalg.solve(
            centred.T @ centred + ridge * torch.eye(width).double(), centred.T @ (y - y.mean(0))
        )
        return weight, y.mean(0) - x.mean(0) @ weight

    for place, penalty in enumerate(penalties):
        weight, bias = fitted(x, y, penalty * n)
        assert torch.allclose(found.models[place].weight.T, weight, atol=1e-6)
        assert torch.allclose(found.models[place].bias, bias, atol=1e-6)
        for left_out in range(n):
            kept = torch.arange(n) != left_out
            weight, bias = fitted(x[kept], y[kept], penalty * n)
            error = y[left_out].double() - x[left_out].double() @ weight - bias
            assert torch.allclose(found.errors[place, left_out], error, atol=1e-6)


def test_the_penalty_is_chosen_on_validation_and_the_final_model_has_seen_it():
    rows = problem(n=300, parts=1, classes=3)
    train = Rows([rows.features[0][:100]], [rows.targets[0][:100]], "classes", 3)
    validation = Rows([rows.features[0][100:]], [rows.targets[0][100:]], "classes", 3)
    found = solve(train, validation)
    tried = [point.penalty for point in found.path]
    assert set(PENALTIES) <= set(tried) and tried == sorted(tried, reverse=True)
    assert found.point.accuracy == max(point.accuracy for point in found.path)
    assert found.point.accuracy == pytest.approx(scored(validation, found.model)[1])
    assert scored(validation, found.final)[2] < scored(validation, found.model)[2]
    assert objective(train + validation, found.final.weight, found.final.bias, 0.0) < objective(
        train + validation, found.model.weight, found.model.bias, 0.0
    )


def test_values_are_chosen_by_leaving_one_out():
    x = torch.randn(50, 30)
    y = x[:, 0] + 0.5 * torch.randn(50)
    found = solve(Rows([x], [y], "values", 1))
    assert found.point.loss == min(point.loss for point in found.path) < float(y.var())
    assert found.held_out.shape == (50, 1)
    assert float((y - found.held_out[:, 0]).square().mean()) == pytest.approx(found.point.loss, rel=1e-3)


def test_class_names_alone_and_with_one_example_each():
    centres = torch.randn(6, 16) * 2
    y = torch.arange(6).repeat_interleave(20)
    x = centres[y] + 1.5 * torch.randn(120, 16)
    names = centres + 0.5 * torch.randn(6, 16)
    test = Rows([x], [y], "classes", 6)
    none = solve(Rows([x[:0]], [y[:0]], "classes", 6), prior=names)
    assert scored(test, none.final)[1] > 0.7
    few = Rows([x[::20]], [y[::20]], "classes", 6)
    with_names, without = solve(few, folds=torch.arange(6) % 3, prior=names), solve(few)
    assert with_names.scale is not None and without.point is None
    assert scored(test, with_names.final)[1] > scored(test, without.final)[1]
    with pytest.raises(ValueError, match="no examples and no class names"):
        solve(Rows([x[:0]], [y[:0]], "classes", 6))


def test_the_search_finds_the_bottom_of_a_narrow_valley():
    def rosenbrock(v):
        a, b = v[0], v[1]
        value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
        return float(value), torch.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)])

    found = minimise(
        rosenbrock,
        torch.tensor([-1.2, 1.0], dtype=torch.float64),
        lambda x, value, gradient: float(gradient.norm()) < 1e-8,
    )
    assert torch.allclose(found.x, torch.ones(2, dtype=torch.float64), atol=1e-6) and found.evaluations < 100
