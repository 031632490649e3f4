import numpy as np

from radarsparse.viewer.coloring import COLORINGS, LAYER_COLORS, Layer, Look, ShownFrame, rgb
from radarsparse.viewer.legend import draw_legend, overlay

POINTS = np.zeros((3, 3), dtype=np.float32)
FRAME = ShownFrame("000012", tuple(Layer(name, POINTS, {}) for name in ("radar", "lidar")))
LOOK = Look("error", {"error": (0.0, 2.0)})


def holds(image: np.ndarray, color: str) -> bool:
    return bool((image == np.round(255 * rgb(color))).all(axis=-1).any())


def test_the_legend_shows_its_layers_and_the_scale_from_end_to_end():
    legend = draw_legend(FRAME, LOOK)
    assert holds(legend, LAYER_COLORS["radar"])
    assert holds(legend, LAYER_COLORS["lidar"])
    assert not holds(legend, LAYER_COLORS["enhanced"])
    assert all(holds(legend, color) for color in (COLORINGS["error"].colors[at] for at in (0, -1)))
    by_layer = draw_legend(FRAME, LOOK._replace(coloring="layer"))
    assert not holds(by_layer, COLORINGS["error"].colors[0])


def test_hidden_layers_read_otherwise():
    hidden = LOOK._replace(hidden=frozenset({"lidar"}))
    assert (draw_legend(FRAME, LOOK) != draw_legend(FRAME, hidden)).any()


def test_only_the_corner_is_covered_even_of_a_small_picture():
    image = np.full((600, 800, 3), 90, dtype=np.uint8)
    covered = overlay(image, FRAME, LOOK)
    assert (covered[:150, :300] != 90).any()
    assert (covered[200:] == 90).all()
    assert (covered[:, 400:] == 90).all()
    assert overlay(image[:100, :100], FRAME, LOOK).shape == (100, 100, 3)
