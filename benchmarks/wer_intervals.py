"""How often do 95 % intervals of WER hold the true rate, where a test set has 10 or 30 speakers?

    python -m benchmarks.wer_intervals [--simulations 2000] [--out FILE]      # seconds

Every simulation draws a test set of speakers who differ: each has a word error rate of its own, from a Beta
distribution around TRUE, and every word of it is wrong with that probability. SPREAD is the standard deviation over
speakers in parts of TRUE: 0 for speakers alike, 0.5 as in AN4. There are 13 recordings a speaker on average, unequally
many, and 6 words a recording on average, as in AN4. The rates of all words together are then covered, or not, by

    speaker jackknife    what mmtransfer reports (`metrics.jackknife`)
    speaker bootstrap    percentiles of 1,000 draws of speakers
    recording bootstrap  the same of recordings, as if each were a speaker of its own (Bisani & Ney 2004; Kaldi's
                         compute-wer-bootci and kaldialign do so)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtransfer.metrics import jackknife

TRUE = 0.15
SPEAKERS, SPREADS = (10, 30), (0.0, 0.5, 1.0)
RECORDINGS, WORDS, DRAWS = 13, 6, 1000


def drawn(speakers: int, spread: float, simulations: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Test sets: the speaker of each recording, int (simulations, recordings), and its words and edits, the same."""
    count = speakers * RECORDINGS
    who = rng.integers(0, speakers, (simulations, count))
    words = 1 + rng.poisson(WORDS - 1, (simulations, count))
    rates = np.full((simulations, speakers), TRUE)
    if spread:
        strength = (1 - TRUE) / TRUE / spread**2 - 1  # of Beta, whose variance is TRUE (1 - TRUE) / (strength + 1)
        rates = rng.beta(TRUE * strength, (1 - TRUE) * strength, (simulations, speakers))
    return who, words, rng.binomial(words, np.take_along_axis(rates, who, 1))


def summed(values: np.ndarray, who: np.ndarray, speakers: int) -> np.ndarray:
    """Sums by speaker, (simulations, speakers)."""
    rows = np.arange(len(values))[:, None] * speakers
    return np.bincount((rows + who).ravel(), values.ravel(), len(values) * speakers).reshape(len(values), speakers)


def bootstrap(edits: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ends of the percentile intervals, (2, simulations), of counts (simulations, units).

    All simulations are resampled by the same draws, which are independent of every one of them.
    """
    units = edits.shape[1]
    times = rng.multinomial(units, np.full(units, 1 / units), DRAWS).astype(np.float64)
    return np.percentile((times @ edits.T) / np.maximum(1, times @ words.T), [2.5, 97.5], axis=0)


def measured(speakers: int, spread: float, simulations: int, seed: int = 0) -> dict[str, Any]:
    """A row: of each method how often its interval holds TRUE, and how wide it is on average."""
    rng = np.random.default_rng([seed, speakers, round(100 * spread)])
    who, words, edits = drawn(speakers, spread, simulations, rng)
    own = [summed(values, who, speakers) for values in (edits, words)]
    scores = [jackknife(*counts) for counts in zip(own[0].tolist(), own[1].tolist(), strict=True)]
    ends = {
        "speaker jackknife": np.array([(score.low, score.high) for score in scores]).T,
        "speaker bootstrap": bootstrap(*own, rng),
        "recording bootstrap": bootstrap(edits, words, rng),
    }
    covered = {name: float(((low <= TRUE) & (high >= TRUE)).mean()) for name, (low, high) in ends.items()}
    widths = {name: float((high - low).mean()) for name, (low, high) in ends.items()}
    return {
        "speakers": speakers,
        "spread": spread,
        "true": TRUE,
        "simulations": simulations,
        "covered": covered,
        "width": widths,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    names = list(rows[0]["covered"])
    lines = [f"| speakers | spread | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{100 * row['covered'][name]:.1f} % (width {row['width'][name]:.3f})" for name in names]
        lines.append(f"| {row['speakers']} | {row['spread']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "wer_intervals.json")
    said = parser.parse_args()
    rows = [measured(speakers, spread, said.simulations) for speakers in SPEAKERS for spread in SPREADS]
    said.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
