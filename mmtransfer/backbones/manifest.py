"""What a run's `model/` holds, file by file: a file that is lost, cut short or exchanged is an error, not a prediction.

model/manifest.json: {"files": {name: {"size": bytes, "sha256": hex}}}, of all files beside it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmtransfer import disk, documents, files
from mmtransfer.errors import MMTransferError, damaged

MANIFEST = "manifest.json"
FORM: documents.Form = {"files": {str: {"size": int, "sha256": str}}}


def remove(folder: Path) -> None:
    """Forgets what the folder held; to be called before any of its files is written anew."""
    (folder / MANIFEST).unlink(missing_ok=True)


def write(folder: Path) -> None:
    """Notes sizes and digests of all files in a folder, by rename; to be called last, when all of them are there."""
    noted = {path.name: _facts(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST}
    with disk.writing(folder / MANIFEST):
        documents.write(folder / MANIFEST, {"files": noted})


def check(folder: Path) -> None:
    """Raises MMTransferError for the first file that is missing or not the one that was written.

    A folder without a manifest passes: version 0.1.0 wrote none, nor do built-in backbones, which have a checksum.
    Digests cost less than reading the weights does (90 MB: 0.07 s), so none is remembered from one call to the next.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return
    for name, facts in _noted(path).items():
        file = folder / name
        if not file.is_file():
            raise damaged(file, FileNotFoundError())
        size = file.stat().st_size
        if size != facts["size"]:
            raise _other(file, f"it has {size} bytes instead of {facts['size']}")
        if files.digest(file, "sha256") != facts["sha256"]:
            raise _other(file, "it has the size, but another content")


def _noted(path: Path) -> dict[str, dict[str, Any]]:
    """The files of a manifest; raises MMTransferError for what is none."""
    try:
        noted: dict[str, dict[str, Any]] = documents.read_json(path, FORM)["files"]
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    if any(Path(name).name != name for name in noted):
        raise damaged(path, ValueError("it names files of other folders"))
    return noted


def _other(file: Path, how: str) -> MMTransferError:
    return MMTransferError(
        f"The run folder is damaged: {file.name} is not the file that the run wrote ({how})",
        str(file),
        "put the file of the run back, or train it again: --overwrite",
    )


def _facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": files.digest(path, "sha256")}
