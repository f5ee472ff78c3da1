"""What each command does, once its options are known; returns the exit code."""

from .classification import classify
from .compare import compare
from .evaluation import evaluate_run
from .exercises import check
from .gradients import gradcheck
from .pictures import reconstruct, sample
from .plot import plot
from .training import presets, train

__all__ = [
    "check",
    "classify",
    "compare",
    "evaluate_run",
    "gradcheck",
    "plot",
    "presets",
    "reconstruct",
    "sample",
    "train",
]
