"""What is said, by CTC (Graves et al. 2006): a vocabulary of characters, decoding, word and character errors.

Transcripts are put under `--text-rule`, into NFC and lower case, and runs of white space become one space; speech does
not tell case. The vocabulary is the characters of the training transcripts, entry 0 the blank and `|` the space; or
that of the backbone's checkpoint, whose case the transcripts then take (upper or lower; unchanged where it has both).
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import documents
from mmtransfer.backbones import carried
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import CTCHead
from mmtransfer.language import alignment, rules
from mmtransfer.language.scorer import Weights
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.refusal import leave_out
from mmtransfer.tasks.targets import decoding, joining, transcript_scores
from mmtransfer.tasks.targets.base import Target
from mmtransfer.tasks.targets.decoding import Decoder

if TYPE_CHECKING:
    from mmtransfer.backbones.carried import Carried
    from mmtransfer.metrics import Score

logger = logging.getLogger("mmtransfer")
BLANK, DELIMITER = "<blank>", "|"
HOPELESS = 0.9
"""Word errors a word above which no beam search is tried: a network that hears nothing says no symbol aloud, so that
every one has to be tried, and a language model would only make words of noise."""


class Transcript(Target):
    """A text of characters, in the order in which the frames say them; primary metric WER."""

    name = "transcript"
    kind = "transcript"
    reads = "frames"
    primary = "wer"
    higher_is_better = False
    timed = True
    explained = True
    extra: tuple[str, ...] = ("speaker",)
    symbols: list[str]
    numbers: dict[str, int]

    def __init__(self, config: Any, source: str = "") -> None:
        super().__init__(config, source)
        self.case = "lower"
        self.rule: rules.Rule = config.text_rule
        if self.rule != "none":
            self.extra = (*self.extra, self.kind)  # as it was written, for the scores without a rule
        self.ctc: Mapping[str, Tensor] | None = None
        self.decoder: Decoder | None = None
        """The beam search that is used; None: the best symbol of each frame."""
        self._offered: Decoder | None = None
        """The one that validation data is to judge."""
        self._keeps_frames = False
        self._weights: Weights | None = None

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
        self._tell_numbers(table.source, texts)
        self._learn_symbols(table.source, texts)
        self._offered = self._offer(texts)

    def _tell_numbers(self, source: str, texts: Sequence[str]) -> None:
        count = rules.with_digits(texts)
        if self.rule != "none" and count:
            what = "%s: %d of %d transcripts hold digits, which --text-rule %s leaves as they are"
            logger.warning(what, source, count, len(texts), self.rule)

    def _learn_symbols(self, source: str, texts: Sequence[str]) -> None:
        if self.config.vocabulary == "backbone":
            self._take_vocabulary()
            unwritten = sorted({c for text in texts for c in self.answer(text)} - set(self.numbers))
            if unwritten:
                logger.warning(
                    "%s: the checkpoint's vocabulary lacks %d characters, which are left out: %s",
                    source,
                    len(unwritten),
                    " ".join(unwritten[:20]),
                )
            return
        characters = sorted({character for text in texts for character in self.answer(text)} - {" "})
        if DELIMITER in characters:
            raise MMTransferError(
                f"{DELIMITER!r} stands for the space between words and cannot occur in a transcript",
                source,
                "replace it in the transcripts",
            )
        self._set_symbols([BLANK, DELIMITER, *characters])

    def _offer(self, texts: Sequence[str]) -> Decoder | None:
        """The beam search that the settings ask for, with language models of the training transcripts or of a file."""
        lm, order = self.config.lm, self.config.lm_order
        if self.config.decode == "greedy" and lm != "train":
            raise MMTransferError("--decode greedy reads no language model", f"--lm {lm}", "leave out one of them")
        spelled = ["".join(c for c in self.answer(text) if c in self.numbers) for text in texts]
        unused = self.config.decode == "auto" and lm == "train" and not any(spelled)
        if unused or self.config.decode == "greedy":
            return None
        if lm == "none":
            return Decoder(self.symbols, None, None)
        if lm == "train":
            return decoding.of_texts(spelled, order, self.symbols)
        return decoding.of_file(Path(lm).expanduser(), order, self.symbols, self.answer)

    def adopt(self, carried: Carried) -> nn.Module:
        if self.config.decode == "beam":
            raise _no_decoder("--decode beam")
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
        said: list[list[int]] = []
        columns: dict[str, list[Any]] = {"frames": outputs["lengths"].tolist(), "blanks": [], "confidence": []}
        for row, scores, frames in zip(symbols, best, columns["frames"], strict=True):
            said.append(decoding.best_symbols(row[:frames].numpy()))
            columns["blanks"].append(int((row[:frames] == 0).sum()))
            columns["confidence"].append(float(scores[:frames].mean().exp()))
        if self.decoder is not None or self._keeps_frames or self.wants_times:
            log_probs = outputs["log_probs"].float().cpu().numpy()
            kept = [row[:frames].copy() for row, frames in zip(log_probs, columns["frames"], strict=True)]
            if self._keeps_frames:
                columns["log_probs"] = kept
            if self.decoder is not None:
                columns["greedy"] = [decoding.spelled(own, self.symbols) for own in said]
                said = self.decoder.said(kept)
            if self.wants_times:
                columns["words"] = [alignment.words(*pair) for pair in zip(kept, said, strict=True)]
        return Predictions([decoding.spelled(own, self.symbols) for own in said], columns)

    def settle(self, heard: Callable[[], Records]) -> Records:
        """Chooses the weights of the beam search, and whether it is used: it is where it makes fewer word errors."""
        decoder = self._offered
        if decoder is None:
            return super().settle(heard)
        self._keeps_frames = True
        try:
            records = dict(heard())
        finally:
            self._keeps_frames = False
        frames, answers, greedy = records.pop("log_probs"), records["target"], records["prediction"]
        before, words = decoding.errors(greedy, answers), sum(len(answer.split()) for answer in answers)
        if before > HOPELESS * words and self.config.decode != "beam":
            logger.info(
                "no beam search: %d word errors on %d words of validation data leave none to find", before, words
            )
            return records
        decoder.choose(frames, answers)
        texts = [decoding.spelled(own, self.symbols) for own in decoder.said(frames)]
        after = decoding.errors(texts, answers)
        used = after < before or self.config.decode == "beam"
        logger.info(
            "beam search, language model x %g and %+g a word: %d word errors on validation data, %d without; %s",
            decoder.weights.model,
            decoder.weights.word,
            after,
            before,
            "used" if used else "not used",
        )
        if not used:
            return records
        self.decoder = decoder
        return {**records, "prediction": texts, "greedy": greedy}

    def answer(self, value: str) -> str:
        text = rules.apply(value, self.rule)
        cased = {"lower": text.lower, "upper": text.upper, "both": lambda: text}[self.case]()
        return " ".join(cased.split())

    def metrics(self, records: Records) -> Mapping[str, Any]:
        return transcript_scores.metrics(records)

    def measure(self, records: Records) -> dict[str, Score]:
        return transcript_scores.measure(records, self.rule, self.kind)

    def alarm(self, records: Records) -> str | None:
        share = sum(records["blanks"]) / max(1, sum(records["frames"]))
        if share <= 0.99:
            return None
        return (
            f"{share:.1%} of the frames say blank: CTC has not left (or has fallen back to) the empty answer; train "
            "for more epochs, try twice or half the --lr, or a longer --warmup"
        )

    def annotate(self, records: Records) -> Records:
        return transcript_scores.annotate(records)

    def errors(self, records: Records) -> dict[str, Any]:
        return transcript_scores.errors(records)

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The words one after the other, those of an overlap once; the confidence over all frames."""
        if not records:
            return {"prediction": "", "confidence": 0.0, "words": []}
        place = ("begin", "seconds", "frames")
        own = [joining.timed(one["prediction"], one["words"], *(one[name] for name in place)) for one in records]
        words = joining.joined([{**one, "words": words} for one, words in zip(records, own, strict=True)])
        logs = [math.log(max(record["confidence"], 1e-30)) for record in records]
        return {
            "prediction": " ".join(word.text for word in words),
            "confidence": math.exp(float(np.average(logs, weights=[record["frames"] for record in records]))),
            "words": words,
        }

    def exported(self, head: nn.Module) -> dict[str, Any]:
        ctc = {name: value.detach().cpu().contiguous() for name, value in cast(CTCHead, head).linear.named_parameters()}
        return {"ctc": ctc, "symbols": self.symbols}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        return Prediction(record["id"], record["prediction"], record["confidence"], {}, words=tuple(record["words"]))

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"symbols": self.symbols, "case": self.case, "text_rule": self.rule}
        if self.decoder is not None:
            state["decoder"] = dataclasses.asdict(self.decoder.weights)
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        weights = ({"model": float, "word": float}, None)
        documents.check(state, {"symbols": [str], "case?": str, "text_rule?": str, "decoder?": weights})
        if len(state["symbols"]) < 2:
            raise ValueError("blank and space are missing")
        if state.get("text_rule", "none") not in get_args(rules.Rule):
            raise ValueError(f"there is no text rule {state['text_rule']!r}")
        self.case, self.rule = state.get("case", "lower"), state.get("text_rule", "none")
        self._set_symbols(list(state["symbols"]))
        self._weights = Weights(**state["decoder"]) if state.get("decoder") else None

    def save(self, folder: Path) -> None:
        if self.decoder is not None:
            self.decoder.save(folder)

    def load(self, folder: Path) -> None:
        if self.config.decode == "greedy":
            return
        if self._weights is not None:
            self.decoder = Decoder.load(folder, self.symbols, self._weights)
        elif self.config.decode == "beam":
            raise _no_decoder(str(folder.parent))


def _no_decoder(where: str) -> MMTransferError:
    return MMTransferError(
        "There is no beam search for this model: its weights are chosen when it is trained",
        where,
        "leave out --decode beam, or train with it",
    )


def _frames_needed(labels: list[int]) -> int:
    """CTC puts a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))
