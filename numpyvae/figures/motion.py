"""Images that move: a GIF whose page looks like that of every other picture.

Shapes: T frames, n images in each, H, W the height and width of an image in pixels.
"""

from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from .files import write_picture
from .images import _unit
from .style import INK, MARGIN, PAPER, WIDTH, page

SHADES = 32  # from paper to ink; fewer make smaller files
MOTION_DPI = 90
GAP = 2  # pixels of an image, between two


def walk(frames: NDArray[Any], path: Path, title: str) -> None:
    """Draw frames (T, n, H, W) as a GIF that runs in a loop, 80 ms each."""
    frames = _unit("frames", frames, 4)
    _, n, height, width = frames.shape
    columns = _columns(n)
    rows = ceil(n / columns)
    shape = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP
    body = (WIDTH - 2 * MARGIN) * shape[0] / shape[1]
    figure, top = page(body, title)
    figure.set_dpi(MOTION_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    paper, ink = (255 * np.mean(to_rgb(colour)) for colour in (PAPER, INK))
    grey = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2)
    sheet = (paper - grey) / (paper - ink)
    size = round((WIDTH - 2 * MARGIN) * MOTION_DPI), round(body * MOTION_DPI)
    left = round(MARGIN * MOTION_DPI)
    first = len(sheet) - round(top * MOTION_DPI)
    pictures = []
    for images in frames:
        tiles = np.zeros((rows * columns, height + GAP, width + GAP), np.float32)
        tiles[:n, :height, :width] = images
        tiles = tiles.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2)
        flat = tiles.reshape(rows * (height + GAP), -1)[: shape[0], : shape[1]]
        large = Image.fromarray(flat).resize(size, Image.Resampling.BICUBIC)
        sheet[first : first + size[1], left : left + size[0]] = np.asarray(large)
        shades = np.rint(sheet.clip(0, 1) * (SHADES - 1)).astype(np.uint8)
        picture = Image.fromarray(shades)
        picture.putpalette(_palette())
        pictures.append(picture)
    content = BytesIO()
    pictures[0].save(
        content, format="GIF", save_all=True, append_images=pictures[1:],
        duration=80, loop=0, optimize=False,
    )  # fmt: skip
    write_picture(path, content.getvalue(), ".gif")


def _columns(n: int) -> int:
    """How many of n images go in a row: near a square, without gaps if that can be."""
    least = ceil(sqrt(n))
    return next((c for c in range(least, 7) if n % c == 0), least)


def _palette() -> list[int]:
    """The shades from paper to ink, as Pillow wants them."""
    share = np.linspace(0, 1, SHADES)[:, None]
    colours = (1 - share) * to_rgb(PAPER) + share * to_rgb(INK)
    return np.rint(255 * colours).astype(int).ravel().tolist()
