"""The sweep: mutate the mathematics mechanically; what survives must be equivalent.

With the JIT off, in throwaway copies, against the quick tests. A survivor that is not
among EQUIVALENT, by its file, its line's text and its change, is a missing test.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import Queue

from .bench import CHECKOUT, Bench
from .equivalent import EQUIVALENT
from .mutate import Mutant, mutants

PASSES = {
    "forward", "backward", "loss_and_gradient", "as_input", "encode", "decode",
    "reconstruct", "sample",
}  # fmt: skip
LISTS = {  # what the compiled step alone uses has no meaning without the JIT
    "__len__", "active_pixels", "list_rows", "_list_row", "list_images", "sum_rows",
    "rows_of", "repeat", "append", "one_hot",
}  # fmt: skip
# The files, the functions in them (None: all), the tests to run, the likeliest first.
SWEPT = {
    "pairs/activations.py": (None, "activations likelihoods kernels networks"),
    "pairs/dense.py": (None, "dense kernels networks"),
    "pairs/conv.py": (None, "conv layers"),
    "pairs/kl.py": (None, "kl posteriors vae combinations"),
    "pairs/priors.py": (None, "priors posteriors combinations"),
    "pairs/bernoulli.py": (None, "likelihoods combinations meaning"),
    "pairs/likelihoods.py": (None, "likelihoods combinations package meaning"),
    "pairs/posteriors.py": (None, "gaussian posteriors vae combinations"),
    "pairs/flow.py": (None, "flow posteriors combinations"),
    "pairs/mixture.py": (None, "mixture priors deep"),
    "pairs/deep.py": (None, "deep priors package"),
    "pairs/discretized_logistic.py": (None, "discretized_logistic combinations"),
    "pairs/reference.py": (None, "kernels dense conv optimizers"),
    "pairs/objectives.py": (None, "objectives vae combinations settings"),
    "pairs/optimizers.py": (None, "optimizers trainer"),
    "training/optimizers.py": (None, "optimizers trainer"),
    "kernels/dense.py": (None, "kernels optimizers vae trainer"),
    "kernels/bernoulli.py": (None, "kernels vae"),
    "kernels/conv.py": (None, "conv layers"),
    "kernels/active_pixels.py": (LISTS, "active_pixels kernels"),
    "model/layers.py": (None, "networks layers vae"),
    "model/networks.py": (None, "networks layers vae combinations"),
    "model/vae.py": (PASSES, "vae combinations evaluate trainer"),
    "model/params.py": (None, "params networks"),
}


def made(only: str | None = None) -> list[tuple[str, Mutant]]:
    """Every mutant, with its file; `only` those of files with this in the name."""
    return [
        (file, mutant)
        for file, (functions, _) in SWEPT.items()
        if (only or "") in file
        for mutant in mutants(
            (CHECKOUT / "numpyvae" / file).read_text(encoding="utf-8"), functions
        )
    ]


def reason(file: str, mutant: Mutant) -> str:
    """Why this mutant is equivalent; "" if nobody said so."""
    return EQUIVALENT.get((file, mutant.source, mutant.change), "")


def survives(file: str, mutant: Mutant, benches: "Queue[Bench]") -> bool:
    tests = [f"test_{name}.py" for name in SWEPT[file][1].split()]
    bench = benches.get()
    try:
        with bench.planted(file, mutant.text):
            return not bench.failing_test(tests)
    finally:
        benches.put(bench)


def sweep(only: str | None = None) -> int:
    begin, every = time.monotonic(), made(only)
    with ExitStack() as stack:
        benches: Queue[Bench] = Queue()
        first, second = (stack.enter_context(Bench(jit=False)) for _ in range(2))
        first.expect_right()
        second.seconds = first.seconds
        for bench in (first, second):
            benches.put(bench)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        outcomes = pool.map(lambda pair: survives(*pair, benches), every)
        alive = missing = 0
        for (file, mutant), lives in zip(every, outcomes, strict=True):
            if lives:
                why = reason(file, mutant)
                alive, missing = alive + 1, missing + (not why)
                print(f"{file}:{mutant.line}  {mutant.source}")
                verdict = why or "SURVIVES: a missing test"
                print(f"    {mutant.change}: {verdict}", flush=True)
    print(f"{time.monotonic() - begin:.0f} s")
    print(
        f"killed {len(every) - alive} of {len(every)} mutants; "
        f"{alive - missing} are equivalent, {missing} survive"
    )
    return int(missing > 0)
