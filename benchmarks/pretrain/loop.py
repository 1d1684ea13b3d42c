"""The loop of the pretraining scripts: one model, one loss, AdamW with cosine; stopped, it goes on exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmtransfer.engine import checkpoint, optim

WARMUP, CLIP = 0.03, 1.0
LOG_EVERY, SAVE_EVERY = 100, 500


def train(
    model: nn.Module, loss: Callable[[int], Tensor], steps: int, folder: Path, rate: float, decay: float, say: str = ""
) -> None:
    """Trains `model` for `steps` steps, with a checkpoint in `folder` every SAVE_EVERY.

    `loss`: number of a step -> its loss, a pure function of the number and the weights, so that a resumed run sees what
    the whole one sees. `rate`: the peak; `decay`: AdamW's, not on biases, norms and embeddings.
    """
    groups = optim.groups([(model, rate)], decay)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
    done, seconds = 0, 0.0
    point = checkpoint.newest(folder)
    if point is not None:
        tensors, state = checkpoint.read_point(point)
        model.load_state_dict(tensors["weights.safetensors"])
        optimizer.load_state_dict(_moments(optimizer, tensors["optimizer.safetensors"]))
        done, seconds = state["step"], state["seconds"]
        print(f"going on after step {done}", flush=True)
    model.train()
    begun, total = time.monotonic() - seconds, torch.zeros(())
    while done < steps:
        optim.set_rate(optimizer, done, steps, "cosine", WARMUP)
        value = loss(done)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total, done = total + value.detach(), done + 1
        if done % LOG_EVERY == 0:
            mean, passed = float(total) / LOG_EVERY, time.monotonic() - begun
            print(f"{say}step {done} of {steps}: loss {mean:.4f}, {passed:.0f} s", flush=True)
            total = torch.zeros(())
        if done % SAVE_EVERY == 0 or done == steps:
            parts = {"weights.safetensors": model.state_dict(), "optimizer.safetensors": _flat(optimizer)}
            state = {"step": done, "of": steps, "seconds": time.monotonic() - begun, "best": None}
            checkpoint.write(folder, f"step-{done}", parts, state)
            checkpoint.commit(folder, f"step-{done}", None)


def trained(model: nn.Module, folder: Path) -> dict[str, Any]:
    """Loads the newest checkpoint into `model`; returns its state: step, of, seconds."""
    point = checkpoint.newest(folder)
    if point is None:
        raise SystemExit(f"nothing is trained yet in {folder}")
    tensors, state = checkpoint.read_point(point)
    model.load_state_dict(tensors["weights.safetensors"])
    model.eval()
    return state


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, moments in state.items() for name, value in moments.items()}


def _moments(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    return {**optimizer.state_dict(), "state": state}
