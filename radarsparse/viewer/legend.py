"""The words and the scale of colours that lie over a picture."""

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from radarsparse.files import count_of
from radarsparse.viewer.coloring import BACKGROUND, COLORINGS, LAYER_COLORS, Look, ShownFrame
from radarsparse.viewer.film import Pixels

SIZE_PX = (330, 190)
MARGIN_PX = 14
LINE_PX = 23
BAR_PX = (300, 12)
TITLE_FONT_PX, FONT_PX = 20, 15
INK = "#eef2f7"
FAINT = "#7d8794"


def draw_legend(frame: ShownFrame, look: Look) -> Pixels:
    """Name the frame, its layers with their numbers of points, and what the colours mean.

    Returns:
        [height, width, 3] on the viewer's background.
    """
    image = Image.new("RGB", SIZE_PX, BACKGROUND)
    pen = ImageDraw.Draw(image)
    left, top = MARGIN_PX, MARGIN_PX
    pen.text((left, top), frame.name, fill=INK, font=ImageFont.load_default(TITLE_FONT_PX))
    top += LINE_PX + 6
    for layer in frame.layers:
        hidden = " (hidden)" if layer.name in look.hidden else ""
        pen.ellipse((left, top + 4, left + 10, top + 14), fill=LAYER_COLORS[layer.name])
        words = f"{layer.name}: {count_of(len(layer.points), 'point')}{hidden}"
        _write(pen, (left + 18, top), words, FAINT if hidden else INK)
        top += LINE_PX
    if look.coloring in look.bounds:
        _draw_scale(pen, (left, top + 6), look)
    return np.asarray(image)


def overlay(image: Pixels, frame: ShownFrame, look: Look) -> Pixels:
    """The picture with the legend in its upper left corner; its dark ground lets points through."""
    legend = draw_legend(frame, look)[: image.shape[0], : image.shape[1]]
    height, width = legend.shape[:2]
    covered = image.copy()
    covered[:height, :width] = np.maximum(covered[:height, :width] // 3, legend)
    return covered


def _draw_scale(pen: ImageDraw.ImageDraw, corner: tuple[int, int], look: Look) -> None:
    left, top = corner
    width, height = BAR_PX
    coloring = COLORINGS[look.coloring]
    _write(pen, (left, top), coloring.label, INK)
    top += LINE_PX
    table = np.array([ImageColor.getrgb(color) for color in coloring.colors])
    for x, place in enumerate(np.linspace(0, len(table) - 1, width)):
        mixed = [round(np.interp(place, np.arange(len(table)), channel)) for channel in table.T]
        pen.line((left + x, top, left + x, top + height), fill=tuple(mixed))
    low, high = (f"{bound:.1f}" for bound in look.bounds[look.coloring])
    _write(pen, (left, top + height + 2), low, INK)
    _write(pen, (left + width, top + height + 2), high, INK, "ra")


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], words: str, fill: str, anchor: str = "la"
) -> None:
    pen.text(place, words, fill=fill, font=ImageFont.load_default(FONT_PX), anchor=anchor)
