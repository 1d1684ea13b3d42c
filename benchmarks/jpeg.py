"""Are JPEG files decoded faster by the GPU, and does it give the same pixels?

    python -m benchmarks.jpeg [--count 2048] [--rounds 3]     # half a minute

Photographs cut from those of hymenoptera (needs $MMTRANSFER_DATA) are decoded and resized as they are kept for random
crops, their shorter side 1.15 x 224 pixels: by `mmtransfer.data.images.shrunk` on all cores, and by
`torchvision.io.decode_jpeg` and `resize` on the GPU, in batches, and fetched back. Told are pictures a second, the
median of interleaved rounds, and by how many of 255 levels the pixels differ. Written is benchmarks/results/jpeg.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional as F

from benchmarks import data_folder
from benchmarks.speed.cases import cores, pictures
from mmtransfer.data import images
from mmtransfer.tasks.inputs.image import KEPT

PLACE = Path(__file__).parent / "results" / "jpeg.json"
SIDE = round(KEPT * 224)
BATCH = 64


def by_host(paths: Sequence[Path]) -> list[Tensor]:
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda path: images.shrunk({"path": str(path), "bytes": None}, SIDE), paths))


def by_gpu(paths: Sequence[Path]) -> list[Tensor]:
    found = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), BATCH):
            files = list(pool.map(lambda path: read_file(str(path)), paths[start : start + BATCH]))
            for pixels in decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda"):
                smaller = F.resize(pixels, [SIDE], antialias=True) if min(pixels.shape[1:]) > SIDE else pixels
                found.append(smaller.permute(1, 2, 0).to("cpu", non_blocking=True))
    torch.cuda.synchronize()
    return found


def main() -> None:
    """Measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    ways: dict[str, Callable[[Sequence[Path]], list[Tensor]]] = {f"host, {cores()} cores": by_host}
    if torch.cuda.is_available():
        ways[torch.cuda.get_device_name()] = by_gpu
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    last: list[list[Tensor]] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(
            pictures(data_folder() / "hymenoptera" / "train", Path(folder) / "all", said.count).rglob("*.jpg")
        )
        for decode in ways.values():
            decode(paths[:BATCH])  # the first one sets libraries up
        for _ in range(said.rounds):
            last = []
            for name, decode in ways.items():
                begun = time.perf_counter()
                last.append(decode(paths))
                speeds[name].append(len(paths) / (time.perf_counter() - begun))
    found: dict[str, Any] = {name: statistics.median(speed) for name, speed in speeds.items()}
    if len(last) == 2:
        apart = torch.cat([(a.short() - b.short()).abs().flatten() for a, b in zip(*last, strict=True)]).float()
        found["levels apart"] = {"mean": float(apart.mean()), "most": float(apart.max())}
    print(json.dumps(found, indent=1))
    PLACE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
