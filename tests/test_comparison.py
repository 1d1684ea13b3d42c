"""Runs side by side: verdicts, seeds put together, and what cannot be compared, by its message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmtransfer import comparison
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
    right = sum(a == b for a, b in zip(targets, predictions, strict=True))
    scores = {"accuracy": wilson(right, n), "f1_macro": Score(right / n, 0.1, 0.9, n, "by hand")}
    columns = {"id": [f"{number}" for number in range(n)], "target": targets, "prediction": predictions}
    columns["logits"] = [[0.0]] * n
    return write(folder, TEXT, columns, scores, seed=seed, **changes)


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
    assert [verdict.metric for verdict in found.verdicts] == ["accuracy", "f1_macro"]
    assert [verdict.better for verdict in found.verdicts] == ["a", "a"]
    assert str(found.verdicts[0]).startswith("a is better than b: a minus b, accuracy +0.")
    assert [verdict.better for verdict in compare([b, a]).verdicts] == ["a", "a"]


def test_no_difference_shown_is_an_outcome(tmp_path):
    found = compare([classified(tmp_path / "a", 0.80), classified(tmp_path / "b", 0.81, lr=1)])
    assert found.verdicts[0].better is None
    assert str(found.verdicts[0]).startswith("no difference shown between a and b: accuracy ")


def test_p_is_adjusted_for_the_table(tmp_path):
    runs = [classified(tmp_path / str(n), share, lr=n) for n, share in enumerate((0.80, 0.72, 0.65))]
    found = compare(runs)
    assert len(found.verdicts) == 6
    smallest = min(found.verdicts, key=lambda verdict: verdict.difference.p)
    assert smallest.adjusted == pytest.approx(min(1.0, 6 * smallest.difference.p))


def test_seeds_of_the_same_settings_are_one_entry(tmp_path):
    runs = [classified(tmp_path / "a" / f"seed-{seed}", 0.9, seed=seed) for seed in range(3)]
    other = classified(tmp_path / "b", 0.6, lr=1)
    found = compare([tmp_path / "a", other])
    assert [entry.name for entry in found.entries] == ["a (3 seeds)", "b"]
    assert len(found.entries[0].predictions) == 3 and "seeds crossed" in found.verdicts[0].difference.method
    assert [entry.name for entry in compare([*runs, other]).entries] == ["a (3 seeds)", "b"]


def test_word_errors_by_speaker(tmp_path):
    found = compare([heard(tmp_path / "a", 0.1), heard(tmp_path / "b", 0.5, lr=1)])
    assert found.verdicts[0].better == "a" and found.verdicts[0].difference.value < 0
    assert found.verdicts[0].difference.method == "paired jackknife by speaker, 6 groups"


def test_the_table_shows_scores_costs_and_verdicts(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    main(["compare", str(a), str(b)])
    out = capsys.readouterr().out
    for expected in ("a is better than b", "│ 61 ", "│ 50 ", "12.3", "│ 770 ", "1.2 M", "1024", "exact McNemar"):
        assert expected in out, expected
    assert "300 examples" in out and "p adjusted for 2 tests (Holm)" in out


def refused(folders: list[Path]) -> MMTransferError:
    with pytest.raises(MMTransferError) as error:
        compare(folders)
    return error.value


def test_one_run_is_not_enough(tmp_path):
    error = refused([classified(tmp_path / "a", 0.9)])
    assert error.what == "There is 1 run to compare" and error.do == "give two or more"
    assert refused([]).what == "There is 0 run to compare"


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
        edit(run, "result.json", lambda result: result["primary"].update(name="r2"))
    error = refused(runs)
    assert error.what == "There is no paired test for r2" and "accuracy, wer" in error.do


def test_missing_predictions(tmp_path):
    a, b = classified(tmp_path / "a", 0.9), classified(tmp_path / "b", 0.5, lr=1)
    (b / "predictions" / "test.parquet").unlink()
    error = refused([a, b])
    assert error.what == "The predictions are missing" and error.where == str(b / "predictions" / "test.parquet")


def test_what_is_tested_has_a_direction():
    assert {name for names in comparison.TESTED.values() for name in names} == comparison.HIGHER_IS_BETTER.keys()
