"""The built-in image backbone: ShuffleNet v2 x1.0 (Ma et al. 2018), trained on CIFAR-10 with a teacher from ImageNet.

    python -m benchmarks.pretrain.vision make     # views of the pictures, the teacher's features: about 5 minutes
    python -m benchmarks.pretrain.vision train    # about 20 minutes; stopped, it goes on from its last checkpoint
    python -m benchmarks.pretrain.vision pack     # writes mmtransfer/builtin/image

Times are of 2 cores without accelerator. Pictures: train.parquet of $MMTRANSFER_DATA/cifar10, else torchvision's own
download of CIFAR-10. Teacher: MobileNet v2, the .safetensors file in $MMTRANSFER_DATA/weights, else torchvision's.

Ten classes alone teach little that other pictures need; the teacher's features of the same pictures say in what ways a
thousand classes differ. Teacher and student see the same view of a picture (Beyer et al. 2022, consistent teaching):
each has VIEWS of them, crops drawn once, whose features are kept, and an epoch shows one.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn

from benchmarks.pretrain import loop, probe
from mmtransfer import backbones
from mmtransfer.backbones import builtin
from mmtransfer.data import builtin as builtin_data
from mmtransfer.data import images, sources
from mmtransfer.engine.precision import autocast, tune_allocator
from mmtransfer.seeding import generator, number

STUDENT, WIDTH = "shufflenet_v2_x1_0", 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which the teacher was trained with."""
SIZE, TEACHER_SIZE = 64, 96
"""Pixels of a side; both see the same 32-pixel picture, enlarged."""
VIEWS, KEPT = 4, 256
"""Views of a picture, and principal directions of the teacher's 1,280 features that are kept of each."""
BATCH, RATE, SMOOTHING, DISTILLED = 128, 2e-3, 0.1, 3.0
BLOCK = 500
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def pictures() -> tuple[Tensor, Tensor]:
    """CIFAR-10's training part: uint8 (50,000, 3, 32, 32), class numbers (50,000,)."""
    file = Path(os.environ.get("MMTRANSFER_DATA", ""), "cifar10", "train.parquet")
    if file.is_file():
        table = pyarrow.parquet.read_table(file, columns=["image", "label"])
        arrays = [np.asarray(Image.open(io.BytesIO(value.as_py())).convert("RGB")) for value in table["image"]]
        numbers = [LABELS.index(label) for label in table["label"].to_pylist()]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous(), torch.tensor(numbers)
    found = torchvision.datasets.CIFAR10("runs/cifar10", train=True, download=True)
    return torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets)


def teacher() -> backbones.Backbone:
    """MobileNet v2 as a frozen backbone."""
    file = Path(os.environ.get("MMTRANSFER_DATA", ""), "weights", "mobilenet_v2.safetensors")
    return backbones.load("mobilenet_v2", str(file) if file.is_file() else None).eval()


def boxes(view: int, count: int, seed: int) -> Tensor:
    """What part of each picture a view shows: (count, 2, 3), as `affine_grid` takes it.

    Crops of half the area to all of it, anywhere, near-square, every other one mirrored.
    """
    random = generator(seed, "augment", view)
    area, ratio = random.uniform(0.5, 1.0, count), np.exp(random.uniform(-0.2, 0.2, count))
    wide, high = (np.minimum(1.0, np.sqrt(area * share)) for share in (ratio, 1 / ratio))
    across, down = ((1 - size) * random.uniform(-1, 1, count) for size in (wide, high))
    mirror = np.where(random.random(count) < 0.5, -1.0, 1.0)
    zeros = np.zeros(count)
    return torch.from_numpy(np.stack([wide * mirror, zeros, across, zeros, high, down], 1).reshape(-1, 2, 3)).float()


def shown(pixels: Tensor, part: Tensor, size: int) -> Tensor:
    """uint8 (batch, 3, 32, 32) and boxes (batch, 2, 3) -> normalised (batch, 3, size, size)."""
    grid = F.affine_grid(part, [len(pixels), 3, size, size], align_corners=False)
    view = F.grid_sample(pixels.float() / 255, grid, padding_mode="reflection", align_corners=False)
    return (view - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def make(work: Path, seed: int) -> None:
    """Writes the teacher's features of every view, float16 (50,000, KEPT), in the principal directions of the first."""
    work.mkdir(parents=True, exist_ok=True)
    pixels, _ = pictures()
    frozen = teacher()
    directions = work / "directions.npz"
    for view in range(VIEWS):
        file = work / f"view-{view}.npy"
        if file.exists():
            continue
        parts, found = boxes(view, len(pixels), seed), []
        for start in range(0, len(pixels), BLOCK):
            part = slice(start, start + BLOCK)
            with torch.inference_mode(), autocast(torch.device("cpu"), "bf16"):
                x = shown(pixels[part], parts[part], TEACHER_SIZE).contiguous(memory_format=torch.channels_last)
                found.append(frozen.pool(frozen.run({"x": x})).float())
            if start % 10_000 == 0:
                print(f"teacher: view {view}, {start} of {len(pixels)} pictures", flush=True)
        whole = torch.cat(found).numpy()
        if not directions.exists():
            mean = whole.mean(0)
            _, _, axes = np.linalg.svd(whole[:10_000] - mean, full_matrices=False)
            np.savez(directions, mean=mean, axes=axes[:KEPT].T)
        kept = np.load(directions)
        np.save(work / f"view-{view}.tmp.npy", ((whole - kept["mean"]) @ kept["axes"]).astype(np.float16))
        (work / f"view-{view}.tmp.npy").replace(file)


def model_of() -> nn.ModuleDict:
    """`network` without its head, `map` from its features to the teacher's, `head` for the ten classes."""
    network = torchvision.models.get_model(STUDENT, weights=None)
    network.fc = nn.Identity()
    return nn.ModuleDict({"network": network, "map": nn.Linear(WIDTH, KEPT), "head": nn.Linear(WIDTH, len(LABELS))})


def train(work: Path, epochs: int, seed: int) -> None:
    """Trains the student; stopped at any time, the same command goes on from the last checkpoint."""
    pixels, labels = pictures()
    wanted = [torch.from_numpy(np.load(work / f"view-{view}.npy", mmap_mode="r")) for view in range(VIEWS)]
    parts = [boxes(view, len(pixels), seed) for view in range(VIEWS)]
    torch.manual_seed(number(seed, "head"))
    model = model_of()
    steps = len(pixels) // BATCH

    def loss(step: int) -> Tensor:
        """Cross-entropy of the classes, plus DISTILLED times 1 - cosine to the teacher's centred features."""
        epoch, place = divmod(step, steps)
        order = generator(seed, "order", epoch).permutation(len(pixels))[place * BATCH : (place + 1) * BATCH]
        chosen, view = torch.from_numpy(order), epoch % VIEWS
        seen = model["network"](shown(pixels[chosen], parts[view][chosen], SIZE))
        classes = F.cross_entropy(model["head"](seen), labels[chosen], label_smoothing=SMOOTHING)
        likeness = F.cosine_similarity(model["map"](seen), wanted[view][chosen].float())
        return classes + DISTILLED * (1.0 - likeness.mean())

    loop.train(model, loss, epochs * steps, work / "checkpoints", RATE, 0.05)


CARD = """# Built-in image backbone

ShuffleNet v2 x1.0 (Ma et al. 2018) without its head; {parameters:,} parameters. Made for pictures of {size} pixels
(`--image-size {size}`). For first runs without network and for small machines, not for the best score.

- Learned from: the 50,000 training pictures of CIFAR-10 (Krizhevsky 2009) with their labels, and the features that a
  MobileNet v2 trained on ImageNet (Apache-2.0) has of them. No other picture.
- Training: {steps:,} steps of {batch} pictures, {minutes:.0f} minutes on a shared 2-core machine;
  `python -m benchmarks.pretrain.vision make`, `train`, `pack`.
- Limits: ten classes of animals and vehicles at 32 pixels; fine detail is foreign to it.
- Licence: Apache-2.0, as this project and the teacher. CIFAR-10 states no licence; none of its pictures are here.

Accuracy of logistic regression on frozen features, 95 % intervals:

{scores}
"""


def pack(work: Path) -> None:
    """Writes the trained student into the package, its model card with its scores."""
    model = model_of()
    state = loop.trained(model, work / "checkpoints")
    backbone = backbones.load(STUDENT, "none")
    untrained = backbones.load(STUDENT, "none").eval()
    backbone.adopt(model["network"].state_dict(), str(work))
    backbone.preprocess = {**backbone.preprocess, "image_size": SIZE, "crop_pct": 1.0}
    card = CARD.format(
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        size=SIZE,
        steps=state["step"],
        batch=BATCH,
        minutes=state["seconds"] / 60,
        scores=scores(backbone.eval(), untrained),
    )
    print(builtin.pack(backbone, "image", card))
    print(card)


def scores(backbone: backbones.Backbone, untrained: backbones.Backbone) -> str:
    """A table: this backbone, itself before training, and its teacher, on data that this backbone has not seen."""
    sets = {"builtin:digits": builtin_data.load("digits", "image")}
    folder = Path(os.environ.get("MMTRANSFER_DATA", ""), "hymenoptera")
    if folder.is_dir():
        parts = {"train": "train", "test": "val"}
        sets["hymenoptera"] = {part: sources.load(folder / name, "image") for part, name in parts.items()}
    lines = [f"| features | {' | '.join(sets)} |", "|---" * (1 + len(sets)) + "|"]
    for name, rival in {"this backbone": backbone, "random weights": untrained, "MobileNet v2": teacher()}.items():
        found = []
        for tables in sets.values():
            x = [features(rival, tables[part]) for part in ("train", "test")]
            labels = [tables[part].column("label") for part in ("train", "test")]
            found.append(probe.probe(x[0], labels[0], x[1], labels[1]))
        lines.append(probe.row(name, found))
    return "\n".join(lines)


@torch.inference_mode()
def features(backbone: backbones.Backbone, table: sources.Table) -> np.ndarray:
    """Pooled features of a table's pictures at SIZE pixels, float32 (n, width)."""
    transform = images.ImageTransform(SIZE, MEAN, STD, crop_pct=1.0)
    found = []
    for start in range(0, len(table), 64):
        rows = table.rows.select(range(start, min(start + 64, len(table))))
        x = torch.stack([transform(images.decode(row["image"])) for row in rows])
        found.append(backbone.pool(backbone.run({"x": x})).numpy())
    return np.concatenate(found)


def main() -> None:
    """`make`, `train` or `pack`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "train", "pack"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain-vision"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tune_allocator()
    if given.verb == "make":
        make(given.work, given.seed)
    elif given.verb == "train":
        train(given.work, given.epochs, given.seed)
    else:
        pack(given.work)


if __name__ == "__main__":
    main()
