"""Averages of weights, the pull to the start, and mixes with it, by hand and through whole phases."""

from __future__ import annotations

import torch
from tiny_runs import begin, copies, train
from torch import nn

from mmtransfer.engine.anchoring import Pull
from mmtransfer.engine.averaging import Average, applied
from mmtransfer.engine.mixing import mix, renew_statistics
from mmtransfer.engine.splits import Splits
from mmtransfer.strategies import Anchor


class Small(nn.Module):
    """Stands in for a model: a trained layer, a frozen one, running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.ModuleList([nn.Linear(2, 2), nn.BatchNorm1d(2)]), nn.Linear(2, 1)
        self.backbone[0].bias.requires_grad_(False)


def test_the_average_is_that_of_all_weights_and_running_statistics() -> None:
    model = Small().train()
    average, norm = Average(model, 0.5), model.backbone[1]
    assert "backbone.0.bias" not in average.mean and "backbone.1.num_batches_tracked" not in average.mean
    first = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight += 11
        norm.running_mean += 11
    average.update()  # its share of the past is 2 / 11 at first
    with applied(average):
        assert torch.allclose(model.head.weight, first + 9) and torch.allclose(norm.running_mean, torch.tensor(9.0))
    assert torch.equal(model.head.weight, first + 11)
    other = Average(model, 0.5)
    other.load(average.tensors())
    assert other.steps == 1 and all(torch.equal(other.mean[name], average.mean[name]) for name in other.mean)


def test_the_pull_is_the_gradient_of_the_penalty() -> None:
    model = Small()
    start = {name: value.detach() + 1 for name, value in model.named_parameters() if name.startswith("backbone")}
    trained = [value for value in model.parameters() if value.requires_grad]
    ways = [(value - start[name]).square().sum() for name, value in model.named_parameters() if name in start]
    sizes = [value.square().sum() for value in model.head.parameters()]
    (0.3 / 2 * sum(ways[:1] + ways[2:]) + 0.7 / 2 * sum(sizes)).backward()
    wanted = [value.grad.clone() for value in trained]
    for value in trained:
        value.grad = torch.zeros_like(value)
    Pull(model, Anchor(0.3, 0.7), start).apply()
    assert all(torch.allclose(value.grad, own, atol=1e-6) for value, own in zip(trained, wanted, strict=True))


def test_a_mix_keeps_its_ends_to_the_bit() -> None:
    model = Small()
    one = {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in _state(model)}
    other = {name: value.clone() for name, value in _state(model)}
    for share, wanted in ((0.0, one), (1.0, other)):
        mix(model, one, other, share)
        assert all(torch.equal(value, wanted[name]) for name, value in _state(model))
    mix(model, one, other, 0.25)
    assert torch.allclose(model.head.weight, 0.75 * one["head.weight"] + 0.25 * other["head.weight"])


def _state(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(model.state_dict().items())


def test_phases_validate_and_keep_the_average(tmp_path) -> None:
    last, mean = (copies(train(begin("bert", "full", tmp_path / str(ema), epochs=1, ema=ema))) for ema in (None, 0.9))
    kept = begin("bert", "full", tmp_path / "other", epochs=1, ema=0.9)
    ways = [copies(kept.model)[name] for name in last]
    moved = [name for name, start in zip(last, ways, strict=True) if not torch.equal(last[name], start)]
    # of two steps the average is nearer to the start, but for the first one, which it takes with 9 / 11
    assert moved and all(not torch.equal(last[name], mean[name]) for name in moved)


def test_a_strong_pull_keeps_the_start(tmp_path) -> None:
    def way(start: float) -> float:
        begun = begin("bert", "l2-sp", tmp_path / str(start), {"start": start}, optimizer="sgd", lr=0.01)
        begun = begun._replace(splits=Splits(begun.splits.train))  # without validation data the last epoch is kept
        before = copies(begun.model)
        after = copies(train(begun))
        return max(float((after[name] - before[name]).abs().max()) for name in before if name.startswith("backbone"))

    assert 0 < way(90.0) < way(0.0) / 2  # with this rate each step goes back nine tenths of the way


def test_the_best_mix_is_left_in_the_model(tmp_path, monkeypatch) -> None:
    begun = begin("bert", "wise-ft", tmp_path, {"mixes": 2})
    values = iter([0.1, 0.9, 0.2])  # of all, of half, of none of the trained weights
    monkeypatch.setattr("mmtransfer.engine.mixing.measure", lambda *_: (((value := next(values)), 0.0), value))
    start, after = copies(begun.model), copies(train(begun))
    entry = begun.training.state.phases[-1]
    assert entry["mix"] == {"share": 0.5, "values": [[0.0, 0.2], [0.5, 0.9], [1.0, 0.1]]}
    assert entry["best"]["value"] == 0.9
    own = copies(train(begin("bert", "lp-ft", tmp_path / "own")))
    name = "backbone.stages.1.layer.output.dense.weight"
    assert torch.allclose(after[name], (start[name] + own[name]) / 2, atol=1e-7)


def test_statistics_are_those_of_the_data(tmp_path) -> None:
    training, model, splits, _ = begin("bert", "full", tmp_path)
    norm = nn.BatchNorm1d(model.backbone.width)
    model.head = nn.Sequential(norm, model.head)
    norm.running_mean.fill_(100.0)
    renew_statistics(model, splits.train, training.machine, 32)
    assert norm.momentum == 0.1 and not norm.training and norm.running_mean.abs().max() < 10


def test_statistics_of_parts_that_memory_holds_take_in_each_once(tmp_path) -> None:
    class Once(nn.Module):
        """Has no memory the first time."""

        first = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.first:
                self.first = False
                raise torch.OutOfMemoryError("no more")
            return x

    training, model, splits, _ = begin("bert", "full", tmp_path)
    norm = nn.BatchNorm1d(model.backbone.width)
    model.head = nn.Sequential(norm, Once(), model.head)
    found = []
    for _ in range(2):  # in the second round it is known what memory holds
        renew_statistics(model, splits.train, training.machine, 32)
        found.append([value.clone() for value in norm.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True)) and norm.num_batches_tracked == 2
