"""`python -m tests.benchmarks` without its peers: its numbers, and that ours runs."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import __main__ as command
from benchmarks import growth, numbers, picture, spec, worker
from benchmarks.agree import agreements
from benchmarks.ours import Ours
from benchmarks.processes import Pair, Worker, WorkerError, turns
from benchmarks.spec import EAGER, JAX, OURS, PRODUCTS, Spec
from benchmarks.workloads import MODELS, Bench
from data import tiny

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="the benchmarks ask Unix for terminals and peak memory"
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tiny(8, 8), [], tmp_path, 2, rounds=1, quick=True)


def small(bench: Bench, name: str) -> Spec:
    model = MODELS[name]
    hidden, channels = tuple(5 for _ in model.hidden), tuple(2 for _ in model.channels)
    few = replace(model, hidden=hidden, latent=2, channels=channels, batch=6)
    return bench.spec(name, few)


@pytest.mark.slow("the benchmarks' large models")
@pytest.mark.parametrize("name", MODELS)
def test_our_worker_makes_steps_of_each_model(bench: Bench, name: str) -> None:
    ours = worker.make(small(bench, name))
    assert isinstance(ours, Ours)
    for _ in range(60):  # over the end of an epoch
        times, loss = ours.steps(0, 1)
        assert len(times) == 1
        assert np.isfinite(loss)
    ours.workers.__exit__(None, None, None)


def test_a_process_answers_and_agrees_with_the_reference(bench: Bench) -> None:
    given = small(bench, "headline")
    process = Worker(given)
    try:
        (agreement,) = agreements(given, {OURS: process})
        assert agreement.fine, agreement
        found = process.ask("steps", seconds=0, least=3)
        assert len(found["seconds"]) == 3
        assert np.isfinite(found["loss"])
        assert np.isfinite(process.ask("nll", images=3, samples=20)["nll"])
        assert 10 < process.ask("memory")["megabytes"] < 2000
        assert process.started > 0
        with pytest.raises(WorkerError, match="found 'nothing'"):
            process.ask("nothing")
    finally:
        process.close()
    assert process.process.returncode is not None


def test_the_products_are_those_of_a_step(bench: Bench) -> None:
    products = worker.make(small(bench, "headline").of(PRODUCTS))
    assert len(products.steps(0, 2)[0]) == 2
    # 784-400-40 and 20-400-784, three products each but the first layer's two.
    pairs = [2 * 784 * 400, 3 * 400 * 40, 3 * 20 * 400, 3 * 400 * 784]
    assert Spec().flops() == 2 * 128 * sum(pairs)
    products.workers.__exit__(None, None, None)


def test_entries_take_turns_beside_ours() -> None:
    calls: list[str] = []

    def measure(entry: str) -> list[float]:
        calls.append(entry)
        return [len(calls) + 0.0]

    pairs = turns(["a", "b"], 2, measure)
    assert calls == [OURS, "a", OURS, "b", "a", OURS, "b", OURS]
    assert pairs[0] == Pair("a", [1.0], [2.0])
    assert pairs[2] == Pair("a", [6.0], [5.0])


def test_a_ratio_is_the_median_of_those_of_the_pairs() -> None:
    assert numbers.tenth(range(11)) == 1
    # A slow moment that meets both of a pair does not move its ratio.
    pairs = [Pair("a", [1.0] * 5, [2.0] * 5), Pair("a", [9.0], [18.0]),
             Pair("a", [1.0], [1.0])]  # fmt: skip
    assert numbers.ratio(pairs) == (0.5, [0.5, 0.5, 1.0])
    found = numbers.summary([*pairs, Pair("b", [3.0], [1.0])])
    assert list(found) == [OURS, "a", "b"]
    assert found["a"]["median"] == 2
    assert (found["a"]["ratio"], found["b"]["ratio"]) == (0.5, 3)
    assert found[OURS]["slices"] == [[1.0] * 5, [9.0], [1.0], [3.0]]


def test_bars_are_met_missed_or_not_measured() -> None:
    entries = numbers.summary([Pair(JAX, [0.5], [1.0]), Pair(EAGER, [0.5], [1.2])])
    small_model = numbers.summary([Pair(JAX, [3.0], [4.0]), Pair(EAGER, [3.0], [9.0])])
    begun = numbers.summary([Pair(OURS, [5.0], [5.0])])
    workloads = {
        "headline": {"about": "", "unit": "ms", "entries": entries},
        "tanh-20": {"about": "", "unit": "ms", "entries": small_model},
        "start-cold": {"about": "", "unit": "seconds", "entries": begun},
    }
    rows = numbers.judged(workloads)
    verdicts = {(r["workload"], r["against"]): r["verdict"] for r in rows}
    assert verdicts["headline", JAX] == "met"
    assert verdicts["headline", EAGER] == "missed"
    assert verdicts["tanh-20", numbers.BEST] == "missed"  # 0.75 of the faster one
    assert verdicts["start-cold", numbers.ITSELF] == "met"
    assert verdicts["conv", EAGER] == "not measured"
    lines = [line.split() for line in numbers.bar_table(rows).splitlines()]
    assert ["headline", "/", "JAX", "jit", "0.6", "0.500", "met"] in lines
    assert ["headline", "/", "torch", "eager", "0.35", "0.417", "missed"] in lines
    assert ["conv", "/", "torch", "eager", "1", "-", "not", "measured"] in lines
    table = numbers.time_table("headline", workloads["headline"]).splitlines()
    assert table[2].split() == ["numpyvae", "500.00", "500.00"]
    assert table[3].split()[-4:] == ["0.500", "0.500", "to", "0.500"]


def test_absent_peers_are_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(spec.sys.modules, "jax", raising=False)
    monkeypatch.delitem(spec.sys.modules, "torch", raising=False)
    assert bench.peers(EAGER, JAX) == []
    monkeypatch.setattr(command, "STEERING", ())
    monkeypatch.setattr(command, "load", lambda *_: bench.data)
    monkeypatch.setattr(command, "WORKLOADS", {})
    file = tmp_path / "all.json"
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick", "--json", str(file)])
    assert command.main() == 0
    text = capsys.readouterr().out
    assert "absent: torch eager, for torch is not installed" in text
    assert "absent: JAX jit, for jax is not installed" in text
    assert '"load_at_end"' in file.read_text(encoding="utf-8")


def test_growth_is_drawn_with_its_finding(tmp_path: Path) -> None:
    def point(curve: str, threads: int, size: int, ratio: float) -> dict:
        seconds = size * 1e-5 / threads
        entries = {OURS: {"p10": seconds * ratio, "share": 0.9 * threads},
                   EAGER: {"p10": 2 * seconds, "share": 0.4},
                   JAX: {"p10": seconds, "share": 0.5}}  # fmt: skip
        return {"curve": curve, "threads": threads, "size": size, "gflops_peak": 100,
                "entries": entries}  # fmt: skip

    points = [
        point(curve, threads, size, 0.5 if size < 500 else 0.75)
        for curve, sizes in (("hidden", growth.HIDDEN), ("batch", growth.BATCHES))
        for threads in (1, 2)
        for size in sizes
    ]
    assert "0.50 to 0.75 of the best peer" in picture.finding(points)
    slower = point("batch", 2, 64, 1.5)
    assert "at 13 of 14 sizes" in picture.finding([*points, slower])
    picture.draw(tmp_path / "growth.png", points)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_what_steers_blas_on_this_machine_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here it may be set, on a user's machine it is not."""
    begun: list[dict[str, str]] = []
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr("subprocess.call", lambda command, env: begun.append(env) or 7)
    assert command.main() == 7
    assert begun[0].keys() == os.environ.keys() - {
        name for name in os.environ if name.startswith(command.STEERING)
    }
