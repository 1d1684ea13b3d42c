"""README.md of a run folder: a model card, with the front matter that the hub reads."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmtransfer import disk, files
from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.defaults import as_given
from mmtransfer.documents import PROGRAM
from mmtransfer.metrics.intervals import Score, wilson
from mmtransfer.report.evidence import Evidence, gather
from mmtransfer.report.scoring import called
from mmtransfer.report.sections import settings, verdict
from mmtransfer.report.sections.costs import count
from mmtransfer.run import RunFolder
from mmtransfer.terminal import visible

logger = logging.getLogger("mmtransfer")
NAME = "README.md"
PIPELINES: Mapping[str, str] = {
    IMAGE: IMAGE,
    TEXT: TEXT,
    TAGS: TAGS,
    AUDIO: AUDIO,
    SPEECH: "automatic-speech-recognition",
}
"""By task, what the hub calls it."""
INPUTS: Mapping[str, str] = {
    "image": '["photo.jpg"]',
    "audio": '["recording.wav"]',
    "text": '["a sentence", "another one"]',
    "words": '[["A", "list", "of", "words"]]',
}
"""By kind of input, what is predicted in the example."""
METRICS: Mapping[str, str] = {"f1_macro": "f1", "f1_micro": "f1", "entity_f1": "f1", "tag_accuracy": "accuracy"}
"""What the hub calls scores that have another name there."""
WRONG = 5
"""Mistakes, and classes, that are named."""
HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def write(folder: RunFolder) -> None:
    """Writes the card of a run that has finished. What goes wrong is told and costs the run nothing: all that the card
    tells stands in other files."""
    try:
        text = card(gather(folder.path))
        with disk.writing(folder.path / NAME):
            files.write_bytes(folder.path / NAME, text.encode("utf-8", "backslashreplace"))
    except Exception as error:  # the run has finished: nothing that is only told of it may make it fail
        logger.warning("the model card %s could not be written: %s", NAME, error)


def card(evidence: Evidence, hub: str | None = None) -> str:
    """The card as Markdown. `hub`: the name that the run has on the hub, where it is about to go there."""
    parts = [
        f"# {_escaped(hub or evidence.name)}",
        _escaped(" ".join(part for part in (verdict.sentence(evidence), verdict.beside(evidence)) if part)),
        "## Use",
        _use(evidence, hub),
        "## What it gets wrong",
        _wrong(evidence),
        "## How it was trained",
        _trained(evidence),
        f"`{PROGRAM} report RUN` makes a page of all that is known of it, with its most wrong examples.",
    ]
    return f"---\n{front_matter(evidence, hub)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def front_matter(evidence: Evidence, hub: str | None = None) -> str:
    """YAML as the hub reads it: task, library, base model, scores with their intervals, the data by fingerprint."""
    from huggingface_hub import EvalResult, ModelCardData

    name, task = hub or evidence.name, PIPELINES[evidence.task]
    data = (evidence.result.get("data") or {}).get(evidence.split) or {}
    results = [
        EvalResult(
            task_type=task,
            dataset_type="custom",
            dataset_name=visible(place(data.get("source"))),
            dataset_split=evidence.split,
            dataset_revision=str(data.get("fingerprint") or "unknown"),
            metric_type=METRICS.get(metric, metric),
            metric_name=called(metric),
            metric_value=score.value,
            metric_args={"confidence": 0.95, "low": score.low, "high": score.high, "n": score.n},
        )
        for metric, score in told(evidence).items()
        if score.value is not None
    ]
    backbone = str((evidence.result.get("backbone") or {}).get("name") or evidence.settings.get("backbone") or "")
    known = ModelCardData(
        base_model=backbone if HUB.fullmatch(backbone) and not os.path.exists(backbone) else None,
        library_name=PROGRAM,
        pipeline_tag=task,
        tags=[PROGRAM, "transfer-learning", str(evidence.settings.get("strategy"))],
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=visible(name),
        eval_results=results or None,
    )
    return str(known.to_yaml())


def told(evidence: Evidence) -> dict[str, Score]:
    """The scores worth a line: the one that decides first, none of single classes, nor near to another."""
    names = [name for name in evidence.scores if not name.endswith(("]", "_micro", "_weighted"))]
    if evidence.primary in evidence.scores:
        names = [evidence.primary, *(name for name in names if name != evidence.primary)]
    return {name: Score.of(evidence.scores[name]) for name in names}


def place(source: Any) -> str:
    """A source of data or weights, by its last part where it is a path: nobody else has the folders of this machine.

    >>> place("/home/me/train.csv"), place("hub:org/data"), place("org/model")
    ('train.csv', 'hub:org/data', 'org/model')
    """
    text = str(source or "unknown")
    path = PurePath(text)
    own = path.is_absolute() or text.startswith((".", "~")) or os.path.exists(text)
    return path.name if own else text


def _use(evidence: Evidence, hub: str | None) -> str:
    where = f'snapshot_download("{hub}")' if hub else f'"{_quoted(str(evidence.place.path))}"'
    lines = ["import mmtransfer as mmt", f"run = mmt.load({where})", f"run.predict({INPUTS[evidence.input]})"]
    if hub:
        lines[:1] = ["import mmtransfer as mmt", "from huggingface_hub import snapshot_download"]
    return "\n".join(["```python", *lines, "```"])


def _wrong(evidence: Evidence) -> str:
    answers = evidence.answers
    if answers is None:
        return "Not known: there are no predictions."
    lines = []
    for pair in answers.pairs()[:WRONG]:
        truth, answer = (f"`{_code(name)}`" if name else "nothing" for name in (pair.truth, pair.answer))
        lines.append(f"- {truth} taken for {answer}: {pair.times:,} times of {pair.of:,}")
    counts = [one for one in answers.counts() if one.truths]
    worst = sorted(counts, key=lambda one: (one.hits / one.truths, -one.truths))[:WRONG]
    if len(counts) > 1:
        shares = [(one, wilson(one.hits, one.truths)) for one in worst]
        least = [f"`{_code(one.name)}` {share:.2f} of {one.truths:,}" for one, share in shares]
        lines.append(f"- Found least often, with 95 % intervals: {'; '.join(least)}")
    if not lines and answers.kind == "value":
        lines.append(f"- The largest error is {answers.badness.max():.5g}, half of them are below {_median(answers)}.")
    return "\n".join(lines) or "Nothing: every answer is right."


def _median(answers: Any) -> str:
    import numpy as np

    return f"{float(np.median(answers.badness)):.5g}"


def _trained(evidence: Evidence) -> str:
    result = evidence.result
    rows = [("strategy", evidence.settings.get("strategy"))]
    backbone, parameters = result.get("backbone") or {}, result.get("parameters") or {}
    rows.append(("backbone", place(backbone.get("name"))))
    if parameters:
        rows.append(("parameters", f"{count(parameters['total'])}, of these {count(parameters['trainable'])} trained"))
    for split, own in (result.get("data") or {}).items():
        rows.append((f"{split} data", f"{own['n']:,} of {place(own['source'])}, fingerprint {own['fingerprint']}"))
    chosen = as_given({name: v for name, v in evidence.settings.items() if name not in LEFT_OUT and v}, evidence.task)
    rows += [(name, settings.spoken(value)) for name, value in chosen.items() if name not in ("strategy", "backbone")]
    seconds = (result.get("seconds") or {}).get("total")
    rows.append(("seconds", f"{seconds:.0f}" if seconds else "unknown"))
    rows += [("seed", result.get("seed"))] if "seed" not in chosen else []
    lines = [f"| {_escaped(name)} | {_escaped(str(value))} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


LEFT_OUT = (*settings.OWN, "train", "validation", "test", "cache_dir", "lm", "threads", "workers")
"""Settings that name places of this machine, or say nothing of the model."""


def _escaped(text: str) -> str:
    """Text as Markdown shows it: nothing in it is a mark, a link or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#!~])", r"\\\1", " ".join(visible(text).split()))


def _code(text: str) -> str:
    """Text between backticks, of which it has none."""
    return " ".join(visible(text).replace("`", "'").replace("|", "¦").split())


def _quoted(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')
