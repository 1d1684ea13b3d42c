"""What is said, by CTC (Graves et al. 2006): a vocabulary of characters, greedy decoding, word and character errors.

Case rule: transcripts are put into NFC and lower case, and runs of white space become one space; speech does not tell
case. The vocabulary is the characters of the training transcripts, entry 0 the blank and `|` the space; or that of the
backbone's checkpoint, whose case the transcripts then take (upper or lower; unchanged where it has both).
"""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import documents
from mmtransfer.backbones import carried
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import CTCHead
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.refusal import leave_out
from mmtransfer.tasks.targets.base import Target

if TYPE_CHECKING:
    from mmtransfer.backbones.carried import Carried

logger = logging.getLogger("mmtransfer")
BLANK, DELIMITER = "<blank>", "|"


class Transcript(Target):
    """A text of characters, in the order in which the frames say them; primary metric WER."""

    name = "transcript"
    kind = "transcript"
    reads = "frames"
    primary = "wer"
    higher_is_better = False
    extra = ("speaker",)
    symbols: list[str]
    numbers: dict[str, int]

    def __init__(self, config: Any, source: str = "") -> None:
        super().__init__(config, source)
        self.case = "lower"
        self.ctc: Mapping[str, Tensor] | None = None

    def columns(self) -> dict[str, Any]:
        return {"transcript": self.config.transcript_column}

    def _take_vocabulary(self) -> None:
        """Symbols and head of the backbone's own checkpoint."""
        try:
            symbols, self.ctc = carried.vocabulary(self.source)
        except MMTransferError as error:
            raise MMTransferError(
                error.what, "--vocabulary backbone", "take the characters of the training data: --vocabulary train"
            ) from None
        self._set_symbols(symbols)

    def prepare(self, table: Table) -> None:
        texts = table.column(self.kind)
        if self.config.vocabulary == "backbone":
            self._take_vocabulary()
            unwritten = sorted({c for text in texts for c in self.answer(text)} - set(self.numbers))
            if unwritten:
                logger.warning(
                    "%s: the checkpoint's vocabulary lacks %d characters, which are left out: %s",
                    table.source,
                    len(unwritten),
                    " ".join(unwritten[:20]),
                )
            return
        characters = sorted({character for text in texts for character in self.answer(text)} - {" "})
        if DELIMITER in characters:
            raise MMTransferError(
                f"{DELIMITER!r} stands for the space between words and cannot occur in a transcript",
                table.source,
                "replace it in the transcripts",
            )
        self._set_symbols([BLANK, DELIMITER, *characters])

    def adopt(self, carried: Carried) -> nn.Module:
        self.ctc = carried.ctc
        self._set_symbols(carried.names)
        return self.head(carried.backbone.width)

    def _set_symbols(self, symbols: list[str]) -> None:
        self.symbols = symbols
        if self.ctc is not None:
            letters = "".join(symbols[2:])
            upper, lower = letters != letters.lower(), letters != letters.upper()
            self.case = "both" if upper and lower else "upper" if upper else "lower"
        self.numbers = {symbol: number for number, symbol in enumerate(symbols)} | {" ": 1}

    def _labels(self, text: str) -> list[int]:
        """Symbol numbers of a transcript; characters that training did not have are left out (test data only)."""
        return [self.numbers[character] for character in self.answer(text) if character in self.numbers]

    def check(self, table: Table, split: str, input: Input) -> Table:
        bad: dict[int, str] = {}
        frames = input.positions(table)
        for place, text in enumerate(table.column(self.kind)):
            labels = self._labels(text)
            needed = _frames_needed(labels)
            if frames[place] < max(1, needed if split != "test" else 1):
                bad[place] = f"{len(labels)} labels need {needed} frames, the recording has {max(0, frames[place])}"
        return leave_out(table, split, bad, self.config.skip_bad, "recording(s) too short for CTC")

    def least(self, row: Mapping[str, Any]) -> int:
        return max(1, _frames_needed(self._labels(row.get(self.kind) or "")))

    @property
    def outputs(self) -> int:
        return len(self.symbols)

    def head(self, width: int) -> nn.Module:
        head = CTCHead(width, self.outputs)
        if self.ctc is not None:
            head.linear.load_state_dict(self.ctc)
        return head

    def readout(self, head: nn.Module, features: Mapping[str, Tensor]) -> Outputs:
        return {"log_probs": head(features["x"], features["lengths"]), "lengths": features["lengths"]}

    def tensor(self, answer: str) -> Tensor:
        return torch.tensor(self._labels(answer), dtype=torch.int64)

    def counted(self, outputs: Outputs, positions: Tensor) -> Outputs:
        return {**outputs, "lengths": positions}  # CTC's loss would fetch those of a device, and wait for it

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """CTC loss of each example over its number of labels."""
        log_probs, lengths = outputs["log_probs"].transpose(0, 1), outputs["lengths"]
        device = log_probs.device
        if torch.are_deterministic_algorithms_enabled():  # on a GPU its backward pass adds up in any order
            log_probs, lengths, targets = log_probs.cpu(), lengths.cpu(), targets.cpu()
        counts = (targets >= 0).sum(-1)
        labels = targets.clamp(min=0).to(log_probs.device, non_blocking=True)
        losses = F.ctc_loss(log_probs, labels, lengths, counts, reduction="none")
        return (losses / counts.clamp(min=1).to(losses.device, non_blocking=True)).to(device)

    def predict(self, outputs: Outputs) -> Predictions:
        best, symbols = (values.cpu() for values in outputs["log_probs"].max(-1))
        answers: list[str] = []
        columns: dict[str, list[Any]] = {"frames": outputs["lengths"].tolist(), "blanks": [], "confidence": []}
        for row, scores, frames in zip(symbols, best, columns["frames"], strict=True):
            answers.append(self._decode(row[:frames]))
            columns["blanks"].append(int((row[:frames] == 0).sum()))
            columns["confidence"].append(float(scores[:frames].mean().exp()))
        return Predictions(answers, columns)

    def _decode(self, symbols: Tensor) -> str:
        """Merges repeats and drops blanks."""
        kept = [number for number in symbols.unique_consecutive().tolist() if number]
        return " ".join("".join(" " if number == 1 else self.symbols[number] for number in kept).split())

    def answer(self, value: str) -> str:
        text = unicodedata.normalize("NFC", value)
        cased = {"lower": text.lower, "upper": text.upper, "both": lambda: text}[self.case]()
        return " ".join(cased.split())

    def metrics(self, records: Records) -> Mapping[str, Any]:
        from mmtransfer.metrics import CER, WER

        metrics = {"wer": WER(), "cer": CER()}
        groups = records.get("speaker")
        for metric in metrics.values():
            metric.add_batch(predictions=records["prediction"], references=records["target"], groups=groups)
        return metrics

    def alarm(self, records: Records) -> str | None:
        share = sum(records["blanks"]) / max(1, sum(records["frames"]))
        if share <= 0.99:
            return None
        return (
            f"{share:.1%} of the frames say blank: CTC has not left (or has fallen back to) the empty answer; train "
            "for more epochs, try twice or half the --lr, or a longer --warmup"
        )

    def annotate(self, records: Records) -> Records:
        if "target" not in records:
            return records
        pairs = zip(records["target"], records["prediction"], strict=True)
        from mmtransfer.metrics import align

        edits = [align(target.split(), prediction.split()) for target, prediction in pairs]
        kinds = ("substitutions", "deletions", "insertions")
        words = [len(target.split()) for target in records["target"]]
        return {**records, **{kind: [getattr(edit, kind) for edit in edits] for kind in kinds}, "words": words}

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The texts one after the other, the confidence over all frames; of nothing, nothing."""
        if not records:
            return {"prediction": "", "confidence": 0.0}
        if len(records) == 1:
            return records[0]
        frames = [record["frames"] for record in records]
        logs = [math.log(max(record["confidence"], 1e-30)) for record in records]
        return {
            "prediction": " ".join(record["prediction"] for record in records if record["prediction"]),
            "confidence": math.exp(float(np.average(logs, weights=frames))),
        }

    def exported(self, head: nn.Module) -> dict[str, Any]:
        ctc = {name: value.detach().cpu().contiguous() for name, value in cast(CTCHead, head).linear.named_parameters()}
        return {"ctc": ctc, "symbols": self.symbols}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        return Prediction(record["id"], record["prediction"], record["confidence"], {})

    def state(self) -> dict[str, Any]:
        return {"symbols": self.symbols, "case": self.case}

    def restore(self, state: Mapping[str, Any]) -> None:
        documents.check(state, {"symbols": [str], "case?": str})
        if len(state["symbols"]) < 2:
            raise ValueError("blank and space are missing")
        self.case = state.get("case", "lower")
        self._set_symbols(list(state["symbols"]))


def _frames_needed(labels: list[int]) -> int:
    """CTC puts a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))
