"""The built-in image backbone: ShuffleNet v2 x1.0 (Ma et al. 2018), taught by MobileNet v2's features without labels.

    python -m benchmarks.pretrain.vision train    # about 80 minutes; stopped, it goes on from its last checkpoint
    python -m benchmarks.pretrain.vision pack     # writes mmtransfer/builtin/image

Times are of one core without accelerator. Pictures: train.parquet of $MMTRANSFER_DATA/cifar10, else torchvision's own
download of CIFAR-10, and the two photographs of scikit-learn. Teacher: MobileNet v2, the .safetensors file in
$MMTRANSFER_DATA/weights, else torchvision's.

What a student learns from a teacher's features need not be pictures of anything: patches of a single photograph do
(Asano and Saeed 2023). So small pictures are tiled, and a step shows parts of these tiles and of the photographs,
turned, scaled and recoloured, a picture's pixel as large as 0.8 to 4 of the student's: sharp edges and many things at
once, which single enlarged pictures of 32 pixels lack. Teacher and student see the same part (Beyer et al. 2022,
consistent teaching), and are compared place by place at three depths (Romero et al. 2015, FitNets) and as a whole.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from benchmarks.pretrain import loop, probe
from mmtransfer import backbones
from mmtransfer.backbones import builtin
from mmtransfer.data import builtin as builtin_data
from mmtransfer.data import images, sources
from mmtransfer.engine.precision import forward, tune_allocator
from mmtransfer.seeding import generator, number

STUDENT = "shufflenet_v2_x1_0"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which the teacher was trained with."""
SIZE, MADE_FOR = 96, 224
"""Pixels of a side in training, and of pictures that the backbone is meant for; a photograph's details are as large."""
BATCH, PHOTOS, TILES = 64, 8, 4
"""Parts of a step; those of them from photographs; small pictures along a side of a tiled one."""
SCALES, PHOTO_SCALES = (0.8, 4.0), (0.3, 2.0)
"""Pixels of a part for one of the picture."""
DEPTHS = ((116, 32, 0.5), (232, 96, 0.5), (1024, 1280, 1.0))
"""Where both are compared, at an 8th, a 16th and a 32nd of the part: channels of the student and of the teacher, weight
in the loss."""
POOLED = 2.0
"""Weight of the mean over the places of the last depth."""
RATE = 2e-3
DIGITS = 64
"""Pixels at which the model card scores the digits, as the recipe shows them."""


def pictures() -> Tensor:
    """CIFAR-10's training part: uint8 (50,000, 3, 32, 32)."""
    file = Path(os.environ.get("MMTRANSFER_DATA", ""), "cifar10", "train.parquet")
    if file.is_file():
        column = pyarrow.parquet.read_table(file, columns=["image"])["image"]
        found = np.stack([np.asarray(Image.open(io.BytesIO(value.as_py())).convert("RGB")) for value in column])
    else:
        found = torchvision.datasets.CIFAR10("runs/cifar10", train=True, download=True).data
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def photographs() -> list[Tensor]:
    """scikit-learn's two: float32 (3, 427, 640), 0 to 1."""
    return [torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in load_sample_images().images]


def teacher() -> backbones.Backbone:
    """MobileNet v2 as a frozen backbone."""
    file = Path(os.environ.get("MMTRANSFER_DATA", ""), "weights", "mobilenet_v2.safetensors")
    return backbones.load("mobilenet_v2", str(file) if file.is_file() else None).eval()


def tiled(pixels: Tensor, random: np.random.Generator, count: int) -> Tensor:
    """uint8 (n, 3, 32, 32) -> float32 (count, 3, 32 TILES, 32 TILES), 0 to 1: pictures at random, side by side."""
    drawn = pixels[torch.from_numpy(random.integers(0, len(pixels), count * TILES * TILES))]
    grid = drawn.reshape(count, TILES, TILES, 3, 32, 32).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(count, 3, 32 * TILES, 32 * TILES).float() / 255


def boxes(random: np.random.Generator, count: int, scales: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """What part of a picture of `size` (height, width) each view shows: (count, 2, 3), as `affine_grid` takes it.

    Anywhere, turned by up to 0.5 radians, stretched by up to a fifth, every other one mirrored; `scales`: pixels of the
    view for one of the picture, evenly in the logarithm.
    """
    shown = SIZE / np.exp(random.uniform(np.log(scales[0]), np.log(scales[1]), count))
    wide, high = np.minimum(shown / size[1], 1.0), np.minimum(shown / size[0], 1.0)
    angle, stretch = random.uniform(-0.5, 0.5, count), np.exp(random.uniform(-0.2, 0.2, count))
    stretch = stretch * np.where(random.random(count) < 0.5, -1.0, 1.0)
    across, down = (1 - wide) * random.uniform(-1, 1, count), (1 - high) * random.uniform(-1, 1, count)
    rows = [wide * np.cos(angle) * stretch, -wide * np.sin(angle), across]
    rows += [high * np.sin(angle) * stretch, high * np.cos(angle), down]
    return torch.from_numpy(np.stack(rows, 1).reshape(-1, 2, 3)).float()


def shown(pixels: Tensor, parts: Tensor, mode: str = "bilinear") -> Tensor:
    """(batch, 3, height, width) and boxes (batch, 2, 3) -> (batch, 3, SIZE, SIZE)."""
    grid = F.affine_grid(parts, [len(parts), 3, SIZE, SIZE], align_corners=False)
    return F.grid_sample(pixels, grid, mode=mode, padding_mode="reflection", align_corners=False)


def recoloured(x: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures of 0 to 1 with other contrast, brightness and colour balance."""
    gain, contrast, shift = (
        torch.from_numpy(draw).float()
        for draw in (
            np.exp(random.normal(0, 0.12, (len(x), 3, 1, 1))),
            np.exp(random.normal(0, 0.25, (len(x), 1, 1, 1))),
            random.normal(0, 0.08, (len(x), 1, 1, 1)),
        )
    )
    mean = x.mean((1, 2, 3), keepdim=True)
    return (((x - mean) * contrast + mean) * gain + shift).clamp(0, 1)


def batches(seed: int) -> Callable[[int], Tensor]:
    """Number of a step -> its pictures, normalised, (BATCH, 3, SIZE, SIZE)."""
    pixels, photos = pictures(), photographs()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def batch(step: int) -> Tensor:
        random = generator(seed, "augment", step)
        small, own = BATCH - PHOTOS, PHOTOS // len(photos)
        canvas = tiled(pixels, random, small)
        mode = "bicubic" if random.random() < 0.5 else "bilinear"
        views = [shown(canvas, boxes(random, small, SCALES, (32 * TILES, 32 * TILES)), mode)]
        for photo in photos:
            parts = boxes(random, own, PHOTO_SCALES, (photo.shape[1], photo.shape[2]))
            views.append(shown(photo.expand(own, -1, -1, -1), parts, mode))
        x = (recoloured(torch.cat(views), random) - mean) / std
        return x.contiguous(memory_format=torch.channels_last)

    return batch


def answers(frozen: backbones.Backbone, x: Tensor) -> list[Tensor]:
    """The teacher's maps at DEPTHS, float32 (batch, channels, side, side): what its last three stages give."""
    found, first = [], len(frozen.stages) - len(DEPTHS)
    with torch.no_grad(), forward(torch.device("cpu"), "bf16"):
        state = frozen.run({"x": x}, 0, first)
        for stage in range(first, len(frozen.stages)):
            state = frozen.run(state, stage, stage + 1)
            found.append(state["x"].float())
    return found


def model_of() -> nn.ModuleDict:
    """`network` without its head, `maps` from its channels to the teacher's at DEPTHS."""
    network = torchvision.models.get_model(STUDENT, weights=None)
    network.fc = nn.Identity()
    maps = nn.ModuleList(nn.Conv2d(own, wanted, 1) for own, wanted, _ in DEPTHS)
    return nn.ModuleDict({"network": network, "maps": maps})


def student(network: nn.Module, x: Tensor) -> list[Tensor]:
    """ShuffleNet's maps at DEPTHS."""
    eighth = network.stage2(network.maxpool(network.conv1(x)))
    sixteenth = network.stage3(eighth)
    return [eighth, sixteenth, network.conv5(network.stage4(sixteenth))]


def unlike(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine over the channels, its mean over the rest."""
    return 1 - F.cosine_similarity(found, wanted, dim=1).mean()


def train(work: Path, steps: int, seed: int) -> None:
    """Trains the student; stopped at any time, the same command goes on from the last checkpoint."""
    batch, frozen = batches(seed), teacher()
    # every channel of the teacher counts alike: centred and scaled by what it is in a few batches of no step
    samples = [answers(frozen, batch(1_000_000 + number)) for number in range(4)]
    maps = [torch.cat(own) for own in zip(*samples, strict=True)]
    means = [own.mean((0, 2, 3), keepdim=True) for own in maps]
    scales = [own.std((0, 2, 3), keepdim=True) + 1e-3 for own in maps]
    spread = maps[-1].mean((2, 3), keepdim=True).std(0, keepdim=True) + 1e-3
    torch.manual_seed(number(seed, "head"))
    model = model_of().to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        x = batch(step)
        wanted, seen = answers(frozen, x), student(model["network"], x)
        terms = [
            weight * unlike(project(own), (theirs - mean) / scale)
            for (_, _, weight), project, own, theirs, mean, scale in zip(
                DEPTHS, model["maps"], seen, wanted, means, scales, strict=True
            )
        ]
        whole = model["maps"][-1](seen[-1].mean((2, 3), keepdim=True)) * scales[-1]
        theirs = wanted[-1].mean((2, 3), keepdim=True) - means[-1]
        return torch.stack(terms).sum() + POOLED * unlike(whole / spread, theirs / spread)

    loop.train(model, loss, steps, work / "checkpoints", RATE, 0.05)


CARD = """# Built-in image backbone

ShuffleNet v2 x1.0 (Ma et al. 2018) without its head; {parameters:,} parameters. Made for pictures of {size} pixels, the
default of `--image-size` with it. For first runs without network and for small machines, not for the best score.

- Learned from: the features of a MobileNet v2 trained on ImageNet (Apache-2.0), without labels, on parts of tiled
  pictures of CIFAR-10's training part (Krizhevsky 2009) and of the two photographs in scikit-learn (CC BY 2.0).
- Training: {steps:,} steps of {batch} parts of {part} pixels, {minutes:.0f} minutes on one core of a shared machine;
  `python -m benchmarks.pretrain.vision train`, `pack`.
- Limits: it has seen few sharp pictures; MobileNet v2 itself is far better where it can be had.
- Licence: Apache-2.0, as this project and the teacher. CIFAR-10 states no licence; none of its pictures are here.

Accuracy of logistic regression on frozen features, 95 % intervals; digits at {digits} pixels, hymenoptera at {size}:

{scores}
"""


def pack(work: Path) -> None:
    """Writes the trained student into the package, its model card with its scores."""
    model = model_of()
    state = loop.trained(model, work / "checkpoints")
    backbone = backbones.load(STUDENT, "none")
    untrained = backbones.load(STUDENT, "none").eval()
    backbone.adopt(model["network"].state_dict(), str(work))
    backbone.preprocess = {**backbone.preprocess, "image_size": MADE_FOR}
    card = CARD.format(
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        size=MADE_FOR,
        part=SIZE,
        digits=DIGITS,
        steps=state["step"],
        batch=BATCH,
        minutes=state["seconds"] / 60,
        scores=scores(backbone.eval(), untrained),
    )
    print(builtin.pack(backbone, "image", card))
    print(card)


def scores(backbone: backbones.Backbone, untrained: backbones.Backbone) -> str:
    """A table: this backbone, itself before training, and its teacher, on data that this backbone has not seen."""
    sets = {"builtin:digits": builtin_data.load_builtin("digits", "image")}
    sizes = {"builtin:digits": DIGITS, "hymenoptera": MADE_FOR}
    folder = Path(os.environ.get("MMTRANSFER_DATA", ""), "hymenoptera")
    if folder.is_dir():
        parts = {"train": "train", "test": "val"}
        sets["hymenoptera"] = {part: sources.load(folder / name, "image") for part, name in parts.items()}
    lines = [f"| features | {' | '.join(sets)} |", "|---" * (1 + len(sets)) + "|"]
    for name, rival in {"this backbone": backbone, "random weights": untrained, "MobileNet v2": teacher()}.items():
        found = []
        for data, tables in sets.items():
            x = [features(rival, tables[part], sizes[data]) for part in ("train", "test")]
            labels = [tables[part].column("label") for part in ("train", "test")]
            found.append(probe.probe(x[0], labels[0], x[1], labels[1]))
        lines.append(probe.row(name, found))
    return "\n".join(lines)


@torch.inference_mode()
def features(backbone: backbones.Backbone, table: sources.Table, size: int) -> np.ndarray:
    """Pooled features of a table's pictures at `size` pixels, float32 (n, width)."""
    transform = images.ImageTransform(size, MEAN, STD)
    found = []
    for start in range(0, len(table), 64):
        numbers = range(start, min(start + 64, len(table)))
        x = torch.stack([transform(images.decode(table.rows[number]["image"])) for number in numbers])
        found.append(backbone.pool(backbone.run({"x": transform.normalise(x)})).numpy())
    return np.concatenate(found)


def main() -> None:
    """`train` or `pack`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("train", "pack"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain-vision"))
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tune_allocator()
    if given.verb == "train":
        train(given.work, given.steps, given.seed)
    else:
        pack(given.work)


if __name__ == "__main__":
    main()
