"""Pictures that name classes: of one class as of 256, all to be read."""

import numpy as np
import pytest
from matplotlib.image import imread
from paper import opened

from numpyvae import figures


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figure.png"


@pytest.mark.parametrize("rows", [1, 3, 60])
@pytest.mark.parametrize("ticks", [[], ["\N{MINUS SIGN}3", "0", "3"]])
def test_named_rows_of_any_number(rows, ticks, path, rng):
    names = [f"z{i}  0.{i}" for i in range(rows)]
    figures.named_rows(rng.random((rows, 5, 8, 6)), names, ticks, "key", path, "Rows")
    opened(path, ink=0.03)


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 100), (2, 50), (10, 10), (26, 4), (62, 2), (256, 1)]
)
def test_named_rows_fill_the_page(rows, columns, path):
    names = [f"{i}" for i in range(rows)]
    figures.named_rows(np.ones((rows, columns, 28, 28)), names, [], "", path, "Rows")
    opened(path, ink=0.1 if rows == 256 else 0.4)


def test_rows_stand_one_below_the_other_then_side_by_side(path):
    means = np.ones((62, 2, 28, 28))
    means[[0, 1, 16]] = 0
    figures.named_rows(means, [""] * 62, [], "", path, "")
    grey = opened(path)
    black = grey < 0.5
    rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
    third = grey.shape[0] - rows[-1]
    assert third > 0
    first = rows[0] + (rows[-1] - rows[0]) // 32  # the middle of a row of sixteen
    blocks = np.linspace(columns[0], columns[-1], 9)[1::2].astype(int)
    below = first + (rows[-1] - rows[0]) // 16
    assert (grey[[first, below]][:, blocks] < 0.5).tolist() == [
        [False, False, True, True],
        [False, True, True, True],
    ]


@pytest.mark.parametrize("n", [1, 2, 10_000])
@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_latents_of_any_number(n, spread, path, rng):
    codes = spread * rng.standard_normal((n, 2))
    figures.latents(codes, rng.integers(0, 12, n), path, "Codes", ("z1", "z2"))
    opened(path)


def test_latents_are_coloured_by_their_label(path):
    codes = np.repeat([[-1.5, 0.0], [1.5, 0.0]], 500, axis=0)
    codes += 0.2 * np.random.default_rng(0).standard_normal(codes.shape)
    figures.latents(codes, np.repeat([3, 5], 500), path, "", ("z1", "z2"))
    rgb = imread(path)[..., :3]
    blue = np.argwhere(rgb[..., 2] - rgb[..., 0] > 0.4)
    red = np.argwhere(rgb[..., 0] - rgb[..., 2] > 0.4)
    assert min(len(blue), len(red)) > 500
    assert blue[:, 1].max() < red[:, 1].min()


@pytest.mark.parametrize("classes", [1, 2, 10, 26, 62, 256])
@pytest.mark.parametrize("spread", [0.0, 0.5, 30.0])
def test_names_of_classes_are_apart_and_inside(classes, spread, path, monkeypatch, rng):
    means = spread * rng.standard_normal((classes, 2))
    labels = np.arange(classes).repeat(5)
    codes = means[labels] + np.tile(np.arange(-2, 3)[:, None] / 10, (classes, 1))
    drawn = []

    def halo(plane, at, text, colour, size, rim):
        if text.isdigit():
            limits = np.array([plane.get_xlim(), plane.get_ylim()])
            inches = plane.get_position().size * plane.figure.get_size_inches()
            share = (at - limits[:, 0]) / np.ptp(limits, axis=1)
            box = np.array([0.6 * len(text), 1.0]) * size / 72
            drawn.append((share * inches, box / 2, inches, int(text)))

    monkeypatch.setattr(figures.latent_space, "_halo", halo)
    figures.latents(codes, labels, path, "Codes", ("z1", "z2"))
    opened(path)
    assert len({text for *_, text in drawn}) == len(drawn)
    assert min(classes, 12) <= len(drawn) <= min(classes, 60)
    for i, (at, half, inches, _) in enumerate(drawn):
        assert np.all(at > 0.8 * half) and np.all(at < inches - 0.8 * half)
        for other, half_too, *_ in drawn[:i]:
            assert np.any(abs(at - other) > 0.8 * (half + half_too))


def test_names_move_off_each_other_and_not_without_need():
    points = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [5.0, 5.0], [0.0, 0.0]])
    moved = figures.latent_space._apart(points, 1.0)
    apart = np.linalg.norm(moved[:, None] - moved, axis=2) + 9 * np.eye(5)
    assert apart.min() > 0.95
    assert np.array_equal(moved[3], points[3])
