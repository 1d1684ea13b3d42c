"""Nothing in a pass waits for the host: what is to be recorded neither reads a value back nor copies one there.

Run with tensors that have a device and shapes but no values, so that no GPU is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmtransfer import backbones
from mmtransfer.backbones import vision
from tests.backbones.test_contract import IMAGES, VARIANTS, torchvision_model
from tests.engine.pieces import CASES, start_of


class Watch(TorchDispatchMode):
    """Notes operations that would wait for the host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given, made = (
            [value for value in tree_leaves(some) if isinstance(value, Tensor)] for some in ((args, kwargs), result)
        )
        # numbers of the host, which have no dimensions, go along with a launch; copied they are waited for
        count = [value for value in given if value.dim() or "copy" in str(func)] + made
        reads = "_local_scalar" in str(func) and any(value.device.type == "cuda" for value in given)
        if reads or len({value.device.type for value in count}) > 1:
            self.found.append(str(func))
        return result


def waits(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """The operations of a pass on a GPU that would wait."""

    def there(value: Tensor) -> Tensor:
        return torch.empty(value.shape, dtype=value.dtype, device="cuda")

    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = {name: there(value) for name, value in [*module.named_parameters(), *module.named_buffers()]}
        given = {name: there(value) for name, value in state.items()}
        with Watch() as watch:
            torch.func.functional_call(module, tensors, (given,))
    return watch.found


class Whole(nn.Module):
    """A backbone, and what is read out of it."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, state: Any) -> Any:
        return self.backbone.pool(self.backbone.run(state, 0, self.backbone.depth))


def rebuilt(modality: str, family: str, shape: Mapping[str, Any]) -> Whole:
    described = {"name": "tiny", "modality": modality, "family": family, "source": "none", "preprocess": {}}
    return Whole(backbones.rebuild({**described, "config": dict(shape)})).train()


@pytest.mark.parametrize("case", CASES)
def test_models_with_their_heads(case: str, tmp_path: Path) -> None:
    _, model, splits, phase = start_of(case, tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    batch = next(iter(splits.train.batches(model.task, [[0, 1]], 0, False, 0)))
    assert not waits(model.starting(phase.trains).train(), batch.state)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_torchvision(name: str) -> None:
    count, side = IMAGES[name]
    network = Whole(vision.VisionBackbone(name, torchvision_model(name), {}, {})).train()
    assert not waits(network, {"x": torch.zeros(count, 3, side, side)})


@pytest.mark.parametrize("family", sorted(tiny.IMAGES))
def test_image_encoders(family: str) -> None:
    assert not waits(Whole(tiny.image_backbone(family)).train(), {"x": torch.zeros(2, 3, 32, 32)})


@pytest.mark.parametrize("family", sorted(tiny.TEXTS))
def test_text(family: str) -> None:
    network = rebuilt("text", family, tiny.text_shape(family))
    assert not waits(network, {"x": torch.ones(2, 8, dtype=torch.int64), "lengths": torch.tensor([8, 4])})


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_speech(variant: str) -> None:
    network = rebuilt("speech", "wav2vec2", VARIANTS[variant])
    assert not waits(network, {"x": torch.zeros(2, 4000), "lengths": torch.tensor([4000, 2000])})


class Assigning(nn.Module):
    """Copies a number from the host."""

    def forward(self, state: Any) -> Tensor:
        state["x"][0] = 0.0
        return state["x"]


def test_what_waits_is_found() -> None:
    assert waits(Assigning(), {"x": torch.zeros(3)})
