"""Extensions from outside: a package with entry points (tests/outside), a strategy and a module given in Python, and
models as plain modules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import mmtransfer as mmt
from mmtransfer import registry
from mmtransfer.config import AUDIO, IMAGE, TAGS, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import STRATEGIES, Loop, Phase, Rates, Selection

PACKAGE = Path(__file__).parent / "outside"
QUICK: dict[str, Any] = {"image_size": 32, "epochs": 2, "batch_size": 4, "threads": 1, "lr": 1e-2}


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package is installed."""
    monkeypatch.syspath_prepend(PACKAGE)
    registry.points.cache_clear()
    yield
    registry.points.cache_clear()


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test gives is not there for others."""
    monkeypatch.setattr(STRATEGIES, "_entries", dict(STRATEGIES._entries))


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, str]]:
    random = np.random.default_rng(0)
    return [(random.integers(0, 120 + 130 * (n % 2), (32, 32, 3), np.uint8), "ab"[n % 2]) for n in range(12)]


@dataclass(frozen=True)
class MyOwn:
    """Trains everything at one rate."""

    head_only: ClassVar[bool] = False
    factor: float = 1.0

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        rate = lr * self.factor
        return [Phase("mine", Selection(tuple(range(stages))), Rates((rate,) * stages, rate), Loop(epochs))]


@dataclass(frozen=True)
class TooMany:
    """Plans a stage that no backbone has."""

    head_only: ClassVar[bool] = False

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        return [Phase("wrong", Selection((stages,)), Rates((lr,), lr), Loop(epochs))]


@dataclass(frozen=True)
class Nothing:
    """Plans nothing."""

    head_only: ClassVar[bool] = False

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        return []


def test_a_package_adds_backbone_strategy_and_target(package: None, pictures: Any, tmp_path: Path) -> None:
    numbers = [(picture, float(picture.mean())) for picture, _ in pictures]
    run = mmt.fit(
        task=IMAGE,
        train=numbers,
        backbone="edges",
        strategy="head-then-all",
        target="robust",
        out=tmp_path / "run",
        **QUICK,
    )
    assert [phase["name"] for phase in run.result["phases"]] == ["head", "all"]
    assert type(run.model.task.target).__name__ == "Robust" and run.config.target == "robust"
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["strategy_options"] == {"share": 0.1} and saved["backbone"] == "edges"
    found = run.predict([picture for picture, _ in pictures[:3]])
    assert all(np.isfinite(one.value) for one in found)
    # and the run goes on as a backbone
    onward = mmt.fit(task=IMAGE, train=pictures, backbone=tmp_path / "run", out=tmp_path / "on", **QUICK)
    assert onward.predict(pictures[0][0]).label in "ab"
    for name, message in (("run", "Unknown"), ("on", "The backbone 'edges' is of a package that is not installed")):
        code = f"import mmtransfer as mmt; mmt.load({str(tmp_path / name)!r}).model"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
        assert message in done.stderr, done.stderr[-2000:]


def test_the_command_line_knows_them_and_names_a_broken_one(package: None, command: Callable[..., Any]) -> None:
    status, printed, _ = command("fit", IMAGE, "--strategy", "head-then-all", "--help-all")
    assert status == 0 and "--strategy.share" in printed and "robust" in printed
    status, _, said = command("fit", IMAGE, "--strategy", "broken", "--train", "x")
    assert status == 2 and "'broken' of the package outside-mmtransfer cannot be used: AttributeError" in said
    status, _, said = command("fit", IMAGE, "--strategy", "no-strategy", "--train", "x")
    assert status == 2 and "a strategy is a dataclass with a method plan" in said


def test_without_the_package_its_names_are_unknown() -> None:
    with pytest.raises(MMTransferError, match="Unknown strategy 'head-then-all'"):
        STRATEGIES["head-then-all"]
    with pytest.raises(MMTransferError, match="'robust'"):
        mmt.fit(task=IMAGE, train=[("a", "b")], target="robust")


def test_a_strategy_of_ones_own(pictures: Any, tmp_path: Path, caplog: Any) -> None:
    given = {"task": IMAGE, "train": pictures, "backbone": "resnet18", "weights": "none", **QUICK}
    with caplog.at_level("INFO"):
        run = mmt.fit(**given, strategy=MyOwn(factor=0.5), out=tmp_path / "run")
    assert sum(line.endswith(" in all") for line in caplog.messages) == 1  # how long it takes
    assert (run.config.strategy, run.config.strategy_options) == ("my-own", {"factor": 0.5})
    assert [phase["name"] for phase in run.result["phases"]] == ["mine"]
    for strategy, message in (
        (TooMany(), r"trains the stages \(5,\), and the backbone has 5"),
        (Nothing(), "plans no phases"),
        (MyOwn, "MyOwn is not one: a strategy is a dataclass"),
        (3, "a int is not one"),
    ):
        with pytest.raises(MMTransferError, match=message):
            mmt.fit(**given, strategy=strategy, out=tmp_path / "wrong")


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (32, 32)  # as networks that end in a layer on all pixels
        return self.conv(x).relu()


def test_a_module_is_a_backbone(pictures: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tiny()
    before = module.conv.weight.clone()
    given = {"task": IMAGE, "train": pictures, "test": pictures, **QUICK}
    run = mmt.fit(**given, backbone=module, strategy="full", out=tmp_path / "run")
    assert torch.equal(module.conv.weight, before)  # a copy is trained
    assert run.config.backbone.startswith("python:Tiny") and run.model.backbone.width == 5
    assert mmt.fit(**given, backbone=module, out=tmp_path / "again").config.backbone == run.config.backbone
    moved = run.model.backbone.state_dict()["stages.0.module.conv.weight"]
    assert not torch.equal(moved, before)
    probe = mmt.fit(
        **given, backbone=module, strategy="linear-probe", cache="on", cache_dir=tmp_path / "cache", out=tmp_path / "p"
    )
    assert not list((tmp_path / "cache").rglob("*.safetensors"))  # nobody can tell whether its code stays the same
    assert torch.equal(probe.model.backbone.state_dict()["stages.0.module.conv.weight"], before)
    wrapped = mmt.backbones.wrap(module, "image", pool=lambda maps: maps.amax((2, 3)), image_size=32)
    other = mmt.fit(**given, backbone=wrapped, strategy="linear-probe", out=tmp_path / "max")
    assert not np.allclose(other.embed([pictures[0][0]]).values, probe.embed([pictures[0][0]]).values)


def test_a_run_of_a_module_is_opened_in_another_process_with_it(pictures: Any, tmp_path: Path) -> None:
    run = mmt.fit(task=IMAGE, train=pictures, backbone=Tiny(), strategy="full", out=tmp_path / "run", **QUICK)
    wanted = run.predict([picture for picture, _ in pictures])
    np.save(tmp_path / "x.npy", np.stack([picture for picture, _ in pictures]))
    code = f"""
import numpy, torch, mmtransfer as mmt
from torch import nn
class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2)
    def forward(self, x):
        return self.conv(x).relu()
try:
    mmt.load({str(tmp_path / "run")!r}).model
except mmt.MMTransferError as error:
    print("give the module" in str(error))
run = mmt.load({str(tmp_path / "run")!r}, backbone=Other())
print(*(one.label for one in run.predict(numpy.load({str(tmp_path / "x.npy")!r}))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines() == ["True", " ".join(one.label for one in wanted)], done.stderr[-2000:]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(3, 4), "does not take"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(0)), "not one vector an example"),
    ],
)
def test_modules_that_do_not_fit_are_refused(module: nn.Module, message: str, pictures: Any, tmp_path: Path) -> None:
    with pytest.raises(MMTransferError, match=message):
        mmt.fit(task=IMAGE, train=pictures, backbone=module, out=tmp_path / "run", **QUICK)
    with pytest.raises(MMTransferError, match="needs the tokenizer"):
        mmt.fit(task=TEXT, train=[("a", "b")], backbone=module, out=tmp_path / "run")
    with pytest.raises(MMTransferError, match="has no random weights of its own"):
        mmt.fit(task=IMAGE, train=pictures, backbone=Tiny(), strategy="scratch", out=tmp_path / "run", **QUICK)


def test_modules_for_texts_and_recordings(tmp_path: Path) -> None:
    tiny.text(tmp_path)
    run = mmt.backbones.load(str(tmp_path / "bert"), "none")

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(len(run.tokenizer), 7)

        def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, None]:
            return self.table(ids) * mask[..., None], None

    backbone = mmt.backbones.wrap(Words(), "text", tokenizer=run.tokenizer)
    rows = [("a a b", "x"), ("m m", "y")] * 8
    made = mmt.fit(task=TEXT, train=rows, backbone=backbone, strategy="linear-probe", threads=1, out=tmp_path / "t")
    assert made.predict("a a b").label == "x"
    alone = made.embed(["m m"]).values
    assert np.allclose(alone, made.embed(["m m", "a a b a a b"]).values[:1], atol=1e-6)  # padding is not read

    class Sound(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 4, 400, 160)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x[:, None]).transpose(1, 2).abs()

    random = np.random.default_rng(0)
    sounds = [(random.normal(size=4000).astype(np.float32) * (1 + n % 2), "xy"[n % 2]) for n in range(8)]
    heard = mmt.backbones.wrap(Sound(), "speech", normalise=False)
    made = mmt.fit(task=AUDIO, train=sounds, backbone=heard, strategy="linear-probe", threads=1, out=tmp_path / "s")
    assert made.predict((sounds[1][0], 16_000)).label == "y"
    short = sounds[0][0][:2345]
    alone = made.embed([(short, 16_000)]).values
    assert np.allclose(alone, made.embed([(short, 16_000), (sounds[1][0], 16_000)]).values[:1], atol=1e-6)


def test_a_run_is_a_plain_module(pictures: Any, tmp_path: Path) -> None:
    given = {"backbone": "resnet18", "weights": "none", "strategy": "linear-probe"}
    run = mmt.fit(task=IMAGE, train=pictures, out=tmp_path / "i", **given, **QUICK)
    module, inputs = run.torch(), [picture for picture, _ in pictures[:3]]
    (x,) = module.encode(inputs)
    scores = module(x).softmax(1).detach().numpy()
    assert np.allclose(scores, [list(one.scores.values()) for one in run.predict(inputs)], atol=1e-5)
    floating = x.float().requires_grad_()
    module(floating).sum().backward()
    assert floating.grad is not None and torch.equal(floating.detach(), x.float())
    pooled = run.model.backbone.torch()
    pixels = run.model.task.input.on_device({"x": x})["x"]
    assert np.allclose(pooled(pixels).detach().numpy(), run.embed(inputs).values, atol=1e-5)
    assert isinstance(module, nn.Module) and isinstance(pooled, nn.Module)


@pytest.mark.parametrize("task", [TEXT, TAGS])
def test_texts_go_through_a_plain_module(task: str, tmp_path: Path) -> None:
    tiny.text(tmp_path)
    if task == TEXT:
        rows: Any = [("a a b", "x"), ("m m", "y")] * 8
        inputs: Any = ["a a b", "m"]
    else:
        rows = [{"words": ["a", "m"], "tags": ["x", "y"]}, {"words": ["m"], "tags": ["y"]}] * 8
        inputs = [["a", "m"], ["m"]]
    given = {"backbone": str(tmp_path / "bert"), "weights": "none", "epochs": 1, "max_length": 16, "threads": 1}
    run = mmt.fit(task=task, train=rows, out=tmp_path / "run", **given)
    module = run.torch()
    x, lengths, *rest = module.encode(inputs)
    found = module(x, lengths, *rest)
    if task == TEXT:
        wanted = [list(one.scores.values()) for one in run.predict(inputs)]
        assert np.allclose(found.softmax(1).detach().numpy(), wanted, atol=1e-5)
    else:
        assert found.shape[:2] == x.shape and found.shape[2] == 2
