"""Ctrl-C and SIGTERM: they are obeyed, once what they must not cut in two is done."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from bounds import HANG

from numpyvae import signals
from numpyvae.kernels import jit


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C is as Python has it, before and after each test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    now = signal.signal(signal.SIGINT, before)
    assert now is signal.default_int_handler


def press(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)


def test_ctrl_c_waits_for_the_end_of_the_outermost_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), signals.held():
        with signals.held():
            press()
            press()
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_ctrl_c_is_not_lost_where_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt) as told, signals.held():
        press()
        raise ValueError("why")
    assert isinstance(told.value.__context__, ValueError)


@pytest.mark.parametrize("block", [signals.held, signals.first_signal])
def test_what_is_ignored_stays_ignored(block: object) -> None:
    """As it is in `nohup numpyvae train &`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with block() as noted:  # type: ignore[operator]
            press()
            assert not noted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("block", [signals.held, signals.first_signal])
def test_another_thread_leaves_the_handlers_alone(block: object) -> None:
    found = []

    def look() -> None:
        with block():  # type: ignore[operator]
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_the_first_signal_is_noted_and_the_second_one_obeyed() -> None:
    with pytest.raises(KeyboardInterrupt), signals.first_signal() as noted:
        with signals.held():
            press()
            assert not noted
        assert noted == [signal.SIGINT]
        press()


def test_a_kernel_is_loaded_before_ctrl_c_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within, LLVM's callbacks would print the exception and forget it, or crash."""

    def load(*_: object) -> None:
        press()
        loading.append("loaded")

    def twice(x: float) -> float:
        return 2 * x

    loading: list[str] = []
    monkeypatch.setattr(jit._Cache, "load_overload", load)
    compiled = jit.jit(twice)
    if compiled is twice:
        pytest.skip("NUMBA_DISABLE_JIT=1: there is nothing to load")
    with pytest.raises(KeyboardInterrupt):
        compiled(21.0)
    assert loading == ["loaded"] and len(compiled.overloads) == 1
    monkeypatch.undo()
    assert compiled(21.0) == 42


# The process: `main`, in which a signal comes just before something is done.

PROCESS = """
import signal, sys

def hook(event, arguments):
    if (event, str(arguments[0])) == {when!r}:
        signal.raise_signal({number})

sys.addaudithook(hook)
{before}
from numpyvae.__main__ import main
sys.argv = ["numpyvae", *{arguments!r}.split()]
code = main()
{after}
sys.exit(code)
"""


def ended(
    number: int = signal.SIGINT,
    when: tuple[str, str] = ("", ""),
    arguments: str = "presets",
    before: str = "",
    after: str = "",
) -> tuple[int, str, str]:
    code = PROCESS.format(**locals())
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )
    return run.returncode, run.stdout, run.stderr


ABORTED = (130, "", "numpyvae: aborted\n")


@pytest.mark.parametrize(
    ("name", "event", "what", "arguments"),
    [
        ("SIGINT", "import", "numpy", "presets"),
        ("SIGTERM", "import", "numba", "presets"),
        ("SIGINT", "import", "matplotlib.axes", "presets"),
        ("SIGTERM", "open", os.path.join("nowhere", "config.json"), "sample nowhere"),
    ],
)
def test_a_process_is_aborted_with_one_line(
    name: str, event: str, what: str, arguments: str
) -> None:
    assert ended(getattr(signal, name), (event, what), arguments) == ABORTED


def test_a_process_that_ignores_ctrl_c_goes_on() -> None:
    ignoring = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    code, printed, said = ended(when=("import", "numba"), before=ignoring)
    assert (code, said) == (0, "") and "kingma-welling" in printed


def test_ctrl_c_after_all_is_done_changes_nothing() -> None:
    code, printed, said = ended(after="signal.raise_signal(signal.SIGINT)")
    assert (code, said) == (0, "") and "kingma-welling" in printed


def test_a_library_sets_no_handlers_and_imports_what_is_asked_for() -> None:
    code = (
        "import signal, sys, numpyvae; print('numpy' in sys.modules); "
        "from numpyvae import *; print(train, gradcheck, VAE); "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG
    )
    imported, names, handler = run.stdout.splitlines()
    assert (imported, handler) == ("False", "True"), run.stderr
    assert re.fullmatch(
        "<function train at .*> <function gradcheck at .*> "
        "<class 'numpyvae.model.vae.VAE'>",
        names,
    )
