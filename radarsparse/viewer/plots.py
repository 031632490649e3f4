"""Pictures of clouds and curves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from numpy.typing import NDArray

from radarsparse.errors import InputError, printable
from radarsparse.files import count_of, replacing
from radarsparse.viewer.coloring import BACKGROUND, COLORINGS, Dots, Look

Cloud = NDArray[np.floating]
Limits = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

SIZE_INCH = (13.0, 6.2)
RESOLUTION_DPI = 160
DOT_AREA_PT2 = 1.6
MARGIN_SHARE = 0.02
HEIGHT_PERCENTILES = (2.0, 98.0)
# Dark at both ends, so that no height fades into the white ground.
HEIGHT_COLORS = LinearSegmentedColormap.from_list(
    "height", ["#1b1464", "#1f6fb4", "#159a83", "#c77d0a", "#a50f15"]
)
# Distances between clouds beyond 2 m share a colour.
ERROR_COLORS = ScalarMappable(Normalize(0.0, 2.0), "viridis")
ERROR_SIZE_INCH = (12.0, 6.4)
CURVES_SIZE_INCH = (7.0, 5.0)


@contextmanager
def saved_figure(path: Path, size_inch: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure that is written as PNG, whole or not at all, once the block has drawn it.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        size_inch: width and height.
        title: a line above the picture.

    Raises:
        InputError: the path can't be written to.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; known: .png")
    figure = _new_figure(size_inch, title)
    yield figure
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=RESOLUTION_DPI)


def save_report(path: Path, radar: Cloud, enhanced: Cloud, lidar: Cloud, title: str) -> None:
    """Draw radar, enhanced cloud and LiDAR side by side, from above and from the side.

    All columns share limits and colours; the side view stretches z.

    Args:
        path: as of `saved_figure`.
        radar: [n, 3 or more] x, y, z in metres first, radar frame; n may be 0.
        enhanced: the same for the model's cloud.
        lidar: the same for the LiDAR cloud.
        title: a line above the picture.

    Raises:
        InputError: no cloud holds a point, a shape is another, or the path can't be written to.
    """
    with saved_figure(path, SIZE_INCH, title) as figure:
        _draw_heights(figure, {"radar": radar, "enhanced": enhanced, "LiDAR": lidar})


def render_clouds(clouds: Mapping[str, Cloud], title: str) -> NDArray[np.uint8]:
    """The picture of `save_report` for any clouds, as an array [height, width, 3].

    Args:
        clouds: by what to call them, each [n, 3 or more] x, y, z in metres first, radar frame.
        title: a line above the picture.

    Raises:
        InputError: no cloud holds a point, or a shape is another.
    """
    figure = _new_figure(SIZE_INCH, title)
    _draw_heights(figure, clouds)
    return _pixels(figure)


def render_dots(
    dots: Mapping[str, Dots], look: Look, limits: Limits, title: str
) -> NDArray[np.uint8]:
    """Visible layers side by side from above and from the side, on the viewer's dark ground.

    Args:
        dots: by layer, at least one.
        look: theirs; says what colours mean.
        limits: of all columns, see `limits_of`.
        title: a line above the picture.

    Returns:
        The picture [height, width, 3].
    """
    figure = _new_figure(SIZE_INCH, title)
    columns = {name: (layer.points, layer.colors) for name, layer in dots.items()}
    axes = _draw_columns(figure, columns, limits)
    for plane in axes.flat:
        plane.set_facecolor(BACKGROUND)
        plane.grid(color="0.25", linewidth=0.5)
    if look.coloring in look.bounds:
        coloring = COLORINGS[look.coloring]
        table = LinearSegmentedColormap.from_list("scale", list(coloring.colors))
        scale = ScalarMappable(Normalize(*look.bounds[look.coloring]), table)
        _add_scale(figure, axes, scale, coloring.label)
    return _pixels(figure)


def save_errors(
    path: Path, pred: Cloud, target: Cloud, errors_m: tuple[Cloud, Cloud], title: str
) -> None:
    """Draw prediction and target from above, each point in the colour of its error.

    Args:
        path: as of `saved_figure`.
        pred: [n, 3 or more] x, y, z in metres first, radar frame; n may be 0.
        target: [m, 3 or more], the same.
        errors_m: [n] and [m], distance of each point to the other cloud.
        title: a line above the picture.

    Raises:
        InputError: neither cloud holds a point, a shape is another, or the path can't be written
            to.
    """
    with saved_figure(path, ERROR_SIZE_INCH, title) as figure:
        clouds = {"prediction": pred, "target": target}
        limits = limits_of(_together(clouds))
        axes = figure.subplots(1, 2)
        for plane, (name, cloud), error_m in zip(axes, clouds.items(), errors_m, strict=True):
            plane.set_title(f"{name}: {count_of(len(cloud), 'point')}")
            # The worst points last, so that none hides below others.
            order = np.argsort(error_m)
            _draw_above(plane, cloud[order], ERROR_COLORS.to_rgba(error_m[order]), limits)
        label = "distance to the other cloud [m]"
        figure.colorbar(ERROR_COLORS, ax=axes, label=label, extend="max")


def save_curves(path: Path, curves: Mapping[str, tuple[Cloud, Cloud]], end_m: float) -> None:
    """Draw which share of distances is smaller than each distance.

    Args:
        path: as of `saved_figure`.
        curves: by name, the shares from prediction to target and back, each at equal steps from 0
            to `end_m`.
        end_m: where the curves end.

    Raises:
        InputError: the path can't be written to.
    """
    title = "cumulative share of distances, all frames"
    with saved_figure(path, CURVES_SIZE_INCH, title) as figure:
        axes = figure.subplots()
        for number, (name, (there, back)) in enumerate(curves.items()):
            there_m, back_m = np.linspace(0, end_m, len(there)), np.linspace(0, end_m, len(back))
            axes.plot(there_m, there, f"C{number}", label=_as_text(f"{name} to target"))
            axes.plot(back_m, back, f"C{number}", ls="--", label=_as_text(f"target to {name}"))
        axes.set(xlim=(0, end_m), ylim=(0, 1))
        axes.set(xlabel="distance [m]", ylabel="share of points nearer")
        axes.grid(color="0.9", linewidth=0.5)
        axes.legend(loc="lower right", fontsize="small")


def save_levels(
    path: Path, sigmas: Cloud, curves: Mapping[str, Cloud], density: Cloud, title: str
) -> None:
    """Draw curves over noise levels, and above which levels training draws most.

    Args:
        path: as of `saved_figure`.
        sigmas: [k] noise levels.
        curves: by name, [k] each.
        density: [k] of the levels of training, any scale.
        title: a line above the picture.

    Raises:
        InputError: the path can't be written to.
    """
    with saved_figure(path, CURVES_SIZE_INCH, title) as figure:
        axes = figure.subplots()
        top = max(values.max() for values in curves.values())
        label = "how often training draws it"
        axes.fill_between(sigmas, 0.5 * top * density / density.max(), color="0.9", label=label)
        for name, values in curves.items():
            axes.plot(sigmas, values, marker=".", label=name)
        axes.set(xscale="log", xlabel="sigma", ylabel="loss", ylim=(0.0, 1.05 * top))
        axes.legend(loc="upper left", fontsize="small")


def limits_of(points: Cloud) -> Limits:
    """What axes must show to hold all points, [n, 3] in metres; n may not be 0."""
    low, high = points.min(axis=0), points.max(axis=0)
    # At least a metre wide, so that one lone point gets an axis too.
    margin = np.maximum(MARGIN_SHARE * (high - low), 0.5)
    x, y, z = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
    return x, y, z


def _new_figure(size_inch: tuple[float, float], title: str) -> Figure:
    figure = Figure(figsize=size_inch, layout="constrained")
    figure.suptitle(_as_text(title))
    return figure


def _as_text(name: str) -> str:
    """A name in one line, without formulas, escaped where the font has no sign for it."""
    font = get_font(findfont(FontProperties()))
    signs = (c if font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in printable(name))
    return "".join(signs).replace("$", r"\$")


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_heights(figure: Figure, clouds: Mapping[str, Cloud]) -> None:
    points = _together(clouds)
    bounds_m = Normalize(*np.percentile(points[:, 2], HEIGHT_PERCENTILES))
    heights = ScalarMappable(bounds_m, HEIGHT_COLORS)
    columns = {name: (cloud, heights.to_rgba(cloud[:, 2])) for name, cloud in clouds.items()}
    axes = _draw_columns(figure, columns, limits_of(points))
    _add_scale(figure, axes, heights, "height z [m]")


def _together(clouds: Mapping[str, Cloud]) -> Cloud:
    for name, cloud in clouds.items():
        if cloud.ndim != 2 or cloud.shape[1] < 3:
            raise InputError(f"{name}: shape {cloud.shape} found, (n, 3 or more) expected")
    points = np.concatenate([cloud[:, :3] for cloud in clouds.values()])
    if len(points) == 0:
        raise InputError(f"{', '.join(clouds)}: 0 points found, at least 1 expected")
    return points


def _draw_columns(
    figure: Figure, columns: Mapping[str, tuple[Cloud, Cloud]], limits: Limits
) -> NDArray[np.object_]:
    """Points and their colours by heading, from above and below that from the side."""
    axes = figure.subplots(2, len(columns), height_ratios=(4, 1), squeeze=False)
    for (name, (cloud, rgba)), (above, side) in zip(columns.items(), axes.T, strict=True):
        above.set_title(_as_text(f"{name}: {count_of(len(cloud), 'point')}"))
        _draw_above(above, cloud, rgba, limits)
        _scatter(side, cloud[:, 0], cloud[:, 2], rgba)
        side.set(xlim=limits[0], ylim=limits[2], xlabel="x, forward [m]", ylabel="z, up [m]")
    return axes


def _add_scale(
    figure: Figure, axes: NDArray[np.object_], colors: ScalarMappable, label: str
) -> None:
    figure.colorbar(colors, ax=axes, label=label, extend="both", aspect=40, pad=0.01)


def _draw_above(axes: Axes, cloud: Cloud, rgba: Cloud, limits: Limits) -> None:
    _scatter(axes, cloud[:, 1], cloud[:, 0], rgba)
    x, y, _ = limits
    axes.set(xlim=y[::-1], ylim=x, aspect="equal", xlabel="y, left [m]", ylabel="x, forward [m]")


def _scatter(axes: Axes, across: Cloud, up: Cloud, rgba: Cloud) -> None:
    axes.scatter(across, up, s=DOT_AREA_PT2, c=rgba, linewidths=0)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
