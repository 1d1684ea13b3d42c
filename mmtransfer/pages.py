"""Pages about runs: what one has come to, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmtransfer.api import load
from mmtransfer.report import report as report_of


def report(*runs: str | Path, out: str | Path | None = None, data: Any = None, explain: bool = True) -> Path:
    """Writes one self-contained page about a run, and returns its path; of several runs the first is told of at length,
    and all are compared.

    Args:
        runs: run folders.
        out: the page, .html; report.html in the folder of the first run if None.
        data: where the data that the runs were scored on lie now, if they have moved or were given in Python.
        explain: ask the model which words of the worst texts mattered, and when the words of the worst recordings were
            said, for some seconds.

    Raises MMTransferError for a folder that is no run, for runs that cannot be compared, and for a page that cannot be
    written.

    >>> mmt.report("runs/a", out="a.html").name
    'a.html'
    """
    return report_of(runs, out, data, load if explain else None)
