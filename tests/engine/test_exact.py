"""Heads found exactly inside a run: what is scored, what is left, what is refused."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pyarrow.parquet
import pytest
import tiny
from safetensors.torch import load_file, save_file
from torch import equal

import mmtransfer as mmt
from mmtransfer.cli.ending import show
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.engine import exact
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import probe

PROBE = ["--weights", "none", "--threads", "1", "--strategy", "linear-probe"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact")
    return folder, {IMAGE: tiny.images(folder), TEXT: tiny.text(folder), SPEECH: tiny.speech(folder)}


@pytest.fixture
def flags(places, monkeypatch):
    monkeypatch.setenv("MMTRANSFER_CACHE", str(places[0] / "cache"))
    logging.getLogger("mmtransfer").propagate = True
    return places[1]


def fit(task: str, flags: list[str], out) -> mmt.Run:
    return mmt.fit(**parse(task, [*flags, "--out", str(out)], {}, "a test"))


def without_validation(flags: list[str]) -> list[str]:
    place = flags.index("--validation")
    return [*flags[:place], *flags[place + 2 :]]


def test_the_probe_is_exact_and_its_validation_score_is_of_a_head_that_has_not_seen_it(flags, tmp_path, monkeypatch):
    heads, put = [], exact._put

    def noting(head, model):
        put(head, model)
        heads.append(head.linear.weight.clone())

    monkeypatch.setattr(exact, "_put", noting)
    run = fit(TEXT, [*flags[TEXT], *PROBE, "--test", flags[TEXT][3]], tmp_path / "run")
    (phase,) = run.result["phases"]
    assert (phase["name"], phase["solver"], phase["epochs"]) == ("probe", "exact", 0)
    assert len(phase["path"]) >= 5 and phase["penalty"] in [point["penalty"] for point in phase["path"]]
    assert len(heads) == 2 and not equal(*heads)
    assert equal(load_file(run.folder.model / "head.safetensors")["linear.weight"], heads[1])
    value = run.metrics["validation"]["accuracy"]["value"]
    assert phase["best"]["value"] == value == max(point["accuracy"] for point in phase["path"])
    # the test data are the validation data here: predicted by the head that has seen them
    stored = [pyarrow.parquet.read_table(run.folder.predictions(s)).to_pydict() for s in ("validation", "test")]
    assert stored[0]["target"] == stored[1]["target"] and stored[0]["loss"] != stored[1]["loss"]
    assert sum(stored[0]["loss"]) > sum(stored[1]["loss"])
    with open(flags[TEXT][3]) as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    assert [prediction.label for prediction in run.predict(rows)] == stored[1]["prediction"]


def test_the_answer_does_not_depend_on_the_seed_nor_on_the_cache(flags, tmp_path):
    one = fit(TEXT, [*flags[TEXT], *PROBE, "--cache", "off"], tmp_path / "one")
    other = fit(TEXT, [*flags[TEXT], *PROBE, "--seed", "7", "--weights", str(_weights(one))], tmp_path / "other")
    mine, theirs = (load_file(run.folder.model / "head.safetensors") for run in (one, other))
    assert all(equal(mine[name], theirs[name]) for name in mine)
    assert one.result["cache"]["cut"] is None and other.result["cache"]["cut"] == "features"


def _weights(run: mmt.Run):
    return run.folder.model / "backbone.safetensors"


def test_settings_that_would_change_the_answer_are_refused_or_make_the_loop_train(flags, tmp_path):
    for task, extra in ((TEXT, ["--label-smoothing", "0.1"]), (TEXT, ["--weight-decay", "0.3"]), (IMAGE, [])):
        setting = (extra or ["--augment"])[0]  # light, among the flags
        with pytest.raises(MMTransferError) as error:
            fit(task, [*flags[task], *PROBE, *extra, "--strategy.solver", "exact"], tmp_path / "run")
        assert error.value.what.startswith(f"The exact solver does not read {setting}")
        assert "--strategy.solver loop" in error.value.do
    assert not (tmp_path / "run").exists()
    run = fit(TEXT, [*flags[TEXT], *PROBE, "--label-smoothing", "0.1", "--epochs", "1"], tmp_path / "run")
    assert run.result["phases"][0]["solver"] == "loop" and run.result["phases"][0]["epochs"] == 1
    assert any(
        "trained by the loop: the exact solver does not read --label-smoothing" in line
        for line in run.result["warnings"]
    )


def test_features_that_are_no_numbers_are_refused_by_name(flags, tmp_path):
    first = fit(TEXT, [*flags[TEXT], *PROBE], tmp_path / "first")
    weights = load_file(_weights(first))
    name = next(name for name in weights if "word_embeddings" in name)
    weights[name][5 + 25] = 3e38  # the word z: its deviation is beyond float32
    save_file(weights, tmp_path / "damaged.safetensors")
    damaged = [*flags[TEXT], *PROBE, "--weights", str(tmp_path / "damaged.safetensors")]
    with pytest.raises(MMTransferError, match="examples are not finite") as error:
        fit(TEXT, damaged, tmp_path / "run")
    assert "the backbone's output for" in error.value.where and "--precision fp32" in error.value.do


def test_inputs_that_are_all_the_same_are_learned_as_their_labels_shares(flags, tmp_path):
    data = tmp_path / "same.csv"
    data.write_text("text,label\n" + "a b c,x\na b c,x\na b c,y\n" * 10)
    backbone = flags[TEXT][flags[TEXT].index("--backbone") :]
    run = fit(TEXT, ["--train", str(data), "--validation", str(data), *backbone, *PROBE], tmp_path / "run")
    assert run.result["status"] == "finished"
    assert run.predict(["a b c"])[0].scores["x"] == pytest.approx(2 / 3, abs=0.02)


def test_a_path_that_went_on_is_in_the_log(flags, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    run = fit(TEXT, [*flags[TEXT], *PROBE], tmp_path / "run")  # labels say nothing
    tried = [point["penalty"] for point in run.result["phases"][0]["path"]]
    went_on = max(tried) > 0.011 or min(tried) < 0.9e-5
    best = run.result["phases"][0]["penalty"]
    said = "so more were tried" in caplog.text or "that is tried" in caplog.text
    assert said == (went_on or best in (max(tried), min(tried))) and best <= 10


def test_settings_of_the_way_there_are_named_as_unread(flags, tmp_path):
    run = fit(TEXT, [*flags[TEXT], *PROBE, "--epochs", "9", "--lr", "0.1"], tmp_path / "run")
    assert any("--epochs, --lr have no effect" in line for line in run.result["warnings"])
    again = fit(TEXT, ["--config", str(run.folder.config), "--overwrite"], tmp_path / "run")
    assert again.result["status"] == "finished"


def test_ctc_keeps_the_loop_and_refuses_the_exact_solver(flags, tmp_path):
    run = fit(SPEECH, [*flags[SPEECH], *PROBE, "--epochs", "1"], tmp_path / "run")
    assert run.result["phases"][0]["solver"] == "loop" and run.result["phases"][0]["epochs"] == 1
    with pytest.raises(MMTransferError, match="no exact solver(.|\n)*strategy_options=..solver.: .loop.}"):
        fit(SPEECH, [*flags[SPEECH], *PROBE, "--strategy.solver", "exact"], tmp_path / "other")


def test_folds_need_no_validation_data(flags, tmp_path):
    run = fit(TEXT, [*without_validation(flags[TEXT]), *PROBE, "--strategy.folds", "4"], tmp_path / "run")
    assert set(run.result["data"]) == {"train"}
    assert run.metrics["validation"]["accuracy"]["n"] == 48
    stored = pyarrow.parquet.read_table(run.folder.predictions("validation")).to_pydict()
    assert len(set(stored["id"])) == 48 and run.result["primary"]["split"] == "validation"
    assert run.metrics["validation"]["accuracy"]["value"] == run.result["phases"][0]["best"]["value"]


def test_few_examples_are_all_trained_on_and_each_is_scored_by_a_head_that_has_not_seen_it(flags, tmp_path, capsys):
    chosen = [*without_validation(flags[TEXT]), *PROBE]
    run = fit(TEXT, chosen, tmp_path / "run")
    assert {split: found["n"] for split, found in run.result["data"].items()} == {"train": 48}
    assert run.result["phases"][0]["folds"] == 5 and run.metrics["validation"]["accuracy"]["n"] == 48
    assert run.config.strategy_options["folds"] == 5  # decided: a repetition takes as many
    show(run)
    assert "validation, cross-validated on the training data" in capsys.readouterr().out
    asked = fit(TEXT, [*chosen, "--validation-fraction", "0.25"], tmp_path / "asked")
    assert asked.config.strategy_options["folds"] == 0 and asked.metrics["validation"]["accuracy"]["n"] == 12
    given = fit(TEXT, [*flags[TEXT], *PROBE], tmp_path / "given")
    assert given.result["phases"][0]["folds"] is None and "validation" in given.result["data"]


def test_many_examples_are_not_folded(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "FEW", 47)
    run = fit(TEXT, [*without_validation(flags[TEXT]), *PROBE], tmp_path / "run")
    assert set(run.result["data"]) == {"train", "validation"} and run.result["phases"][0]["folds"] is None


def test_folds_keep_groups_whole(flags, tmp_path, monkeypatch):
    with open(flags[TEXT][1]) as file:
        rows = [{**row, "author": f"a{number % 6}"} for number, row in enumerate(csv.DictReader(file))]
    given = {"task": TEXT, **parse(TEXT, [*without_validation(flags[TEXT])[2:], *PROBE], {}, "a test")}
    dealt, real = [], exact.deal

    def noting(rows, ids, folds, seed, groups):
        found = real(rows, ids, folds, seed, groups)
        dealt.append([set(found[[own == name for own in groups]].tolist()) for name in sorted(set(groups))])
        return found

    monkeypatch.setattr(exact, "deal", noting)
    mmt.fit(**{**given, "train": rows, "group_column": "author", "out": str(tmp_path / "run")})
    assert [len(folds) for folds in dealt[0]] == [1] * 6 and len(set.union(*dealt[0])) == 5


def test_one_example_a_class_and_class_names(flags, tmp_path):
    data = tmp_path / "few.csv"
    data.write_text("text,label\na b c,a_b\nx y z,y_z\nk l m,kL\n")
    chosen = [*without_validation(flags[TEXT])[2:], "--train", str(data), *PROBE, "--strategy.prior", "names"]
    run = fit(TEXT, chosen, tmp_path / "run")
    assert run.result["phases"][0]["scale"] is not None
    assert len(run.predict(["a b", "y z"])) == 2


def named(folder, rows: str) -> list[str]:
    """Flags of a run on these rows that uses the class names alone."""
    (folder / "named.csv").write_text(f"text,label\n{rows}")
    return ["--train", str(folder / "named.csv"), "--shots", "0", *PROBE, "--strategy.prior", "names"]


def test_without_examples_the_class_names_alone_make_the_head(flags, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    rest = without_validation(flags[TEXT])[2:]
    run = fit(TEXT, [*rest, *named(tmp_path, "a b c,a_b\nx y z,xYZ\nk l m,kL\nb a,a_b\n")], tmp_path / "run")
    features = run.embed(["a b", "k L", "x YZ"]).values.astype(np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    expected = 8 * features / norms / norms.mean()
    head = load_file(run.folder.model / "head.safetensors")
    assert head["linear.weight"].numpy() == pytest.approx(expected, rel=1e-4)
    assert not head["linear.bias"].any()
    texts = ["k L", "c d e f g", "a b"]
    cosines = run.embed(texts).values @ (features / norms).T
    labels = [["a_b", "kL", "xYZ"][number] for number in cosines.argmax(1)]
    assert [prediction.label for prediction in run.predict(texts)] == labels
    # what is not trained on is scored
    assert run.result["data"]["train"]["n"] == 0 and run.metrics["validation"]["accuracy"]["n"] == 4
    assert "validation: all training examples, of which none is trained on" in caplog.text
    assert "Infinity" not in run.folder.result.read_text() and run.result["phases"][0]["penalty"] is None
    other = [*rest, *named(tmp_path, "z,kL\ny,xYZ\nx,a_b\n"), "--cache", "off"]
    data = tmp_path / "test.csv"
    data.write_text("text,label\na b,a_b\nk L,kL\n")
    own = fit(TEXT, [*other, "--validation", str(data), "--test", str(data)], tmp_path / "own")
    again = load_file(own.folder.model / "head.safetensors")
    assert all(equal(head[name], again[name]) for name in head), "the examples change nothing"
    assert [own.metrics[split]["accuracy"]["n"] for split in ("validation", "test")] == [2, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strategy.prior", "none"], "only the classes' names(.|\n)*.prior.: .names.., or shots=1"),
        (["--strategy.folds", "3"], "Without examples strategy_options=..folds.: .... has nothing"),
        (["--strategy.layer", "1"], "Without examples strategy_options=..layer.: .... has nothing"),
        (["--class-weights", "auto"], "Without examples class_weights= has nothing"),
        (["--target", "multi-label"], "Without examples target= has nothing"),
    ],
)
def test_without_examples_what_would_need_some_is_refused(flags, tmp_path, words, message):
    with pytest.raises(MMTransferError, match=message):
        fit(TEXT, [*without_validation(flags[TEXT])[2:], *named(tmp_path, "a,x\nb,y\n"), *words], tmp_path / "run")
    numbers = named(tmp_path, "a,1\nb,2\n")
    with pytest.raises(MMTransferError, match="The class names say nothing: '1', '2'"):
        fit(TEXT, [*without_validation(flags[TEXT])[2:], *numbers], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_names_are_split_into_words():
    from mmtransfer.tasks.inputs.text import worded

    labels = ["card_arrival", "lostOrStolen", "top-up", "2fa code", "ÄRGER", "..."]
    assert [worded(label) for label in labels] == [
        "card arrival",
        "lost Or Stolen",
        "top up",
        "2fa code",
        "ÄRGER",
        "...",
    ]


def test_class_names_that_say_nothing_are_refused(flags, tmp_path):
    data = tmp_path / "numbers.csv"
    data.write_text("text,label\n" + "".join(f"a b {chr(97 + n)},{n % 3}\n" for n in range(12)))
    chosen = [*without_validation(flags[TEXT])[2:], "--train", str(data), *PROBE, "--strategy.prior", "names"]
    with pytest.raises(MMTransferError, match="The class names say nothing: '0', '1', '2'"):
        fit(TEXT, chosen, tmp_path / "run")
    images = [*flags[IMAGE], *PROBE, "--augment", "none", "--strategy.prior", "names"]
    with pytest.raises(MMTransferError, match="its inputs are not single texts"):
        fit(IMAGE, images, tmp_path / "run")


def test_lp_ft_starts_from_the_exact_head_and_says_how_far_it_came(flags, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    chosen = [*flags[TEXT], "--weights", "none", "--threads", "1", "--strategy", "lp-ft", "--lr", "1e-4"]
    run = fit(TEXT, [*chosen, "--epochs", "2", "--label-smoothing", "0.1"], tmp_path / "run")
    head, tuned = run.result["phases"]
    assert (head["name"], head["solver"], tuned["name"], tuned["solver"]) == ("probe", "exact", "full", "loop")
    assert head["folds"] == 5 and set(run.result["data"]) == {"train", "validation"}
    assert head["best"]["value"] is not None and tuned["best"]["value"] is not None
    assert f"after {head['best']['value']:.4f} of phase probe" in caplog.text
    lines = [json.loads(line) for line in run.folder.log.read_text().splitlines()]
    assert {line["phase"] for line in lines} == {"full"}
    assert run.metrics["validation"]["accuracy"]["value"] == max(head["best"]["value"], tuned["best"]["value"])
