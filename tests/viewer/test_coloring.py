import numpy as np
import pytest

from radarsparse.viewer.coloring import (
    COLORINGS,
    LAYER_COLORS,
    Layer,
    Look,
    ShownFrame,
    colorings_of,
    dots_of,
    measure_bounds,
    paint,
    rgb,
    ring_dots,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def layer(name: str, **values: np.ndarray) -> Layer:
    count = len(next(iter(values.values())))
    return Layer(name, np.zeros((count, 3), dtype=np.float32), values)


def test_colors_go_through_the_table_and_stop_at_its_ends():
    colors = COLORINGS["error"].colors
    assert len(colors) == 4
    # a third of 2 m is the second colour; half of that lies between the first two
    shown = layer("radar", error=column(-1.0, 0.0, 1 / 3, 2 / 3, 4 / 3, 2.0, 9.0))
    found = paint(shown, "error", {"error": (0.0, 2.0)})
    between = 0.5 * (rgb(colors[0]) + rgb(colors[1]))
    expected = [colors[0], colors[0], None, colors[1], colors[2], colors[3], colors[3]]
    table = [between if color is None else rgb(color) for color in expected]
    np.testing.assert_allclose(found, table, atol=1e-6)


def test_points_without_the_value_take_the_color_of_their_layer():
    shown = layer("enhanced", probability=column(0.0, np.nan))
    bounds = {"probability": (0.0, 1.0), "doppler": (-1.0, 1.0)}
    plain = rgb(LAYER_COLORS["enhanced"])
    found = paint(shown, "probability", bounds)
    np.testing.assert_allclose(found[0], rgb(COLORINGS["probability"].colors[0]), atol=1e-6)
    np.testing.assert_allclose(found[1], plain, atol=1e-6)
    for other in ("doppler", "layer"):
        np.testing.assert_allclose(paint(shown, other, bounds), [plain] * 2, atol=1e-6)


def test_a_color_is_its_hexadecimal_number():
    np.testing.assert_allclose(rgb("#ff8000"), [1.0, 128 / 255, 0.0])


def test_bounds_come_from_the_layer_nearest_to_the_truth():
    many = np.arange(101, dtype=np.float32)
    radar = layer("radar", height=-many, doppler=column(*([-4.0] * 100), 3.0))
    lidar = layer("lidar", height=many, intensity=many)
    bounds = measure_bounds(ShownFrame("0", (radar, lidar)))
    assert bounds["height"] == pytest.approx((2.0, 98.0))
    assert bounds["intensity"] == pytest.approx((2.0, 98.0))
    assert bounds["doppler"] == pytest.approx((-4.0, 4.0)), "about zero"
    assert "probability" not in bounds
    assert colorings_of(bounds) == ["layer", "height", "intensity", "doppler"]


def test_bounds_of_equal_no_and_unknown_values_can_be_drawn_with():
    equal = layer("lidar", height=column(5.0, 5.0), intensity=column(np.nan, np.nan))
    nothing = layer("lidar", height=column())
    low, high = measure_bounds(ShownFrame("0", (equal,)))["height"]
    assert low < 5.0 < high
    assert measure_bounds(ShownFrame("0", (equal,)))["intensity"] == (0.0, 1.0)
    assert measure_bounds(ShownFrame("0", (nothing,))) == {"height": (0.0, 1.0)}
    assert np.isfinite(paint(equal, "height", {"height": (low, high)})).all()


def test_hidden_layers_are_not_drawn_and_radar_points_are_larger():
    frame = ShownFrame("0", (layer("radar", height=column(1)), layer("lidar", height=column(1))))
    look = Look("layer", {}, point_size_px=2.0)
    assert list(dots_of(frame, look._replace(hidden=frozenset({"radar"})))) == ["lidar"]
    dots = dots_of(frame, look)
    assert dots["radar"].size_px > dots["lidar"].size_px == 2.0


def test_rings_lie_on_the_ground_at_whole_steps():
    points = ring_dots({"height": (-1.5, 4.0)}).points
    radii_m = np.hypot(points[:, 0], points[:, 1])
    np.testing.assert_allclose(np.unique(radii_m.round(3)), [10, 20, 30, 40, 50, 60])
    assert (points[:, 2] == -1.5).all()
    assert (points[:, 0] > 0).all()
