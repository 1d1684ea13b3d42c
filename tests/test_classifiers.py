"""A text run as transformers' classifier: the same logits and labels, or an error that names what reads the head."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

import mmtransfer as mmt
from mmtransfer.backbones import interchange, pretrained, weights
from mmtransfer.backbones.classifiers import TAGGERS, Classifier, Tagger
from mmtransfer.config import AUDIO, IMAGE, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import LinearHead, MLPHead
from mmtransfer.tasks.targets.base import linear_layers

Command = Callable[..., tuple[int, str, str]]
CHECKPOINT: dict[str, Any] = {"trust_remote_code": False, "dtype": torch.float32}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def logits(run: mmt.Run, rows: list[list[int]]) -> Tensor:
    """Our own, of rows of tokens one by one."""
    backbone, head = run.model.backbone, run.model.head
    states = [{"x": torch.tensor([row]), "lengths": torch.tensor([len(row)])} for row in rows]
    return torch.cat([head(backbone.pool(backbone.run(state))) for state in states])


def fit(command: Command, folder: Path, *words: object) -> Path:
    """A run on tiny texts, whose encoder has weights; returns its folder."""
    flags = tiny.text(folder)
    transformers.BertModel(transformers.BertConfig.from_pretrained(folder / "bert")).save_pretrained(folder / "bert")
    status, _, said = command("fit", TEXT, *flags, *words, "--threads", 1, "--epochs", 1, "--out", folder / "run")
    assert status == 0, said
    return folder / "run"


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_a_head_on_the_first_token_is_a_classifier_of_transformers(
    command: Command, tmp_path: Path, strategy: str
) -> None:
    run = fit(command, tmp_path, "--pooling", "cls", "--strategy", strategy)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "model", **CHECKPOINT).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model", trust_remote_code=False)
    rows = [line.split(",")[0] for line in (tmp_path / "validation.csv").read_text().splitlines()[1:]]
    with torch.no_grad():
        found = model(**tokenizer(rows, padding=True, return_tensors="pt")).logits
        expected = logits(mmt.load(run), [tokenizer(row)["input_ids"] for row in rows])
    size = float(
        mmt.load(run).model.head.linear.weight.detach().abs().sum(1).max()
    )  # of a probe on a random encoder, 1000
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * max(10.0, size))
    assert model.config.id2label == {0: "x", 1: "y"} and model.config.problem_type == "single_label_classification"
    classify = transformers.pipeline("text-classification", str(run / "model"))
    ours = mmt.load(run).predict(rows)
    for theirs, own in zip(classify(rows), ours, strict=True):
        assert theirs["label"] == own.label and theirs["score"] == pytest.approx(own.score, abs=1e-3)


def test_a_number_comes_in_the_units_of_the_data(command: Command, tmp_path: Path) -> None:
    flags = tiny.text(tmp_path)
    for name in ("train", "validation"):
        path = tmp_path / f"{name}.csv"
        path.write_text(path.read_text().replace(",x\n", ",120.5\n").replace(",y\n", ",80\n"))
    words = [*flags, "--weights", "none", "--pooling", "cls", "--target", "regression", "--strategy", "linear-probe"]
    assert command("fit", TEXT, *words, "--threads", 1, "--out", tmp_path / "run")[0] == 0
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run/model", **CHECKPOINT).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run/model", trust_remote_code=False)
    with torch.no_grad():
        found = float(model(**tokenizer("a b c", return_tensors="pt")).logits)
    assert found == pytest.approx(mmt.load(tmp_path / "run").predict(["a b c"])[0].value, abs=1e-3)
    assert model.config.problem_type == "regression" and 70 < found < 130


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_any_other_head_is_refused_with_the_name_of_what_reads_it(
    command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture, head: str
) -> None:
    run = fit(
        command, tmp_path, "--strategy", "full", "--head", head, "--pooling", "mean" if head == "linear" else "cls"
    )
    model = str(run / "model")
    for task in ("text-classification", "sentiment-analysis"):
        with pytest.raises(AttributeError, match=r"use mmtransfer\.load\(RUN\)\.predict"):
            transformers.pipeline(task, model)
    monitor = logging.getLogger("transformers")
    monitor.addHandler(caplog.handler)
    try:
        with pytest.raises(RuntimeError, match="look at the above report"):
            transformers.AutoModelForSequenceClassification.from_pretrained(model, trust_remote_code=False)
    finally:
        monitor.removeHandler(caplog.handler)
    assert "no class of transformers computes this head, use mmtransfer.load(RUN).predict" in caplog.text
    # and all else goes on: the encoder, our own reading of both folders
    encoder = transformers.AutoModel.from_pretrained(model, add_pooling_layer=False, **CHECKPOINT).eval()
    ours = mmt.load(run).model.backbone
    ids = torch.tensor([[2, 7, 9, 3]])
    with torch.no_grad():
        found = ours.run({"x": ids, "lengths": torch.tensor([4])})["x"]
        torch.testing.assert_close(encoder(ids).last_hidden_state, found, rtol=0, atol=1e-5)
    transformers.pipeline("feature-extraction", model)
    for place in (run, run / "model"):
        words = ["--train", tmp_path / "train.csv", "--backbone", place, "--strategy", "linear-probe", "--threads", 1]
        words += ["--pooling", "cls", "--max-length", 32]
        status, _, said = command("fit", TEXT, *words, "--out", tmp_path / f"on-{place.name}")
        assert status == 0, said
        transformers.pipeline("text-classification", str(tmp_path / f"on-{place.name}" / "model"))


@pytest.mark.parametrize(
    ("family", "head"),
    [("bert", "linear"), ("roberta", "linear"), ("xlm-roberta", "linear"), ("camembert", "linear"), ("mpnet", "linear")]
    + [("electra", "mlp")],
)
def test_families_whose_classifier_computes_ours(family: str, head: str, tmp_path: Path) -> None:
    backbone, ours = saved(family, head, "cls", tmp_path)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True, **CHECKPOINT
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    x = torch.randint(5, 60, (1, 9))
    with torch.no_grad():
        found = ours(backbone.pool(backbone.run({"x": x, "lengths": torch.tensor([9])})))
        torch.testing.assert_close(model.eval()(x).logits, found, rtol=0, atol=1e-5)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "gpt2", "modernbert", "albert", "deberta"])
def test_families_are_refused_as_classifiers_and_read_as_encoders(family: str, tmp_path: Path) -> None:
    saved(family, "linear", "mean", tmp_path)
    with pytest.raises(RuntimeError, match="look at the above report"):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, trust_remote_code=False)
    with pytest.raises(AttributeError, match=r"mmtransfer\.load"):
        transformers.pipeline("text-classification", str(tmp_path))
    _, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True, trust_remote_code=False)
    assert all("pooler" in name for name in info["missing_keys"])


def saved(family: str, head: str, pooling: str, folder: Path) -> tuple[Any, nn.Module]:
    """A random encoder with a head on it, as a run exports them."""
    shape = tiny.text_shape(family) if family in tiny.TEXTS else tiny.BERT
    backbone = pretrained.build({"model_type": family, **shape}).eval()
    backbone.pooling = pooling
    made = (LinearHead if head == "linear" else MLPHead)(backbone.width, 3).eval()
    layers: list[tuple[Tensor, Tensor]] = [(m.weight, m.bias) for m in made.modules() if isinstance(m, nn.Linear)]
    weights.save(backbone, folder)
    interchange.write(backbone, folder, head=Classifier(layers, ["a", "b", "c"], "single_label_classification"))
    return backbone, made


def tagged(
    family: str, folder: Path, head: type[nn.Module] = LinearHead, depth: int | None = None
) -> tuple[Any, nn.Module]:
    """A random encoder, cut after `depth` stages, with a head on every token, as a run exports them."""
    shape = tiny.text_shape(family) if family in tiny.TEXTS else tiny.BERT
    backbone, made = pretrained.build({"model_type": family, **shape}).eval(), head(16, 3).eval()
    backbone.depth = depth or backbone.depth
    weights.save(backbone, folder)
    interchange.write(backbone, folder, head=Tagger(linear_layers(made), ["B-a", "I-a", "O"]))
    return backbone, made


@pytest.mark.parametrize("family", sorted(TAGGERS))
def test_a_head_on_words_is_a_tagger_of_transformers(family: str, tmp_path: Path) -> None:
    backbone, head = tagged(family, tmp_path)
    model, info = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path, output_loading_info=True, **CHECKPOINT
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    tokens = torch.randint(5, 60, (2, 7))
    with torch.no_grad():
        ours = head(backbone.run({"x": tokens, "lengths": torch.tensor([7, 7])})["x"])
        torch.testing.assert_close(model.eval()(tokens).logits, ours, rtol=0, atol=1e-5)
    assert model.config.id2label[2] == "O"


@pytest.mark.parametrize(
    ("family", "head", "depth"),
    [("modernbert", LinearHead, None), ("bert", MLPHead, None), ("bert", LinearHead, 2), ("gpt2", LinearHead, 2)],
)
def test_any_other_head_on_words_is_refused(
    family: str, head: type[nn.Module], depth: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tagged(family, tmp_path, head, depth)
    instead = r"use mmtransfer\.load\(RUN\)\.predict\(lists of words\)"
    monitor = logging.getLogger("transformers")
    monitor.addHandler(caplog.handler)
    try:
        with pytest.raises(RuntimeError, match="look at the above report"):
            transformers.AutoModelForTokenClassification.from_pretrained(tmp_path, trust_remote_code=False)
    finally:
        monitor.removeHandler(caplog.handler)
    assert re.search(instead, caplog.text)
    for task in ("token-classification", "ner"):
        with pytest.raises(AttributeError, match=instead):
            transformers.pipeline(task, str(tmp_path))
    _, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True, trust_remote_code=False)
    cut = ("pooler", "encoder.layer.1.", "h.1.", "ln_f.")
    assert all(any(part in name for part in cut) for name in info["missing_keys"])


@pytest.mark.parametrize("family", ["vit", "dinov2", "convnextv2"])
def test_a_head_on_pictures_is_a_classifier_of_transformers(tmp_path: Path, family: str) -> None:
    backbone = pretrained.build({"model_type": family, **tiny.IMAGES[family]}).eval()
    backbone.preprocess |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    head = LinearHead(backbone.width, 3)
    weights.save(backbone, tmp_path)
    classifier = Classifier(linear_layers(head), ["a", "b", "c"], "single_label_classification")
    interchange.write(backbone, tmp_path, head=classifier)
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path, **CHECKPOINT).eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        ours = head(backbone.pool(backbone.run({"x": pixels})))
        torch.testing.assert_close(model(pixels).logits, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "words",
    [[], ["--image-size", 48, "--crop-pct", 0.75, "--mean", 0.1, 0.2, 0.3, "--std", 0.4, 0.5, 0.6]],
)
def test_transformers_prepares_pictures_as_the_run_does(command: Command, tmp_path: Path, words: list[Any]) -> None:
    flags = tiny.images(tmp_path)[:4]
    tiny.image_checkpoint(tmp_path / "checkpoint", "convnextv2")
    flags += ["--backbone", str(tmp_path / "checkpoint"), "--strategy", "linear-probe", "--threads", "1"]
    status, _, said = command("fit", IMAGE, *flags, *words, "--out", tmp_path / "run")
    assert status == 0, said
    run, model = mmt.load(tmp_path / "run"), str(tmp_path / "run/model")
    pictures = [Image.fromarray(p) for p in np.random.default_rng(1).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)]
    processor = transformers.AutoImageProcessor.from_pretrained(model, trust_remote_code=False)
    theirs = processor(pictures, return_tensors="pt")["pixel_values"]
    transform = run.model.task.input.transform
    ours = transform.normalise(torch.stack([transform(picture) for picture in pictures]))
    assert transform.crop_pct == (0.75 if words else 1.0)  # the checkpoint's own
    assert theirs.shape == ours.shape == (4, 3, *([48, 48] if words else [32, 32]))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1.01 / 255 / min(transform.std))
    found = transformers.pipeline("image-classification", model)(pictures)
    for their, own in zip(found, run.predict(pictures), strict=True):
        assert {one["label"]: one["score"] for one in their} == pytest.approx(own.scores, abs=0.02)


def test_a_head_on_recordings_is_a_classifier_of_transformers(command: Command, tmp_path: Path) -> None:
    words = [*tiny.speech(tmp_path), "--weights", "none", "--label-column", "text", "--strategy", "linear-probe"]
    status, _, said = command("fit", AUDIO, *words, "--threads", 1, "--out", tmp_path / "run")
    assert status == 0, said
    run = mmt.load(tmp_path / "run")
    model = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "run/model", **CHECKPOINT).eval()
    sound = 0.1 * torch.randn(4000)
    expected = run.predict([(sound.numpy(), 16000)])[0]
    normalised = (sound - sound.mean()) / torch.sqrt(sound.var(correction=0) + 1e-7)
    with torch.no_grad():
        scores = model(normalised[None]).logits.softmax(-1)[0]
    assert model.config.id2label[int(scores.argmax())] == expected.label
    assert float(scores.max()) == pytest.approx(expected.score, abs=1e-4)
    with pytest.raises(MMTransferError, match="nothing is heard|too short"):
        run.predict([(sound[:3].numpy(), 16000)])


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_a_checkpoint_that_weighs_layers_is_exported_as_what_the_head_sees(tmp_path: Path, family: str) -> None:
    shape = {"model_type": family, **tiny.WAV2VEC2, "use_weighted_layer_sum": True}
    backbone = pretrained.build(shape).eval()
    backbone.pooling = "mean"
    head = LinearHead(backbone.width, 3)
    weights.save(backbone, tmp_path)
    classifier = Classifier(linear_layers(head), ["a", "b", "c"], "single_label_classification")
    interchange.write(backbone, tmp_path, head=classifier)
    model, info = transformers.AutoModelForAudioClassification.from_pretrained(
        tmp_path, output_loading_info=True, **CHECKPOINT
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    x = torch.randn(1, 1500)
    with torch.no_grad():
        ours = head(backbone.pool(backbone.run({"x": x, "lengths": torch.tensor([1500])})))
        torch.testing.assert_close(model.eval()(x).logits, ours, rtol=0, atol=1e-5)
