"""How many processes encode examples ahead of the loop."""

from __future__ import annotations

import logging

import torch

from mmtransfer import launcher

logger = logging.getLogger("mmtransfer")
FIRST = 8
"""Most processes before anything is measured."""
STALLED = 0.1
"""Share of an epoch, spent waiting for data, above which there are more in the next."""


class Workers:
    """Their number: what the user says, else as many as this process has idle cores, and twice as many after an epoch
    that has waited for data. Results do not depend on it.

    Args:
        asked: by the user; None: nothing was said.
        threads: that compute on the CPU; with a GPU one core is left to the loop.
        device: on which the network is.
    """

    def __init__(self, asked: int | None, threads: int, device: torch.device) -> None:
        idle = max(0, launcher.own_cores() - (threads if device.type == "cpu" else 1))
        self.most = idle if asked is None else asked
        self.count = min(FIRST, idle) if asked is None else asked

    def heed(self, stalled: float) -> None:
        """Takes account of the share of an epoch that was spent waiting for data."""
        if stalled > STALLED and self.count < self.most:
            before, self.count = self.count, min(self.most, 2 * self.count)
            logger.info(
                "%.0f %% of the epoch was spent waiting for data: %d processes decode from here on, not %d",
                100 * stalled,
                self.count,
                before,
            )
