"""The page of strategies: what has run beside what has not, in the order of the scores, the best named."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from benchmarks import strategies


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of one set on which two strategies have run, a seed each, and of one that has no runs here."""
    folder = tmp_path_factory.mktemp("strategies")
    settings = tiny.text_settings(folder)
    cases = {"letters": settings, "signs": settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategies, "cases", lambda: cases)
        patch.setattr(strategies, "RUNS", Path(folder / "runs"))
        for _ in range(2):  # the second time there is nothing left to do
            strategies.run(["letters"], ["linear-probe", "bitfit"], [0])
        return strategies.render("- signs: kept\n| signs | full | 0.5 |\n| letters | full | stale |\n")


def test_what_has_run_is_ranked_and_what_has_not_is_said(page):
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| letters")]
    assert {line[1] for line in lines} == set(strategies.USUAL)
    measured, missing = lines[:2], lines[2:]
    assert [float(line[2]) for line in measured] == sorted((float(line[2]) for line in measured), reverse=True)
    assert measured[0][5] == "best" and measured[1][5] in ("worse", "open", "no difference shown")
    assert measured[1][3].startswith("+") and all(int(line[7].strip(" |").replace(",", "")) > 0 for line in measured)
    assert [line[2] for line in missing] == [strategies.NOT_YET] * 4
    (told,) = [line for line in page.splitlines() if line.startswith("- letters: best: ")]
    assert told.startswith(f"- letters: best: {measured[0][1]}; {measured[1][5]}: {measured[1][1]}")
    assert told.endswith("(1 seed)") and "stale" not in page


def test_a_set_without_runs_here_keeps_its_lines(page):
    assert "- signs: kept" in page.splitlines() and "| signs | full | 0.5 |" in page.splitlines()


def test_pictures_have_another_row_in_place_of_adapters():
    assert "lora" not in strategies.usual("CIFAR-10, 100 a class") and "lora" in strategies.usual("SST-2, 15 %")
    assert len(set(strategies.usual("CIFAR-10, 100 a class"))) == len(strategies.USUAL)
