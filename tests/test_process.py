"""Trainings share a process: with others in threads, and with children after a fork.

What they set for the process is put back by the last to end, whichever that is; the
bits are those of a training alone.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from bounds import HANG
from data import tiny
from threadpoolctl import threadpool_info, threadpool_limits

from numpyvae import VAE, train
from numpyvae.training.process import Held, serial_blas
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Workers

HIDDEN = [784, 400]  # on two threads, OpenBLAS gives their product other bits
needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system has no fork"
)


def trained(posterior: str = "diagonal") -> bytes:
    """The parameters of a model after an epoch, compiled step or general."""
    model = VAE(48, HIDDEN, 3, posterior=posterior)
    train(model, tiny(), epochs=1, batch_size=128, progress=False, threads=2)
    return model.params.flat.tobytes()


def in_threads(count: int, task: Callable[[], Any]) -> list[Any]:
    """What the task returns in each of so many threads, all running at once."""
    found: list[Any] = [None] * count
    together = threading.Barrier(count, timeout=HANG)

    def run(i: int) -> None:
        together.wait()
        found[i] = task()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    return found


def settings_of_the_process() -> tuple[float, set[int]]:
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sys.getswitchinterval(), {pool["num_threads"] for pool in pools}


@pytest.fixture(autouse=True)
def nothing_stays_changed() -> Iterator[None]:
    with threadpool_limits(2, "blas"):
        before = settings_of_the_process()
        yield
        assert settings_of_the_process() == before


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_training_in_a_thread_has_the_bits_of_one_alone(
    count: int, posterior: str
) -> None:
    alone = trained(posterior)
    assert in_threads(count, lambda: trained(posterior)) == [alone] * count


def test_threads_that_end_in_any_order_put_the_settings_back() -> None:
    """The thread that set them first is not the last that needs them."""
    first_is_in, first_is_out = threading.Event(), threading.Event()
    inside: list[tuple[float, set[int]]] = []

    def first() -> None:
        with Workers(2):
            first_is_in.set()
            assert second_is_in.wait(HANG)
        first_is_out.set()

    def second() -> None:
        assert first_is_in.wait(HANG)
        with pytest.raises(LookupError), Workers(2) as workers:
            second_is_in.set()
            assert first_is_out.wait(HANG)
            inside.extend(workers.map(lambda i: settings_of_the_process(), 2))
            raise LookupError

    second_is_in = threading.Event()
    threads = [threading.Thread(target=run) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    interval = pytest.approx(1e-5)
    assert inside == [(interval, {1})] * 2


def test_a_limit_that_another_thread_keeps_does_not_hide_ours() -> None:
    """threadpoolctl 3.8 lets a thread that has set a limit ignore all others'."""
    kept, over = threading.Event(), threading.Event()

    def keep() -> None:
        with threadpool_limits(2, "blas"):
            kept.set()
            assert over.wait(HANG)

    thread = threading.Thread(target=keep)
    thread.start()
    assert kept.wait(HANG)
    with serial_blas:
        inside = settings_of_the_process()
    over.set()
    thread.join(HANG)
    assert inside[1] == {1}


def test_a_thread_that_does_not_start_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"), Workers(2):
        pass


def test_blocks_inside_blocks_write_and_put_back_once() -> None:
    written: list[int] = []
    held = Held(lambda: 7, written.append, lambda before: before + 1)
    with held, held:
        assert written == [8, 8]
    assert written == [8, 8, 7]


# ---- Children ------------------------------------------------------------------------


def child(task: Callable[..., Any], *args: Any, start: str = "fork") -> Any:
    """What the task returns in a process of its own."""
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(task, *args).result(HANG)


@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_training_in_a_child_has_the_bits_of_its_parents(start: str) -> None:
    assert child(trained, start=start) == trained()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_trainer_that_was_made_before_a_fork_steps_in_the_child() -> None:
    """The threads of both kinds are gone there."""
    model = VAE(48, [16], 3)
    with Workers(2) as workers:
        trainer = Trainer(model, tiny(), Settings(), workers)

        def step() -> bytes:
            trainer.step(np.arange(64))
            return model.params.flat.tobytes()

        step()
        read, write = os.pipe()
        process = os.fork()
        if not process:
            os.write(write, step()[:4096])
            os._exit(0)
        os.close(write)
        with open(read, "rb") as pipe:
            found = pipe.read()
        assert os.waitpid(process, 0)[1] == 0
        assert found == step()[:4096]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_another_thread_than_the_trainings_has_its_settings_back() -> None:
    before, inside = settings_of_the_process(), threading.Event()
    over = threading.Event()

    def hold() -> None:
        with Workers(2):
            inside.set()
            assert over.wait(HANG)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(HANG)
    found = child(settings_of_the_process)
    over.set()
    thread.join(HANG)
    assert found == before
