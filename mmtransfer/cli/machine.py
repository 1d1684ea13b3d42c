"""`mmtransfer machine`: versions, devices and memory, in lines to paste into an issue."""

from __future__ import annotations

import dataclasses
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import mmtransfer
from mmtransfer import launcher
from mmtransfer.cli.installation import check_trio
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.words import parse
from mmtransfer.errors import MMTransferError
from mmtransfer.terminal import visible

TRIO = ("torch", "torchvision", "torchaudio")
LIBRARIES = ("transformers", "accelerate", "datasets", "tyro")


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    json: bool = False
    """Print JSON instead of lines."""


def run(words: list[str]) -> None:
    """Prints what this machine is."""
    about = "Versions, devices and memory of this machine, in ten lines to paste into an issue."
    said = parse(Words, words, "machine", about)
    facts = installed()
    if said.json:
        show_json(facts | imported())
        return
    _show(_of_the_installation(facts))
    _show(_of_torch(facts | imported()))


def installed() -> dict[str, Any]:
    """What is known at once; sizes in bytes."""
    from mmtransfer.cache.store import Store, default_folder

    store = Store(default_folder())
    return {
        "mmtransfer": mmtransfer.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: _version(name) for name in (*TRIO, *LIBRARIES)},
        "cores": launcher.cores(),
        "free_disk_bytes": shutil.disk_usage(_existing(store.root)).free,
        "cache": {"folder": str(store.root), "bytes": store.bytes()},
        "hub": _hub(),
    }


def imported() -> dict[str, Any]:
    """What takes seconds: the torch packages are imported, which alone shows whether they fit each other."""
    try:
        check_trio()
        trio = "they fit each other"
    except MMTransferError as error:
        trio = f"{error.what}; {error.do}"
    return {"trio": trio, **_torch()}


def _torch() -> dict[str, Any]:
    """Processor, devices, memory and bf16, as torch sees them; nothing of them where it cannot be imported."""
    try:
        import torch

        from mmtransfer.engine.memory import free_bytes
        from mmtransfer.engine.precision import has_bf16
        from mmtransfer.run import processor
    except (ImportError, OSError, RuntimeError):
        return {"devices": None}
    devices = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", number)
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        devices.append({"name": name, "free_bytes": free, "bytes": total, "bf16": has_bf16(device)})
    return {
        "processor": processor(),
        "cpu_bf16": has_bf16(),
        "free_memory_bytes": free_bytes(),
        "cuda": torch.version.cuda,
        "devices": devices,
    }


def _hub() -> dict[str, Any]:
    from huggingface_hub import constants

    return {"cache": str(constants.HF_HUB_CACHE), "offline": bool(constants.HF_HUB_OFFLINE)}


def _show(lines: Iterator[tuple[str, str]]) -> None:
    for name, value in lines:
        print(f"{name + ':':<13}{visible(value)}", flush=True)


def _of_the_installation(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines, as a name and what there is."""
    yield "mmtransfer", f"{facts['mmtransfer']}, Python {facts['python']}"
    yield "system", facts["system"]
    yield "libraries", ", ".join(f"{name} {facts['versions'][name]}" for name in LIBRARIES)
    yield "cache", f"{facts['cache']['folder']}, {_gib(facts['cache']['bytes'])}"
    yield "disk", f"{_gib(facts['free_disk_bytes'])} free where the cache is"
    yield "hub", f"{facts['hub']['cache']}{', offline' if facts['hub']['offline'] else ''}"


def _of_torch(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Likewise."""
    trio = ", ".join(f"{name} {facts['versions'][name]}" for name in TRIO)
    yield "trio", f"{trio}: {facts['trio']}"
    if facts["devices"] is None:
        yield "devices", "unknown: torch cannot be imported"
        return
    yield "memory", f"{_gib(facts['free_memory_bytes'])} free"
    yield "processor", f"{facts['processor']}, {_cores(facts['cores'])}, {_bf16(facts['cpu_bf16'])}"
    yield "devices", "; ".join(map(_device, facts["devices"])) or f"no GPU ({_built(facts['cuda'])})"


def _device(device: dict[str, Any]) -> str:
    return f"{device['name']}, {_gib(device['free_bytes'])} of {_gib(device['bytes'])} free, {_bf16(device['bf16'])}"


def _bf16(there: bool) -> str:
    return "bf16" if there else "no bf16"


def _cores(count: int) -> str:
    return f"{count} core{'s' if count > 1 else ''}"


def _built(cuda: str | None) -> str:
    return f"torch is built for CUDA {cuda}" if cuda else "torch is built without CUDA"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _existing(path: Path) -> Path:
    """The first folder on the way up that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
