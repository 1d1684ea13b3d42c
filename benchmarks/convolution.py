"""What the convolutional positions of speech encoders cost on this CPU: PyTorch's kernel beside Fourier transforms.

    python -m benchmarks.convolution     # a minute; writes benchmarks/convolution.md

Forward and back, in the sizes of a batch of each network; milliseconds, medians of interleaved rounds.
"""

from __future__ import annotations

import os
import statistics
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed.pace import highest
from mmtransfer.backbones.convolution import convolve

PAGE = Path(__file__).parent / "convolution.md"
SIZES = {
    "built-in speech, 8 recordings of 150 frames": (8, 192, 64, 150),
    "built-in speech, a recording of 800 frames": (1, 192, 64, 800),
    "wav2vec2-base, 8 recordings of 150 frames": (8, 768, 128, 150),
    "wav2vec2-base, a recording of 1,500 frames": (1, 768, 128, 1500),
}
"""Batch, channels in 16 groups, taps, positions."""
ROUNDS = 7


def measured(size: tuple[int, ...]) -> list[tuple[float, float]]:
    """Seconds forward and back of PyTorch's kernel, and of transforms."""
    batch, channels, taps, positions = size
    torch.manual_seed(0)
    conv = nn.Conv1d(channels, channels, taps, padding=taps // 2, groups=16)
    x = torch.randn(batch, positions, channels, requires_grad=True)
    gradient = torch.randn(batch, channels, positions + 1)

    def seconds(call: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        begun = time.perf_counter()
        found = call(x.transpose(1, 2))
        there = time.perf_counter()
        found.backward(gradient)
        return there - begun, time.perf_counter() - there

    kinds = (conv, lambda values: convolve(values, conv))
    rounds = [[seconds(call) for call in kinds] for _ in range(ROUNDS + 1)][1:]
    return [
        (statistics.median(there for there, _ in kind), statistics.median(back for _, back in kind))
        for kind in zip(*rounds, strict=True)
    ]


def main() -> None:
    """Measures, and writes the page."""
    told = (
        "`python -m benchmarks.convolution`. The convolutional positions of a speech encoder, milliseconds forward +"
        " back: PyTorch's kernel, and Fourier transforms, which `mmtransfer` takes where the weights are trained on a"
        " CPU, else the kernel."
    )
    peak = highest()["fp32"] / 1e9
    about = f"Machine: cores: {len(os.sched_getaffinity(0))}; a large product has {peak:.0f} GFLOPS in fp32;"
    lines = ["# What long convolutions cost", "", *textwrap.wrap(told, 120), "", f"{about} torch {version('torch')}."]
    lines += ["", "| | kernel | transforms | times as fast |", "|---|---|---|---|"]
    for name, size in SIZES.items():
        kinds = measured(size)
        cells = [f"{1000 * there:.0f} + {1000 * back:.0f}" for there, back in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(kinds[0]) / sum(kinds[1]):.1f} |")
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
