import logging
import time

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.viewer import offscreen
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import BACKGROUND, LAYER_COLORS, Layer, Look, ShownFrame, rgb
from radarsparse.viewer.offscreen import View, draw_views, missing_packages, orbit

MISSING = missing_packages()
needs_open3d = pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}")

SIZE_PX = (900, 600)
LEGEND_ROWS = 200
BOUNDS = {"height": (-2.0, 2.0)}
LOOK = Look("layer", BOUNDS, point_size_px=4.0)
CAMERA = Camera((-10.0, 0.0, 10.0), (10.0, 0.0, 0.0))


def wall(name: str, y_m: float) -> Layer:
    """A square of points at 10 m, 4 m wide, about some y."""
    y, z = np.meshgrid(np.linspace(y_m - 2, y_m + 2, 40), np.linspace(-2, 2, 40))
    points = np.stack([np.full(y.size, 10.0), y.ravel(), z.ravel()], axis=1).astype(np.float32)
    return Layer(name, points, {"height": points[:, 2]})


# Enhanced to the left, LiDAR to the right.
FRAME = ShownFrame("000007", (wall("enhanced", 5.0), wall("lidar", -5.0)))


def places(image: np.ndarray, layer: str) -> np.ndarray:
    """Row and column of all pixels in the colour of a layer, as shares of the picture."""
    wanted = 255.0 * rgb(LAYER_COLORS[layer])
    found = np.abs(image.astype(float) - wanted).max(axis=-1) < 30
    return np.argwhere(found) / image.shape[:2]


@pytest.fixture
def no_libusb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lacks one of the packages, whatever this one has."""
    monkeypatch.setitem(offscreen.LIBRARIES, "libusb-1.0-0", "libnothing-of-this-name.so.0")
    monkeypatch.setattr(offscreen.sys, "platform", "linux")


@pytest.mark.usefixtures("no_libusb")
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(offscreen, "DRIVER_FOLDERS", ())
    for name in offscreen.DRIVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    found = missing_packages()
    assert "libusb-1.0-0" in found
    assert "mesa-vulkan-drivers" in found


@pytest.mark.usefixtures("no_libusb")
def test_without_a_package_the_view_is_from_above_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level(logging.WARNING, "radarsparse"):
        (image,) = draw_views([View(FRAME, CAMERA)], LOOK, SIZE_PX)
    assert "libusb-1.0-0" in caplog.text
    left, right = places(image, "enhanced"), places(image, "lidar")
    assert min(len(left), len(right)) > 20
    # a column for each layer
    assert left[:, 1].mean() < 0.5 < right[:, 1].mean()


@pytest.mark.usefixtures("no_libusb")
def test_axes_stay_over_the_pictures_of_a_film():
    wide = FRAME.layers[0]
    half = Layer(wide.name, wide.points[wide.points[:, 1] > 5.0], {})
    views = [View(ShownFrame("1", (layer,)), CAMERA) for layer in (wide, half)]
    whole, part = (places(image, "enhanced") for image in draw_views(views, LOOK, SIZE_PX))
    assert {tuple(place) for place in part} <= {tuple(place) for place in whole}
    assert len(part) < len(whole)


@pytest.mark.usefixtures("no_libusb")
def test_nothing_visible_has_no_view_from_above():
    hidden = LOOK._replace(hidden=frozenset({"enhanced", "lidar"}))
    with pytest.raises(InputError, match="visible layers: 0 points"):
        list(draw_views([View(FRAME, CAMERA)], hidden, SIZE_PX))


def test_an_orbit_goes_once_around():
    views = orbit(FRAME, CAMERA, 4)
    assert [view.camera for view in views] == [CAMERA.turned(turn) for turn in (0, 90, 180, 270)]


@needs_open3d
def test_open3d_shows_left_on_the_left_and_turns_with_the_camera():
    views = [View(FRAME, CAMERA), View(FRAME, CAMERA.turned(180.0))]
    images = list(draw_views(views, LOOK, SIZE_PX))
    assert images[0].shape == (600, 900, 3)
    front, back = (image[LEGEND_ROWS:] for image in images)
    assert places(front, "enhanced")[:, 1].mean() < 0.45
    assert places(front, "lidar")[:, 1].mean() > 0.55
    assert places(back, "enhanced")[:, 1].mean() > 0.55
    np.testing.assert_allclose(front[-1, -1], 255.0 * rgb(BACKGROUND), atol=3)


@needs_open3d
def test_open3d_hides_layers_and_draws_larger_points():
    hidden = LOOK._replace(hidden=frozenset({"lidar"}))
    looks = (hidden, hidden._replace(point_size_px=8.0))
    images = [next(draw_views([View(FRAME, CAMERA)], look, SIZE_PX)) for look in looks]
    small, large = (image[LEGEND_ROWS:] for image in images)
    assert len(places(small, "lidar")) == 0
    assert len(places(large, "enhanced")) > len(places(small, "enhanced")) > 0


@needs_open3d
def test_open3d_draws_100k_points_in_10_seconds():
    points = np.random.default_rng(0).uniform(-20, 20, (100_000, 3)).astype(np.float32)
    frame = ShownFrame("0", (Layer("lidar", points, {"height": points[:, 2]}),))
    start = time.perf_counter()
    next(draw_views([View(frame, CAMERA)], LOOK, (1280, 800)))
    assert time.perf_counter() - start < 10.0
