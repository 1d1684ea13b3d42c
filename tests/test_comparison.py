"""Runs side by side: verdicts, seeds put together, and what cannot be compared, by its message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmtransfer.cli import main
from mmtransfer.comparison import compare
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score, wilson

LABELS = ["ant", "bee", "fly"]


def write(folder: Path, task: str, columns: dict[str, list[Any]], scores: dict[str, Score], **changes: Any) -> Path:
    """A run folder with these predictions on its test data; `changes` to config.json."""
    (folder / "predictions").mkdir(parents=True)
    config = {"task": task, "strategy": "full", "seed": 0, "out": str(folder)} | changes
    (folder / "config.json").write_text(json.dumps(config))
    primary = next(iter(scores))
    split = {"source": "test.csv", "n": len(columns["id"]), "fingerprint": "f" * 32, "skipped": []}
    result = {
        "status": "finished",
        "task": task,
        "seed": config["seed"],
        "seconds": {"total": 61.0, "train": 50.0},
        "data": {"test": split},
        "parameters": {"total": 1_234_567, "trainable": 770},
        "throughput": {"examples_per_second": 12.34},
        "memory": {"peak_bytes": 2**30},
        "metrics": {"test": {name: score.as_dict() for name, score in scores.items()}},
        "primary": {"name": primary, "split": "test", "value": scores[primary].value},
    }
    (folder / "result.json").write_text(json.dumps(result))
    pyarrow.parquet.write_table(pa.table(columns), folder / "predictions" / "test.parquet")
    return folder


def classified(folder: Path, share: float, seed: int = 0, n: int = 300, **changes: Any) -> Path:
    """A run that is right on about `share` of the same n examples."""
    rng = np.random.default_rng([seed, int(share * 1000)])
    targets = [LABELS[number] for number in np.random.default_rng(0).integers(3, size=n)]
    predictions = [target if rng.random() < share else LABELS[rng.integers(3)] for target in targets]
    return answered(folder, targets, predictions, seed=seed, **changes)


def wrong_on(folder: Path, rows: range, **changes: Any) -> Path:
    """A run on 300 examples that is right on all but these."""
    targets = [LABELS[number % 3] for number in range(300)]
    predictions = [LABELS[(number + (number in rows)) % 3] for number in range(300)]
    return answered(folder, targets, predictions, **changes)


def answered(folder: Path, targets: list[str], predictions: list[str], **changes: Any) -> Path:
    n = len(targets)
    right = sum(a == b for a, b in zip(targets, predictions, strict=True))
    scores = {"accuracy": wilson(right, n), "f1_macro": Score(right / n, 0.1, 0.9, n, "by hand")}
    columns = {"id": [f"{number}" for number in range(n)], "target": targets, "prediction": predictions}
    columns["logits"] = [[0.0]] * n
    return write(folder, TEXT, columns, scores, **changes)


def edit(folder: Path, name: str, change: Any) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def heard(folder: Path, errors: float, speakers: int = 6, **changes: Any) -> Path:
    rng = np.random.default_rng(3)
    n = 10 * speakers
    edits = rng.binomial(5, errors, size=n).tolist()
    columns = {
        "id": [f"{number}.flac" for number in range(n)],
        "speaker": [f"s{number % speakers}" for number in range(n)],
        "words": [5] * n,
        "substitutions": edits,
        "deletions": [0] * n,
        "insertions": [0] * n,
    }
    return write(folder, SPEECH, columns, {"wer": Score(sum(edits) / 5 / n, 0.0, 1.0, 5 * n, "by hand")}, **changes)


def test_the_better_run_is_named(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    found = compare([a, b])
    assert [entry.name for entry in found.entries] == ["a", "b"] and found.split == "test"
    assert [(verdict.metric, verdict.better) for verdict in found.verdicts] == [("accuracy", "a")]
    assert str(found.verdicts[0]).startswith("a is better than b: a minus b, accuracy +0.")
    assert [verdict.better for verdict in compare([b, a]).verdicts] == ["a"]
    assert compare([b, a]).verdicts[0].difference.value == -found.verdicts[0].difference.value


def test_the_primary_metric_decides_and_others_are_told(tmp_path):
    found = compare([classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)])
    (told,) = found.told
    assert (told.metric, told.first, told.second) == ("f1_macro", "a", "b") and told.excludes_zero
    assert not hasattr(told, "better") and " p " not in str(told)
    verdict = found.verdicts[0]
    assert verdict.adjusted == verdict.difference.p and verdict.comparisons == 1, "of f1 no p counts"


def test_no_difference_shown_is_an_outcome(tmp_path):
    found = compare([classified(tmp_path / "a", 0.80), classified(tmp_path / "b", 0.81, lr=1)])
    assert found.verdicts[0].better is None and not found.verdicts[0].is_open
    assert str(found.verdicts[0]).startswith("no difference shown between a and b: accuracy ")


def test_the_best_is_tested_with_each_of_the_others_unless_all_pairs_are_asked_for(tmp_path):
    runs = [classified(tmp_path / name, share, lr=share) for name, share in (("a", 0.72), ("b", 0.80), ("c", 0.65))]
    found = compare(runs)
    assert found.best.name == "b"
    assert [(verdict.first, verdict.second) for verdict in found.verdicts] == [("a", "b"), ("b", "c")]
    every = compare(runs, all_pairs=True)
    assert [(one.first, one.second) for one in every.verdicts] == [("a", "b"), ("a", "c"), ("b", "c")]
    for one, count in ((found, 2), (every, 3)):
        smallest = min(one.verdicts, key=lambda verdict: verdict.difference.p)
        assert smallest.adjusted == pytest.approx(min(1.0, count * smallest.difference.p))
        assert {verdict.comparisons for verdict in one.verdicts} == {count} and len(one.told) == count


def test_of_word_errors_the_best_has_the_fewest(tmp_path):
    runs = [heard(tmp_path / str(errors), errors, lr=errors) for errors in (0.5, 0.1, 0.3)]
    found = compare(runs)
    assert found.best.name == "0.1" and found.told == []
    assert [(verdict.first, verdict.second) for verdict in found.verdicts] == [("0.5", "0.1"), ("0.1", "0.3")]


def test_what_its_own_interval_shows_and_the_adjusted_p_does_not_is_open(tmp_path):
    best = wrong_on(tmp_path / "best", range(2))
    near, far = wrong_on(tmp_path / "near", range(2, 11), lr=1), wrong_on(tmp_path / "far", range(2, 12), lr=2)
    alone = compare([best, far]).verdicts[0]
    assert alone.difference.p < 0.05 and alone.difference.low > 0 and alone.better == "best"
    verdict = compare([best, far, near]).verdicts[0]
    assert verdict.difference == alone.difference, "intervals are not adjusted"
    assert verdict.adjusted == pytest.approx(2 * alone.difference.p) and verdict.adjusted >= 0.05
    assert verdict.is_open and verdict.better is None
    assert str(verdict).startswith(
        "open after adjusting for 2 comparisons, between best and far: accuracy +0.0267 (+0."
    )
    assert "for 3 comparisons" in str(compare([best, far, near], all_pairs=True).verdicts[0])


def test_an_exact_test_of_two_runs_may_leave_open_what_the_interval_shows(tmp_path):
    verdict = compare([wrong_on(tmp_path / "a", range(1)), wrong_on(tmp_path / "b", range(1, 8), lr=1)]).verdicts[0]
    assert verdict.difference.low > 0 and verdict.difference.p > 0.05
    assert str(verdict).startswith("open, the interval excludes zero and the test does not decide, between a and b")


def test_seeds_of_the_same_settings_are_one_entry(tmp_path):
    runs = [classified(tmp_path / "a" / f"seed-{seed}", 0.9, seed=seed) for seed in range(3)]
    other = classified(tmp_path / "b", 0.6, lr=1)
    found = compare([tmp_path / "a", other])
    assert [entry.name for entry in found.entries] == ["a (3 seeds)", "b"]
    assert len(found.entries[0].predictions) == 3 and "seeds crossed" in found.verdicts[0].difference.method
    assert [entry.name for entry in compare([*runs, other]).entries] == ["a (3 seeds)", "b"]


@pytest.mark.parametrize(("seeds", "runs"), [((0, 1), [2, 1]), ((0, 0), [1, 1, 1]), ((0, 1, 0), [1, 1, 1, 1])])
def test_what_a_trial_may_have_chosen_tells_no_seeds_apart(tmp_path, seeds, runs):
    for number, (seed, layout) in enumerate(zip(seeds, ("contiguous", "channels-last", "contiguous"), strict=False)):
        precision = "fp32" if number == 2 else "bf16"
        classified(tmp_path / "a" / str(number), 0.9, seed=seed, precision=precision, layout=layout)
    other = classified(tmp_path / "b", 0.6, lr=1)
    assert sorted(len(entry.results) for entry in compare([tmp_path / "a", other]).entries) == sorted(runs)


def test_any_other_folder_stands_for_all_runs_under_it(tmp_path):
    for seed in range(2):
        classified(tmp_path / "all" / "a" / f"seed-{seed}", 0.9, seed=seed)
    run = classified(tmp_path / "all" / "b", 0.6, lr=1)
    classified(tmp_path / "all" / "some" / "where" / "c", 0.7, lr=2)
    for inside in (run / "model", tmp_path / "all" / "bert"):  # what transformers saves is no run
        inside.mkdir()
        (inside / "config.json").write_text('{"model_type": "bert"}')
    classified(tmp_path / "all" / ".weights" / "d", 0.5, lr=3)
    (tmp_path / "all" / "some" / "where" / "loop").symlink_to(tmp_path / "all" / "some")
    (tmp_path / "all" / "latest").symlink_to(run)
    for folders in ([tmp_path / "all"], [tmp_path / "all" / "a", run, tmp_path / "all" / "some"]):
        assert [entry.name for entry in compare(folders).entries] == ["a (2 seeds)", "b", "c"]
    assert main(["compare", str(tmp_path / "all")]) is None


def test_a_run_under_a_folder_that_has_not_ended_is_told(tmp_path):
    classified(tmp_path / "all" / "a", 0.9)
    half = classified(tmp_path / "all" / "b", 0.6, lr=1)
    (half / "environment.json").write_text("{}")
    (half / "result.json").unlink()
    error = refused([tmp_path / "all"])
    assert error.what == "The run has not ended: there is no result.json" and error.where == str(half)


def test_word_errors_by_speaker(tmp_path):
    found = compare([heard(tmp_path / "a", 0.1), heard(tmp_path / "b", 0.5, lr=1)])
    assert found.verdicts[0].better == "a" and found.verdicts[0].difference.value < 0
    assert found.verdicts[0].difference.method == "paired jackknife by speaker, 6 groups"


def test_word_errors_of_one_speaker_are_compared_by_recording(tmp_path):
    found = compare([heard(tmp_path / "a", 0.1, speakers=1), heard(tmp_path / "b", 0.9, speakers=1, lr=1)])
    difference = found.verdicts[0].difference
    assert found.verdicts[0].better == "a" and difference.low < difference.value < difference.high < 0
    assert difference.method == (
        "paired jackknife by recording (one speaker, so it tells nothing of others), 10 groups"
    )


def judged(folder: Path, share: float, **changes: Any) -> Path:
    """A run of several labels an example, each decided rightly in about `share` of the cases."""
    rng = np.random.default_rng(int(share * 1000))
    true = np.random.default_rng(0).random((200, 3)) < 0.4
    given = np.where(rng.random(true.shape) < share, true, ~true)
    columns = {"id": [f"{number}" for number in range(200)]}
    for name, sets in (("target", true), ("prediction", given)):
        columns[name] = [[LABELS[label] for label in np.flatnonzero(row)] for row in sets]
    shares = [2 * (true & given).sum() / (true.sum() + given.sum()), (true == given).all(1).mean()]
    scores = [Score(float(value), 0.1, 0.9, 200, "by hand") for value in shares]
    return write(folder, TEXT, columns, dict(zip(("f1_micro", "subset_accuracy"), scores, strict=True)), **changes)


def measured(folder: Path, error: float, **changes: Any) -> Path:
    """A run of numbers."""
    target = np.random.default_rng(0).normal(size=200)
    given = target + error * np.random.default_rng(int(error * 1000)).normal(size=200)
    columns = {"id": [f"{number}" for number in range(200)], "target": target.tolist(), "prediction": given.tolist()}
    rmse = float(np.square(given - target).mean() ** 0.5)
    values = {"r2": 1 - rmse**2 / float(target.var()), "rmse": rmse}
    scores = {name: Score(value, 0.1, 0.9, 200, "by hand") for name, value in values.items()}
    return write(folder, TEXT, columns, scores, **changes)


@pytest.mark.parametrize(
    ("make", "good", "bad", "metrics"),
    [(judged, 0.9, 0.7, ["f1_micro", "subset_accuracy"]), (measured, 0.3, 0.6, ["r2", "rmse"])],
)
def test_labels_and_numbers_have_a_paired_test(tmp_path, capsys, make, good, bad, metrics):
    a, b = make(tmp_path / "a", good), make(tmp_path / "b", bad, lr=1)
    found = compare([a, b])
    verdict, (told,) = found.verdicts[0], found.told
    assert list(found.metrics) == metrics and [verdict.metric, told.metric] == metrics
    assert verdict.better == "a" == found.best.name and verdict.difference.low > 0
    assert verdict.difference.method == "paired bootstrap, 2000 draws" and verdict.difference.n == 200
    scores = [json.loads((run / "result.json").read_text())["metrics"]["test"] for run in (a, b)]
    for contrast in (verdict, told):
        one, other = (score[contrast.metric]["value"] for score in scores)
        assert contrast.difference.value == pytest.approx(one - other)
    assert main(["compare", str(a), str(b)]) is None and "200 examples" in capsys.readouterr().out
    seeds = [make(tmp_path / "c" / f"seed-{seed}", bad + seed / 100, lr=2, seed=seed) for seed in range(2)]
    assert "seeds crossed" in compare([a, *seeds]).verdicts[0].difference.method


def test_a_score_that_answers_of_this_kind_do_not_have(tmp_path):
    runs = [classified(tmp_path / name, share, lr=share) for name, share in (("a", 0.9), ("b", 0.5))]
    for run in runs:
        edit(run, "result.json", lambda result: result["primary"].update(name="subset_accuracy"))
    assert "subset_accuracy is no score of such answers" in refused(runs).what


def test_the_table_shows_scores_costs_and_verdicts(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    main(["compare", str(a), str(b)])
    out = capsys.readouterr().out
    for expected in ("a is better than b", "12.3", "1.2 M", "1024", "exact McNemar"):
        assert expected in out, expected
    for name, figure in (("seconds", "61"), ("of these training", "50"), ("trained parameters", "770")):
        assert re.search(rf"^{name} +{figure} +{figure} *$", out, re.MULTILINE), name
    assert "300 examples" in out and "also f1_macro +0." in out
    assert "the verdict is by accuracy: a p below 0.05\n" in out and "each of one difference, not adjusted" in out


def test_the_command_line_tells_which_comparisons_p_is_adjusted_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    best = wrong_on(tmp_path / "runs" / "best", range(2))
    wrong_on(tmp_path / "runs" / "near", range(2, 11), lr=1)
    wrong_on(tmp_path / "runs" / "far", range(2, 12), lr=2)
    main(["compare", str(best.parent)])
    out = capsys.readouterr().out
    assert "open after adjusting for 2 comparisons, between best and far: accuracy" in out
    assert "adjusted for 2 comparisons with the best, best (Holm)" in out and "far and near" not in out
    main(["compare", str(best.parent), "--all-pairs"])
    out = capsys.readouterr().out
    assert "adjusted for the comparisons of all 3 pairs (Holm)" in out
    assert "no difference shown between far and near: accuracy" in out


def refused(folders: list[Path]) -> MMTransferError:
    with pytest.raises(MMTransferError) as error:
        compare(folders)
    return error.value


def test_one_run_is_not_enough(tmp_path):
    error = refused([classified(tmp_path / "a", 0.9)])
    assert error.what == "There is only one finished run to compare" and error.do == "give two or more"
    assert refused([]).what == "There are no finished runs to compare"


def test_seeds_alone_are_one_entry(tmp_path):
    runs = [classified(tmp_path / str(seed), 0.9, seed=seed) for seed in range(2)]
    assert refused(runs).what == "The 2 runs differ in nothing but their seed, so there is one entry"


def test_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "missing"):
        error = refused([classified(tmp_path / f"of-{place}", 0.9), tmp_path / place])
        assert error.what == "Not a run folder: there is no config.json" and error.where == str(tmp_path / place)


def test_an_unfinished_run(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5)
    edit(b, "result.json", lambda result: result.update(status="stopped"))
    error = refused([a, b])
    assert error.what == "The run has not finished: its status is stopped" and error.where == str(b)
    assert error.do == f"go on with it: mmtransfer fit {TEXT} --resume --out {b}"
    (b / "result.json").unlink()
    assert refused([a, b]).what == "The run has not ended: there is no result.json"


def test_different_tasks(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5)
    edit(b, "result.json", lambda result: result.update(task=IMAGE))
    error = refused([a, b])
    assert error.what == "The runs are of different tasks" and error.where == f"{a} is {TEXT}; {b} is {IMAGE}"


def test_a_run_given_twice_and_a_copy_of_it(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.9)
    assert refused([a, tmp_path / "b" / ".." / "a"]).what == "The run is given twice"
    assert refused([a, b]).what == "Runs of the same settings and seed: [0, 0]"


def test_other_test_data_are_refused_by_what_differs(tmp_path):
    a, b, c = (classified(tmp_path / name, 0.9, n=n, lr=n) for name, n in (("a", 30), ("b", 29), ("c", 31)))

    def other(result: dict[str, Any]) -> None:
        result["data"]["test"] |= {"fingerprint": "0" * 32, "source": "other.csv"}

    edit(b, "result.json", other)
    error = refused([a, b])
    assert error.what == (
        f"The test data differ: source test.csv and other.csv; 30 and 29 examples; 1 ids only in {a} (such as '29')"
    )
    assert error.where == f"{a} and {b}" and "mmtransfer evaluate RUN --test DATA" in error.do
    edit(c, "result.json", lambda result: result["primary"].update(split="validation"))
    assert refused([a, c]).what == "One run is scored on test, the other on validation data"


def shared(folder: Path, fingerprint: str, content: str | None) -> None:
    """Sets what result.json says of the test data."""

    def change(result: dict[str, Any]) -> None:
        result["data"]["test"]["fingerprint"] = fingerprint
        if content is not None:
            result["data"]["test"]["content"] = content

    edit(folder, "result.json", change)


def test_the_same_rows_under_other_ids_are_not_paired(tmp_path):
    a, b, c = (classified(tmp_path / name, 0.9, lr=n) for n, name in enumerate("abc", 1))
    for run, fingerprint in ((a, "1" * 32), (b, "2" * 32), (c, "1" * 32)):
        shared(run, fingerprint, "c" * 32)
    error = refused([a, b])
    assert error.what == "The test data hold the same rows in another order, but predictions are paired by id"
    assert error.where == f"{a} and {b}" and "run one of them again on the other's file" in error.do
    file = b / "predictions" / "test.parquet"
    table = pyarrow.parquet.read_table(file)
    names = pa.array([f"x{number}" for number in range(300)])
    pyarrow.parquet.write_table(table.set_column(0, "id", names), file)
    assert "the same rows under other ids (such as '0' and 'x0')" in refused([a, b]).what
    assert len(compare([a, c]).entries) == 2
    for content in (None, "d" * 32):  # an old result, and other rows
        other = classified(tmp_path / f"other-{content}", 0.5, lr=9)
        shared(other, "3" * 32, content)
        assert refused([a, other]).what.startswith("The test data differ: ")


def test_the_same_ids_with_other_answers(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5)
    edit(b, "result.json", lambda result: result["data"]["test"].update(fingerprint="0" * 32))
    assert refused([a, b]).what.endswith("the same ids with other contents")
    file = b / "predictions" / "test.parquet"
    table = pyarrow.parquet.read_table(file)
    targets = ["wasp", *table["target"].to_pylist()[1:]]
    pyarrow.parquet.write_table(table.set_column(1, "target", pa.array(targets)), file)
    assert refused([a, b]).what.endswith("the same ids with 1 other answers, first of '0'")


def test_a_metric_without_paired_test(tmp_path):
    runs = [classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)]
    for run in runs:
        edit(run, "result.json", lambda result: result["primary"].update(name="f1_macr"))
    error = refused(runs)
    assert error.what == "There is no paired test for f1_macr" and "did you mean f1_macro" in error.do


def test_missing_predictions(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    (b / "predictions" / "test.parquet").unlink()
    error = refused([a, b])
    assert error.what == "The run folder is damaged: test.parquet is missing"
    assert error.where == str(b / "predictions" / "test.parquet")


def test_runs_that_are_judged_by_different_metrics(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    edit(b, "result.json", lambda result: result["primary"].update(name="f1_micro"))
    error = refused([a, b])
    assert (
        error.what == "The runs are judged by different metrics" and error.where == f"{a} by accuracy; {b} by f1_micro"
    )


def test_runs_under_different_text_rules(tmp_path):
    a, b = heard(tmp_path / "a", 0.1), heard(tmp_path / "b", 0.1, text_rule="basic")
    error = refused([a, b])
    assert error.what == "The runs are scored under different text rules"
    assert error.where == f"{a} under none; {b} under basic"


def test_predictions_that_cannot_be_read_or_are_of_others(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    file = b / "predictions" / "test.parquet"
    table = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(table.drop_columns("prediction"), file)
    assert "test.parquet cannot be read (it has no column prediction)" in refused([a, b]).what
    pyarrow.parquet.write_table(table.slice(0, 299), file)
    assert refused([a, b]).what == "The predictions are of other examples than result.json"
    file.write_bytes(b"PAR1")
    error = refused([a, b])
    assert error.what.startswith("The run folder is damaged: test.parquet cannot be read") and error.where == str(file)
