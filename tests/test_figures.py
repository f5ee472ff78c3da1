"""The pictures: files that open, with the data where a reader looks for them."""

from threading import Thread

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.image import imread
from paper import opened
from PIL import Image

from numpyvae import figures
from numpyvae.errors import ArgumentError


def history(n):
    rows = []
    for epoch in range(1, n + 1):
        recon, kl = 80 + 70 / epoch, 25 - 10 / epoch
        row = {"epoch": epoch, "seconds": 2.0 * epoch}
        for split, gap in (("train", 0.0), ("test", 1.25)):
            row |= {f"{split}_recon": recon + gap, f"{split}_kl": kl}
            row |= {f"{split}_elbo": -(recon + gap + kl)}
        rows.append(row)
    return rows


def ink_box(grey, top):
    """The rows and columns of black below `top` pixels: first, last, first, last."""
    dark = grey < 0.5
    dark[:top] = False
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    return rows[0], rows[-1], columns[0], columns[-1]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figure.png"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def settings_untouched():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("n", [1, 2, 50, 500])
def test_learning_curves_of_any_length(n, path):
    figures.learning_curves(history(n), path)
    opened(path)


def test_learning_curves_follow_the_numbers(tmp_path):
    rows = history(10)
    figures.learning_curves(rows, tmp_path / "a.png")
    figures.learning_curves(
        [row | {"seconds": 0.0} for row in rows], tmp_path / "b.png"
    )
    rows[-1]["test_elbo"] -= 30
    figures.learning_curves(rows, tmp_path / "c.png")
    a, b, c = (opened(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_learning_curves_have_room_for_large_numbers(path):
    rows = [{k: 10 * v for k, v in row.items()} for row in history(10)]
    figures.learning_curves(rows, path)
    opened(path)


@pytest.mark.parametrize(
    ("change", "found"),
    [({"test_kl": float("nan")}, "found nan"), ({"test_kl": None}, "found None")],
)
def test_learning_curves_name_the_bad_row(change, found, path):
    rows = history(3)
    rows[1] |= change
    with pytest.raises(ArgumentError, match=rf"^history: {found} in row 1.*test_kl$"):
        figures.learning_curves(rows, path)
    del rows[1]["test_kl"]
    with pytest.raises(ArgumentError, match="found no test_kl in row 1"):
        figures.learning_curves(rows, path)
    with pytest.raises(ArgumentError, match=r"history: found no rows, expected"):
        figures.learning_curves([], path)


@pytest.mark.parametrize("shape", [(1, 28, 28), (13, 8, 8), (33, 28, 20), (10, 28, 28)])
def test_reconstructions_of_any_shape(shape, path, rng):
    images = rng.random(shape)
    figures.reconstructions(images, images.astype(np.float32), path, "As they were")
    opened(path, ink=0.1)


@pytest.mark.parametrize("black_above", [True, False])
def test_originals_lie_above_reconstructions(black_above, path):
    black, white = np.full((4, 28, 28), 255, np.uint8), np.zeros((4, 28, 28))
    pair = (black, white) if black_above else (white, black)
    figures.reconstructions(*pair, path, "")
    top, bottom, left, right = ink_box(opened(path, ink=0.1), 90)
    blank = imread(path).shape[0] - bottom
    assert (right - left) / (bottom - top) == pytest.approx(4, rel=0.2)
    assert (blank > bottom - top) == black_above


def test_originals_are_black_and_reconstructions_blue(path):
    black = np.ones((2, 28, 28))
    figures.reconstructions(black, black, path, "")
    rgb = imread(path)[..., :3]
    half = len(rgb) // 2
    x = rgb.shape[1] // 4
    above, below = rgb[half - 100, x], rgb[-100, x]
    assert np.ptp(above) < 0.1 and below[2] - below[0] > 0.3


@pytest.mark.parametrize(
    "shape", [(1, 28, 28), (7, 28, 20), (100, 28, 28), (64, 8, 8), (3, 60, 5)]
)
def test_samples_of_any_shape(shape, path, rng):
    figures.samples(rng.random(shape, dtype=np.float32), path, "New digits")
    opened(path, ink=0.05)


@pytest.mark.parametrize("white", [0, 4, 8])
def test_samples_are_read_row_by_row(white, path):
    tiles = np.ones((9, 8, 8))
    tiles[white] = 0
    figures.samples(tiles, path, "")
    grey = opened(path, ink=0.3)
    height, width = grey.shape
    side = width - 2 * int(0.25 / 5.4 * width)  # the margins of 0.25 in of 5.4
    bottom = height - (width - side) // 2
    centres = (np.arange(3) + 0.5) / 3 * side
    rows, columns = bottom - side + centres, (width - side) / 2 + centres
    seen = grey[np.ix_(rows.astype(int), columns.astype(int))].ravel()
    assert np.argmax(seen) == white and seen[white] == 1
    assert np.all(np.delete(seen, white) < 0.2)


def test_bytes_and_floats_draw_the_same(tmp_path, rng):
    images = rng.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    figures.samples(images, tmp_path / "bytes.png", "The same")
    figures.samples(images / 255, tmp_path / "floats.png", "The same")
    assert (tmp_path / "bytes.png").read_bytes() == (
        tmp_path / "floats.png"
    ).read_bytes()


def test_manifold_is_seamless_and_keeps_its_corners(path):
    means = np.ones((4, 5, 28, 28))
    figures.manifold(means, path, "")
    grey = opened(path, ink=0.5)
    top, bottom, left, right = ink_box(grey, 0)
    left = np.flatnonzero(grey[top + 5] < 0.5)[0]  # beyond the label of z2
    bottom = np.flatnonzero(grey[:, right - 5] < 0.5)[-1]
    assert (right - left) / (bottom - top) == pytest.approx(5 / 4, rel=0.02)
    assert np.all(grey[top + 3 : bottom - 3, left + 3 : right - 3] < 0.2)
    means[0, 0] = 0
    figures.manifold(means, path, "")
    changed = opened(path, ink=0.5) - grey > 0.5
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert abs(rows[0] - top) < 4 and abs(columns[0] - left) < 4
    assert len(rows) == pytest.approx((bottom - top) / 4, abs=4)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 5, 28, 20), (20, 20, 28, 28)])
def test_manifold_of_any_shape(shape, path, rng):
    figures.manifold(rng.random(shape), path, "A plane of digits")
    opened(path, ink=0.1)


def test_what_was_seen_stands_between_in_red(path):
    black = np.ones((2, 28, 28))
    figures.reconstructions(black, black, path, "", black)
    rgb = imread(path)[..., :3]
    column = rgb[:, rgb.shape[1] // 4]
    ink = column[column.min(axis=1) < 0.5]
    above, between, below = (ink[int(s * len(ink))] for s in (0.2, 0.5, 0.8))
    assert np.ptp(above) < 0.1
    assert between[0] - between[2] > 0.3 and below[2] - below[0] > 0.3


def test_the_ends_of_an_interpolation_stand_apart_in_black(path):
    black = np.ones((1, 8, 8))
    figures.interpolation(black, np.ones((1, 4, 8, 8)), black, path, "")
    rgb = imread(path)[..., :3]
    row = rgb[-60]
    paper = row.min(axis=1) > 0.98
    edges = np.flatnonzero(np.diff(paper.astype(int)))
    assert len(edges) == 6  # three pieces
    pieces = [row[(edges[i] + edges[i + 1]) // 2] for i in (0, 2, 4)]
    assert [piece[2] - piece[0] > 0.3 for piece in pieces] == [False, True, False]


@pytest.mark.parametrize("n", [1, 7, 10, 12])
def test_a_walk_loops(n, path, rng):
    frames = rng.random((5, n, 9, 6)).astype(np.float32)
    frames[3] = 0
    path = path.with_suffix(".gif")
    figures.walk(frames, path, "A walk with a title that needs more than one line")
    with Image.open(path) as film:
        assert (film.n_frames, film.info["loop"], film.info["duration"]) == (5, 0, 80)
        pages = []
        for i in range(5):
            film.seek(i)
            pages.append(np.asarray(film.convert("L"), float))
    assert len({page.shape for page in pages}) == 1 and pages[0].shape[1] == 486
    body = [page[80:] for page in pages]
    assert body[3].min() == 255 and body[0].min() < 100
    assert np.array_equal(pages[0][:20], pages[3][:20])
    assert (pages[0][:60] < 100).any(), "no title"
    assert all(page[:, :20].min() == page[:, -20:].min() == 255 for page in pages)


def test_a_long_title_with_signs_of_mathematics_stays_on_the_page(path):
    title = r"At $\frac$ a nat, the KL of 25 nats_per_image costs more than $20 " * 3
    figures.samples(np.ones((4, 8, 8)), path, title)
    opened(path)


@pytest.mark.parametrize("style", ["dark_background", "ggplot"])
def test_the_style_of_the_caller_does_not_leak_in(style, tmp_path):
    codes, labels = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20)

    def draw(name):
        figures.learning_curves(history(3), tmp_path / f"{name}-a.png")
        figures.latents(codes, labels, tmp_path / f"{name}-b.png", "", ("z1", "z2"))
        figures.samples(np.ones((4, 8, 8)), tmp_path / f"{name}-c.png", "Title")
        return [imread(tmp_path / f"{name}-{x}.png") for x in "abc"]

    plain = draw("plain")
    with matplotlib.style.context(style):
        styled = draw("styled")
    for a, b in zip(plain, styled, strict=True):
        assert np.array_equal(a, b)


def test_drawing_from_threads(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    threads = [
        Thread(target=figures.learning_curves, args=(history(10), path))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in paths}) == 1


I = np.zeros((4, 28, 28))  # noqa: E741
C, L, AB = np.zeros((5, 2)), np.zeros(5, int), [("a", "b")]
MASKED, Point = np.ma.masked_equal(L, 1), figures.Point


def late(name, *images, after=()):
    return lambda path: getattr(figures, name)(*images, path, "", *after)


@pytest.mark.parametrize(
    ("call", "argument", "found", "expected"),
    [
        (late("samples", I[0]), "means", "(28, 28)", "(n, H, W)"),
        (late("samples", I[:0]), "means", "(0, 28, 28)", "(n, H, W)"),
        (late("samples", I.astype(int)), "means", "int64", "uint8"),
        (late("reconstructions", I, I[:3]), "means", "(3, 28, 28)", "(4, 28, 28)"),
        (late("reconstructions", I[0], I), "originals", "(28, 28)", "(n, H, W)"),
        (late("reconstructions", I, I, after=[I[:1]]), "seen", "(1, 2", "(4, 28, 28)"),
        (
            late("samples", np.ma.masked_equal(I, 1)),
            "means",
            "masked",
            "without a mask",
        ),
        (late("samples", I * np.nan), "means", "NaN or infinity", "finite"),
        (late("walk", I[None] - np.inf), "frames", "NaN or infinity", "finite"),
        (late("manifold", I), "means", "(4, 28, 28)", "(rows, columns, H, W)"),
        (late("walk", I), "frames", "(4, 28, 28)", "H, W)"),
        (late("named_rows", I[None], ["a", "b"], [], ""), "names", "2", "1"),
        (late("interpolation", I[:1], I[None], I), "last", "(4, 2", "(1, 28, 28)"),
        (late("latents", np.zeros((5, 3)), L, after=AB), "codes", "(5, 3)", "(n, 2)"),
        (late("latents", C + np.nan, L, after=AB), "codes", "NaN", "finite"),
        (late("latents", C + 1j, L, after=AB), "codes", "complex128", "finite"),
        (late("latents", C, MASKED, after=AB), "labels", "masked", "without a mask"),
        (late("latent_panels", [("a", AB[0], C + np.nan)], L), "a", "NaN", "finite"),
        (late("latent_panels", [("a", AB[0], C)], L[:4]), "labels", "(4,)", "(5,)"),
        (late("rate_distortion", [], []), "points", "none", "one"),
        (late("rate_distortion", [Point("a", np.nan, 1)], []), "a", "NaN", "finite"),
        (late("v_curve", C[0], {"a": C[:, 0]}), "a", "(5,)", "(2,)"),
        (late("v_curve", C[0], {"a": "b"}), "a", "str", "real numbers"),
        (late("latents", C, L[:4], after=AB), "labels", "(4,)", "(5,)"),
        (late("latents", C, L / 1.0, after=AB), "labels", "float64", "integers"),
    ],
)
def test_errors_name_argument_found_and_expected(call, argument, found, expected, path):
    with pytest.raises(ArgumentError) as error:
        call(path)
    message = str(error.value)
    assert message.startswith(f"{argument}: found ") and "\n" not in message
    before, after = message.split("expected")
    assert found in before and expected in after
    assert not path.exists()


@pytest.mark.parametrize("dtype", [">f4", ">f8", np.float16, np.longdouble])
def test_floats_of_any_type_draw_the_same(dtype, tmp_path, rng):
    images = rng.integers(0, 5, (4, 8, 8)) / 4  # told exactly by all of them
    codes, labels = rng.integers(0, 50, (9, 2)) / 8, np.arange(9) % 3
    for name, kind in (("a", float), ("b", dtype)):
        figures.samples(images.astype(kind), tmp_path / f"{name}.png", "The same")
        axes, path = ("z1", "z2"), tmp_path / f"{name}-codes.png"
        figures.latents(codes.astype(kind), labels.astype(">i4"), path, "", axes)
    for a, b in (("a", "b"), ("a-codes", "b-codes")):
        one, other = (tmp_path / f"{name}.png" for name in (a, b))
        assert one.read_bytes() == other.read_bytes()
