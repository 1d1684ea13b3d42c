"""What the command line prints of runs: tables of scores with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loads evaluate, and with it transformers
    from mmtransfer.comparison import Comparison, Entry
    from mmtransfer.metrics import Score
    from mmtransfer.rank import Ranking
    from mmtransfer.rehearsal import Rehearsal
    from mmtransfer.search.journal import Search

from mmtransfer import launcher, showing
from mmtransfer.cli.layout import show_line, show_rows
from mmtransfer.terminal import console, visible


def show_spread(repeats: Any) -> None:
    """The end of several runs: the mean of each score, its interval, and the spread over the seeds."""
    from mmtransfer.metrics.intervals import Estimate

    if not launcher.is_main():
        return
    for split, metrics in repeats.metrics.items():
        title = f"{split}: {len(repeats.runs)} seeds"
        rows = []
        for name in showing.telling(metrics, repeats.runs[0].result["primary"]["name"]):
            spread = metrics[name]
            cells = ["-" if spread[key] is None else f"{spread[key]:.4f}" for key in ("mean", "sd", "min", "max")]
            interval = Estimate(spread["mean"], spread["low"], spread["high"]).interval()
            rows.append([name, cells[0], interval, *cells[1:]])
        columns = ("metric", "mean", "95 % interval", "sd", "min", "max")
        show_rows(title, columns, rows, numbers=columns[1:])
    print(visible(f"the runs and repeats.json are in {repeats.folder}"))


def show_scores(split: str, scores: Mapping[str, Score]) -> None:
    """Prints value, interval and number of examples, by name."""
    rows = [
        [name, "-" if score.value is None else f"{score.value:.4f}", score.interval(), str(score.n)]
        for name, score in scores.items()
    ]
    columns = ("metric", "value", "95 % interval", "n")
    show_rows(split, columns, rows, numbers=columns[1:])


def show_rehearsal(plan: Rehearsal) -> None:
    """Prints what a run would take."""
    rows = [
        [f"{split} data", f"{count:,} examples", plan.sources.get(split, "")] for split, count in plan.splits.items()
    ]
    total, trainable = (_short(plan.parameters[name]) for name in ("total", "trainable"))
    rows.append(["model", f"{total} parameters", f"{plan.backbone}; {trainable} train"])
    for phase in plan.phases:
        stages = f"stages {', '.join(map(str, phase.stages))} and the head" if phase.stages else "the head"
        how = f"{phase.epochs} epochs, {phase.steps:,} steps" if phase.epochs else "found exactly"
        rows.append([f"phase {phase.name}", how, f"{stages}; about {phase.seconds:.0f} s"])
    seconds = ", ".join(f"{name} {plan.seconds[name]:.0f}" for name in ("startup", "train", "evaluate"))
    rows.append(["time", f"about {plan.seconds['total']:.0f} s", seconds])
    rows.append(["memory", f"{plan.memory / 2**20:,.0f} MiB", "at the peak so far, of these few steps"])
    disk = ", ".join(f"{name} {size / 2**20:,.1f}" for name, size in plan.disk.items())
    rows.append(["disk", f"{sum(plan.disk.values()) / 2**20:,.1f} MiB", disk])
    show_rows("what the run would take; nothing has been written", ("", "", ""), rows)


BOARD = 10
"""Trials of a search that are printed."""


def show_choice(run: Any) -> None:
    """The best trials of a search, which of them was chosen, and what that says of its validation score."""
    from mmtransfer.metrics.intervals import Score
    from mmtransfer.search.journal import told_of
    from mmtransfer.search.trial import short

    about = told_of(run.folder)
    metric = about["metric"]
    trials = [trial for trial in about["trials"] if trial["validation"] and trial["state"] != "replaced"]
    sign = -1 if metric["higher_is_better"] else 1
    chosen = about["chosen"]["trial"]
    trials.sort(key=lambda trial: (trial["number"] != chosen, sign * (trial["validation"]["value"] or 0.0)))
    rows = []
    for trial in trials[:BOARD]:
        score = Score.of(trial["validation"])
        value = "-" if score.value is None else f"{score.value:.4f}"
        planned = max(trial["steps"], trial["planned_steps"])  # epochs on all data have more than were planned
        steps = f"{trial['steps']:,} of {planned:,}" if trial["planned_steps"] else "exact"
        mark = "*" if trial["number"] == chosen else ""
        cells = [value, score.interval(), str(score.n), steps, f"{trial['seconds']:.0f}"]
        rows.append([mark, short(trial["backbone"]), trial["way"], *cells])
    columns = ("", "backbone", "way", f"validation {metric['name']}", "95 % interval", "n", "steps", "seconds")
    spent = about["seconds"]["spent"]
    show_rows(f"the best of {len(about['trials'])} trials in {spent:.0f} s, which auto.json tells", columns, rows)
    show_line(
        "* was chosen. Its validation score is the best of several, so it is a little too good; the test data were "
        "looked at once, at the end"
    )


def show_outlook(search: Search) -> None:
    """Prints what a search would try."""
    from mmtransfer.search.trial import short

    rows = []
    for facts in search.facts.values():
        speed, ending = f"{facts.examples_per_second:.0f} examples/s", f"{facts.ending():.0f} s to score and save"
        rows.append([f"backbone {short(facts.name)}", f"{_short(facts.parameters)} parameters", f"{speed}, {ending}"])
    rows += [[f"backbone {short(name)}", "left out", why] for name, why in search.missing.items()]
    counts = next(iter(search.facts.values())).examples
    rows.append(["data", ", ".join(f"{split} {count:,}" for split, count in counts.items()), "examples"])
    plan = search.plan
    if plan is None:
        rows.append(["trainings", "none", "a probe is all that the time is enough for"])
    else:
        rungs = ", then ".join(f"{plan.kept(n)} to {share:.0%}" for n, share in enumerate(plan.shares))
        rows.append(["trainings", f"{rungs} of {plan.epochs} epochs", f"about {plan.seconds:.0f} s"])
        if plan.joined or plan.again:
            ended = f"its last {plan.joined} epochs on all data" if plan.joined else "again on all data"
            rows.append(["the winner", ended, "where the time is enough"])
    rows.append(["budget", f"{search.budget.seconds:.0f} s", f"{search.budget.elapsed:.0f} s of it to look at this"])
    show_rows("what the search would try; nothing has been written", ("", "", ""), rows)


def show_ranking(task: str, ranking: Ranking) -> None:
    """Prints backbones, best first, and then those that could not be had."""
    columns = ("", "backbone", ranking[0].metric, "95 % interval", "examples/s", "parameters", "MB", "seconds")
    rows = []
    for ranked in ranking:
        score = [f"{ranked.score.value:.4f}", ranked.score.interval()]
        size = [f"{ranked.parameters / 1e6:.1f} M", f"{ranked.bytes / 1e6:.0f}"]
        speed, seconds = f"{ranked.examples_per_second:.0f}", f"{ranked.seconds:.0f}"
        rows.append(["*" if ranked.best else "", ranked.backbone, *score, speed, *size, seconds])
    rows += [["", backbone, "not to be had", *[""] * (len(columns) - 3)] for backbone in ranking.missing]
    show_rows(f"{task}: linear probe, cross-validated", columns, rows, numbers=columns[2:])


def _short(count: float) -> str:
    """12,345,678 -> 12.3 M"""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{count:.0f}"


COSTS = (
    ("seconds", "seconds", "{:.0f}".format),
    ("of these training", "train_seconds", "{:.0f}".format),
    ("examples/s", "examples_per_second", "{:.1f}".format),
    ("trained parameters", "trainable", _short),
    ("all parameters", "parameters", _short),
    ("peak memory, MiB", "peak_bytes", lambda size: f"{size / 2**20:.0f}"),
)
"""What the table of a comparison tells of costs: its name, its key in `Entry.cost`, how it is written."""


def show_comparison(comparison: Comparison) -> None:
    """Prints scores, costs and verdicts, and what the verdicts and intervals are; of two entries side by side, of more
    a line each."""
    if len(comparison.entries) > 2:
        from mmtransfer.cli import configurations

        configurations.show(comparison)
    else:
        _show_entries(comparison)
    for verdict in comparison.verdicts:
        show_line(str(verdict))
        for other in comparison.told:
            if (other.first, other.second) == (verdict.first, verdict.second):
                show_line(f"also {other}", beside="  ")
    first, methods = comparison.verdicts[0], dict.fromkeys(verdict.difference.method for verdict in comparison.verdicts)
    show_line(_rule(comparison))
    counted = f"{first.difference.n} {comparison.counted}"
    show_line(f"intervals are 95 %, each of one difference, not adjusted; {counted}; {'; '.join(methods)}")


def _rule(comparison: Comparison) -> str:
    """What decides, and over which comparisons."""
    pairs, metric = comparison.verdicts[0].comparisons, comparison.verdicts[0].metric
    rule = f"the verdict is by {metric}: a p below 0.05"
    if pairs == 1:
        return rule
    if comparison.all_pairs:
        return f"{rule}, adjusted for the comparisons of all {pairs} pairs (Holm)"
    return (
        f"{rule}, adjusted for {pairs} comparisons with the best, {comparison.best.name} (Holm); "
        "which was chosen by the same scores: --all-pairs adjusts for that as well"
    )


def _show_entries(comparison: Comparison) -> None:
    from rich import box
    from rich.table import Table

    note = "" if comparison.split == "test" else " (it chose the epochs: scores are a little too good)"
    entries: Sequence[Entry] = comparison.entries
    style: dict[str, Any] = {"box": box.SIMPLE, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    title = f"{comparison.task}, {comparison.split}{note}"
    table = Table("", title=title, title_justify="left", title_style="bold", **style)
    for entry in entries:
        table.add_column(visible(entry.name))
    for metric in comparison.metrics:
        table.add_row(metric, *(spoken(entry.scores(comparison.split, metric)) for entry in entries))
    for name, key, written in COSTS:
        table.add_row(name, *(written(entry.cost()[key]) for entry in entries))
    out = console()
    # what is not a terminal has no width of its own: no line of the table is folded there
    out.print(table, width=None if out.is_terminal else max(80, 24 + 30 * len(entries)), crop=False)
    print()


def spoken(scores: Sequence[Mapping[str, Any]]) -> str:
    """A score with its interval; of several seeds the mean and the range of the runs."""
    from mmtransfer.metrics.intervals import Score

    values = [score["value"] for score in scores]
    if None in values:
        return "-"
    if len(values) > 1:
        return f"{statistics.fmean(values):.4f} (runs {min(values):.4f} to {max(values):.4f})"
    return str(Score.of(scores[0]))
