"""The peers: transformers' Trainer, and loops as torchvision's tutorial and a careful user write them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.speed.pace import Pace


def device() -> Any:
    """What the peers train on."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16() -> bool:
    from mmtransfer.engine.precision import has_bf16

    return has_bf16(device())


def trainer(
    pace: Pace,
    model: Any,
    rows: Any,
    collate: Any,
    batch: int,
    epochs: int,
    score: Callable[[Any], float],
    options: Mapping[str, Any],
) -> float:
    """transformers' Trainer; `options`: of its arguments, beside what the case fixes."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Steps(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            pace.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            pace.step(batch)

    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        arguments = TrainingArguments(
            output_dir=place,
            num_train_epochs=epochs,
            per_device_train_batch_size=batch,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=device().type == "cpu",
            **options,
        )
        Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Steps()]).train()
    return score(model.eval())


def best(workers: int) -> dict[str, Any]:
    """Trainer's arguments at its best."""
    return {
        "bf16": has_bf16(),
        "train_sampling_strategy": "group_by_length",
        "optim": "adamw_torch_fused",
        "logging_nan_inf_filter": False,  # which reads the loss back at each step
        "dataloader_num_workers": workers,
        "dataloader_persistent_workers": workers > 0,
    }


def images(
    folder: str, test: str, arch: str, weights: str | None, batch: int, tuned: bool, workers: int, pace: Pace
) -> float:
    """A loop over torchvision's ImageFolder: the tutorial's in fp32 with SGD, or tuned (bf16, channels_last, AdamW);
    gives the accuracy in fp32 on the pictures of `test`."""
    import torch
    import torchvision
    from torchvision import transforms

    random = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    middle = [transforms.Resize(256), transforms.CenterCrop(224)]
    last = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    pictures = torchvision.datasets.ImageFolder(folder, transforms.Compose([*random, *last]))
    held = torchvision.datasets.ImageFolder(test, transforms.Compose([*middle, *last]))
    where = device()
    loader = torch.utils.data.DataLoader(
        pictures,
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        pin_memory=where.type == "cuda",
        persistent_workers=tuned and workers > 0,
    )
    model = getattr(torchvision.models, arch)(weights=None, num_classes=len(pictures.classes)).to(where).train()
    if weights:
        from safetensors.torch import load_file

        model.load_state_dict({k: v for k, v in load_file(weights).items() if "classifier" not in k}, strict=False)
    layout = torch.channels_last if tuned else torch.contiguous_format
    model = model.to(memory_format=layout)
    parameters = list(model.parameters())
    optimizer: Any = torch.optim.SGD(parameters, 0.001, momentum=0.9)
    if tuned:
        optimizer = torch.optim.AdamW(parameters, 1e-4, fused=True)
    pace.start()
    for _ in range(1 if pace.whole else 10_000):
        for inputs, labels in loader:
            inputs = inputs.to(where, memory_format=layout, non_blocking=True)
            with torch.autocast(where.type, torch.bfloat16, enabled=tuned and has_bf16()):
                loss = torch.nn.functional.cross_entropy(model(inputs), labels.to(where, non_blocking=True))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            pace.step(len(labels))
    model.eval()
    with torch.inference_mode():
        shown = torch.utils.data.DataLoader(held, batch)
        right = sum(int((model(inputs.to(where)).argmax(1).cpu() == labels).sum()) for inputs, labels in shown)
    return right / len(held)
