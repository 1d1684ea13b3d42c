"""Speech recognition with CTC (Graves et al. 2006): samples, frames, a character vocabulary, greedy decoding.

Case rule: transcripts are put into NFC and lower case, and runs of white space become one space; speech does not tell
case. The vocabulary is the characters of the training transcripts, entry 0 the blank and `|` the space; or that of the
backbone's checkpoint, whose case the transcripts then take (upper or lower; unchanged where it has both).
"""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import documents
from mmtransfer.backbones import carried, interchange
from mmtransfer.backbones.carried import Carried
from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import SPEECH, RunConfig
from mmtransfer.data import audio, segments
from mmtransfer.data.perturbation import STRENGTHS, perturb
from mmtransfer.data.resampling import METHOD
from mmtransfer.data.sources import Columns, Table
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import CTCHead
from mmtransfer.tasks.base import Encoded, Outputs, Prediction, Predictions, Records, Task

logger = logging.getLogger("mmtransfer")
BLANK, DELIMITER = "<blank>", "|"


class SpeechRecognition(Task):
    """Recordings -> text."""

    name = SPEECH
    modality = "speech"
    primary = "wer"
    higher_is_better = False
    answer_column = "text"
    seeded = True
    reads = "frames"
    symbols: list[str]

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.rate = int(backbone.preprocess["sample_rate"])
        self.normalise = bool(backbone.preprocess["normalise"])
        self.frames = backbone.lengths
        self.unit = 1.0 / self.rate
        backbone.mask_prob = float(config.mask_prob or 0.0)
        self.case = "lower"
        self.ctc: Mapping[str, Tensor] | None = None
        self.source = backbone.source

    def columns(self) -> Columns:
        config = self.config
        return Columns(
            file=config.file_column,
            transcript=config.transcript_column,
            group=config.group_column,
            rate=self.rate,
        )

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
        if self.config.vocabulary == "backbone":
            self._take_vocabulary()
            unwritten = sorted({c for text in table.column("text") for c in self.answer(text)} - set(self.numbers))
            if unwritten:
                logger.warning(
                    "%s: the checkpoint's vocabulary lacks %d characters, which are left out: %s",
                    table.source,
                    len(unwritten),
                    " ".join(unwritten[:20]),
                )
            return
        characters = sorted({character for text in table.column("text") for character in self.answer(text)} - {" "})
        if DELIMITER in characters:
            raise MMTransferError(
                f"{DELIMITER!r} stands for the space between words and cannot occur in a transcript",
                table.source,
                "replace it in the transcripts",
            )
        self._set_symbols([BLANK, DELIMITER, *characters])

    def adopt(self, found: Carried) -> nn.Module:
        self.ctc = found.ctc
        self._set_symbols(found.names)
        return self.head(found.backbone.width)

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

    def check(self, table: Table, split: str) -> Table:
        frames = self._frames(table)
        bad: dict[int, str] = {}
        for place, text in enumerate(table.column("text")):
            labels = self._labels(text)
            needed = _frames_needed(labels)
            if frames[place] < max(1, needed if split != "test" else 1):
                bad[place] = f"{len(labels)} labels need {needed} frames, the recording has {max(0, frames[place])}"
        if not bad:
            return table
        names = table.column("id")
        if not self.config.skip_bad or len(bad) == len(names):
            listing = "; ".join(f"{names[place]}: {reason}" for place, reason in list(bad.items())[:10])
            raise MMTransferError(
                f"{len(bad)} recording(s) too short for CTC: {listing}",
                f"{table.source} (--{split})",
                "correct the transcripts or recordings, or leave them out with --skip-bad",
            )
        return table.without(list(bad), list(bad.values()))

    def _samples(self, table: Table) -> np.ndarray:
        return np.fromiter((audio.samples(value, self.rate) for value in table.column("audio")), np.int64, len(table))

    def _frames(self, table: Table) -> np.ndarray:
        return self.frames(torch.from_numpy(self._samples(table))).numpy()

    def rows(self, table: Table) -> tuple[datasets.Dataset, np.ndarray]:
        return table.rows, self._samples(table).astype(np.int32)

    def encode(self, row: Mapping[str, Any], seed: int | None) -> Encoded:
        waveform = audio.load(row["audio"], self.rate)
        if seed is not None and self.augments:
            needed = max(1, _frames_needed(self._labels(row.get("text") or "")))
            waveform = perturb(
                waveform,
                self.rate,
                str(self.config.augment),
                seed,
                enough=lambda samples: int(self.frames(torch.tensor([samples]))[0]) >= needed,
            )
        if self.normalise:
            waveform = audio.normalise(waveform)
        return Encoded(waveform, length=len(waveform), target=self.target_of(row), seed=seed)

    @property
    def augments(self) -> bool:
        return self.config.augment in STRENGTHS

    def target_of(self, row: Mapping[str, Any]) -> Tensor | None:
        return torch.tensor(self._labels(row["text"]), dtype=torch.int64) if "text" in row else None

    def encoding(self) -> dict[str, Any]:
        return {"rate": self.rate, "normalise": self.normalise, "resampling": METHOD}

    def budget(self) -> int:
        return int(float(self.config.micro_batch_seconds or 32.0) * self.rate)

    def head(self, width: int) -> nn.Module:
        head = CTCHead(width, len(self.symbols))
        if self.ctc is not None:
            head.linear.load_state_dict(self.ctc)
        return head

    def features(self, backbone: Backbone, state: State) -> State:
        return {"x": state["x"], "lengths": state["lengths"]}

    def readout(self, head: nn.Module, features: State) -> Outputs:
        return {"log_probs": head(features["x"], features["lengths"]), "lengths": features["lengths"]}

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """CTC loss of each example over its number of labels."""
        counts = (targets >= 0).sum(-1)
        log_probs = outputs["log_probs"].transpose(0, 1)
        losses = F.ctc_loss(log_probs, targets.clamp(min=0), outputs["lengths"], counts, reduction="none")
        return losses / counts.clamp(min=1)

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

    def pieces(self, table: Table) -> tuple[Table, list[int]]:
        """Those that have a frame: of a recording that is shorter nothing is left, aloud."""
        pieces, owners = segments.cut(table, float(self.config.max_seconds or 30.0))
        frames = self._frames(pieces)
        kept = np.flatnonzero(frames > 0).tolist()
        if len(kept) == len(frames):
            return pieces, owners
        short = [name for name, count in zip(pieces.ids, frames, strict=True) if count < 1]
        logger.warning(
            "%d recording(s) are shorter than one frame of the model, and nothing is heard in them: %s",
            len(short),
            ", ".join(short[:10]) + (", ..." if len(short) > 10 else ""),
        )
        return pieces.select(kept), [owners[number] for number in kept]

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

    def export(self, folder: Path, backbone: Backbone, head: nn.Module) -> None:
        ctc = {name: value.detach().cpu().contiguous() for name, value in cast(CTCHead, head).linear.named_parameters()}
        interchange.write(backbone, folder, ctc, self.symbols)

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
