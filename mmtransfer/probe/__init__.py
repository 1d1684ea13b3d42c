"""Linear heads found exactly: convex problems on frozen features, without epochs or rates."""

from mmtransfer.probe.folds import deal
from mmtransfer.probe.logistic import Linear, logistic
from mmtransfer.probe.path import PENALTIES, Point
from mmtransfer.probe.ridge import RidgePath, ridge
from mmtransfer.probe.rows import Kind, Rows
from mmtransfer.probe.select import Choice, solve

__all__ = ["PENALTIES", "Choice", "Kind", "Linear", "Point", "RidgePath", "Rows", "deal", "logistic", "ridge", "solve"]
