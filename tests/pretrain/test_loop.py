"""The pretraining loop: what is stopped goes on exactly; losses and views are what they say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.pretrain import loop, text, vision
from mmtransfer import backbones
from mmtransfer.seeding import generator


class Stop(Exception):
    pass


def run(folder, monkeypatch, stop: int | None = None) -> nn.Module:
    monkeypatch.setattr(loop, "SAVE_EVERY", 4)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))

    def loss(step: int) -> Tensor:
        if step == stop:
            raise Stop
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    loop.train(model, loss, 10, folder, rate=1e-2, decay=0.1)
    return model


def test_a_stopped_training_ends_as_the_whole_one(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", monkeypatch)
    with pytest.raises(Stop):
        run(tmp_path / "cut", monkeypatch, stop=6)
    again = run(tmp_path / "cut", monkeypatch)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    fresh = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    assert loop.trained(fresh, tmp_path / "cut")["step"] == 10
    assert torch.equal(fresh[0].weight, whole[0].weight) and not fresh.training
    with pytest.raises(SystemExit, match="nothing is trained yet"):
        loop.trained(fresh, tmp_path / "none")


def test_a_student_like_its_teacher_has_no_loss():
    wanted = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1)
    assert float(text.loss(3 * wanted, 5 * wanted, wanted)) == pytest.approx(0, abs=1e-5)
    assert float(text.loss(wanted.flip(0), wanted, wanted)) > 0.1
    assert float(text.loss(wanted, wanted.flip(0), wanted)) > 0.1


def test_a_view_of_the_whole_is_the_picture():
    images = torch.rand(2, 3, vision.SIZE, vision.SIZE)
    whole = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3)
    assert torch.allclose(vision.shown(images, whole), images, atol=1e-5)
    mirrored = torch.tensor([[-1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3)
    assert torch.allclose(vision.shown(images, mirrored).flip(-1), images, atol=1e-5)


def test_views_show_what_they_are_to_and_repeat():
    first, again, other = (
        vision.boxes(generator(seed, "augment", 1), 1000, (0.5, 2.0), (427, 640)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    area = torch.linalg.det(first[:, :, :2])  # of the picture; negative where it is mirrored
    largest = (vision.SIZE / 0.5) ** 2 / (427 * 640)
    assert (area.abs() > largest / 16 / 1.3).all() and (area.abs() < largest * 1.3).all()
    assert area.abs().max() > largest / 2 and area.abs().min() < largest / 8
    assert 0.4 < (area < 0).float().mean() < 0.6
    assert (first[:, :, 2].abs() <= 1).all() and first[:, :, 2].abs().max() > 0.5


def test_a_tiled_picture_is_made_of_whole_ones():
    pixels = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 32, 32) * 50
    found = vision.tiled(pixels, generator(0, "augment"), 3)
    assert found.shape == (3, 3, 32 * vision.TILES, 32 * vision.TILES)
    tiles = found.unfold(2, 32, 32).unfold(3, 32, 32).flatten(4)
    assert torch.equal(tiles.amin(-1), tiles.amax(-1)), "one picture a tile"
    assert len(tiles[0, 0, ..., 0].unique()) > 1


def test_a_picture_recoloured_by_nothing_is_itself():
    x = torch.rand(2, 3, 8, 8)
    none = SimpleNamespace(normal=lambda mean, spread, shape: np.zeros(shape))
    assert torch.allclose(vision.recoloured(x, none), x, atol=1e-6)
    assert not torch.allclose(vision.recoloured(x, generator(0, "augment")), x, atol=1e-2)


def test_a_student_that_sees_what_its_teacher_sees_has_no_loss():
    maps = torch.randn(2, 4, 3, 3)
    assert float(vision.unlike(2 * maps, maps)) == pytest.approx(0, abs=1e-6)
    assert float(vision.unlike(-maps, maps)) == pytest.approx(2, abs=1e-6)
    x = torch.randn(2, 3, vision.SIZE, vision.SIZE)
    ours = vision.student(vision.model_of()["network"], x)
    theirs = vision.answers(backbones.load("mobilenet_v2", "none").eval(), x)
    for (own, wanted, _), one, other in zip(vision.DEPTHS, ours, theirs, strict=True):
        assert one.shape[1] == own and other.shape[1] == wanted and one.shape[2:] == other.shape[2:]
