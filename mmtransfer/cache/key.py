"""The names of cached features and decoded examples: a digest of everything their numbers depend on, and nothing else.

Never paths and never times: the same data in another folder, or the same weights under another name, are a hit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmtransfer.backbones.staged import Backbone
from mmtransfer.cache.store import FORMAT
from mmtransfer.data import digests, stamps
from mmtransfer.data.table import Table

ENCODING = 1
"""Raised when a stage or an encoding of mmtransfer changes what it computes (masked statistics, resizing, pooling)."""
DECODING = 1
"""Raised when mmtransfer decodes files in another way."""
LIBRARIES = ("torch", "transformers", "torchvision", "torchaudio", "tokenizers", "pillow", "soundfile")


def key(
    prefix: str,
    encoding: Mapping[str, Any],
    cut: int,
    reads: str,
    precision: str,
    device: str,
    data: str,
    layout: str = "contiguous",
) -> str:
    """blake2b (16 bytes, hex) that names the states of one split at one cut.

    Args:
        prefix: digest of the stages before the cut, from `prefix`.
        encoding: what turns examples into tensors, from `Task.encoding`.
        cut: stages that are behind the states; one more than there are for what a head reads.
        reads: what is read out of the last stage, such as `pooled mean`; empty for a cut between stages.
        precision: fp32, tf32, bf16 or fp16.
        device: from `device_name`.
        data: digest of the examples, from `contents`.
        layout: of images in memory, contiguous or channels-last.
    """
    parts = {
        "format": FORMAT,
        "code": ENCODING,
        "prefix": prefix,
        "encoding": dict(encoding),
        "cut": cut,
        "reads": reads,
        "precision": precision,
        "layout": layout,
        "device": device,
        "data": data,
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    return digests.digest(json.dumps(parts, sort_keys=True, default=list).encode())


def device_name(device: torch.device) -> str:
    """What names a device in a key: its type, and of a GPU the model as well, which chooses other kernels."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def decoded_key(decoding: Mapping[str, Any], data: str) -> str:
    """As `key`, that of decoded examples.

    Args:
        decoding: how files are decoded, from `Input.decoding`.
        data: digest of the examples, from `contents`.
    """
    parts = {
        "format": FORMAT,
        "code": DECODING,
        "decoding": dict(decoding),
        "data": data,
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    return digests.digest(json.dumps(parts, sort_keys=True, default=list).encode())


def prefix(backbone: Backbone, cut: int) -> str:
    """Digest of stages [0, cut): names, dtypes, shapes and bytes of parameters and buffers, family, configuration."""
    digest = hashlib.blake2b(digest_size=16)
    stages = backbone.stages[: min(cut, backbone.depth)]
    for name, value in sorted([*stages.named_parameters(), *stages.named_buffers()], key=lambda item: item[0]):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        data = value.detach().cpu().contiguous().reshape(-1)
        digest.update(data.view(torch.uint8).numpy().data)
    unnamed = {"_name_or_path", "transformers_version"}
    about = {
        "family": backbone.family,
        "config": {name: value for name, value in backbone.config.items() if name not in unnamed},
        "preprocess": dict(backbone.preprocess),
        "attention": sorted({str(_attention(module)) for module in backbone.modules() if hasattr(module, "config")}),
    }
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def contents(table: Table, folder: Path) -> str:
    """`table.inputs`, remembered in `folder`/fingerprints while no file changes its size or time stamps.

    Answers change no features, so that unlabelled data are a hit.
    """
    if table.digests is not None:
        return table.inputs
    return stamps.remembered(folder, stamps.listing(table, answers=False), lambda: table.inputs.encode()).decode()


def _attention(module: Any) -> Any:
    return getattr(module.config, "_attn_implementation", None)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
