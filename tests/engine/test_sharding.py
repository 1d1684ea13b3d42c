"""Sharded models are refused by name before anything is loaded; the shipped configurations are none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

import mmtransfer as mmt
from mmtransfer.config import IMAGE
from mmtransfer.engine import sharding
from mmtransfer.errors import MMTransferError

FOLDER = Path(__file__).parent.parent.parent / "recipes" / "accelerate"


@pytest.mark.parametrize("variable", sharding.VARIABLES)
def test_what_the_launcher_asks_for_is_refused_before_anything_is_loaded(variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, "true")
    monkeypatch.setattr("accelerate.Accelerator", lambda **_: pytest.fail("an Accelerator was made"))
    with pytest.raises(MMTransferError, match=f"{sharding.VARIABLES[variable]} is not supported") as error:
        mmt.fit(task=IMAGE, backbone="no-such-backbone", train="no-such-folder", out=tmp_path / "run")
    assert "ddp_one_node.yaml" in error.value.do and not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", sharding.TYPES)
def test_what_accelerate_has_chosen_is_refused(kind):
    with pytest.raises(MMTransferError, match=f"{sharding.TYPES[kind]} is not supported"):
        sharding.refuse(kind)


@pytest.mark.parametrize("kind", [DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU])
def test_data_parallelism_is_not(kind, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    sharding.refuse(kind)


@pytest.mark.parametrize(
    ("name", "kind", "machines", "processes"),
    [("one_gpu", "NO", 1, 1), ("ddp_one_node", "MULTI_GPU", 1, 4), ("ddp_two_nodes", "MULTI_GPU", 2, 8)],
)
def test_accelerate_reads_the_shipped_configurations(name, kind, machines, processes):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert config.distributed_type == getattr(DistributedType, kind)
    assert (config.num_machines, config.num_processes, config.use_cpu) == (machines, processes, False)
    assert config.mixed_precision == "no"


def test_every_shipped_configuration_is_one_of_them():
    assert {path.stem for path in FOLDER.iterdir()} == {"one_gpu", "ddp_one_node", "ddp_two_nodes"}
