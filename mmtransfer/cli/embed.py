"""`mmtransfer embed RUN|BACKBONE DATA --out X`: pooled features with ids, as a file."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tyro

from mmtransfer import launcher
from mmtransfer.cli.installation import check_trio
from mmtransfer.cli.starting import quickly
from mmtransfer.cli.words import Columns, parse
from mmtransfer.terminal import visible


@dataclasses.dataclass(frozen=True)
class Words(Columns):
    """What can be said after the verb."""

    backbone: tyro.conf.Positional[str]
    """Folder of a finished run, or any name that fit's --backbone takes."""
    data: tyro.conf.Positional[str]
    """A file, a folder, a CSV, a text file with a sentence a line, or builtin:NAME."""
    out: str
    """X.npy (float32, n x width; ids in X.ids.txt) or X.parquet (id, features)."""
    weights: str | None = None
    """Of a backbone's name: none, a torchvision weights name, or a .pth/.safetensors file."""
    image_size: int | None = None
    """Of a backbone's name: pixels of a side of the square that the network sees."""
    max_length: int | None = None
    """Of a backbone's name: tokens of the longest text that is kept whole."""
    precision: Literal["fp32", "bf16"] | None = None
    """Of a backbone's name: arithmetic of the forward pass."""
    cache: Literal["auto", "on", "off"] | None = None
    """Read the features where a linear probe or another `embed` has stored them, and store them; auto, or as the run,
    if None."""
    cache_dir: str | None = None
    """Folder of the states; the run's, $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    cache_limit: float | None = None
    """GiB that the folder may hold, what would not fit is not cached; 20, or as the run, if None."""


def run(words: list[str]) -> None:
    """Writes the features of all data."""
    about = "Writes pooled features (of speech the mean over the frames); a run is used with its own settings."
    fields = dataclasses.asdict(parse(Words, words, "embed", about))
    with quickly():
        check_trio()
        from mmtransfer.embedding import check, embed

    out = fields.pop("out")
    check(out)
    features = embed(**{name: value for name, value in fields.items() if value is not None})
    if launcher.is_main():
        features.save(out)
        print(visible(f"{len(features.ids)} x {features.values.shape[1]} features in {out}"))
