"""Every setting of a run by name and type, for `fit(...)`; written by tests/test_signatures.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict


class Settings(TypedDict, total=False):
    """What `fit` takes; what is left out is chosen by the task, the strategy or the machine."""

    train: Any
    """Training data: a class folder, a table (CSV, TSV, JSON, Parquet, CoNLL), a folder with metadata.csv or with a
    .txt for each recording, a dataset saved to disk, `hub:ORG/NAME[:CONFIG[:SPLIT]]`, `builtin:NAME`, `builtin`
    (the task's own built-in data, with settings that suit it), or (Python) a frame, a dict of columns, a Dataset or
    a list of rows."""
    validation: Any
    """Validation data, which chooses the best epoch; cut from the training data when not given, but where folds of
    few examples do its work (--strategy.folds of linear-probe)."""
    test: Any
    """Test data, looked at once, at the end."""
    validation_fraction: float
    """Share of the training data held out when no validation data is given; stratified by label. Another share than
    0.1 is held out for a linear probe of few examples as well, instead of folds. 0: none, so the last epoch is
    kept."""
    fraction: float | None
    """Share of the training data that is trained on, stratified by label; drawn after validation was cut."""
    shots: int | None
    """Training examples of each class that are trained on; where there are no classes, of all. 0: none, the
    classes' names in the training data alone decide (texts, with --strategy.prior names)."""
    group_column: str | None
    """Column with the speaker, patient, author, ...: validation is then cut in whole groups. Of recordings, where
    it is guessed as well, the intervals of WER and CER are by it; a guess leaves the split as it is."""
    test_group: str | None
    """The group whose examples leave the training data and become the test data."""
    skip_bad: bool
    """Leave out examples that cannot be read, and name them in result.json; without it they are an error."""
    duplicates: Literal["warn", "drop", "error"]
    """Examples of one split that another holds as well, texts also if they differ in case or white space alone.
    warn: tell them; drop: leave them out of the training data; error: stop before training."""
    based_on: str | None
    """The config.json that the settings are from: where it is a run's, changes of the data since then are told."""
    backbone: Any
    """A torchvision network (resnet50), a name on the Hugging Face hub, a folder of transformers or of a finished
    run, a shape without weights (wav2vec2-fast), or `builtin`: the small one that comes with the installation."""
    weights: str | None | Path
    """`none` for random weights, a torchvision weights name, or a .pth/.safetensors file; its own if None."""
    strategy: Any
    """What is trained: linear-probe, partial, full, lp-ft, wise-ft, gradual, l2-sp, lora, dora, bitfit, norm or
    scratch; `mmtransfer list strategies` explains them."""
    strategy_options: Mapping[str, Any]
    """The strategy's own options, by name."""
    file_column: str | None
    """Column with the file name, relative to the table, or its bytes; guessed where only one guess is possible."""
    augment: Literal["auto", "none", "light", "strong"]
    """Random changes in training. Images: light is crop and flip, strong adds RandAugment and erased rectangles.
    Recordings: light is speed, gain and noise, strong wider and with bands of frequencies left out. auto: none
    where the first stages are frozen, else light."""
    image_size: int | None
    """Pixels of a side of the square that the network sees; the backbone's own if None (224 for most)."""
    crop_pct: float | None
    """In evaluation the shorter side becomes image_size / crop_pct before the centre crop; the checkpoint's own if
    None (torchvision's networks and the built-in one: 0.875)."""
    mean: tuple[float, float, float] | None
    """Channel means of the normalisation, of pixels in 0..1; the backbone's own if None."""
    std: tuple[float, float, float] | None
    """Channel standard deviations of the normalisation, of pixels in 0..1; the backbone's own if None."""
    mixup: float
    """In training each picture is added to another by a share of the distribution Beta(mixup, mixup), and so are
    their answers (Zhang et al. 2018 take 0.2 to 1); 0: no."""
    cutmix: float
    """In training a rectangle of each picture is another's, of an area by Beta(cutmix, cutmix), and that share of
    the answer (Yun et al. 2019 take 1); 0: no. With --mixup every other picture is cut."""
    micro_batch_size: int | None
    """Images of one forward pass; a step's whole batch if memory allows (BatchNorm sees the micro-batch)."""
    shots_minutes: float | None
    """Minutes of randomly drawn recordings that are trained on, spread over the speakers."""
    max_seconds: float
    """Longest recording, or segment by the columns `start` and `end`, to train and test on. Predicting cuts longer
    ones where they are quietest."""
    mask_prob: float
    """Share of the frames masked in training (SpecAugment in time, Baevski et al. 2020); 0 for none."""
    micro_batch_seconds: float | None
    """Seconds of audio of one forward pass, padding included; on a GPU, if not given, as many as fit its memory,
    512 at most."""
    max_length: int
    """Tokens of the longest text that is kept whole; longer ones are cut."""
    micro_batch_tokens: int | None
    """Tokens of one forward pass, padding included; on a GPU, if not given, as many as fit its memory, 65,536 at
    most."""
    text_column: str | None
    """Column with the text; guessed where only one guess is possible."""
    pair_column: str | None
    """Column with the second text, where pairs are classified; guessed only from usual names, such as text1,
    text2."""
    pooling: Literal["mean", "cls", "last", "unit"] | None
    """From tokens to one vector: their mean, the first, the last, or their mean scaled to one length, for encoders
    of sentences that were trained by cosines; the backbone's own if None (mean; GPT-2: last)."""
    words_column: str | None
    """Column with the words, a list; guessed where only one guess is possible."""
    head: Literal["linear", "mlp"]
    """On the features: one linear layer, or two with GELU and dropout between them."""
    label_column: str | None
    """Column with the label; guessed where only one guess is possible."""
    target: Literal["single-label", "multi-label", "regression"]
    """What the label column holds: one label, any number of labels, or a number."""
    label_separator: str | None
    """Between the labels of one example, with --target multi-label; | if None."""
    label_smoothing: float
    """Share of the target's mass spread over all classes in training, 0 to 1 (Szegedy et al. 2016)."""
    class_weights: Literal["none", "auto"]
    """auto: in the training loss an example weighs as the inverse of its class's frequency, 1 on average."""
    sampling: Literal["each", "balanced"]
    """each: an epoch sees each training example once; balanced: as many, drawn with every class as likely, so that
    those of rare classes come again."""
    focal_gamma: float
    """In the training loss an answer of probability p weighs (1 - p) ** gamma, so that what is known counts less
    (Lin et al. 2017 take 2); 0: cross-entropy."""
    transcript_column: str | None
    """Column with the transcript; guessed where only one guess is possible."""
    vocabulary: Literal["train", "backbone"]
    """Symbols that CTC writes: the characters of the training data, or the checkpoint's own with its head's
    weights."""
    text_rule: Literal["none", "basic", "english"]
    """What of a transcript counts, in training, language models and scores. none: all but case, which speech does
    not tell; basic: no punctuation and no signs either; english: contractions written out and fillers left out as
    well."""
    decode: Literal["auto", "greedy", "beam"]
    """How frames become text: the best symbol of each, or a beam search with a language model, its weights chosen
    on validation data. auto: beam where it makes fewer word errors there, unless nearly all words are wrong
    without."""
    lm: str | Path
    """The language model: n-grams of the training transcripts (train), none, or a file: ARPA, or a text with a
    sentence a line; both plain or gzip."""
    lm_order: int
    """Words of the longest n-grams of the language model; a file in ARPA has its own."""
    tags_column: str | None
    """Column with the tags, a list, one a word; guessed where only one guess is possible."""
    epochs: int
    """Passes over the training data."""
    batch_size: int
    """Examples per optimiser step, over all processes."""
    lr: float
    """Learning rate of the backbone at its peak; that of the head may be a multiple of it, as the strategy has
    it."""
    optimizer: Literal["adamw", "sgd"]
    """AdamW (Loshchilov & Hutter 2019) or SGD with momentum."""
    momentum: float
    """Momentum of SGD; with AdamW it is its first beta."""
    nesterov: bool
    """Nesterov's form of SGD's momentum."""
    weight_decay: float
    """Decoupled decay (SGD: L2); never on biases, normalisation and embeddings."""
    schedule: Literal["cosine", "linear", "tri-stage", "constant"]
    """Learning rate over a phase, in optimiser steps."""
    warmup: float
    """Share of a phase's steps in which the rate rises from 0."""
    clip: float
    """Largest norm of a step's gradient."""
    ema: float | None
    """Validate and keep an exponential moving average of the weights, with this share of the past a step, such as
    0.99 or 0.999; None: the last weights."""
    join_validation: int | None
    """Epochs, the last ones, that train on the validation data as well, where the rate is low and little is left to
    choose: the last weights are kept, nothing such as a temperature is tuned at the end, and the validation scores
    in result.json are those of the epochs before. None: none; nor are there any where --patience ends the phase
    before."""
    patience: int | None
    """Epochs without a better validation score after which a phase ends; None: never."""
    stop_after: int | None
    """Optimiser steps after which training ends, with the best validated model. The schedule is that of all epochs,
    so this is the first part of a longer run; None: all of it."""
    max_minutes: float | None
    """Budget in minutes, scoring and saving included: training ends in time, with the best model so far by
    validation; None: no limit."""
    seed: int
    """Whole number that all randomness comes from: the split, the head's start, the order, augmentation,
    dropout."""
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """Arithmetic of the forward pass; bf16 and fp16 are autocast, weights stay float32. auto: bf16, on a GPU
    without it fp16, where a backbone is trained by steps and a trial on a few examples is faster and agrees; else
    fp32."""
    layout: Literal["auto", "contiguous", "channels-last"]
    """How images lie in memory, of convolutional networks. auto: channels-last where that trial is faster."""
    deterministic: bool
    """Take only algorithms that give the same bits each time, so that a run resumed on the same GPU ends with the
    same weights; steps take longer there. On a CPU this holds without it."""
    threads: int | None
    """CPU threads of this process; its share of the cores if None."""
    cache: Literal["auto", "on", "off"]
    """Compute frozen stages once and keep their states; auto: where measuring says that it saves time. Unless off,
    files that several epochs read are decoded once, where that saves time."""
    cache_dir: str | None | Path
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    cache_limit: float
    """GiB that the folder may hold; what would not fit is not cached."""
    graphs: Literal["auto", "on", "off"]
    """On CUDA, launch a micro-batch's passes at once, recorded for each shape; auto: where that is faster, and
    agrees. on: an error where it cannot be."""
    workers: int | None
    """Processes that decode ahead of the training loop; 0 decodes in the loop itself. None: one for each idle core,
    at most 8, and more after an epoch that has waited for data."""
    out: str | None | Path
    """The run folder; runs/TASK-DATE-TIME if None."""
    resume: bool
    """Go on with the run in `out`, from its last checkpoint."""
    overwrite: bool
    """Replace the run in `out`."""
    log_every: int
    """Optimiser steps between two lines of log.jsonl."""
    checkpoint_every: int
    """Optimiser steps between two checkpoints inside an epoch."""
    checkpoint_minutes: float
    """At the end of an epoch a checkpoint is written where the last one is older; 0: after every epoch. The end of
    a phase, and a signal, always leave one."""
    keep_checkpoints: bool
    """Keep the folder checkpoints/ after success."""
    track: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...]
    """Trackers that get losses, rates, scores and settings as well; several may be named."""
    task: str
    """image-classification, text-classification, speech-recognition, audio-classification or token-
    classification."""
