"""Small data and small architectures for runs through the command line; each maker returns its flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT


def images(folder: Path) -> list[str]:
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
    from transformers import BertConfig, BertTokenizerFast

    words, generator = [chr(97 + n) for n in range(26)], np.random.default_rng(0)
    backbone = folder / "bert"
    backbone.mkdir()
    (backbone / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(backbone / "vocab.txt")).save_pretrained(backbone)
    BertConfig(
        vocab_size=31,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    ).save_pretrained(backbone)
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
    import soundfile
    from transformers import Wav2Vec2Config

    backbone, generator = folder / "wav2vec2", np.random.default_rng(0)
    Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 2),
        conv_stride=(5, 2, 2),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
    ).save_pretrained(backbone)
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


MAKERS = {IMAGE: images, TEXT: text, SPEECH: speech, AUDIO: sounds, TAGS: words}
"""By task, what makes its data and a backbone, and returns their flags."""
