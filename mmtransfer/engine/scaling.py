"""The scale of the loss that keeps gradients inside the range of fp16 (Micikevicius et al. 2018)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmtransfer.engine.state import TrainState

if TYPE_CHECKING:
    from accelerate.optimizer import AcceleratedOptimizer

logger = logging.getLogger("mmtransfer")


class Scaler:
    """Multiplies losses and divides gradients; a step whose gradients overflow is left out, and the scale halved.

    Args:
        device: of the losses.
        precision: of the forward pass; other than fp16 nothing is scaled.

    It waits for the device where its state is kept alone, at checkpoints and at the end.
    """

    def __init__(self, device: torch.device = torch.device("cpu"), precision: str = "fp32") -> None:  # noqa: B008
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._unit = torch.ones((), device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to go backward from."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: AcceleratedOptimizer) -> None:
        """Divides the gradients again, before their norm is clipped."""
        self._scaler.unscale_(optimizer.optimizer)

    def step(self, optimizer: AcceleratedOptimizer) -> None:
        """The optimiser's step, unless gradients have overflown; then the scale of the next one."""
        if not self._scaler.is_enabled():
            optimizer.step()
            return
        before = self._scaler.scale(self._unit)
        self._scaler.step(optimizer.optimizer)
        self._scaler.update()
        self._skipped += self._scaler.scale(self._unit) < before  # it falls after such a step, and never else

    def keep(self, state: TrainState) -> None:
        """Writes what a resumed run needs into the state that checkpoints hold."""
        if self._scaler.is_enabled():
            kept = self._scaler.state_dict()
            state.scale, state.scale_age = kept["scale"], kept["_growth_tracker"]
            state.skipped = int(self._skipped)

    def take(self, state: TrainState) -> None:
        """Goes on from there."""
        if self._scaler.is_enabled() and state.scale is not None:
            kept = {"scale": state.scale, "_growth_tracker": state.scale_age}
            self._scaler.load_state_dict(self._scaler.state_dict() | kept)
            self._skipped.fill_(state.skipped)

    def tell(self, state: TrainState) -> None:
        """Says how many steps were left out."""
        self.keep(state)
        if state.skipped:
            logger.info("fp16: %d of %d steps left out, whose gradients had overflown", state.skipped, state.steps_done)
