"""Several processes: the same records, each id once; frozen layers; a launcher that starts fewer than asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import tiny
import torch

from mmtransfer.engine import precision

RECIPE = Path(__file__).parent.parent / "recipes" / "text_cls.py"


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    made = tiny.text(folder)
    config = folder / "bert" / "config.json"
    still = json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(still))
    common = ["--weights", "none", "--epochs", "1", "--batch-size", "7", "--log-every", "1", "--threads", "1"]
    return [*made, "--test", str(folder / "train.csv"), *common, "--optimizer", "sgd", "--lr", "0.05"]


def run(processes: int, out: Path, flags: list[str]) -> dict:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(RECIPE), *flags, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    records = pyarrow.parquet.read_table(out / "predictions" / "test.parquet").to_pydict()
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    return {"records": records, "losses": losses, "result": json.loads((out / "result.json").read_text())}


def test_two_processes_give_the_records_and_losses_of_one(tmp_path, flags):
    one, two = run(1, tmp_path / "one", flags), run(2, tmp_path / "two", flags)
    assert one["records"]["id"] == two["records"]["id"]
    assert sorted(set(two["records"]["id"])) == sorted(two["records"]["id"])
    assert one["records"]["prediction"] == two["records"]["prediction"]
    assert one["records"]["loss"] == pytest.approx(two["records"]["loss"], abs=1e-4)
    assert one["losses"] == pytest.approx(two["losses"], abs=1e-5)
    assert len(one["losses"]) == 7


def test_frozen_layers_do_not_stop_two_processes(tmp_path, flags):
    partial = [*flags, "--strategy", "partial", "--strategy.n", "1"]
    one, two = run(1, tmp_path / "one", partial), run(2, tmp_path / "two", partial)
    assert one["losses"] == pytest.approx(two["losses"], abs=1e-5)
    assert two["result"]["parameters"]["trainable"] < two["result"]["parameters"]["total"]


@pytest.mark.parametrize("word", [["--num_processes", "2"], ["--num_processes=2"]])
def test_a_launcher_that_started_one_process_of_two_is_told_of(word, monkeypatch, caplog):
    words = ["python", "/bin/accelerate", "launch", "--cpu", *word, "recipes/text_cls.py"]
    monkeypatch.setattr(Path, "read_bytes", lambda path: "\0".join(words).encode())
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    precision.logger.propagate = True
    with caplog.at_level("WARNING", "mmtransfer"):
        precision.warn_of_lone_process()
    assert "torchrun --nproc_per_node 2" in caplog.text


@pytest.mark.parametrize("asked, known, said", [("bf16", False, True), ("bf16", True, False), ("fp32", False, False)])
def test_bf16_that_a_cpu_has_to_emulate_is_told_of(asked, known, said, monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_bf16", lambda: known)
    precision.logger.propagate = True
    with caplog.at_level("WARNING", "mmtransfer"):
        precision.warn_of_emulation(asked, torch.device("cpu"))
    assert ("no bf16 arithmetic" in caplog.text) is said
