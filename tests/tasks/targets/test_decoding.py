"""Transcripts by beam search: chosen on validation data, kept with the model, refused where there is none."""

from __future__ import annotations

import json
import logging
import sys

import numpy as np
import pytest
import tiny
import torch

import mmtransfer as mmt
from mmtransfer.backbones import pretrained
from mmtransfer.cli.flags import parse
from mmtransfer.config import SPEECH
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.language.scorer import Weights
from mmtransfer.resolution import complete
from mmtransfer.tasks import TASKS
from mmtransfer.tasks.targets import decoding

TWO_CONVOLUTIONS = {"conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2)}
SHAPE = {"model_type": "wav2vec2", **tiny.WAV2VEC2, **TWO_CONVOLUTIONS}
SAID = ["go on", "go on", "stop", "go on", "stop now"]


def target_of(texts=SAID, **settings):
    rows = [(np.random.default_rng(0).normal(size=900).astype(np.float32), text) for text in texts]
    task = TASKS[SPEECH].make(complete({"task": SPEECH, "train": "-", **settings}), pretrained.build(SHAPE))
    task.prepare(sources.load(rows, "audio"))
    return task.target


def heard(target, texts, wrong: str = "", loud: float = 0.9):
    """Outputs in which every text is said, with a blank behind each symbol; of the symbols in `wrong` another one is
    the best by a little."""
    rows = []
    for text in texts:
        row = []
        for character in text:
            number = target.numbers[character]
            frame = np.full(len(target.symbols), (1 - loud) / (len(target.symbols) - 1))
            frame[number] = loud
            if character in wrong:
                frame[number], frame[target.numbers["p"]] = 0.42, 0.48
                frame /= frame.sum()
            blank = np.full(len(target.symbols), 1e-4)
            blank[0] = 1
            row += [frame, blank]
        rows.append(torch.tensor(np.log(np.array(row))).log_softmax(-1))
    lengths = torch.tensor([len(row) for row in rows])
    return {"log_probs": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).float(), "lengths": lengths}


def settled(target, texts, wrong=""):
    def records():
        predictions = target.predict(heard(target, texts, wrong))
        known = {"id": list(map(str, texts)), "target": list(texts)}
        return {**known, "prediction": predictions.answers, **predictions.columns}

    return target.settle(records)


def test_it_is_used_where_it_makes_fewer_errors(caplog):
    target = target_of()
    with caplog.at_level(logging.INFO, "mmtransfer"):
        records = settled(target, ["go on", "stop now"], wrong="g")
    assert records["prediction"] == ["go on", "stop now"] and records["greedy"] == ["po on", "stop now"]
    assert "0 word errors on validation data, 1 without; used" in caplog.text
    assert "log_probs" not in records
    found = target.predict(heard(target, ["stop", "go on"], wrong="g"))
    assert found.answers == ["stop", "go on"] and found.columns["greedy"] == ["stop", "po on"]
    scores = target.measure({**records, "speaker": [None, None]})
    assert (scores["wer"].value, scores["wer_greedy"].value) == (0, 0.25)


def test_it_is_not_used_where_it_does_not_help():
    target = target_of()
    records = settled(target, ["go on", "stop now"])
    assert "greedy" not in records and target.decoder is None
    assert "greedy" not in target.predict(heard(target, ["stop"])).columns
    assert "decoder" not in target.state()


def test_it_is_not_tried_where_nothing_is_heard(monkeypatch):
    target = target_of()
    monkeypatch.setattr(decoding.Decoder, "choose", None)
    assert "greedy" not in settled(target, ["go on"], wrong="gon") and target.decoder is None


def test_it_is_used_where_it_is_asked_for():
    target = target_of(decode="beam")
    assert settled(target, ["go on"])["prediction"] == ["go on"]
    assert target.decoder is not None


def test_greedy_makes_no_models():
    target = target_of(decode="greedy")
    assert settled(target, ["go on"], wrong="g")["prediction"] == ["po on"]
    with pytest.raises(MMTransferError, match="reads no language model"):
        target_of(decode="greedy", lm="none")


def test_the_model_is_of_the_training_transcripts_alone():
    target = target_of()
    settled(target, ["now go", "go on"], wrong="g")
    assert target.decoder.words.words[3:] == ["go", "on", "stop", "now"]
    assert target.decoder.words.score(["now", "go"]) < target.decoder.words.score(["stop", "now"]) - 1


def test_without_a_language_model():
    target = target_of(lm="none", decode="beam")
    assert settled(target, ["go on"], wrong="g")["prediction"] == ["po on"]
    assert target.state()["decoder"]["model"] == 0


def test_it_is_kept_with_the_model(tmp_path):
    target = target_of()
    settled(target, ["go on", "stop now"], wrong="g")
    target.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(decoding.FILES)
    state = json.loads(json.dumps(target.state()))
    other = target_of()
    other.restore(state)
    other.load(tmp_path)
    outputs = heard(other, ["go on", "nog"], wrong="g")
    assert other.decoder.weights == target.decoder.weights
    assert other.predict(outputs).answers == target.predict(outputs).answers
    frames = [row.numpy() for row in outputs["log_probs"]]
    assert other.decoder.hypotheses(frames, 5) == target.decoder.hypotheses(frames, 5)
    (tmp_path / "words.arpa").write_text("\\data\\\nngram 1=3\n")
    with pytest.raises(MMTransferError, match="words.arpa cannot be read"):
        other.load(tmp_path)


def test_a_run_without_a_beam_search_has_none_to_ask_for(tmp_path):
    target = target_of(decode="beam")
    target.restore({"symbols": target.symbols})
    with pytest.raises(MMTransferError, match="no beam search for this model"):
        target.load(tmp_path)


def test_an_unknown_word_is_spelled():
    target = target_of(["go on", "stop now", "stop", "go"] * 3, decode="beam")
    settled(target, ["go on"])
    target.decoder.weights = Weights(1.0, 0.0)
    assert target.predict(heard(target, ["song go"], "", 0.999)).answers == ["song go"]


def test_a_text_and_its_words_without_symbols(tmp_path, caplog):
    (tmp_path / "text").write_text("Go on\nstop now\ncafé\n")
    target = target_of(lm=str(tmp_path / "text"), lm_order=5)
    assert "1 of 5 words have characters that are no symbols, and are left out: café" in caplog.text
    assert "its longest line allows n-grams of 4 words" in caplog.text
    records = settled(target, ["go on", "stop now"], wrong="g")
    assert records["prediction"] == ["go on", "stop now"]


@pytest.mark.parametrize(
    "text, told",
    [("", "There are no words"), ("привет\n", "No word of the language model can be spelled"), (None, "No such file")],
)
def test_texts_that_are_none(tmp_path, text, told):
    if text is not None:
        (tmp_path / "text").write_text(text)
    with pytest.raises(MMTransferError, match=told) as found:
        target_of(lm=str(tmp_path / "text"))
    assert "--lm" in found.value.where


def test_one_word_is_a_vocabulary():
    target = target_of(["go", "go"])
    assert settled(target, ["go"], wrong="")["prediction"] == ["go"]
    silence = {"log_probs": torch.zeros(1, 9, len(target.symbols)).log_softmax(-1), "lengths": torch.tensor([0])}
    target.decoder = target._offered
    assert target.predict(silence).answers == [""]


@pytest.mark.parametrize("decode", ["greedy", "beam"])
def test_a_recording_without_speech_has_no_words(decode):
    target = target_of(decode=decode)
    settled(target, ["go on"])
    target.wants_times = True
    blanks = torch.full((1, 50, len(target.symbols)), 1e-3)
    blanks[..., 0] = 0.9
    found = target.predict({"log_probs": blanks.log(), "lengths": torch.tensor([50])})
    record = {name: values[0] for name, values in found.columns.items()}
    joined = target.join([{**record, "prediction": found.answers[0], "begin": 0.0, "seconds": 1.0}])
    shown = target.present({**joined, "id": "a.wav"})
    assert (shown.label, shown.words) == ("", ()) and shown.score == pytest.approx(0.9, abs=0.01)


def test_transcripts_without_a_letter_of_the_symbols():
    assert target_of()._offer(["привет"]) is None
    with pytest.raises(MMTransferError, match="There are no words"):
        target_of(decode="beam")._offer(["привет"])


def test_weights_are_the_first_of_the_best(monkeypatch):
    target, asked = target_of(), []

    def errors(frames, answers, weights):
        asked.append(weights)
        return {1.0: 3, 2.0: 3}.get(weights.model, 5) - (weights.word in (-1.0, 2.0)) - (weights == Weights(3.0, -1.0))

    monkeypatch.setattr(target._offered, "_errors", errors)
    target._offered.choose([np.zeros((4, 5))], ["go"])
    assert target._offered.weights == Weights(1.0, -1.0)
    assert asked[-1] == Weights(3.0, -1.0)


def test_few_recordings_of_many_choose(monkeypatch):
    monkeypatch.setattr(decoding, "ENOUGH", 100)
    target, lengths = target_of(), []
    monkeypatch.setattr(target._offered, "_errors", lambda frames, answers, weights: lengths.append(len(frames)) or 0)
    target._offered.choose([np.zeros((30, 5))] * 10, ["go"] * 10)
    assert set(lengths) == {4}


def test_a_text_rule_is_for_transcripts_language_and_scores(tmp_path, caplog):
    (tmp_path / "text").write_text("Go, on!\n")
    target = target_of(["Go on!", "Stop - now. 7"], text_rule="basic", lm=str(tmp_path / "text"))
    assert target.symbols[2:] == sorted(set("goonstopnow7"))
    assert target._offered.words.words[3:] == ["go", "on"]
    assert "1 of 2 transcripts hold digits, which --text-rule basic leaves as they are" in caplog.text
    records = {"target": [target.answer("Go on!")], "prediction": ["go on"], "transcript": ["Go on!"]}
    scores = target.measure(records)
    assert (scores["wer"].value, scores["wer_raw"].value) == (0, 1)
    assert scores["wer"].method.endswith("text rule basic") and "rule" not in scores["wer_raw"].method
    other = target_of(text_rule="basic")
    other.restore(json.loads(json.dumps(target.state())))
    assert other.answer("Go?") == "go"
    with pytest.raises(ValueError, match="no text rule 'french'"):
        other.restore({**target.state(), "text_rule": "french"})


def test_without_a_rule_punctuation_counts():
    target = target_of(["Go on!", "stop"])
    assert "!" in target.symbols
    assert set(target.measure({"target": ["go on!"], "prediction": ["go on"]})) == {"wer", "cer"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoded")
    settings = parse(SPEECH, tiny.speech(folder), {}, "a test")
    quick = {**tiny.QUICK, "decode": "beam", "lm_order": 2}
    return mmt.fit(**{**settings, **quick, "task": SPEECH, "test": settings["validation"], "out": str(folder / "run")})


def test_a_run_says_both_and_gives_the_same_again(run):
    scores = run.metrics["test"]
    assert {"wer", "cer", "wer_greedy", "cer_greedy"} <= set(scores)
    again = run.evaluate(run.config.test)
    assert {name: score.value for name, score in again.items()} == {name: s["value"] for name, s in scores.items()}
    assert (run.folder.model / "words.arpa").is_file()
    greedy = mmt.load(run.folder.path, decode="greedy").evaluate(run.config.test)
    assert greedy["wer"].value == scores["wer_greedy"]["value"] and "wer_greedy" not in greedy


def test_what_a_run_decodes_is_decoded_again(run):
    import pyarrow.parquet

    stored = pyarrow.parquet.read_table(run.folder.predictions("test")).to_pydict()
    labels = {one.id: one.label for one in run.predict(run.config.test)}
    assert [labels[name] for name in stored["id"]] == stored["prediction"]


def test_words_have_times_in_their_recording(run):
    from pathlib import Path

    file = Path(run.config.test) / "3.wav"
    one = run.predict([str(file)])[0]
    assert [word.text for word in one.words] == one.label.split()
    edges = [edge for word in one.words for edge in (word.start, word.end)]
    assert edges == sorted(edges) and all(0 <= edge <= 4000 / 16000 for edge in edges)
    assert all(0 < word.score <= 1 for word in one.words)


def test_a_task_that_is_no_transcript(run, monkeypatch, capsys):
    from mmtransfer.cli import main

    for words in (
        ["fit", "image-classification", "--train", "builtin:digits", "--decode", "beam"],
        ["fit", "text-classification", "--train", "builtin:library", "--lm", "none"],
    ):
        monkeypatch.setattr(sys, "argv", ["mmtransfer", *words])
        with pytest.raises(SystemExit) as found:
            main()
        assert found.value.code == 2
        assert f"does not read {words[-2]}" in capsys.readouterr().err
    settings = {**run.config.as_dict(), "task": "audio-classification"}
    with pytest.raises(MMTransferError, match="audio-classification does not read decode="):
        complete({**{name: settings[name] for name in ("task", "train", "backbone")}, "decode": "beam"}, "RUN")
