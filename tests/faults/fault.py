"""What a planted fault is; the catalogue's other files are lists of them."""

from typing import NamedTuple

# EVIDENCE.md, section 1: what the best-known VAE code gets wrong, row by row.
SEEN = {
    "sigma": "z = mu + exp(logvar) eps while the KL reads logvar as log-variance",
    "eps": "backward draws a fresh eps",
    "kl sign": "dKL/dmu = -mu; KL with the opposite sign",
    "logvar": "reconstruction gradient never reaches logvar",
    "stale": "a layer receives a stale delta (equal widths hide it)",
    "early": "parameters updated before the rest of backward ran",
    "mean": "printed loss is a mean, differentiated loss is a sum",
    "clip": "p clipped to [1e-15, 0.999] before the log",
    "at mu": "test ELBO computed at z = mu",
    "input": "a parameter-only check passes with a broken input gradient",
}


class Fault(NamedTuple):
    """A small change of one file of the package: each old text stands there once."""

    name: str
    file: str
    edits: dict[str, str]  # old text: new text
    story: str  # how one comes by it
    seen: str = ""  # its row of SEEN, if it has one
    tests: str = ""  # the test to run first; empty: the test file named after `file`
