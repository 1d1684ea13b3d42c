"""The settings that only some inputs or targets read: each one's own stand in a class of its own.

They are here, and not beside the inputs and targets, so that `--help` shows them without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmtransfer.config.fields import (
    COLOURS,
    COLOURS_ABOVE_0,
    NOT_EMPTY,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    UP_TO_ALL,
    UP_TO_SIX,
    filled,
    setting,
)


@dataclass(frozen=True)
class FileOptions:
    """Of inputs that are files."""

    file_column: str | None = None
    """Column with the file name, relative to the table, or its bytes; guessed where only one guess is possible."""
    augment: Literal["auto", "none", "light", "strong"] = filled()
    """Random changes in training. Images: light is crop and flip, strong adds RandAugment and erased rectangles.
    Recordings: light is speed, gain and noise, strong wider and with bands of frequencies left out. auto: none where
    the first stages are frozen, else light."""


@dataclass(frozen=True)
class ImageOptions(FileOptions):
    """Of images."""

    image_size: int | None = setting(must=POSITIVE)
    """Pixels of a side of the square that the network sees; the backbone's own if None (224 for most)."""
    crop_pct: float | None = setting(must=UP_TO_ALL)
    """In evaluation the shorter side becomes image_size / crop_pct before the centre crop; the checkpoint's own if None
    (torchvision's networks and the built-in one: 0.875)."""
    mean: tuple[float, float, float] | None = setting(must=COLOURS)
    """Channel means of the normalisation, of pixels in 0..1; the backbone's own if None."""
    std: tuple[float, float, float] | None = setting(must=COLOURS_ABOVE_0)
    """Channel standard deviations of the normalisation, of pixels in 0..1; the backbone's own if None."""
    mixup: float = setting(0.0, NOT_NEGATIVE)
    """In training each picture is added to another by a share of the distribution Beta(mixup, mixup), and so are their
    answers (Zhang et al. 2018 take 0.2 to 1); 0: no."""
    cutmix: float = setting(0.0, NOT_NEGATIVE)
    """In training a rectangle of each picture is another's, of an area by Beta(cutmix, cutmix), and that share of the
    answer (Yun et al. 2019 take 1); 0: no. With --mixup every other picture is cut."""
    micro_batch_size: int | None = setting(must=POSITIVE)
    """Images of one forward pass; a step's whole batch if memory allows (BatchNorm sees the micro-batch)."""


@dataclass(frozen=True)
class AudioOptions(FileOptions):
    """Of recordings."""

    shots_minutes: float | None = setting(must=POSITIVE)
    """Minutes of randomly drawn recordings that are trained on, spread over the speakers."""
    max_seconds: float = filled(POSITIVE)
    """Longest recording, or segment by the columns `start` and `end`, to train and test on. Predicting cuts longer ones
    where they are quietest."""
    mask_prob: float = filled(SHARE)
    """Share of the frames masked in training (SpecAugment in time, Baevski et al. 2020); 0 for none."""
    micro_batch_seconds: float | None = setting(must=POSITIVE)
    """Seconds of audio of one forward pass, padding included; on a GPU, if not given, as many as fit its memory, 512 at
    most."""


@dataclass(frozen=True)
class TokenOptions:
    """Of texts, however they come."""

    max_length: int = filled(POSITIVE)
    """Tokens of the longest text that is kept whole; longer ones are cut."""
    micro_batch_tokens: int | None = setting(must=POSITIVE)
    """Tokens of one forward pass, padding included; on a GPU, if not given, as many as fit its memory, 65,536 at
    most."""


@dataclass(frozen=True)
class TextOptions(TokenOptions):
    """Of texts and pairs of texts."""

    text_column: str | None = None
    """Column with the text; guessed where only one guess is possible."""
    pair_column: str | None = None
    """Column with the second text, where pairs are classified; guessed only from usual names, such as text1, text2."""
    pooling: Literal["mean", "cls", "last", "unit"] | None = None
    """From tokens to one vector: their mean, the first, the last, or their mean scaled to one length, for encoders of
    sentences that were trained by cosines; the backbone's own if None (mean; GPT-2: last)."""


@dataclass(frozen=True)
class WordsOptions(TokenOptions):
    """Of lists of words."""

    words_column: str | None = None
    """Column with the words, a list; guessed where only one guess is possible."""


@dataclass(frozen=True)
class HeadOptions:
    """Of targets whose head gives numbers for a vector."""

    head: Literal["linear", "mlp"] = "linear"
    """On the features: one linear layer, or two with GELU and dropout between them."""


@dataclass(frozen=True)
class LabelOptions(HeadOptions):
    """Of labels and numbers."""

    label_column: str | None = None
    """Column with the label; guessed where only one guess is possible."""
    target: Literal["single-label", "multi-label", "regression"] = "single-label"
    """What the label column holds: one label, any number of labels, or a number."""
    label_separator: str | None = setting(must=NOT_EMPTY)
    """Between the labels of one example, with --target multi-label; | if None."""
    label_smoothing: float = filled(SHARE)
    """Share of the target's mass spread over all classes in training, 0 to 1 (Szegedy et al. 2016)."""
    class_weights: Literal["none", "auto"] = "none"
    """auto: in the training loss an example weighs as the inverse of its class's frequency, 1 on average."""
    sampling: Literal["each", "balanced"] = "each"
    """each: an epoch sees each training example once; balanced: as many, drawn with every class as likely, so that
    those of rare classes come again."""
    focal_gamma: float = setting(0.0, NOT_NEGATIVE)
    """In the training loss an answer of probability p weighs (1 - p) ** gamma, so that what is known counts less (Lin
    et al. 2017 take 2); 0: cross-entropy."""


@dataclass(frozen=True)
class TranscriptOptions:
    """Of transcripts."""

    transcript_column: str | None = None
    """Column with the transcript; guessed where only one guess is possible."""
    vocabulary: Literal["train", "backbone"] = "train"
    """Symbols that CTC writes: the characters of the training data, or the checkpoint's own with its head's weights."""
    text_rule: Literal["none", "basic", "english"] = "none"
    """What of a transcript counts, in training, language models and scores. none: all but case, which speech does not
    tell; basic: no punctuation and no signs either; english: contractions written out and fillers left out as well."""
    decode: Literal["auto", "greedy", "beam"] = "auto"
    """How frames become text: the best symbol of each, or a beam search with a language model, its weights chosen on
    validation data. auto: beam where it makes fewer word errors there, unless nearly all words are wrong without."""
    lm: str = "train"
    """The language model: n-grams of the training transcripts (train), none, or a file: ARPA, or a text with a sentence
    a line; both plain or gzip."""
    lm_order: int = setting(4, UP_TO_SIX)
    """Words of the longest n-grams of the language model; a file in ARPA has its own."""


@dataclass(frozen=True)
class TagsOptions(HeadOptions):
    """Of tags."""

    tags_column: str | None = None
    """Column with the tags, a list, one a word; guessed where only one guess is possible."""


OPTIONS: Mapping[str, type[Any]] = {
    "image": ImageOptions,
    "audio": AudioOptions,
    "text": TextOptions,
    "words": WordsOptions,
    "single-label": LabelOptions,
    "multi-label": LabelOptions,
    "regression": LabelOptions,
    "transcript": TranscriptOptions,
    "tags": TagsOptions,
}
"""By the name of an input or a target, its own settings."""
