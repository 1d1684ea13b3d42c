"""Settings of a run, and the table of tasks."""

from mmtransfer.config.fields import flag
from mmtransfer.config.settings import (
    FIELDS,
    OUTSIDE,
    RunConfig,
    check_kind,
    choices,
    default_of,
    make,
    owners,
    read_settings,
    reads,
    told,
)
from mmtransfer.config.tasks import AUDIO, IMAGE, SPEECH, TAGS, TASKS, TEXT

__all__ = [
    "AUDIO",
    "FIELDS",
    "IMAGE",
    "OUTSIDE",
    "SPEECH",
    "TAGS",
    "TASKS",
    "TEXT",
    "RunConfig",
    "check_kind",
    "choices",
    "default_of",
    "flag",
    "make",
    "owners",
    "read_settings",
    "reads",
    "told",
]
