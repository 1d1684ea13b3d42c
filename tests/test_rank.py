"""Ranking backbones: scores, who beats whom, features that `fit` finds again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer import cli
from mmtransfer.config import SPEECH, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score
from mmtransfer.rank import Ranked, _beats, rank


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from transformers import BertConfig, BertTokenizerFast

    folder = tmp_path_factory.mktemp("rank")
    flags = tiny.text(folder)
    other = folder / "wide"
    BertTokenizerFast(str(folder / "bert" / "vocab.txt")).save_pretrained(other)
    BertConfig(**{**tiny.BERT, "hidden_size": 32, "intermediate_size": 64}).save_pretrained(other)
    return folder, flags[1], [str(folder / "bert"), str(other)]


def test_backbones_are_ranked_and_their_features_found_by_fit(data, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    folder, train, names = data
    common = ["--weights", "none", "--threads", "1", "--max-length", "32", "--cache-dir", str(folder / "cache")]
    cli.main(["rank", TEXT, "--train", train, "--backbones", *names, "--folds", "3", *common])
    printed = capsys.readouterr().out
    assert "*" in printed and "examples/s" in printed and "95 % interval" in printed and names[1] in printed
    given = {"threads": 1, "weights": "none", "max_length": 32, "cache_dir": str(folder / "cache")}
    found = rank(TEXT, train, names, folds=3, **given)
    assert [one.hits for one in found] == [1, 1]
    assert found[0].score.value >= found[1].score.value and any(one.best for one in found)
    assert all(one.score.n == 48 and one.score.low < one.score.value < one.score.high for one in found)
    assert {one.backbone for one in found} == set(names) and all(one.examples_per_second > 0 for one in found)
    wide = next(one for one in found if one.backbone == names[1])
    assert wide.bytes > 4 * wide.parameters * 0.99
    run = mmt.fit(task=TEXT, train=train, backbone=names[0], strategy="linear-probe", out=str(folder / "run"), **given)
    assert run.result["cache"]["hits"] == 1
    same = rank(TEXT, train, names[:1], **given)[0]
    assert (run.metrics["validation"]["accuracy"]["value"], run.result["phases"][0]["penalty"]) == (
        same.score.value,
        same.penalty,
    )


def test_several_labels_are_scored_at_their_best_threshold_and_classes_weighed(data, tmp_path):
    _, train, names = data
    given = {"threads": 1, "weights": "none", "max_length": 32, "cache_dir": str(tmp_path / "cache")}
    rows = [f"a {chr(98 + n)} c,{'rare' if n < 3 else ''}" for n in range(20)]
    several = tmp_path / "several.csv"
    several.write_text("\n".join(["text,label", *rows]) + "\n")
    assert rank(TEXT, str(several), names[:1], folds=3, target="multi-label", **given)[0].score.value > 0
    rows = [*["a,rare"] * 8, *["a,common"] * 12, *["z y x,common"] * 20]
    uneven = tmp_path / "uneven.csv"
    uneven.write_text("\n".join(["text,label", *rows]) + "\n")
    plain, weighed = (
        rank(TEXT, str(uneven), names[:1], folds=2, class_weights=weights, **given)[0] for weights in ("none", "auto")
    )
    assert plain.score.value == 0.8 and weighed.score.value == 0.7


def test_two_examples_can_be_ranked_on(data, tmp_path):
    (tmp_path / "two.csv").write_text("text,label\na b,x\nc d,y\ne f,x\ng h,y\n")
    given = {"threads": 1, "weights": "none", "max_length": 32, "cache_dir": str(tmp_path / "cache")}
    found = rank(TEXT, str(tmp_path / "two.csv"), data[2][:1], folds=2, shots=1, **given)
    assert found[0].examples_per_second > 0


def test_a_task_without_an_exact_probe_and_no_backbones_are_refused(data):
    with pytest.raises(MMTransferError, match="speech-recognition has no exact probe"):
        rank(SPEECH, "x", ["wav2vec2-small"])
    with pytest.raises(MMTransferError, match="No backbones to compare"):
        rank(TEXT, data[1], [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rank", TEXT, "--backbones", "a", "--folds", "1"], "--folds must be 2 or more, not 1"),
        (["rank", TEXT, "--backbones", "a", "--strategy", "full"], "rank does not read --strategy"),
        (["rank", TEXT, "--backbones", "a", "--strategy.layer", "1"], "rank does not read --strategy.layer"),
        (["rank", "text", "--backbones", "a"], "Unknown task 'text'"),
        (["cache", "ls", "--cachedir", "x"], "Unknown option --cachedir"),
    ],
)
def test_words_that_rank_and_cache_do_not_know(words, message):
    with pytest.raises(MMTransferError) as error:
        cli.dispatch(words)
    assert error.value.what.startswith(message)


def test_the_cache_is_listed_and_emptied(tmp_path, capsys):
    (tmp_path / "features" / "abcd.partial").mkdir(parents=True)
    (tmp_path / "features" / "abcd.partial" / "0").write_bytes(b"x" * 10**6)
    cli.main(["cache", "ls", "--cache-dir", str(tmp_path)])
    listed = capsys.readouterr().out
    assert "abcd" in listed and "unfinished" in listed and "1.0" in listed
    cli.main(["cache", "rm", "abcd", "--cache-dir", str(tmp_path)])
    assert "1.0 MB freed" in capsys.readouterr().out and not list((tmp_path / "features").iterdir())


def test_one_beats_another_only_if_it_is_worse_in_nothing():
    one = Ranked("a", "accuracy", Score(0.9, 0.8, 1.0, 9, ""), True, 0.1, 1.0, 0, 10, 100.0, 40)
    assert not _beats(one, one)
    assert _beats(one, replace(one, bytes=41)) and not _beats(replace(one, bytes=41), one)
    faster = replace(one, examples_per_second=200.0, score=Score(0.8, 0.7, 0.9, 9, ""))
    assert not _beats(one, faster) and not _beats(faster, one)
    lower = replace(one, higher_is_better=False, score=Score(0.1, 0.0, 0.2, 9, ""))
    assert _beats(lower, replace(lower, score=Score(0.2, 0.1, 0.3, 9, "")))


def test_a_backbone_that_cannot_be_had_is_told_and_left_out(data, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    folder, train, names = data
    common = ["--weights", "none", "--threads", "1", "--max-length", "32", "--cache-dir", folder / "cache"]
    missing = [str(folder / "nowhere"), "no-such-backbone"]
    words = ["rank", TEXT, "--train", train, "--folds", "3", *common, "--backbones"]
    status, printed, said = command(*words, missing[0], names[0], missing[1])
    assert status == 0, said
    rows = printed.split("─\n", 1)[1].splitlines()[:3]
    assert len(rows) == 3 and names[0] in rows[0]
    for name, row, last in zip(missing, rows[1:], said.splitlines()[-2:], strict=True):
        assert name in row and "not to be had" in row and f"{name} is not ranked" in last
    status, printed, said = command(*words, *missing)
    assert status == 2 and "No such folder" in said and not printed
    status, _, said = command(*["nope.csv" if word == train else word for word in words], *names)
    assert status == 2 and said.count("No such file or folder") == 1 and "left out" not in said


def test_a_backbone_is_named_with_its_weights(data, tmp_path):
    from safetensors.torch import save_file

    from mmtransfer import backbones

    _, train, names = data
    file = str(tmp_path / "bert.safetensors")
    state = backbones.load(names[0], "none").library_state()
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    given = {"threads": 1, "max_length": 32, "folds": 3, "cache": "off"}
    found = rank(TEXT, train, [f"{names[0]}={file}", f"{names[0]}={tmp_path}/none.safetensors"], **given)
    (alone,) = rank(TEXT, train, names[:1], weights=file, **given)
    assert [one.backbone for one in found] == [f"{names[0]}={file}"] and found[0].score == alone.score
    assert "No such weights file" in str(found.missing[f"{names[0]}={tmp_path}/none.safetensors"])
