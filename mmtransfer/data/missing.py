"""Sources that are not there, told without the libraries that would read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmtransfer.errors import MMTransferError

BUILTIN, HUB = "builtin:", "hub:"
"""How sources begin that are no paths: data that come with the installation, and datasets on the hub."""


def refuse_absent(source: Any, option: str, labelled: bool = True) -> None:
    """Raises MMTransferError for a path where there is nothing; other sources pass, and names that no path can have.

    `option`: what the source is called in the message; `labelled`: whether it is to have answers.
    """
    if not isinstance(source, str | Path) or str(source).startswith((BUILTIN, HUB)) or "\0" in str(source):
        return
    path = Path(source)
    if os.path.exists(path):  # Path.exists raises for a name that is too long
        return
    hint = (
        "check the path"
        if labelled
        else "check the path; a text that looks like one goes into a list, or to - by standard input"
    )
    if len(path.parts) == 2 and not path.suffix and not path.parent.exists():
        hint += f"; a dataset on the hub is {HUB}{path.as_posix()}"
    raise MMTransferError("No such file or folder", f"{option} {source}", hint)
