"""Pictures of clouds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.files import replacing

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
# Distances between clouds beyond this one share its colour.
ERROR_MAX_M = 2.0
ERROR_COLORS = ScalarMappable(Normalize(0.0, ERROR_MAX_M), "viridis")
ERROR_SIZE_INCH = (12.0, 6.4)
CURVES_SIZE_INCH = (7.0, 5.0)
PANELS_SIZE_INCH = (13.0, 4.2)


def save_report(path: Path, radar: Cloud, enhanced: Cloud, lidar: Cloud, title: str) -> None:
    """Draw radar, enhanced cloud and LiDAR side by side, from above and from the side, as PNG.

    All columns share limits and colours; the side view stretches z. The file appears whole or not
    at all.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        radar: [n, 3 or more] x, y, z in metres first, radar frame; n may be 0.
        enhanced: the same for the model's cloud.
        lidar: the same for the LiDAR cloud.
        title: a line above the picture.

    Raises:
        InputError: no cloud holds a point, a shape is another, or the path can't be written to.
    """
    _check_path(path)
    _save(path, _draw({"radar": radar, "enhanced": enhanced, "LiDAR": lidar}, title))


def save_errors(
    path: Path, pred: Cloud, target: Cloud, errors_m: tuple[Cloud, Cloud], title: str
) -> None:
    """Draw prediction and target from above, each point in the colour of its error, as PNG.

    Colours end at `ERROR_MAX_M`. The file appears whole or not at all.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        pred: [n, 3 or more] x, y, z in metres first, radar frame; n may be 0.
        target: [m, 3 or more], the same.
        errors_m: [n] and [m], distance of each point to the other cloud.
        title: a line above the picture.

    Raises:
        InputError: neither cloud holds a point, a shape is another, or the path can't be written
            to.
    """
    _check_path(path)
    clouds = {"prediction": pred, "target": target}
    limits = limits_of(_together(clouds))
    figure = _new_figure(ERROR_SIZE_INCH, title)
    axes = figure.subplots(1, 2)
    for plane, (name, cloud), error_m in zip(axes, clouds.items(), errors_m, strict=True):
        plane.set_title(f"{name}: {len(cloud):,} points")
        # The worst points last, so that none hides below others.
        order = np.argsort(error_m)
        _draw_above(plane, cloud[order], ERROR_COLORS.to_rgba(error_m[order]), limits)
    figure.colorbar(ERROR_COLORS, ax=axes, label="distance to the other cloud [m]", extend="max")
    _save(path, figure)


def save_curves(path: Path, curves: Mapping[str, tuple[Cloud, Cloud]], end_m: float) -> None:
    """Draw which share of distances is smaller than each distance, as PNG.

    The file appears whole or not at all.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        curves: by name, the shares from prediction to target and back, each at equal steps from 0
            to `end_m`.
        end_m: where the curves end.

    Raises:
        InputError: the path can't be written to.
    """
    _check_path(path)
    figure = _new_figure(CURVES_SIZE_INCH, "cumulative share of distances, all frames")
    axes = figure.subplots()
    for number, (name, (there, back)) in enumerate(curves.items()):
        color = f"C{number}"
        axes.plot(np.linspace(0, end_m, len(there)), there, color, label=f"{name} to target")
        axes.plot(np.linspace(0, end_m, len(back)), back, color, ls="--", label=f"target to {name}")
    axes.set(xlim=(0, end_m), ylim=(0, 1), xlabel="distance [m]", ylabel="share of points nearer")
    axes.grid(color="0.9", linewidth=0.5)
    axes.legend(loc="lower right", fontsize="small")
    _save(path, figure)


class Panel(NamedTuple):
    """A plot.

    Attributes:
        title: above it.
        x_label: of the axis to the right.
        x: [k] where the values of the lines are.
        lines: by name, [k] each.
    """

    title: str
    x_label: str
    x: Sequence[float]
    lines: Mapping[str, Cloud]


def save_panels(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Draw plots side by side, as PNG.

    The file appears whole or not at all.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        panels: from left to right.
        title: a line above the picture.

    Raises:
        InputError: the path can't be written to.
    """
    _check_path(path)
    figure = _new_figure(PANELS_SIZE_INCH, title)
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for name, values in panel.lines.items():
            axes.plot(panel.x, values, marker=".", label=name)
        axes.set(title=panel.title, xlabel=panel.x_label)
        axes.set_ylim(bottom=0.0)
        axes.grid(color="0.9", linewidth=0.5)
        axes.legend(fontsize="small")
    _save(path, figure)


def save_levels(
    path: Path, sigmas: Cloud, curves: Mapping[str, Cloud], density: Cloud, title: str
) -> None:
    """Draw curves over noise levels, and above which levels training draws most, as PNG.

    The file appears whole or not at all.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        sigmas: [k] noise levels.
        curves: by name, [k] each.
        density: [k] of the levels of training, any scale.
        title: a line above the picture.

    Raises:
        InputError: the path can't be written to.
    """
    _check_path(path)
    figure = _new_figure(CURVES_SIZE_INCH, title)
    axes = figure.subplots()
    top = max(values.max() for values in curves.values())
    label = "how often training draws it"
    axes.fill_between(sigmas, 0.5 * top * density / density.max(), color="0.9", label=label)
    for name, values in curves.items():
        axes.plot(sigmas, values, marker=".", label=name)
    axes.set(xscale="log", xlabel="sigma", ylabel="loss", ylim=(0.0, 1.05 * top))
    axes.legend(loc="upper left", fontsize="small")
    _save(path, figure)


def _check_path(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; known: .png")
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")


def _new_figure(size_inch: tuple[float, float], title: str) -> Figure:
    figure = Figure(figsize=size_inch, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


def _save(path: Path, figure: Figure) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=RESOLUTION_DPI)


def render_clouds(clouds: Mapping[str, Cloud], title: str) -> NDArray[np.uint8]:
    """The picture of `save_report` for any clouds, as an array [height, width, 3].

    Args:
        clouds: by what to call them, each [n, 3 or more] x, y, z in metres first, radar frame.
        title: a line above the picture.

    Raises:
        InputError: no cloud holds a point, or a shape is another.
    """
    return _pixels(_draw(clouds, title))


class Scale(NamedTuple):
    """What the colours of points mean.

    Attributes:
        label: the value that is shown, with its unit.
        bounds: its values at the first and at the last colour.
        colors: at equal steps, such as `#1b1464`.
    """

    label: str
    bounds: tuple[float, float]
    colors: Sequence[str]


def render_colored(
    clouds: Mapping[str, Cloud],
    colors: Mapping[str, Cloud],
    limits: Limits,
    scale: Scale | None,
    title: str,
    ground: str,
) -> NDArray[np.uint8]:
    """Clouds side by side from above and from the side, in given colours.

    Args:
        clouds: by what to call them, each [n, 3 or more] x, y, z in metres first, radar frame;
            at least one.
        colors: [n, 3] of each, red, green, blue from 0 to 1.
        limits: of all columns, see `limits_of`.
        scale: drawn beside them; None for no scale.
        title: a line above the picture.
        ground: the colour behind the points, such as `#11151a`.

    Returns:
        The picture [height, width, 3].
    """
    figure, axes = _draw_columns(clouds, colors, limits, title)
    for plane in axes.flat:
        plane.set_facecolor(ground)
        plane.grid(color="0.25", linewidth=0.5)
    if scale:
        table = LinearSegmentedColormap.from_list("scale", list(scale.colors))
        _add_scale(figure, axes, ScalarMappable(Normalize(*scale.bounds), table), scale.label)
    return _pixels(figure)


def limits_of(points: Cloud) -> Limits:
    """What axes must show to hold all points, [n, 3] in metres; n may not be 0."""
    low, high = points.min(axis=0), points.max(axis=0)
    # At least a metre wide, so that one lone point gets an axis too.
    margin = np.maximum(MARGIN_SHARE * (high - low), 0.5)
    x, y, z = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
    return x, y, z


def _draw(clouds: Mapping[str, Cloud], title: str) -> Figure:
    points = _together(clouds)
    heights = ScalarMappable(
        Normalize(*np.percentile(points[:, 2], HEIGHT_PERCENTILES)), HEIGHT_COLORS
    )
    colors = {name: heights.to_rgba(cloud[:, 2]) for name, cloud in clouds.items()}
    figure, axes = _draw_columns(clouds, colors, limits_of(points), title)
    _add_scale(figure, axes, heights, "height z [m]")
    return figure


def _draw_columns(
    clouds: Mapping[str, Cloud], colors: Mapping[str, Cloud], limits: Limits, title: str
) -> tuple[Figure, NDArray[np.object_]]:
    figure = _new_figure(SIZE_INCH, title)
    axes = figure.subplots(2, len(clouds), height_ratios=(4, 1), squeeze=False)
    for (name, cloud), (above, side) in zip(clouds.items(), axes.T, strict=True):
        above.set_title(f"{name}: {len(cloud):,} points")
        _draw_above(above, cloud, colors[name], limits)
        _draw_side(side, cloud, colors[name], limits)
    return figure, axes


def _add_scale(
    figure: Figure, axes: NDArray[np.object_], colors: ScalarMappable, label: str
) -> None:
    figure.colorbar(colors, ax=axes, label=label, extend="both", aspect=40, pad=0.01)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _together(clouds: Mapping[str, Cloud]) -> Cloud:
    for name, cloud in clouds.items():
        if cloud.ndim != 2 or cloud.shape[1] < 3:
            raise InputError(f"{name}: shape {cloud.shape} found, (n, 3 or more) expected")
    points = np.concatenate([cloud[:, :3] for cloud in clouds.values()])
    if len(points) == 0:
        raise InputError(f"{', '.join(clouds)}: 0 points found, at least 1 expected")
    return points


def _draw_above(axes: Axes, cloud: Cloud, rgba: Cloud, limits: Limits) -> None:
    _scatter(axes, cloud[:, 1], cloud[:, 0], rgba)
    x, y, _ = limits
    axes.set(xlim=y[::-1], ylim=x, aspect="equal", xlabel="y, left [m]", ylabel="x, forward [m]")


def _draw_side(axes: Axes, cloud: Cloud, rgba: Cloud, limits: Limits) -> None:
    _scatter(axes, cloud[:, 0], cloud[:, 2], rgba)
    axes.set(xlim=limits[0], ylim=limits[2], xlabel="x, forward [m]", ylabel="z, up [m]")


def _scatter(axes: Axes, across: Cloud, up: Cloud, rgba: Cloud) -> None:
    axes.scatter(across, up, s=DOT_AREA_PT2, c=rgba, linewidths=0)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
