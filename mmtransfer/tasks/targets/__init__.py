"""What is predicted of an example, by name. A new one: a file with a subclass of `Target`, a word here; or in another
package, with an entry point `mmtransfer.targets`, for every task that has `--target`."""

from typing import Any

from mmtransfer.config import OUTSIDE
from mmtransfer.registry import Registry
from mmtransfer.tasks.targets.base import Target
from mmtransfer.tasks.targets.multi_label import MultiLabel
from mmtransfer.tasks.targets.regression import Regression
from mmtransfer.tasks.targets.single_label import SingleLabel
from mmtransfer.tasks.targets.tags import Tags
from mmtransfer.tasks.targets.transcript import Transcript


def _admitted(name: str, kind: Any) -> type[Target]:
    if not (isinstance(kind, type) and issubclass(kind, Target)):
        raise TypeError("it must be a subclass of mmtransfer.tasks.Target")
    return kind


TARGETS: Registry[type[Target]] = Registry("target", "--target", OUTSIDE["target"], _admitted)
for _target in (SingleLabel, MultiLabel, Regression, Transcript, Tags):
    TARGETS.add(_target.name, _target)

__all__ = ["TARGETS", "MultiLabel", "Regression", "SingleLabel", "Tags", "Target", "Transcript"]
