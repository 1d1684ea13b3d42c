"""Small data and small architectures: shapes by family, checkpoints of them, and data with the flags to train on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT

if TYPE_CHECKING:
    from mmtransfer.backbones.staged import Backbone

LAYERS: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
BERT = {**LAYERS, "vocab_size": 60, "max_position_embeddings": 40}
WAV2VEC2 = {
    **LAYERS,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
"""Also HuBERT's and WavLM's; a frame every 20 samples."""

NAMES = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
    "gpt2": {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
    },
}
"""What families call BERT's numbers, where they have their own words."""
TEXTS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "camembert": {"pad_token_id": 1},
    "distilbert": {},
    "electra": {"embedding_size": 8},
    "mpnet": {},
    "gpt2": {},
    "modernbert": {
        "local_attention": 4,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 0,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
    },
    "albert": {"embedding_size": 8},
}
"""Text encoders by `model_type`: what each has beside BERT's numbers; ALBERT has no class here and is one stage."""

VIT = {**LAYERS, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8}
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
"""Image encoders by `model_type`; ConvNeXt's scale at its own start, 1e-6, would hide its layers."""
CLIP_TEXT = {**BERT, "num_hidden_layers": 1, "bos_token_id": 1, "eos_token_id": 2}
IMAGES_AND_TEXTS: dict[str, dict[str, Any]] = {
    "clip": {"vision_config": VIT, "text_config": CLIP_TEXT, "projection_dim": 8},
    "siglip": {"vision_config": VIT, "text_config": {**CLIP_TEXT, "projection_size": 16}},
}
"""Models of pictures and texts, of which the tower for pictures is taken."""

QUICK: dict[str, Any] = {"weights": "none", "epochs": 1, "batch_size": 24, "threads": 1, "cache": "off"}
"""Settings of a run that takes a second."""


def text_shape(family: str, **changes: Any) -> dict[str, Any]:
    """The configuration of a text encoder; `changes` by BERT's names, or its own."""
    names = NAMES.get(family, {})
    return {names.get(name, name): value for name, value in {**BERT, **TEXTS[family], **changes}.items()}


def image_backbone(family: str, **changes: Any) -> Backbone:
    """An image encoder with random weights."""
    from mmtransfer import backbones

    described = {"name": "tiny", "modality": "image", "family": family, "source": "random weights", "preprocess": {}}
    return backbones.rebuild({**described, "config": {**IMAGES[family], **changes}})


def image_checkpoint(folder: Path, family: str, ending: str = "Model", processor: Any = True, **changes: Any) -> Any:
    """A checkpoint of the library's own with random weights; `ending`: of its class, such as ForImageClassification;
    `processor`: whether there is one, or another than the usual."""
    import transformers

    config = transformers.AutoConfig.for_model(family, **{**(IMAGES | IMAGES_AND_TEXTS)[family], **changes})
    made: Any = getattr(transformers, f"Auto{ending}").from_config(config)
    made.save_pretrained(folder)
    if processor is True:
        processor = transformers.ViTImageProcessor(
            size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4], resample=2
        )
    if processor:
        processor.save_pretrained(folder)
    return made.eval()


def bert(folder: Path, words: Sequence[str], weights: bool = False, **changes: Any) -> Path:
    """A BERT that knows these words, which it splits at spaces; `weights`: whether random ones lie in the folder."""
    import transformers

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(pieces))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(**{**BERT, "vocab_size": len(pieces), **changes})
    (transformers.BertModel(config) if weights else config).save_pretrained(folder)
    return folder


def images(folder: Path) -> list[str]:
    """Pictures of noise in class folders, for ResNet-18."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 6)):
        for label in ("a", "b"):
            (folder / "images" / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (24, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "images" / split / label / f"{number}.png")
    data = ["--train", str(folder / "images/train"), "--validation", str(folder / "images/validation")]
    return [*data, "--backbone", "resnet18", "--image-size", "32", "--augment", "light", "--micro-batch-size", "4"]


def text(folder: Path) -> list[str]:
    """Tables of letters with a label each, and a BERT with a vocabulary of letters."""
    words, generator = [chr(97 + n) for n in range(26)], np.random.default_rng(0)
    backbone = bert(folder / "bert", words)
    for split, count in (("train", 48), ("validation", 12)):
        rows = [f"{' '.join(generator.choice(words, generator.integers(1, 20)))},{'xy'[n % 2]}" for n in range(count)]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = ["--train", str(folder / "train.csv"), "--validation", str(folder / "validation.csv")]
    return [*data, "--backbone", str(backbone), "--micro-batch-tokens", "40", "--max-length", "32"]


def words(folder: Path) -> list[str]:
    """Words of the texts with a tag each: capitals begin a name."""
    flags, generator = text(folder), np.random.default_rng(1)
    for split, count in (("train", 48), ("validation", 12)):
        sentences = []
        for _ in range(count):
            letters = generator.choice(list("abcdefgh"), generator.integers(2, 9))
            tags = ["B-x" if letter < "c" else "O" for letter in letters]
            sentences.append("".join(f"{letter}\t{tag}\n" for letter, tag in zip(letters, tags, strict=True)))
        (folder / f"{split}.conll").write_text("\n".join(sentences))
    return [word.replace(".csv", ".conll") for word in flags]


def sounds(folder: Path) -> list[str]:
    """The recordings of `speech` with a label each, what is said first in them."""
    flags = speech(folder)
    for split in ("train", "validation"):
        place = folder / "speech" / split / "metadata.csv"
        lines = place.read_text().splitlines()
        rows = [line.split(",") for line in lines[1:]]
        labelled = [
            "file_name,label,speaker",
            *(f"{file},{'long' if len(said) > 2 else 'short'},{who}" for file, said, who in rows),
        ]
        place.write_text("\n".join(labelled) + "\n")
    return flags


def speech(folder: Path) -> list[str]:
    """Recordings of noise with transcripts and speakers, and a Wav2Vec2."""
    import soundfile
    from transformers import Wav2Vec2Config

    backbone, generator = folder / "wav2vec2", np.random.default_rng(0)
    Wav2Vec2Config(**WAV2VEC2, feat_extract_norm="layer").save_pretrained(backbone)
    for split, count in (("train", 48), ("validation", 12)):
        place = folder / "speech" / split
        place.mkdir(parents=True)
        lines = ["file_name,text,speaker"]
        for number in range(count):
            samples = generator.normal(size=generator.integers(1500, 4000)) * 0.1
            soundfile.write(place / f"{number}.wav", samples, 16000)
            lines.append(f"{number}.wav,{'ab ba'[: 1 + number % 5].strip()},s{number % 3}")
        (place / "metadata.csv").write_text("\n".join(lines) + "\n")
    data = ["--train", str(folder / "speech/train"), "--validation", str(folder / "speech/validation")]
    return [*data, "--backbone", str(backbone), "--mask-prob", "0.3", "--micro-batch-seconds", "0.6"]


def text_settings(folder: Path) -> dict[str, Any]:
    """Those of a quick run on `text`, scored on its validation data as if they were test data."""
    from mmtransfer.cli.flags import parse

    settings = parse(TEXT, text(folder), {}, "a test")
    return {**settings, **QUICK, "test": settings["validation"]}


MAKERS = {IMAGE: images, TEXT: text, SPEECH: speech, AUDIO: sounds, TAGS: words}
"""By task, what makes its data and a backbone, and returns their flags."""
