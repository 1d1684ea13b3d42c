"""Image encoders of transformers at a size that trains in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from mmtransfer import backbones
from mmtransfer.backbones.staged import Backbone

VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
MAPS = {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1], "num_stages": 3, "image_size": 32, "patch_size": 2}
IMAGES: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "dinov2": {**VIT, "mlp_ratio": 2},
    "dinov3_vit": {**VIT, "num_register_tokens": 2},
    "swin": {
        "embed_dim": 8,
        "depths": [2, 2, 1],
        "num_heads": [1, 2, 2],
        "window_size": 4,
        "image_size": 32,
        "patch_size": 2,
    },
    "convnext": {**MAPS, "layer_scale_init_value": 1.0},
    "convnextv2": MAPS,
    "clip_vision_model": VIT,
    "siglip_vision_model": VIT,
}
"""By `model_type`; ConvNeXt's scale at its own start, 1e-6, would hide its layers."""

TEXT = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
BOTH: dict[str, dict[str, Any]] = {
    "clip": {"vision_config": VIT, "text_config": {**TEXT, "bos_token_id": 1, "eos_token_id": 2}, "projection_dim": 8},
    "siglip": {
        "vision_config": VIT,
        "text_config": {**TEXT, "projection_size": 16, "bos_token_id": 1, "eos_token_id": 2},
    },
}
"""Models of pictures and texts, of which the tower for pictures is taken."""

PROCESSOR = transformers.ViTImageProcessor(
    size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4], resample=2
)


def make_backbone(family: str, **changes: Any) -> Backbone:
    """Random weights."""
    described = {"name": "tiny", "modality": "image", "family": family, "source": "random weights", "preprocess": {}}
    return backbones.rebuild({**described, "config": {**IMAGES[family], **changes}})


def save(folder: Path, family: str, ending: str = "Model", processor: Any = PROCESSOR, **changes: Any) -> Any:
    """A checkpoint of the library's own with random weights; `ending`: of its class, such as ForImageClassification."""
    config = transformers.AutoConfig.for_model(family, **{**(IMAGES | BOTH)[family], **changes})
    made: Any = getattr(transformers, f"Auto{ending}").from_config(config)
    made.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return made.eval()
