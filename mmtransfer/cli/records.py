"""What `--json` prints of runs and comparisons: the figures of the tables, and where the runs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loads evaluate, and with it transformers
    from mmtransfer.comparison import Comparison
    from mmtransfer.rank import Ranking
    from mmtransfer.search.journal import Search


def of_run(run: Any) -> dict[str, Any]:
    """Folder, task, scores by split and name, and seconds."""
    names = ("task", "seed", "metrics", "primary", "seconds")
    return {"run": run.folder.path, **{name: run.result[name] for name in names}}


def of_comparison(comparison: Comparison) -> dict[str, Any]:
    """Scores and costs of the entries, and the tested differences with their verdicts as sentences."""
    split = comparison.split
    return {
        "task": comparison.task,
        "split": split,
        "best": comparison.best.name,
        "entries": [
            {
                "name": entry.name,
                "metrics": {name: entry.scores(split, name) for name in comparison.metrics},
                "cost": entry.cost(),
            }
            for entry in comparison.entries
        ],
        "verdicts": [{"verdict": str(verdict), **vars(verdict)} for verdict in comparison.verdicts],
    }


def of_outlook(search: Search) -> dict[str, Any]:
    """What a search would try: backbones with what was measured of them, those left out, the trainings, the budget."""
    return {
        "backbones": [{**vars(facts), "ending_seconds": facts.ending()} for facts in search.facts.values()],
        "missing": search.missing,
        "plan": search.plan,
        "budget": {"seconds": search.budget.seconds, "spent": search.budget.elapsed},
    }


def of_ranking(task: str, ranking: Ranking) -> dict[str, Any]:
    """The backbones, best first, and why others could not be had."""
    return {
        "task": task,
        "backbones": [vars(ranked) for ranked in ranking],
        "missing": {name: error.what for name, error in ranking.missing.items()},
    }
