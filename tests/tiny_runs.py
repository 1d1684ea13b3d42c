"""Runs of a few steps in this process, of any strategy on a small backbone of any family, without a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tiny
import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import BertTokenizerFast

from mmtransfer import backbones
from mmtransfer.backbones import pretrained
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.data import sources
from mmtransfer.engine import anchoring, phases
from mmtransfer.engine.loading import Examples, examples_of
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.training import Training
from mmtransfer.preparation import adapt
from mmtransfer.resolution import planned, resolve
from mmtransfer.strategies import Phase
from mmtransfer.tasks import TASKS

TEXTS = ("bert", "distilbert", "electra", "mpnet", "gpt2", "modernbert", "albert")
PICTURES = ("vit", "dinov2", "dinov3_vit", "swin", "convnext", "siglip_vision_model", "resnet18")
RECORDINGS = ("wav2vec2", "hubert", "wavlm")
N, EPOCHS, BATCH = 8, 2, 4
"""Examples, passes, examples a step: four steps."""


class Begun(NamedTuple):
    """A run before its first step."""

    training: Training
    model: Model
    splits: Splits
    plan: list[Phase]


def frozen_texts(folder: Path) -> tuple[Model, Examples]:
    """A frozen encoder of texts with its head, in evaluation mode, and the examples of `tiny.text`."""
    config = resolve(**parse(TEXT, [*tiny.text(folder), "--weights", "none"], {}, "a test"))
    torch.manual_seed(0)
    backbone = backbones.load(str(config.backbone), "none")
    task = TASKS[TEXT].make(config, backbone)
    table = sources.load(config.train, "text", task.columns())
    task.prepare(table)
    backbone.freeze(range(len(backbone.stages)))
    return Model(backbone, task.target.head(backbone.width), task, "fp32").eval(), examples_of(task, table)


def backbone_of(family: str, folder: Path) -> tuple[str, Backbone, dict[str, Any]]:
    """A task, a small backbone with random weights, and settings of the task."""
    torch.manual_seed(0)
    if family in TEXTS:
        words = folder / "vocab.txt"
        words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
        backbone = pretrained.build({"model_type": family, **tiny.text_shape(family)})
        backbone.tokenizer = BertTokenizerFast(str(words))
        return TEXT, backbone, {"max_length": 20}
    if family in RECORDINGS:
        shape = {**tiny.WAV2VEC2, "feat_extract_norm": "layer"}
        return SPEECH, pretrained.build({"model_type": family, **shape}), {"mask_prob": 0.3}
    backbone = backbones.load(family, "none") if family == "resnet18" else tiny.image_backbone(family)
    colours = {"mean": (0.5, 0.5, 0.5), "std": (0.3, 0.3, 0.3)}
    return IMAGE, backbone, {"image_size": 32, "augment": "none", **colours}


def rows_of(task: str) -> list[tuple[Any, str]]:
    random = np.random.default_rng(0)
    if task == TEXT:
        return [(" ".join(random.choice(list("abcdefgh"), 3 + n)), "xy"[n % 2]) for n in range(N)]
    if task == SPEECH:
        return [(random.normal(size=900 + 90 * n).astype(np.float32), "abab"[: 1 + n % 3]) for n in range(N)]
    return [(random.integers(0, 255, (32, 32, 3), np.uint8), "xy"[n % 2]) for n in range(N)]


def begin(family: str, strategy: str, folder: Path, options: Mapping[str, Any] | None = None, **more: Any) -> Begun:
    folder.mkdir(parents=True, exist_ok=True)
    name, backbone, own = backbone_of(family, folder)
    settings = {"task": name, "strategy": strategy, "strategy_options": options or {}, "train": "-", "epochs": EPOCHS}
    settings |= {"batch_size": BATCH, "lr": 1e-3, "cache": "off", "checkpoint_every": 1, "log_every": 1, **own, **more}
    config = resolve(**settings)
    plan = adapt(backbone, planned(config, len(backbone.stages)), config.seed)
    task = TASKS[name].make(config, backbone)
    table = sources.load(rows_of(name), task.input.kind, task.columns())
    task.prepare(table)
    torch.manual_seed(1)
    model = Model(backbone, task.target.head(backbone.width), task, "fp32")
    examples = examples_of(task, table)
    training = Training(task.config, Machine.as_it_is(task.config, Accelerator(cpu=True)), folder, TrainState())
    return Begun(training, model, Splits(examples, validation=examples), plan)


def train(begun: Begun) -> Model:
    training, model, splits, plan = begun
    start = anchoring.start_of(model, plan)
    return phases.train(training, model, splits, plan, start=start).model


def copies(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
