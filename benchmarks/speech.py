"""Speech recognition with and without a language model, beside published figures: run what is missing, render a page.

    python -m benchmarks.speech run [NAME ...]     # needs $MMTRANSFER_DATA; runs/speech, benchmarks/results/speech.json
    python -m benchmarks.speech render             # writes benchmarks/speech.md, with the table of wer_intervals.json

Every row is a run whose weights of the decoder are chosen on validation data; its test data are decoded both ways.
The difference is paired, by speaker. Real-time factors are of passes over the test data on this machine, files and
scores included, the quickest of three each. A row that cannot be run where this is called says why, and keeps figures
that it has.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import data_folder, fsdd_speakers, wer_intervals

HERE = Path(__file__).parent
RUNS, RESULTS = Path("runs") / "speech", HERE / "results" / "speech.json"
ROUNDS = 3
FULL = {"backbone": "builtin", "strategy": "full", "augment": "light"}
FSDD = {**FULL, "epochs": 6, "lr": 0.0006, "vocabulary": "backbone"}
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
LIBRI = "hub:openslr/librispeech_asr:clean"
WAV2VEC2 = {"backbone": "facebook/wav2vec2-base", "strategy": "full", "train": f"{LIBRI}:train.100"}
BAEVSKI = "wav2vec 2.0 Base, greedy {} and with a 4-gram {} (Baevski et al. 2020)"
AN4 = (
    "Kaldi 0.106 (monophones) to 0.0595 (adapted to each test speaker), with a dictionary of pronunciations; ESPnet "
    "0.074 with a language model, deepspeech.pytorch 0.096; all trained on AN4 alone, none with an interval"
)

TOP = """# Speech: greedy and decoded, beside what others report

`python -m benchmarks.speech run`, then `render`. WER on test data with 95 % intervals by speaker (by recording where
the test set is one speaker's), one run a row; decoded: a beam search with 50 hypotheses and a word 4-gram of the row's
own training transcripts, its weights chosen on validation data. Real time: seconds of computing, files and scores
included, a second of audio. All words of FSDD's test sets are in its model, which knows ten; of AN4's 69 two are not.

| data | greedy | decoded | decoded minus greedy | fewer errors | real time, greedy / decoded | run, s | \
published, and what is not comparable |
|---|---|---|---|---|---|---|---|"""
BOTTOM = """## Do the intervals hold what they promise?

`python -m benchmarks.wer_intervals`: how many of {simulations:,} simulated test sets have the true WER of {true} within
their 95 % interval. Speakers differ by `spread`, the standard deviation of their rates in parts of the mean (0.5 is
about AN4's), and have 13 recordings of 6 words each on average. mmtransfer reports the first kind.
"""


@dataclass(frozen=True)
class Row:
    """A run: `{data}` and `{speakers}` in its settings stand for $MMTRANSFER_DATA and the tables of fsdd_speakers."""

    name: str
    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: str = ""
    """WER that others report, and what is not comparable."""


def _rows() -> list[Row]:
    an4 = {**FULL, "train": "{data}/an4/train", "test": "{data}/an4/test"}
    an4 |= {"epochs": 30, "batch_size": 16, "lr": 0.001}
    fsdd = {**FSDD, "train": "{data}/fsdd/train", "test": "{data}/fsdd/test"}
    found = [Row("an4", "AN4", an4, AN4), Row("fsdd", "FSDD, official split", fsdd, "none known for transcripts")]
    for speaker in SPEAKERS:
        place = f"{{speakers}}/{speaker}"
        own = {**FSDD, "train": f"{place}/train.csv", "test": f"{place}/test.csv", "group_column": "speaker"}
        found.append(Row(f"fsdd-{speaker}", f"FSDD without {speaker}, who is the test set", own, "none known"))
    for minutes, name, greedy, decoded in (
        (10, "10 min", "0.469", "0.091"),
        (60, "1 h", "0.245", "0.055"),
        (600, "10 h", "0.111", "0.043"),
        (None, "100 h", "0.061", "0.034"),
    ):
        own = {**WAV2VEC2, "test": f"{LIBRI}:test"} | ({"shots_minutes": minutes} if minutes else {})
        told = BAEVSKI.format(greedy, decoded) + "; its 4-gram is of 800 M words, and its hours are Libri-light's"
        found.append(Row(f"librispeech-{name.replace(' ', '')}", f"LibriSpeech {name}, test-clean", own, told))
    return found


ROWS = _rows()


def command(row: Row) -> str:
    """What a row runs, as words."""
    from mmtransfer.config import flag

    words = [f"{flag(name)} {shlex.quote(str(value))}" for name, value in row.settings.items()]
    return " ".join(["mmtransfer fit speech-recognition", *words]).replace("'", "")


def measure(row: Row) -> dict[str, Any]:
    """A row's figures; where it cannot be run, `skipped`: why."""
    import mmtransfer as mmt
    from mmtransfer.errors import MMTransferError
    from mmtransfer.metrics import WER

    speakers = RUNS / "tables"
    settings = dict(row.settings)
    if "{speakers}" in str(settings):
        fsdd_speakers.write(data_folder() / "fsdd", speakers)
    places = {"data": str(data_folder()) if "{data}" in str(settings) else "", "speakers": str(speakers)}
    settings = {name: value.format(**places) if isinstance(value, str) else value for name, value in settings.items()}
    out = RUNS / row.name
    going_on = {"resume": True} if (out / "config.json").exists() else {}
    try:
        run = mmt.fit(task="speech-recognition", seed=0, out=str(out), **settings, **going_on)
    except MMTransferError as error:
        # without the address of a hub, which may be one of this machine alone
        return {"skipped": error.what.partition(", and http")[0]}
    scores = run.metrics["test"]
    found: dict[str, Any] = {
        "scores": {name: scores[name] for name in ("wer", "wer_greedy", "cer", "cer_greedy") if name in scores},
        "seconds": run.result["seconds"]["total"],
        "precision": run.result["precision"]["dtype"],
        "cores": len(os.sched_getaffinity(0)),
        "rtf": real_time(out, settings["test"]),
    }
    if "wer_greedy" in scores:
        stored = run.folder.read_predictions("test")
        greedy = {"target": stored["target"], "prediction": stored["greedy"], "speaker": stored.get("speaker")}
        annotated = run.model.task.target.annotate(greedy)
        found["difference"] = WER.difference("wer", [stored], [annotated]).as_dict()
        found["weights"] = run.model.task.target.state()["decoder"]
    return found


def real_time(out: Path, test: str) -> dict[str, float]:
    """Seconds of a pass over the test data by seconds of audio, without and with the beam search."""
    import mmtransfer as mmt
    from mmtransfer.data import sources

    runs = {way: mmt.load(out, decode=way) for way in ("greedy", "auto")}
    table = sources.load(test, "audio")
    audio = float((table.measured()[:, 0] / table.measured()[:, 1]).sum())
    spent: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(ROUNDS + 1):
        for way, run in runs.items():
            begin = time.perf_counter()
            run.evaluate(test)
            spent[way].append(time.perf_counter() - begin)
    return {way: min(seconds[1:]) / audio for way, seconds in spent.items()}


def render(results: Mapping[str, Any], intervals: Sequence[dict[str, Any]]) -> str:
    """The page."""
    lines = [TOP]
    lines += [_line(row, results.get(row.name)) for row in ROWS]
    if told := _left_out(results):
        lines += ["", told]
    lines += ["", "What `fit` is called with, `--seed 0`:", ""]
    lines += [f"- {row.data}: `{command(row)}`" for row in ROWS]
    about = BOTTOM.format(simulations=intervals[0]["simulations"], true=wer_intervals.TRUE)
    lines += ["", about, wer_intervals.table(intervals)]
    return "\n".join(lines) + "\n"


def _left_out(results: Mapping[str, Any]) -> str:
    """The mean over the speakers of FSDD that have been left out; empty where none has been, or it was not decoded."""
    names = [name for name in SPEAKERS if "scores" in results.get(f"fsdd-{name}", {})]
    scores = [results[f"fsdd-{name}"]["scores"] for name in names]
    if not scores:
        return ""
    decoded = statistics.fmean(own["wer"]["value"] for own in scores)
    greedy = statistics.fmean(own.get("wer_greedy", own["wer"])["value"] for own in scores)
    fewer = f"{100 * (1 - decoded / greedy):.0f} % fewer errors"
    return f"FSDD, mean of {len(names)} of 6 speakers left out: greedy {greedy:.4f}, decoded {decoded:.4f}, {fewer}."


def _line(row: Row, found: Mapping[str, Any] | None) -> str:
    from mmtransfer.metrics import Score
    from mmtransfer.metrics.intervals import Estimate

    if found is None or "skipped" in found:
        cells = [f"skipped: {found['skipped']}" if found else "not run", *["-"] * 5]
        return f"| {' | '.join([row.data, *cells, row.published])} |"
    scores = {name: Score.of(score) for name, score in found["scores"].items()}
    rtf, decoded = found["rtf"], "wer_greedy" in scores
    cells = [str(scores["wer_greedy" if decoded else "wer"])]
    if decoded:
        difference = Estimate(*(found["difference"][name] for name in ("value", "low", "high")))
        fewer = 1 - scores["wer"].value / scores["wer_greedy"].value
        cells += [str(scores["wer"]), f"{difference:+.4f}", f"{100 * fewer:.0f} %"]
        cells += [f"{rtf['greedy']:.4f} / {rtf['auto']:.4f}"]
    else:
        cells += ["no better on validation data, so not used", "-", "-", f"{rtf['greedy']:.4f} / -"]
    cells.append(f"{found['seconds']:.0f} on {found['cores']} core{'s' if found['cores'] > 1 else ''}")
    return f"| {' | '.join([row.data, *cells, row.published])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of rows: {', '.join(row.name for row in ROWS)}")
    said = parser.parse_args()
    strange = set(said.names) - {row.name for row in ROWS}
    if strange:
        parser.error(f"no row {', '.join(sorted(strange))}; there are {', '.join(row.name for row in ROWS)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if said.verb == "run":
        for row in ROWS:
            if not said.names or row.name in said.names:
                found = measure(row)
                if "skipped" not in found or row.name not in results:
                    results[row.name] = found
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(_line(row, results[row.name]), flush=True)
        return
    intervals = HERE / "results" / "wer_intervals.json"
    page = render(results, json.loads(intervals.read_text()))
    (HERE / "speech.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
