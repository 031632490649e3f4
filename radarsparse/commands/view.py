"""Look at radar, enhanced and LiDAR clouds: in a window, in a browser, as a picture or a film."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from radarsparse.cli import Command
from radarsparse.errors import InputError
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.film import FILM, check_path, save_film, save_picture
from radarsparse.viewer.layers import (
    COLORING_NAMES,
    LAYER_NAMES,
    Look,
    ShownFrame,
    colorings_of,
    measure_bounds,
)
from radarsparse.viewer.offscreen import View, draw_views, orbit
from radarsparse.viewer.shown import ShownFrames
from radarsparse.viewer.web import Site, serve
from radarsparse.viewer.window import Start, show

EXAMPLES = """
radarsparse view --frames DIR --enhanced clouds
radarsparse view --frames DIR --color error --save shot.png
radarsparse view --frames DIR --enhanced clouds --limit 20 --save film.gif
radarsparse view --frames DIR --frame 000012 --save orbit.gif
radarsparse view --frames DIR --enhanced clouds --web --port 8000
"""
ORBIT_STEPS = 36


class Shown(NamedTuple):
    """What the arguments choose.

    Attributes:
        frames: all that can be shown.
        first: the first of them.
        look: to begin with.
        camera: to begin with.
    """

    frames: ShownFrames
    first: ShownFrame
    look: Look
    camera: Camera


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "prepared frames: radar and LiDAR in one"
    parser.add_argument("--frames", type=Path, metavar="DIR", help=text)
    for name in LAYER_NAMES:
        text = f"{name} clouds: a folder, by frame name, or a file"
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=text)
    parser.add_argument("--frame", metavar="NAME", help="show this frame only")
    text = "show the first N frames only"
    parser.add_argument("--limit", type=int, metavar="N", help=text)
    text = "what colours mean (default: %(default)s)"
    parser.add_argument("--color", choices=COLORING_NAMES, default="height", help=text)
    text = "layers that are switched off"
    parser.add_argument("--hide", nargs="+", choices=LAYER_NAMES, default=(), help=text)
    text = "pixels, of a LiDAR point (default: %(default)s)"
    parser.add_argument("--point-size", type=float, default=2.5, metavar="PX", help=text)
    text = "JSON file of the view; the key s writes it"
    parser.add_argument("--camera", type=Path, metavar="FILE", help=text)
    _add_outputs(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    text = "write a picture (.png) or a film (.gif: all frames, or once around a single one)"
    parser.add_argument("--save", type=Path, metavar="FILE", help=text)
    text = "of pictures and of the window (default: 1280 800)"
    default = (1280, 800)
    parser.add_argument(
        "--size", type=int, nargs=2, default=default, metavar=("WIDTH", "HEIGHT"), help=text
    )
    text = "of a film and when playing (default: %(default)s)"
    parser.add_argument("--fps", type=float, default=5.0, metavar="N", help=text)
    parser.add_argument("--web", action="store_true", help="show it in a browser on this machine")
    text = "with --web (default: %(default)s; 0: any that is free)"
    parser.add_argument("--port", type=int, default=8000, metavar="N", help=text)
    text = "with --web: write the page to a new folder instead of serving it"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)


def _act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    _check(arguments)
    shown = _choose(arguments)
    if arguments.save:
        return _save(arguments, shown)
    if arguments.web:
        return _show_in_browser(arguments, shown)
    show(shown.frames, Start(*shown[2:], arguments.camera, tuple(arguments.size), arguments.fps))
    return {"frames": len(shown.frames.names)}


def _check(arguments: argparse.Namespace) -> None:
    if arguments.save:
        check_path(arguments.save)
        if arguments.web:
            raise InputError("--save and --web: give one of them")
    if arguments.out and not arguments.web:
        raise InputError(f"--out {arguments.out}: only with --web; a picture is named by --save")
    for name, least, most in (("limit", 1, None), ("fps", 0.1, 50), ("point_size", 0.5, 50)):
        _check_number(name.replace("_", "-"), getattr(arguments, name), least, most)
    _check_number("port", arguments.port, 0, 65535)
    for side_px in arguments.size:
        _check_number("size", side_px, 200, 8192)


def _check_number(name: str, value: float | None, least: float, most: float | None) -> None:
    if value is None:
        return
    if not least <= value <= (most or value):
        bound = f"from {least} to {most}" if most else f"{least} or more"
        raise InputError(f"--{name} {value}: must be {bound}")


def _choose(arguments: argparse.Namespace) -> Shown:
    given = {name: getattr(arguments, name) for name in LAYER_NAMES}
    if arguments.frames:
        prepared = {"radar": arguments.frames, "lidar": arguments.frames}
        given = {name: path or prepared.get(name) for name, path in given.items()}
    frames = ShownFrames.find({name: path for name, path in given.items() if path})
    if arguments.frame is not None:
        frames = frames.only(arguments.frame)
    if arguments.limit is not None:
        frames = frames.first(arguments.limit)
    first = frames.read(frames.names[0])
    bounds = measure_bounds(first)
    known = colorings_of(bounds)
    if arguments.color not in known:
        listed = ", ".join(known)
        raise InputError(f"--color {arguments.color}: no layer has it; there are {listed}")
    look = Look(arguments.color, bounds, frozenset(arguments.hide), arguments.point_size)
    return Shown(frames, first, look, _read_camera(arguments.camera))


def _read_camera(path: Path | None) -> Camera:
    return Camera.load(path) if path and path.exists() else Camera()


def _save(arguments: argparse.Namespace, shown: Shown) -> Mapping[str, Any]:
    path, size_px = arguments.save, tuple(arguments.size)
    if path.suffix.lower() == FILM:
        views = _film_views(shown)
        save_film(path, draw_views(views, shown.look, size_px), arguments.fps)
    else:
        views = [View(shown.first, shown.camera)]
        save_picture(path, next(draw_views(views, shown.look, size_px)))
    print(f"wrote {path}")
    return {"path": str(path), "frames": len(shown.frames.names), "color": shown.look.coloring}


def _film_views(shown: Shown) -> Iterable[View]:
    if len(shown.frames.names) == 1:
        return orbit(shown.first, shown.camera, ORBIT_STEPS)
    return (View(shown.frames.read(name), shown.camera) for name in shown.frames.names)


def _show_in_browser(arguments: argparse.Namespace, shown: Shown) -> Mapping[str, Any]:
    site = Site(shown.frames, shown.look, shown.camera, arguments.fps)
    if arguments.out:
        site.write(arguments.out)
        print(f"wrote the page to {arguments.out}; any web server can serve it")
        return {"path": str(arguments.out), "frames": len(shown.frames.names)}
    serve(site, arguments.port)
    return {"frames": len(shown.frames.names)}


COMMAND = Command("view", __doc__ or "", EXAMPLES, _add_arguments, _act)
