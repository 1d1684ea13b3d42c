"""A run's `model/` folder as transformers reads it: `AutoModel.from_pretrained("runs/a/model")`.

Written beside our own files, without a second copy of the weights: transformers' index of a checkpoint in several files
names backbone.safetensors, whose tensors have the library's names anyway. A CTC head is a second, small file, and
`AutoModelForCTC` finds both. So is a text classifier's where a class of transformers computes it; else loading the run
as a classifier is made to fail (`classifiers`), since transformers would give it a random head in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from mmtransfer import documents, files
from mmtransfer.backbones import classifiers, processors
from mmtransfer.backbones.classifiers import Classifier, Tagger
from mmtransfer.backbones.staged import Backbone
from mmtransfer.backbones.weights import FORMAT, TENSORS

CTC, CLASSIFIER = "lm_head.safetensors", "classifier.safetensors"


def write(
    backbone: Backbone,
    folder: Path,
    ctc: Mapping[str, Tensor] | None = None,
    symbols: Sequence[str] = (),
    head: Classifier | Tagger | None = None,
    pictures: Mapping[str, Any] | None = None,
) -> None:
    """Writes config.json, the index of the weights and, for speech and images, what a processor needs; nothing for
    backbones that are not transformers'.

    `folder`: model/ of a run, where the backbone has been saved; `ctc`: weight and bias of a CTC head; `symbols`: its
    vocabulary, the blank first and the space between words second; empty names stand for nothing; `head`: that of a run
    on pooled features or on every token; `pictures`: `image_size`, `crop_pct`, `mean` and `std` of what the run makes
    of pictures, where they need not be the backbone's own.
    """
    if not backbone.library:
        return
    config: dict[str, Any] = {**backbone.config, "architectures": [backbone.library], "dtype": "float32"}
    config.pop(classifiers.PIPELINES, None)  # of the run that this one's backbone comes from
    held = {TENSORS: _names(folder / TENSORS)}
    if ctc is not None:
        config |= {"architectures": [backbone.library.removesuffix("Model") + "ForCTC"]}
        config |= {"vocab_size": len(symbols), "pad_token_id": 0}
        files.write_tensors(folder / CTC, {f"lm_head.{name}": value for name, value in ctc.items()}, FORMAT)
        held[CTC] = _names(folder / CTC)
        _write_tokenizer(folder, symbols)
    if "sample_rate" in backbone.preprocess:
        documents.write(folder / processors.FILE, _preprocessor(backbone))
    if "mean" in backbone.preprocess:
        documents.write(folder / processors.FILE, processors.of_pictures({**backbone.preprocess, **(pictures or {})}))
    if head is not None:
        settings, tensors = classifiers.export(backbone, head)
        config |= settings
        (folder / CLASSIFIER).unlink(missing_ok=True)
        if tensors:
            files.write_tensors(folder / CLASSIFIER, tensors, FORMAT)
            held[CLASSIFIER] = list(tensors)
    documents.write(folder / "config.json", config, default=list)
    size = sum((folder / file).stat().st_size for file in held)
    index = {name: file for file, names in held.items() for name in names}
    documents.write(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def _names(file: Path) -> list[str]:
    with safe_open(file, "pt") as tensors:
        return list(tensors.keys())


def _preprocessor(backbone: Backbone) -> dict[str, Any]:
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "sampling_rate": backbone.preprocess["sample_rate"],
        "do_normalize": backbone.preprocess["normalise"],
        "return_attention_mask": True,
    }


def _write_tokenizer(folder: Path, symbols: Sequence[str]) -> None:
    """vocab.json and the settings of transformers' CTC tokenizer; entries without a name get one of their number."""
    names = [symbol or f"<{number}>" for number, symbol in enumerate(symbols)]
    documents.write(folder / "vocab.json", {name: number for number, name in enumerate(names)})
    special = {"pad_token": names[0], "word_delimiter_token": names[1]}
    # without names of these the tokenizer would add some behind the vocabulary
    absent = {"bos_token": None, "eos_token": None, "unk_token": None}
    settings = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "do_lower_case": False, **special, **absent}
    documents.write(folder / "tokenizer_config.json", settings)
