"""What is predicted of an image or text, by name. A new one: a file with a subclass of `Target`, a line here."""

from mmtransfer.registry import Registry
from mmtransfer.tasks.targets.base import Target
from mmtransfer.tasks.targets.multi_label import MultiLabel
from mmtransfer.tasks.targets.regression import Regression
from mmtransfer.tasks.targets.single_label import SingleLabel

TARGETS: Registry[type[Target]] = Registry("target", "--target")
for _target in (SingleLabel, MultiLabel, Regression):
    TARGETS.add(_target.name, _target)

__all__ = ["TARGETS", "MultiLabel", "Regression", "SingleLabel", "Target"]
