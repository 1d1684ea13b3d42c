"""Trains the same steps cut in several ways; run by test_steps.py, alone or as one of several processes.

    python pieces.py FOLDER KIND[,KIND] BUDGET [BUDGET ...]

Kinds: float32, float64 (last). Writes FOLDER/KIND-CASE-NUMBER-PROCESSES.pt, the number that of the budget, with the
loss of every step and the final tensors.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import BertTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tiny

from mmtransfer.backbones import pretrained
from mmtransfer.config import SPEECH, TEXT
from mmtransfer.data import sources
from mmtransfer.data.plan import Plan
from mmtransfer.engine import loading, phases
from mmtransfer.engine.loading import EncodedRows, Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.training import Training
from mmtransfer.resolution import complete
from mmtransfer.strategies import Loop, Phase, Selection
from mmtransfer.strategies.phase import evenly
from mmtransfer.tasks import TASKS, collate

CASES = {
    "text": (TEXT, {}),
    "speech": (SPEECH, {}),
    "class-weights": (TEXT, {"class_weights": "auto"}),
    "multi-label": (TEXT, {"target": "multi-label"}),
    "regression": (TEXT, {"target": "regression"}),
}
"""Settings whose loss must not depend on how a step is cut: (task, settings)."""
ANSWERS = {"single-label": ("a", "b", "a", "c", "a"), "multi-label": ("a|b", "", "b"), "regression": (1.5, 20, -4)}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BERT = {"model_type": "bert", **tiny.BERT, **STILL}
SILENT = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0)
WAV2VEC2 = {"model_type": "wav2vec2", **tiny.WAV2VEC2, "feat_extract_norm": "group", **SILENT}


class InDouble(EncodedRows):
    """The same examples with floating inputs in float64."""

    def encode(self, *each):
        encoded = super().encode(*each)
        x = encoded.x.double() if encoded.x.is_floating_point() else encoded.x
        return dataclasses.replace(encoded, x=x)


def start_of(
    case: str, folder: Path, double: bool, budget: int, accelerator: Accelerator
) -> tuple[Training, Model, Splits, Phase]:
    """21 examples of ragged lengths in steps of 8: the last step holds 5."""
    task_name, choices = CASES[case]
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    settings = {
        "task": task_name,
        "batch_size": 8,
        "log_every": 1,
        "schedule": "constant",
        "weight_decay": 0.0,
        "warmup": 0.0,
    }
    settings |= {"optimizer": "adamw" if double else "sgd", "lr": 0.01, "train": "-", **choices}
    if task_name == TEXT:
        words = [chr(97 + n) for n in range(26)]
        vocabulary = folder / "vocab.txt"
        if accelerator.is_main_process:
            vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
        accelerator.wait_for_everyone()  # who reads while another writes sees half a vocabulary
        backbone = pretrained.build(BERT)
        backbone.tokenizer = BertTokenizerFast(str(vocabulary))
        answers = ANSWERS[choices.get("target", "single-label")]
        rows = [(" ".join(random.choice(words, random.integers(1, 20))), answers[n % len(answers)]) for n in range(21)]
        settings |= {"micro_batch_tokens": budget, "max_length": 40}
    else:
        backbone = pretrained.build(WAV2VEC2)
        rows = [
            (random.normal(size=random.integers(600, 3000)).astype(np.float32), "abba"[: 1 + n % 4]) for n in range(21)
        ]
        settings |= {"micro_batch_seconds": budget / 16000, "mask_prob": 0.0}
    config = complete(settings)
    task = TASKS[task_name].make(config, backbone)
    table = sources.load(rows, task.input.kind, task.columns())
    task.prepare(table)
    made, lengths = task.input.rows(table)
    head = task.target.head(backbone.width)
    if double:
        backbone.double()
        head.double()
    answers = [task.target.answer(value) for value in table.column(task.target.kind)]
    examples = Examples(made, lengths, answers, task.target.weights(table))
    training = Training(config, Machine.as_it_is(config, accelerator), folder, TrainState())
    model = Model(backbone, head, task, "fp32")
    everything = Selection(tuple(range(len(backbone.stages))))
    phase = Phase("full", everything, evenly(everything, 0.01, 0.01), Loop(2))
    return training, model, Splits(examples, validation=examples), phase


def weighted_loss(training: Training, model: Model, splits: Splits, phase: Phase) -> float:
    """The first step's loss as torch computes it in one piece, with weights by class."""
    model, train, config = model.starting(phase.trains).eval(), splits.train, training.config
    plan = Plan(train.lengths, int(config.batch_size), 10_000, config.seed)
    encoded = [model.task.encode(train.rows[int(number)], None) for number in plan.epoch(0).examples(0)]
    batch, names = collate(encoded), model.task.target.labels.names
    shares = [len(train) / (len(names) * train.answers.count(name)) for name in names]
    with torch.no_grad():
        logits = model(batch.state)["logits"]
    weights = torch.tensor(shares, dtype=logits.dtype)
    return float(torch.nn.functional.cross_entropy(logits, batch.targets, weight=weights))


def main() -> None:
    folder, kinds, budgets = Path(sys.argv[1]), sys.argv[2].split(","), list(map(int, sys.argv[3:]))
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    for kind in kinds:
        if kind == "float64":
            loading.EncodedRows = InDouble
        for case in CASES if kind == "float64" else ("text", "speech"):
            for number, budget in enumerate(budgets):
                train(folder, kind, case, number, budget, accelerator)


def train(folder: Path, kind: str, case: str, number: int, budget: int, accelerator: Accelerator) -> None:
    place = folder / f"{kind}-{case}-{number}-{accelerator.num_processes}"
    if accelerator.is_main_process:
        place.mkdir()
    accelerator.wait_for_everyone()
    size = budget if CASES[case][0] == TEXT else 100 * budget
    training, model, splits, phase = start_of(case, place, kind == "float64", size, accelerator)
    known = weighted_loss(training, model, splits, phase) if case == "class-weights" else None
    phases.train(training, model, splits, [phase])
    if accelerator.is_main_process:
        losses = [json.loads(line)["loss"] for line in (place / "log.jsonl").read_text().splitlines()]
        tensors = {**model.backbone.state_dict(), **model.head.state_dict()}
        torch.save({"known": known, "losses": losses, "tensors": tensors}, folder / f"{place.name}.pt")


if __name__ == "__main__":
    main()
