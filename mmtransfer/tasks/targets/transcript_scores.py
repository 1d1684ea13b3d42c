"""What is told of transcripts: error rates with and without a rule, greedy beside decoded, and where the errors are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmtransfer.tasks.base import Records

if TYPE_CHECKING:
    from mmtransfer.metrics import Score

CONDITIONS = ("seconds", "snr")
"""Columns of records that hold numbers which errors may depend on: of speech its length, and how far it stands above
noise, in dB."""


def metrics(records: Records) -> Mapping[str, Any]:
    """WER and CER that have seen the records."""
    from mmtransfer.metrics import CER, WER

    found = {"wer": WER(), "cer": CER()}
    groups = records.get("speaker")
    for metric in found.values():
        metric.add_batch(predictions=records["prediction"], references=records["target"], groups=groups)
    return found


def measure(records: Records, rule: str, written: str) -> dict[str, Score]:
    """WER and CER; `_greedy` those of the best symbol of each frame, where something else is predicted; `_raw` those
    against the transcripts as they were written, where the column `written` has them."""
    scores = _scores(records)
    others = {"greedy": _scores({**records, "prediction": records["greedy"]})} if "greedy" in records else {}
    if rule != "none":
        scores = {
            name: dataclasses.replace(score, method=f"{score.method}; text rule {rule}")
            for name, score in scores.items()
        }
    if written in records:
        others["raw"] = _scores({**records, "target": records[written]})
    return scores | {f"{name}_{what}": score for what, own in others.items() for name, score in own.items()}


def _scores(records: Records) -> dict[str, Score]:
    return {name: score for metric in metrics(records).values() for name, score in metric.scores().items()}


def annotate(records: Records) -> Records:
    """The records with the kinds of edits, the words of the reference, and both texts side by side."""
    if "target" not in records:
        return records
    from mmtransfer.metrics import align, pairs
    from mmtransfer.metrics.confusions import marked

    texts = list(zip(records["target"], records["prediction"], strict=True))
    edits = [align(target.split(), prediction.split()) for target, prediction in texts]
    kinds = ("substitutions", "deletions", "insertions")
    words = [len(target.split()) for target, _ in texts]
    own = {kind: [getattr(edit, kind) for edit in edits] for kind in kinds}
    return {**records, **own, "words": words, "alignment": [marked(pairs(*both)) for both in texts]}


def errors(records: Records) -> dict[str, Any]:
    """Where the errors are, as `metrics.word_errors` tells it."""
    from mmtransfer.metrics import word_errors

    measures = {name: records[name] for name in CONDITIONS if name in records}
    return word_errors(records["target"], records["prediction"], records.get("speaker"), measures)
