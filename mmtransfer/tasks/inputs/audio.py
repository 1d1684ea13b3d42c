"""Recordings as samples at the backbone's rate."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtransfer.backbones.speech import span_mask
from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import RunConfig
from mmtransfer.data import audio, noise, segments
from mmtransfer.data.columnar import Rows
from mmtransfer.data.perturbation import STRENGTHS, perturb
from mmtransfer.data.resampling import METHOD, resampled
from mmtransfer.data.table import THREADS, Table
from mmtransfer.tasks.base import Encoded, Reads
from mmtransfer.tasks.inputs.base import Input, logger
from mmtransfer.tasks.refusal import leave_out

MOST_SECONDS = 512
"""Of a micro-batch, however much memory there is."""
OVERLAP = 0.1
"""Share of the longest piece by which pieces of a recording overlap, where words are heard in them."""


class AudioInput(Input):
    """Samples (samples,), mono, normalised where the backbone wants it."""

    modality = "speech"
    kind = "audio"
    budgeted = "micro_batch_seconds"

    def __init__(self, config: RunConfig, backbone: Backbone, reads: Reads) -> None:
        super().__init__(config, backbone, reads)
        self.rate = int(backbone.preprocess["sample_rate"])
        self.normalise = bool(backbone.preprocess["normalise"])
        self.frames = backbone.lengths
        self.unit = 1.0 / self.rate
        backbone.mask_prob = config.mask_prob
        self.masks = config.mask_prob > 0

    def columns(self) -> dict[str, Any]:
        return {"file": self.config.file_column, "rate": self.rate}

    def check(self, table: Table, split: str) -> Table:
        if self.reads != "pooled":  # what else a head reads, its target has to say how many positions are enough
            return table
        short = np.flatnonzero(self.positions(table) < 1).tolist()
        return leave_out(
            table,
            split,
            dict.fromkeys(short, "shorter than one frame of the backbone"),
            self.config.skip_bad,
            "recording(s) too short",
        )

    def _samples(self, table: Table) -> np.ndarray:
        lengths = (resampled(samples, rate, self.rate) for samples, rate in table.measured().tolist())
        return np.fromiter(lengths, np.int64, len(table))

    def positions(self, table: Table) -> np.ndarray:
        return self.frames(torch.from_numpy(self._samples(table))).numpy()

    def rows(self, table: Table) -> tuple[Rows, np.ndarray]:
        return table.rows, self._samples(table).astype(np.int32)

    def encode(self, row: Mapping[str, Any], seed: int | None, least: int, decoded: Tensor | None = None) -> Encoded:
        waveform = audio.read_samples(row["audio"], self.rate) if decoded is None else audio.widened(decoded)
        if seed is not None and self.augments:
            waveform = perturb(
                waveform,
                self.rate,
                self.config.augment,
                seed,
                enough=lambda samples: int(self.frames(torch.tensor([samples]))[0]) >= least,
            )
        if self.normalise:
            waveform = audio.normalise(waveform)
        if seed is None or not self.masks:
            return Encoded(waveform, length=len(waveform))
        frames = int(self.frames(torch.tensor([len(waveform)]))[0])
        return Encoded(waveform, length=len(waveform), beside={"masked": self.mask(seed, frames)})

    def conditions(self, rows: Rows) -> Mapping[str, list[float | None]]:
        """`seconds`, and `snr` in dB, for which the files are read once more."""

        def look(place: int) -> tuple[float, float | None]:
            recording = rows[place]["audio"]
            return audio.seconds(recording), noise.signal_to_noise(recording)

        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(look, range(len(rows))))
        return {"seconds": [seconds for seconds, _ in found], "snr": [ratio for _, ratio in found]}

    def mask(self, seed: int, positions: int) -> Tensor:
        one = torch.tensor([positions])
        return span_mask(torch.tensor([seed]), one, positions, self.config.mask_prob)[0]

    def decoding(self, augmented: bool) -> dict[str, Any]:
        return {"rate": self.rate, "resampling": METHOD}

    def decode(self, row: Mapping[str, Any], augmented: bool) -> Tensor:
        """The samples, (samples,)."""
        return audio.narrowed(audio.read_samples(row["audio"], self.rate))

    @property
    def augments(self) -> bool:
        return self.config.augment in STRENGTHS

    def encoding(self) -> dict[str, Any]:
        return {"rate": self.rate, "normalise": self.normalise, "resampling": METHOD}

    def most(self) -> int:
        return MOST_SECONDS * self.rate

    def bound(self, length: int, share: float = 1.0) -> str:
        return f"--max-seconds {length * share / self.rate:.1f}"

    def spans(self, table: Table) -> list[tuple[float, float]]:
        files = table.column("audio")
        return [(float(value.get("start") or 0.0), audio.seconds(value)) for value in files]

    def pieces(self, table: Table) -> tuple[Table, list[int]]:
        """Those that have a frame: of a recording that is shorter nothing is left, aloud."""
        # words that are said where a recording is cut are heard whole in one of the pieces
        overlap = 0.0 if self.reads == "pooled" else OVERLAP
        pieces, owners = segments.cut(table, self.config.max_seconds, overlap)
        frames = self.positions(pieces)
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
