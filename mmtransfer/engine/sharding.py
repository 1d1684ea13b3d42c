"""Ways of spreading a model over devices that have not been run here are refused by name."""

from __future__ import annotations

import os

from accelerate.utils import DistributedType

from mmtransfer.errors import MMTransferError

VARIABLES = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}
"""What `accelerate launch` sets, and what it means."""
TYPES = {
    DistributedType.FSDP: "FSDP",
    DistributedType.DEEPSPEED: "DeepSpeed",
    DistributedType.MEGATRON_LM: "Megatron-LM",
}


def refuse(kind: DistributedType | None = None) -> None:
    """Raises MMTransferError where the launcher asks for one of them, or Accelerate has chosen one (`kind`)."""
    asked = {name for variable, name in VARIABLES.items() if os.environ.get(variable, "").lower() in ("true", "1")}
    if kind in TYPES:
        asked.add(TYPES[kind])
    for name in sorted(asked):
        raise MMTransferError(
            f"{name} is not supported: checkpoints and frozen stages have not been run with it",
            "the configuration of accelerate",
            "use data parallelism (recipes/accelerate/ddp_one_node.yaml), with --precision bf16 and smaller "
            "micro-batches where memory is short",
        )
