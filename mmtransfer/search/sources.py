"""Which backbones can be had here: built-in, in the caches of torch and of the hub, and where the network answers a
short list by task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtransfer import backbones, hub
from mmtransfer.backbones import builtin, pretrained
from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
SHORT_LIST: Mapping[str, tuple[str, ...]] = {
    IMAGE: ("facebook/dinov2-small", "resnet50"),
    TEXT: ("sentence-transformers/all-MiniLM-L6-v2", "google-bert/bert-base-uncased"),
    TAGS: ("distilbert/distilbert-base-cased", "google-bert/bert-base-cased"),
    AUDIO: ("facebook/wav2vec2-base",),
    SPEECH: ("facebook/wav2vec2-base",),
}
"""By task, what is fetched where the network answers: small first."""
SIZES: Mapping[str, int] = {
    "facebook/dinov2-small": 90,
    "resnet50": 100,
    "sentence-transformers/all-MiniLM-L6-v2": 92,
    "google-bert/bert-base-uncased": 440,
    "distilbert/distilbert-base-cased": 264,
    "google-bert/bert-base-cased": 436,
    "facebook/wav2vec2-base": 380,
}
"""Megabytes that they are about."""
MEGABYTES_PER_SECOND = 10.0
"""That a download must be expected to take no longer than its share of the budget at."""
WEIGHTS = (".safetensors", ".bin")
BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class Source:
    """A backbone that can be had; `bytes`: on disk, 0 where that is not known before it is loaded."""

    name: str
    where: str
    bytes: int = 0


def available(task: str, modality: str, seconds: float) -> list[Source]:
    """The backbones that this machine has for a modality, small ones first, and what was fetched in `seconds`."""
    here = [Source(builtin.NAME, "built-in"), *_in_the_torch_cache(modality), *_in_the_hub_cache(modality)]
    names = {source.name for source in here}
    missing = [name for name in SHORT_LIST[task] if name not in names]
    return sorted([*here, *_fetched(missing, modality, seconds)], key=lambda source: source.bytes)


def looked_for(task: str) -> str:
    """Where backbones of a task were looked for, in words."""
    from huggingface_hub import constants

    reached = "which answers" if hub.reachable() else "which does not answer"
    listed = ", ".join(SHORT_LIST[task])
    return f"the built-in one, {_torch_cache()}, {constants.HF_HUB_CACHE}, and {listed} on the hub, {reached}"


def _torch_cache() -> Path:
    from torch import hub as torch_hub

    return Path(torch_hub.get_dir()) / "checkpoints"


def _in_the_torch_cache(modality: str) -> Iterator[Source]:
    """torchvision's networks whose published weights have been downloaded."""
    if modality != "image" or not _torch_cache().is_dir():
        return
    import torchvision

    files = {path.name: path.stat().st_size for path in _torch_cache().iterdir() if path.is_file()}
    for name in backbones.names():
        if name not in torchvision.models.list_models():
            continue
        file = torchvision.models.get_model_weights(name)["DEFAULT"].url.rsplit("/", 1)[-1]
        if file in files:
            yield Source(name, "torch's cache", files[file])


def _in_the_hub_cache(modality: str) -> Iterator[Source]:
    """Checkpoints of a modality, with their weights, that have been downloaded from the hub."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, OSError):
        return
    for repository in sorted(repositories, key=lambda repository: repository.repo_id):
        files = {file.file_name: file.size_on_disk for revision in repository.revisions for file in revision.files}
        weights = [size for name, size in files.items() if name.endswith(WEIGHTS)]
        if repository.repo_type != "model" or "config.json" not in files or not weights:
            continue
        try:
            family = pretrained.family_of(pretrained.configuration(repository.repo_id), repository.repo_id)
        except MMTransferError:
            continue
        if family.modality == modality:
            yield Source(repository.repo_id, "the hub's cache", max(weights))


def _fetched(names: Sequence[str], modality: str, seconds: float) -> list[Source]:
    """Those of the names that could be downloaded within `seconds`; nothing is waited for where nobody answers."""
    names = [name for name in names if SIZES[name] / MEGABYTES_PER_SECOND <= seconds]
    if not names or not hub.reachable():
        return []
    deadline, done = time.monotonic() + seconds, list[Source]()
    for name in names:
        # a download cannot be ended in its middle: it is left behind, and whoever comes next finds what it has
        worker = threading.Thread(target=_fetch, args=(name, modality, done), daemon=True)
        logger.info("auto: fetching %s, for at most %.0f s", name, max(0.0, deadline - time.monotonic()))
        worker.start()
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            logger.warning("auto: %s is not tried: fetching it takes longer than %.0f s", name, seconds)
            break
    return list(done)


def _fetch(name: str, modality: str, done: list[Source]) -> None:
    try:
        loaded = backbones.load(name, modality=modality)
    except MMTransferError as error:
        logger.warning("auto: %s is not tried: %s", name, error.what)
        return
    parameters = sum(value.numel() for value in loaded.parameters())
    done.append(Source(name, "the network", BYTES_PER_PARAMETER * parameters))
