"""A step gives the same loss and the same weights however it is cut, and over however many processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from programs import end_all, together

SCRIPT = Path(__file__).parent / "pieces.py"
WHOLE, FEW, ALONE = 10_000, 40, 1
"""Micro-batch budgets: a step at once, some examples at a time, one at a time."""
CASES = ["text", "speech", "class-weights", "multi-label", "regression"]
"""Of pieces.py."""


def launch(folder: Path, processes: int, kinds: str, *budgets: int) -> None:
    words = [str(SCRIPT), str(folder), kinds, *map(str, budgets)]
    end_all(together(processes, *words, ACCELERATE_USE_CPU="true"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    launch(folder, 1, "float32,float64", WHOLE, FEW, ALONE)
    launch(folder, 2, "float64", FEW)
    launch(folder, 3, "float64", FEW)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("other", ["1-1", "2-1", "0-2", "0-3"], ids=["few", "alone", "2 processes", "3 processes"])
def test_weights_do_not_depend_on_the_cut(results, case, other):
    one, two = results[f"float64-{case}-0-1"], results[f"float64-{case}-{other}"]
    assert torch.allclose(torch.tensor(one["losses"]), torch.tensor(two["losses"]), rtol=0, atol=1e-10)
    for name, value in one["tensors"].items():
        difference = (value.double() - two["tensors"][name].double()).abs().max()
        assert difference < 1e-10, f"{name}: {difference}"


@pytest.mark.parametrize("case", ["text", "speech"])
@pytest.mark.parametrize("other", [1, 2], ids=["few", "alone"])
def test_losses_do_not_depend_on_the_cut_in_single_precision(results, case, other):
    one, two = results[f"float32-{case}-0-1"], results[f"float32-{case}-{other}-1"]
    assert len(one["losses"]) == 6
    assert torch.allclose(torch.tensor(one["losses"]), torch.tensor(two["losses"]), rtol=0, atol=1e-5)


def test_training_moves_the_weights(results):
    losses = results["float64-text-0-1"]["losses"]
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize("place", ["0-1", "2-1", "0-3"], ids=["whole", "alone", "3 processes"])
def test_the_weighted_loss_is_torchs(results, place):
    found, plain = results[f"float64-class-weights-{place}"], results[f"float64-text-{place}"]
    assert found["losses"][0] == pytest.approx(found["known"], abs=1e-10)
    assert abs(found["losses"][0] - plain["losses"][0]) > 1e-6
