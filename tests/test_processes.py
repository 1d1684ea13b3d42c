"""Several processes: the same records, each id once; frozen layers; a launcher that starts fewer than asked."""

from __future__ import annotations

import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import tiny
import torch
from programs import end_all, together

import mmtransfer as mmt
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine import precision, processes
from mmtransfer.errors import MMTransferError

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


def run(processes: int, out: Path, flags: list[str], launcher: bool = False) -> dict:
    """The recipe on so many processes; one: this one. `launcher`: begun by torchrun."""
    if processes == 1:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(RECIPE), *flags, "--out", str(out)])
            runpy.run_path(str(RECIPE), run_name="__main__")
    elif launcher:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command += [str(RECIPE), *flags, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        end_all(together(processes, str(RECIPE), *flags, "--out", str(out)))
    records = pyarrow.parquet.read_table(out / "predictions" / "test.parquet").to_pydict()
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    return {"records": records, "losses": losses, "result": json.loads((out / "result.json").read_text())}


def test_two_processes_give_the_records_and_losses_of_one(tmp_path, flags):
    one, two = run(1, tmp_path / "one", flags), run(2, tmp_path / "two", flags, launcher=True)
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


def launched(out: Path, *words: str) -> dict:
    """result.json of a run on two processes."""
    end_all(together(2, "-m", "mmtransfer", "fit", *words, "--threads", "1", "--out", str(out)))
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize("how", [["--overwrite", "--train", "builtin"], ["--resume"]], ids=["overwrite", "resume"])
def test_all_processes_are_refused_beside_a_live_run(tmp_path, how):
    out = tmp_path / "run"
    out.mkdir()
    lock = {"program": "mmtransfer", "schema": 1, "pid": os.getpid(), "host": socket.gethostname(), "start": "now"}
    (out / "lock.json").write_text(json.dumps({**lock, "began": None}))
    given = {"task": TEXT, "train": "x", "backbone": "builtin", "strategy": "full", "strategy_options": {}, "seed": 0}
    (out / "config.json").write_text(json.dumps(given))
    (out / "environment.json").write_text('{"program": "mmtransfer", "schema": 2}')
    programs = together(2, "-m", "mmtransfer", "fit", TEXT, "--out", str(out), *how)
    said = [program.wait() for program in programs]
    assert [program.status for program in programs] == [2, 2], said
    assert all("error: Another run is at work in the folder" in part for part in said)
    assert len(list(out.iterdir())) == 3


def test_running_statistics_are_those_of_the_model_that_is_kept(tmp_path):
    """Pictures of 32 pixels end in one place a channel: a process with one picture of a step could not go on."""
    pictures = tiny.images(tmp_path)
    words = [IMAGE, *pictures, "--weights", "none", "--epochs", "2", "--batch-size", "16", "--lr", "1e-2"]
    result = launched(tmp_path / "run", *words, "--micro-batch-size", "16")
    records = pyarrow.parquet.read_table(tmp_path / "run" / "predictions" / "validation.parquet").to_pydict()
    told = [line for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert (
        len(told) >= 1 and result["phases"][0]["best"]["value"] == result["metrics"]["validation"]["accuracy"]["value"]
    )
    ours = mmt.load(tmp_path / "run").evaluate(str(tmp_path / "images" / "validation"))
    assert sum(records["loss"]) > 0 and ours["accuracy"].value == result["primary"]["value"]


def test_a_probe_that_fine_tuning_does_not_beat_is_kept_by_both_processes(tmp_path):
    """A rate of nearly 0 changes nothing, and a tie does not beat."""
    words = [TEXT, *tiny.text(tmp_path), "--weights", "none", "--strategy", "lp-ft", "--epochs", "2", "--lr", "1e-12"]
    result = launched(tmp_path / "run", *words, "--patience", "1")
    assert [phase["best"]["epoch"] for phase in result["phases"]] == [0, 1]
    assert len({phase["best"]["value"] for phase in result["phases"]}) == 1


def test_a_threshold_chosen_by_folds_is_that_of_both_processes(tmp_path):
    flags = tiny.text(tmp_path)
    rows = [f"{chr(97 + n % 26)} b,{'rare' if n % 8 == 0 else ''}" for n in range(48)]
    (tmp_path / "several.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = ["--train", str(tmp_path / "several.csv"), "--test", str(tmp_path / "several.csv"), *flags[4:]]
    words = [TEXT, *data, "--weights", "none", "--target", "multi-label", "--strategy", "linear-probe"]
    result = launched(tmp_path / "run", *words, "--strategy.folds", "3")
    alone = mmt.load(tmp_path / "run").evaluate(str(tmp_path / "several.csv"))
    assert result["primary"]["value"] == alone["f1_micro"].value > 0


@pytest.mark.parametrize("word", [["--num_processes", "2"], ["--num_processes=2"]])
def test_a_launcher_that_started_one_process_of_two_is_told_of(word, monkeypatch, caplog):
    words = ["python", "/bin/accelerate", "launch", "--cpu", *word, "recipes/text_cls.py"]
    monkeypatch.setattr(Path, "read_bytes", lambda path: "\0".join(words).encode())
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    precision.logger.propagate = True
    with caplog.at_level("WARNING", "mmtransfer"):
        precision.warn_of_lone_process()
    assert "torchrun --nproc_per_node 2" in caplog.text


@pytest.mark.parametrize(
    ("library", "instructions", "machine", "known"),
    [(1, 1, "x86_64", True), (1, 0, "x86_64", False), (0, 0, "x86_64", False), (1, 0, "aarch64", True)],
)
def test_a_cpu_has_bf16_where_it_has_the_instructions(library, instructions, machine, known, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bool(library))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(instructions))
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    assert precision.has_bf16() is known


@pytest.mark.parametrize("asked, known, said", [("bf16", False, True), ("bf16", True, False), ("fp32", False, False)])
def test_bf16_that_a_cpu_has_to_emulate_is_told_of(asked, known, said, monkeypatch, caplog):
    monkeypatch.setattr(precision, "has_bf16", lambda device: known)
    precision.logger.propagate = True
    with caplog.at_level("WARNING", "mmtransfer"):
        precision.warn_of_emulation(asked, torch.device("cpu"))
    told = re.search(r"this CPU has no bf16 arithmetic: a matrix product takes (\d+\.\d) times as long", caplog.text)
    assert (told is not None) is said
    assert told is None or float(told[1]) > 0


@pytest.mark.parametrize(
    ("count", "variables", "refused"),
    [
        (1, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "2 processes on this machine, and 1 GPU"),
        (1, {"LOCAL_RANK": "1"}, "2 processes on this machine, and 1 GPU"),
        (2, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}, None),
        (1, {}, None),
        (1, {"LOCAL_WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}, None),
        (0, {"LOCAL_WORLD_SIZE": "2"}, None),
    ],
)
def test_a_process_without_a_gpu_of_its_own_is_refused(count, variables, refused, monkeypatch):
    for name in ("LOCAL_WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if refused is None:
        processes._refuse_without_gpu()
    else:
        with pytest.raises(MMTransferError, match=refused) as error:
            processes.accelerator()
        assert f"--nproc_per_node {count}" in error.value.do
