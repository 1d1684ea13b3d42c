"""The pretraining loop: what is stopped goes on exactly; losses and views are what they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.pretrain import loop, text, vision


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
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    whole = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3)
    pixels = (
        vision.shown(images, whole, 32) * torch.tensor(vision.STD)[:, None, None]
        + torch.tensor(vision.MEAN)[:, None, None]
    )
    assert torch.allclose(pixels, images / 255, atol=1e-5)
    mirrored = torch.tensor([[-1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3)
    assert torch.allclose(vision.shown(images, mirrored, 32).flip(-1), vision.shown(images, whole, 32), atol=1e-5)


def test_views_stay_inside_the_picture_and_repeat():
    parts = vision.boxes(1, 1000, seed=0)
    assert torch.equal(parts, vision.boxes(1, 1000, seed=0)) and not torch.equal(parts, vision.boxes(2, 1000, seed=0))
    scale, shift = torch.stack([parts[:, 0, 0].abs(), parts[:, 1, 1]], 1), parts[:, :, 2]
    assert (scale + shift.abs() <= 1 + 1e-6).all()
    assert (scale.prod(1) > 0.4).all() and 0.4 < (parts[:, 0, 0] < 0).float().mean() < 0.6
