"""Backbones of every kind through the command line: sizes, poolings, vocabularies, and heads that checkpoints carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import tiny
import torch
import torchvision
import transformers
from torch import nn

import mmtransfer
from mmtransfer import api, cli
from mmtransfer.config import IMAGE, SPEECH, TEXT


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([*map(str, words), "--threads", "1"] if words[0] == "fit" else [*map(str, words)])
    assert caught.value.code == 2
    return capsys.readouterr().err


def fit(task: str, out: Path, *words: object) -> api.Run:
    cli.main(["fit", task, *map(str, words), "--epochs", "1", "--threads", "1", "--out", str(out)])
    return api.load(out)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    return tiny.images(tmp_path)[:4]


def test_pictures_of_another_size_than_the_network_can_take(
    pictures: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def message(name: str, size: int) -> str:
        out = tmp_path / "refused"
        flags = ["--backbone", name, "--weights", "none", "--image-size", size, "--out", out]
        found = refused(capsys, "fit", IMAGE, *pictures, *flags)
        assert not out.exists()
        return found

    assert "inception_v3 takes images of 299 pixels, not 224" in message("inception_v3", 224)
    found = message("vit_b_32", 256)
    assert "vit_b_32 takes images of 224 pixels, not 256" in found and "give --image-size 224, or leave it out" in found
    assert "Images of 32 pixels leave nothing for the last layers of alexnet" in message("alexnet", 32)


def test_a_text_backbone_for_pictures(pictures: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    backbone = tiny.text(tmp_path)[5]
    message = refused(capsys, "fit", IMAGE, *pictures, "--backbone", backbone, "--out", tmp_path / "refused")
    assert "is a backbone for text, the task needs one for image" in message


def test_the_size_of_pictures_comes_from_the_backbone(pictures: list[str], tmp_path: Path) -> None:
    flags = ["--backbone", "mnasnet0_5", "--weights", "none", "--strategy", "linear-probe"]
    small = [*flags, "--train", pictures[1], "--validation-fraction", 0.5]
    run = fit(IMAGE, tmp_path / "run", *small)
    assert run.config.image_size == 224
    assert json.loads((tmp_path / "run/config.json").read_text())["image_size"] == 224


def encoder(folder: Path) -> list[str]:
    """Flags of the tiny texts, with an encoder that has weights."""
    flags = tiny.text(folder)
    transformers.BertModel(transformers.BertConfig.from_pretrained(folder / "bert")).save_pretrained(folder / "bert")
    return flags


def test_pooling_is_part_of_the_run(tmp_path: Path) -> None:
    flags = encoder(tmp_path)
    run = fit(TEXT, tmp_path / "run", *flags, "--pooling", "cls", "--strategy", "linear-probe")
    assert run.config.pooling == "cls" and run.model.backbone.pooling == "cls"
    onward = [*flags[:5], tmp_path / "run", *flags[6:]]
    again = fit(TEXT, tmp_path / "again", *onward, "--strategy", "linear-probe")
    assert again.config.pooling == "cls"
    model = transformers.AutoModel.from_pretrained(tmp_path / "run/model", add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run/model")
    with torch.no_grad():
        features = model(**tokenizer("a b c", return_tensors="pt")).last_hidden_state[:, 0]
        scores = run.model.head(features).softmax(-1)[0].tolist()
    assert list(run.predict(["a b c"])[0].scores.values()) == pytest.approx(scores, abs=1e-5)


def checkpoint(folder: Path, symbols: list[str], blank: int) -> Path:
    """The tiny Wav2Vec2 of these tests as a CTC checkpoint that says nothing but its first letters."""
    config = transformers.Wav2Vec2Config.from_pretrained(folder / "wav2vec2", vocab_size=len(symbols))
    config.pad_token_id = blank
    model = transformers.Wav2Vec2ForCTC(config)
    nn.init.normal_(model.lm_head.weight)
    place = folder / "ctc"
    model.save_pretrained(place)
    (place / "vocab.json").write_text(json.dumps({symbol: number for number, symbol in enumerate(symbols)}))
    transformers.Wav2Vec2CTCTokenizer(
        str(place / "vocab.json"), pad_token=symbols[blank], word_delimiter_token="|", unk_token="<unk>"
    ).save_pretrained(place)
    return place


def test_the_vocabulary_of_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = tiny.speech(tmp_path)
    place = checkpoint(tmp_path, ["|", "<unk>", "B", "A", "<pad>"], 4)
    flags[flags.index("--backbone") + 1] = str(place)
    run = fit(
        SPEECH,
        tmp_path / "run",
        *flags,
        "--vocabulary",
        "backbone",
        "--strategy",
        "linear-probe",
        "--strategy.head-lr",
        1e-12,
        "--decode",
        "greedy",
    )
    task = run.model.task
    assert task.state() == {"symbols": ["<blank>", "|", "", "B", "A"], "case": "upper", "text_rule": "none"}
    assert task.target.answer("ab  ba") == "AB BA"
    # transformers decodes the checkpoint as the run does, whose head has hardly moved
    source = transformers.AutoModelForCTC.from_pretrained(place).eval()
    processor = transformers.AutoTokenizer.from_pretrained(place)
    before = api.evaluate_backbone(str(place), flags[3])
    samples, _ = soundfile.read(tmp_path / "speech/validation/0.wav", dtype="float32")
    wave = torch.from_numpy((samples - samples.mean()) / samples.std())[None]
    with torch.no_grad():
        heard = processor.decode(source(wave).logits.argmax(-1)[0])
    assert " ".join(heard.replace("<unk>", "").split()) == run.predict(str(tmp_path / "speech/validation/0.wav")).label
    assert before["cer"].value == pytest.approx(run.evaluate(flags[3])["cer"].value)
    # and the run goes on as a backbone with its vocabulary
    onward = fit(
        SPEECH,
        tmp_path / "onward",
        *flags[:4],
        "--backbone",
        tmp_path / "run",
        "--vocabulary",
        "backbone",
        "--strategy",
        "linear-probe",
    )
    assert onward.model.task.state()["symbols"] == ["<blank>", "|", "", "B", "A"]


def test_a_vocabulary_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = tiny.speech(tmp_path)
    words = ["--vocabulary", "backbone", "--weights", "none", "--out", tmp_path / "refused"]
    message = refused(capsys, "fit", SPEECH, *flags, *words)
    assert "carries no head" in message and "where: --vocabulary backbone" in message
    assert "--vocabulary train" in message and not (tmp_path / "refused").exists()


def classifier(folder: Path) -> Path:
    place = folder / "bert"
    config = transformers.BertConfig.from_pretrained(place, id2label={0: "X", 1: "Y"})
    transformers.BertForSequenceClassification(config).save_pretrained(place)
    return place


def test_a_text_classifier_is_evaluated_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = tiny.text(tmp_path)
    place = classifier(tmp_path)
    cli.main(["evaluate", str(place), "--test", flags[3]])
    shown = capsys.readouterr().out
    assert "accuracy" in shown and "95 % interval" in shown
    scores = mmtransfer.evaluate(place, flags[3])
    assert scores == api.evaluate_backbone(str(place), flags[3])
    assert scores["accuracy"].n == 12 and scores["accuracy"].low < scores["accuracy"].value < scores["accuracy"].high
    rows = (tmp_path / "validation.csv").read_text().replace(",y\n", ",maybe\n")
    (tmp_path / "strange.csv").write_text(rows)
    message = refused(capsys, "evaluate", place, "--test", tmp_path / "strange.csv")
    assert "1 label(s) that the checkpoint does not have: 'maybe'" in message and "2 labels" in message


def test_a_network_for_pictures_is_evaluated_with_its_classes(
    tmp_path: Path, pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "images/validation"
    for name, number in (("a", "0"), ("b", "1")):
        (place / name).rename(place / number)
    torch.save(torchvision.models.mnasnet0_5(num_classes=2).state_dict(), tmp_path / "w.pth")
    cli.main(["evaluate", "mnasnet0_5", "--weights", str(tmp_path / "w.pth"), "--test", str(place)])
    assert "accuracy" in capsys.readouterr().out
    (place / "1").rename(place / "bird")
    message = refused(capsys, "evaluate", "mnasnet0_5", "--weights", tmp_path / "w.pth", "--test", place)
    assert "'bird'" in message


def test_what_cannot_be_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = encoder(tmp_path)
    message = refused(capsys, "evaluate", tmp_path / "bert", "--test", flags[3])
    assert "carries no head" in message and "mmtransfer fit TASK" in message
    assert "Not a run folder" in refused(capsys, "evaluate", tmp_path / "nothing", "--test", flags[3])
    run = fit(TEXT, tmp_path / "run", *flags, "--strategy", "linear-probe")
    message = refused(capsys, "evaluate", run.folder.path, "--test", flags[3], "--weights", "x.pth")
    assert "A run has its own weights" in message
