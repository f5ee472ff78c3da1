"""The pool: results in order, errors told, BLAS kept to a thread and given back."""

import sys
import threading
from collections.abc import Callable

import pytest
from bounds import HANG
from data import tiny
from threadpoolctl import threadpool_info, threadpool_limits

from numpyvae import VAE
from numpyvae.training.process import SWITCH_SECONDS
from numpyvae.training.settings import Settings
from numpyvae.training.trainer import Trainer
from numpyvae.training.workers import Pace, Workers, available_cores


def blas_threads() -> set[int]:
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {pool["num_threads"] for pool in pools}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 11])
def test_results_come_in_order(threads: int, count: int) -> None:
    with Workers(threads) as workers:
        assert workers.map(lambda i: i * i, count) == [i * i for i in range(count)]


def test_order_is_that_of_the_tasks_not_of_their_ends() -> None:
    last_is_done = threading.Event()

    def task(i: int) -> int:
        if i == 0:
            assert last_is_done.wait(HANG)
        else:
            last_is_done.set()
        return i

    with Workers(2) as workers:
        assert workers.map(task, 2) == [0, 1]


def test_two_threads_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=HANG)

    def meet(i: int) -> int:
        both.wait()
        return threading.get_ident()

    with Workers(2) as workers:
        idents = workers.map(meet, 2)
    assert len(set(idents)) == 2
    assert idents[0] == threading.get_ident()  # the caller takes its share


def test_one_thread_is_the_callers() -> None:
    with Workers(1) as workers:
        idents = workers.map(lambda i: threading.get_ident(), 3)
    assert idents == [threading.get_ident()] * 3


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_a_task_is_raised_in_the_caller(threads: int) -> None:
    error = LookupError("task 1")

    def task(i: int) -> None:
        if i == 1:
            raise error

    with Workers(threads) as workers:
        with pytest.raises(LookupError) as caught:
            workers.map(task, 2)
        assert caught.value is error
        assert workers.map(lambda i: i, 2) == [0, 1]


def leave(workers: Workers) -> None:
    with workers:
        assert blas_threads() == {1}


def leave_by_an_error(workers: Workers) -> None:
    with pytest.raises(LookupError), workers:
        assert blas_threads() == {1}
        raise LookupError


@pytest.mark.parametrize("end", [leave, leave_by_an_error])
@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_after(
    threads: int, end: Callable[[Workers], None]
) -> None:
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        if before != {2}:
            pytest.skip(f"this BLAS runs {before} threads when asked for 2")
        end(Workers(threads))
        assert blas_threads() == {2}


def test_blas_has_one_thread_in_the_workers_threads() -> None:
    with threadpool_limits(2, "blas"), Workers(2) as workers:
        assert workers.map(lambda i: blas_threads(), 2) == [{1}, {1}]


def test_threads_end_with_the_block() -> None:
    before = set(threading.enumerate())
    with Workers(3) as workers:
        workers.map(lambda i: i, 10)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_there_is_a_core_to_run_on() -> None:
    assert available_cores() >= 1


@pytest.mark.parametrize("end", [leave, leave_by_an_error])
def test_the_interval_of_the_gil_is_given_back(
    end: Callable[[Workers], None],
) -> None:
    before = sys.getswitchinterval()
    with Workers(2):
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    end(Workers(2))
    assert sys.getswitchinterval() == before
    with Workers(1):
        assert sys.getswitchinterval() == before  # nobody waits


def threads_used(seconds: Callable[[int, int], float], steps: int) -> list[int]:
    """Of each step, if the i-th takes seconds(i, threads)."""
    with Workers(3) as workers:
        pace, used = Pace(workers), []
        for i in range(steps):
            used.append(len(set(workers.map(lambda _: threading.get_ident(), 6))))
            assert used[-1] == workers.threads
            pace.note(seconds(i, workers.threads))
    return used


def test_all_threads_go_on_where_they_are_quicker() -> None:
    used = threads_used(lambda i, threads: 1 / threads, 2 * Pace.PERIOD)
    assert {used[i] for i in range(Pace.FIRST)} == {3}
    assert used.count(1) == 2 * Pace.TRIAL  # what it costs


def test_one_thread_goes_on_as_long_as_a_core_is_busy() -> None:
    busy = range(300, 2 * Pace.PERIOD)
    used = threads_used(
        lambda i, threads: threads if i in busy else 1 / threads, 4 * Pace.PERIOD
    )
    assert used[2 * Pace.PERIOD] == 1 and used[-1] == 3


def test_the_number_of_threads_is_tried_only_where_none_was_asked_for() -> None:
    model, data = VAE(48, [16], 3), tiny()
    with Workers(2) as workers:
        assert Trainer(model, data, Settings(threads=2), workers).pace is None
        assert Trainer(model, data, Settings(), workers).pace is not None
