"""The page of a run, written at the end of a verb that makes one."""

from __future__ import annotations

from pathlib import Path

from mmtransfer import launcher
from mmtransfer.terminal import visible


def show_page(run: Path, *others: Path, quiet: bool = False) -> None:
    """Writes the page of a run, beside others where there are some, and says where it is; `quiet`: says nothing, for
    JSON is printed."""
    if launcher.is_main():
        from mmtransfer.pages import report

        page = report(run, *others)
        if not quiet:
            print(visible(f"the page is {page}"))
