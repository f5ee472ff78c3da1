"""Work arrays: the same memory again, never the memory of another name."""

import numpy as np

from numpyvae.model.workspace import Fresh, Reused


def test_fresh_never_uses_memory_again() -> None:
    fresh = Fresh()
    first, second = (fresh["a", (2, 3), np.float32] for _ in range(2))
    assert first.shape == (2, 3) and first.dtype == np.float32
    assert not np.shares_memory(first, second)


def test_the_same_name_is_the_same_memory() -> None:
    arrays = Reused()
    first, second = (arrays["a", (4, 3), np.float64] for _ in range(2))
    assert first.shape == second.shape == (4, 3) and first.dtype == np.float64
    assert np.may_share_memory(first, second)
    first[...] = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(second, first)


def test_a_shorter_batch_gets_a_contiguous_view() -> None:
    arrays = Reused()
    long, short, again = (arrays["a", (n, 3), np.float64] for n in (4, 2, 4))
    assert short.shape == (2, 3) and short.flags.c_contiguous
    assert np.shares_memory(short, long) and np.shares_memory(again, long)
    assert arrays["a", (0, 3), np.float64].shape == (0, 3)


def test_a_longer_batch_makes_it_grow() -> None:
    arrays = Reused()
    short, long = (arrays["a", (n, 3), np.float64] for n in (2, 4))
    assert long.shape == (4, 3)
    assert not np.shares_memory(short, long)
    assert np.shares_memory(long, arrays["a", (2, 3), np.float64])


def test_names_dtypes_and_workspaces_do_not_share() -> None:
    arrays = Reused()
    found = [
        arrays["a", (2,), np.float64],
        arrays["b", (2,), np.float64],
        arrays["a", (2,), np.float32],
        Reused()["a", (2,), np.float64],
    ]
    assert [a.dtype.char for a in found] == list("ddfd")
    assert not any(
        np.shares_memory(a, b) for i, a in enumerate(found) for b in found[:i]
    )
