"""A greedy soup of runs: never below the best of them, and only of what has one start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch

from mmtransfer import api
from mmtransfer.errors import MMTransferError
from mmtransfer.soup import soup


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings, and two runs that differ in their rate."""
    folder = tmp_path_factory.mktemp("soup")
    settings = tiny.text_settings(folder) | {"strategy": "full"}
    runs = {str(lr): str(api.fit(**settings, lr=lr, out=str(folder / str(lr))).folder.path) for lr in (1e-4, 1e-3)}
    return {"settings": settings, "folder": folder, "runs": list(runs.values())}


def test_a_soup_is_no_worse_than_its_best_run(made) -> None:
    run = soup(made["runs"], made["folder"] / "both")
    tried = run.result["soup"]["tried"]
    best = max(api.load(one).metrics["validation"]["accuracy"]["value"] for one in made["runs"])
    assert run.metrics["validation"]["accuracy"]["value"] >= best == tried[0]["value"]
    assert [entry["run"] for entry in tried if entry["taken"]] == run.result["soup"]["runs"]
    parts = [api.load(one).model.state_dict() for one in run.result["soup"]["runs"]]
    name = "head.linear.weight"
    mean = torch.stack([part[name] for part in parts]).mean(0)
    assert torch.allclose(run.model.state_dict()[name], mean, atol=1e-7)
    assert np.isfinite(run.metrics["test"]["accuracy"]["value"]) and run.predict(["a b"])


def test_weights_that_help_are_taken(made, monkeypatch) -> None:
    values = iter([0.5, 0.6])
    monkeypatch.setattr("mmtransfer.engine.mixing.measure", lambda *_: (((value := next(values)), 0.0), value))
    run = soup(made["runs"], made["folder"] / "taken")
    assert len(run.result["soup"]["runs"]) == 2
    one, other = (api.load(path).model.state_dict() for path in made["runs"])
    assert all(torch.allclose(value, (one[name] + other[name]) / 2) for name, value in run.model.state_dict().items())


def test_what_has_another_start_is_refused(made) -> None:
    learnt = tiny.bert(made["folder"] / "learnt", list("abc"), weights=True)
    settings = made["settings"] | {"backbone": str(learnt), "weights": None}
    runs = [api.fit(**settings, seed=n, out=str(made["folder"] / f"seed-{n}")).folder.path for n in (0, 1)]
    with pytest.raises(MMTransferError, match="cannot be mixed with(.|\n)*they differ in the seed"):
        soup(runs, made["folder"] / "no")
    with pytest.raises(MMTransferError, match="they differ in the backbone"):  # random weights, and learnt ones
        soup([made["runs"][0], runs[0]], made["folder"] / "no")
    with pytest.raises(MMTransferError, match="1 run makes no soup"):
        soup(made["runs"][:1], made["folder"] / "no")
    assert not (made["folder"] / "no").exists()
