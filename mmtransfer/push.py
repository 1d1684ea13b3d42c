"""A finished run on the Hugging Face hub: model and card, and nothing of the data or of this machine's folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmtransfer import card, disk, documents, hub
from mmtransfer.backbones import manifest, weights
from mmtransfer.errors import MMTransferError
from mmtransfer.report.evidence import gather
from mmtransfer.run import RunFolder

PLACES = ("train", "validation", "test", "backbone", "weights", "lm", "out", "cache_dir", "based_on")
"""Settings that may name a folder of this machine."""


def push(run: str | Path, name: str, public: bool = False) -> str:
    """Uploads model and card of a finished run to the hub, as ORG/NAME, and returns the address.

    What is uploaded is the folder of a run, so that `mmtransfer.load(snapshot_download(name))` opens it, and
    transformers reads its subfolder `model` where it has a class for it. Predictions, checkpoints and logs stay here;
    paths are cut to their last part.

    Args:
        run: folder of a finished run.
        name: ORG/NAME or USER/NAME.
        public: whether anybody may see a repository that is new; one that is there stays as it is.

    Raises MMTransferError for a run that has not finished, for a name that the hub does not take, where there is no
    token, and where the hub does not answer or refuses.

    >>> mmt.push("runs/a", "a model")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    MMTransferError: The hub does not take this name
    """
    _check_name(name)
    evidence = gather(run)
    if evidence.result["status"] != "finished":
        raise evidence.place.unfinished("The run has not finished")
    token = _token()
    if not hub.reachable():
        offline = "it is in offline mode (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else "it does not answer"
        raise MMTransferError(f"The hub cannot be reached: {offline}", hub.endpoint(), "try again with a network")
    with staged(evidence.place, name) as folder:
        return _uploaded(folder, name, token, public)


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError("there must be one / in it")
    except HFValidationError as error:
        what = f"The hub does not take this name: {str(error).splitlines()[0]}"
        raise MMTransferError(what, name, "give ORG/NAME, such as my-org/my-model") from None


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        do = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
        raise MMTransferError("There is no token for the hub", "mmtransfer push", do)
    return token


def _uploaded(folder: Path, name: str, token: str, public: bool) -> str:
    """Uploads a folder; its address on the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    api = HfApi(token=token)
    try:
        address = api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="A model by mmtransfer")
    except (HfHubHTTPError, HTTPError, OSError) as error:
        what = " ".join(str(error).split())
        do = "check that the token may write there (hf auth whoami), then do it again"
        raise MMTransferError(f"The hub has not taken it: {what}", name, do) from None
    return str(address)


@contextmanager
def staged(run: RunFolder, name: str) -> Iterator[Path]:
    """A folder that holds what is uploaded, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(dir=run.path.parent, prefix=".push-") as temporary, disk.writing(run.path):
        folder = Path(temporary)
        shutil.copytree(run.model, folder / "model", copy_function=_link)
        described = weights.description(run.model)
        described["source"] = card.place(described.get("source"))
        (folder / "model" / weights.DESCRIPTION).unlink()  # it is a second name of the run's own file
        documents.write(folder / "model" / weights.DESCRIPTION, described)
        (folder / "model" / manifest.MANIFEST).unlink(missing_ok=True)
        manifest.write(folder / "model")
        documents.write(folder / "config.json", _settings(run))
        documents.write(folder / "result.json", _result(run))
        (folder / card.NAME).write_text(card.card(gather(run.path), name), "utf-8", "backslashreplace")
        yield folder


def _settings(run: RunFolder) -> dict[str, Any]:
    settings = run.read_config()
    return settings | {key: card.place(settings[key]) for key in PLACES if isinstance(settings.get(key), str)}


def _result(run: RunFolder) -> dict[str, Any]:
    """result.json without what quotes the data, and without the command."""
    result = run.read_result()
    data = {
        split: {**own, "source": card.place(own.get("source")), "skipped": []} for split, own in result["data"].items()
    }
    backbone = dict(result.get("backbone") or {})
    backbone |= {key: card.place(backbone[key]) for key in ("name", "source") if backbone.get(key)}
    return {**result, "data": data, "backbone": backbone, "command": [], "findings": [], "warnings": []}


def _link(source: str, target: str) -> None:
    """A file under a second name, where the disk has such, else a copy: none is changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
