"""The catalogue: every fault, by family."""

from . import (
    bounds,
    codes,
    compiled,
    convolution,
    descent,
    meanings,
    pairs,
    parts,
    training,
    wiring,
)
from .fault import Fault

FAMILIES: dict[str, tuple[Fault, ...]] = {
    "Slopes of the reference": pairs.FAULTS,
    "Compiled kernels": compiled.FAULTS,
    "Convolution": convolution.FAULTS,
    "Model and parameters": wiring.MODEL,
    "Posteriors and bounds": bounds.FAULTS,
    "Meaning": meanings.MEANING,
    "Floating point": meanings.NUMBERS,
    "Optimizers": descent.FAULTS,
    "Training": training.TRAINING,
    "Data and evaluation": training.DATA,
    "New parts": parts.FAULTS + codes.FAULTS,
}
FAULTS = tuple(fault for faults in FAMILIES.values() for fault in faults)
