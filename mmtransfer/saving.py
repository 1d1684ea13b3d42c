"""The folder model/ of a run: backbone, head and task, and last of all what it holds."""

from __future__ import annotations

from mmtransfer import disk, files
from mmtransfer.backbones import manifest, weights
from mmtransfer.engine.model import Model
from mmtransfer.run import RunFolder


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
    with disk.writing(folder.model / "config.json"):
        model.task.export(folder.model, model.backbone, model.head)
    write_task(folder, model)


def write_task(folder: RunFolder, model: Model) -> None:
    """Writes model/task.json: labels or vocabulary, and what validation has tuned."""
    task = model.task
    folder.write(folder.model / "task.json", {"task": task.config.task, "state": task.state()})
    manifest.write(folder.model)
