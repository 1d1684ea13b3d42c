"""What attention costs on this CPU: PyTorch's kernels beside the products that `mmtransfer` may take instead.

    python -m benchmarks.attention     # two minutes; writes benchmarks/attention.md

Forward and back, one layer, in the sizes of a batch of each network; milliseconds, medians of interleaved rounds.
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
from torch import Tensor

from benchmarks.speed.pace import highest
from mmtransfer.backbones import attention

PAGE = Path(__file__).parent / "attention.md"
SIZES = {
    "MiniLM, 32 texts of 16 tokens": (32, 12, 16, 32),
    "MiniLM, 32 texts of 128 tokens": (32, 12, 128, 32),
    "BERT-base, 32 texts of 128 tokens": (32, 12, 128, 64),
    "ViT-base, 8 pictures of 197 patches": (8, 12, 197, 64),
    "wav2vec2-base, 8 recordings of 150 frames": (8, 12, 150, 64),
    "built-in speech, 8 recordings of 250 frames": (8, 4, 250, 48),
}
"""Batch, heads, positions, width of a head."""
ROUNDS, CALLS = 5, 3


def seconds(call: Callable[[], Tensor], gradient: Tensor) -> float:
    """Of one pass forward and back."""
    begun = time.perf_counter()
    for _ in range(CALLS):
        call().backward(gradient)
    return (time.perf_counter() - begun) / CALLS


def measured(size: tuple[int, ...], dtype: torch.dtype, dropout: float) -> tuple[float, float]:
    """Seconds of PyTorch's kernel, and of the products."""
    batch, heads, positions, width = size
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(batch, positions, heads, width, dtype=dtype).transpose(1, 2).requires_grad_() for _ in range(3)
    )
    mask = (torch.arange(positions) < 7 * positions // 8).expand(batch, 1, 1, positions)
    gradient = torch.randn(batch, positions, heads, width, dtype=dtype)

    def kernel() -> Tensor:
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, dropout)
        return found.transpose(1, 2).contiguous()

    def products() -> Tensor:
        return attention.by_products(query, key, value, mask, dropout)

    kinds = (kernel, products)
    rounds = [[seconds(call, gradient) for call in kinds] for _ in range(ROUNDS + 1)][1:]
    one, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    return one, other


def main() -> None:
    """Measures, and writes the page."""
    told = (
        "`python -m benchmarks.attention`. One layer's attention forward and back, milliseconds: PyTorch's kernel / a"
        " product, a softmax and a product. On a CPU `mmtransfer` takes the products in bf16 or with dropout, else the"
        " kernel."
    )
    peaks = " and ".join(f"{peak / 1e9:.0f} GFLOPS in {name}" for name, peak in highest().items())
    about = f"Machine: cores: {len(os.sched_getaffinity(0))}; a large product has {peaks}; torch {version('torch')}."
    columns = [(dtype, dropout) for dtype in (torch.float32, torch.bfloat16) for dropout in (0.0, 0.1)]
    heads = [f"{str(dtype).removeprefix('torch.')}, dropout {dropout:g}" for dtype, dropout in columns]
    lines = ["# What attention costs", "", *textwrap.wrap(told, 120), "", about, "", f"| | {' | '.join(heads)} |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    for name, size in SIZES.items():
        cells = [" / ".join(f"{1000 * value:.1f}" for value in measured(size, *column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
