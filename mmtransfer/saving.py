"""The folder model/ of a run: backbone, head and task, and last of all what it holds; adapters beside it."""

from __future__ import annotations

from mmtransfer import disk, documents, files
from mmtransfer.backbones import adapters, manifest, weights
from mmtransfer.engine.model import Model
from mmtransfer.run import RunFolder

ADAPTERS = "adapter_model.safetensors"


def save_adapters(folder: RunFolder, model: Model) -> None:
    """Writes the adapters of a backbone that has some as peft keeps them."""
    made = adapters.export(model.backbone)
    if made is None:
        return
    config, tensors = made
    with disk.writing(folder.adapter / ADAPTERS):
        folder.adapter.mkdir(exist_ok=True)
        files.write_tensors(folder.adapter / ADAPTERS, tensors, weights.FORMAT)
        documents.write(folder.adapter / "adapter_config.json", config)


def save_model(folder: RunFolder, model: Model) -> None:
    """Writes model/; a backbone of which nothing has been trained lies once for all runs beside this one."""
    frozen = not any(parameter.requires_grad for parameter in model.backbone.parameters())
    with disk.writing(folder.model / weights.TENSORS):
        folder.model.mkdir(exist_ok=True)
        manifest.remove(folder.model)
        weights.save(model.backbone, folder.model, folder.store if frozen else None)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.head.state_dict().items()}
    with disk.writing(folder.model / "head.safetensors"):
        files.write_tensors(folder.model / "head.safetensors", tensors)
    write_task(folder, model)


def write_task(folder: RunFolder, model: Model) -> None:
    """Writes model/task.json, labels or vocabulary and what validation has tuned, the target's own files, and what
    other libraries read, which has that in it."""
    task = model.task
    with disk.writing(folder.model / "config.json"):
        task.export(folder.model, model.backbone, model.head)
    task.target.save(folder.model)
    folder.write(folder.model / "task.json", {"task": task.config.task, "state": task.state()})
    manifest.write(folder.model)
