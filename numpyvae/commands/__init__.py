"""What each command does, once its options are known; returns the exit code."""

from .evaluation import evaluate_run
from .pictures import reconstruct, sample
from .proof import gradcheck
from .training import presets, train

__all__ = [
    "evaluate_run",
    "gradcheck",
    "presets",
    "reconstruct",
    "sample",
    "train",
]
