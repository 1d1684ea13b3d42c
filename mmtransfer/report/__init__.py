"""One page of what a run has come to: the verdict, what it gets wrong, how it learned, what it took."""

from mmtransfer.report.making import report

__all__ = ["report"]
