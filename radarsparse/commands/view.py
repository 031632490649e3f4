"""Look at radar, enhanced and LiDAR clouds: in a window, in a browser, as a picture or a film."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from radarsparse.cli import Command, add_fields, read_fields
from radarsparse.errors import InputError
from radarsparse.files import Unfinished
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import (
    COLORING_NAMES,
    LAYER_NAMES,
    Look,
    ShownFrame,
    colorings_of,
    measure_bounds,
)
from radarsparse.viewer.film import FILM, check_path, save_film, save_picture
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
BOUNDS = {
    "limit": (1, 1_000_000),
    "fps": (0.1, 50),
    "point-size": (0.5, 50),
    "port": (0, 65535),
    "size": (200, 8192),
}
# What a page is made from.
CLAIMED = ("frames", *LAYER_NAMES, "fields", "bin_type", "frame", "limit")


class Shown(NamedTuple):
    """What the arguments choose: all frames that can be shown, their first one, and how."""

    frames: ShownFrames
    first: ShownFrame
    look: Look
    camera: Camera


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--frames", type=Path, metavar="DIR", help="prepared frames: radar and LiDAR in one")
    for name in LAYER_NAMES:
        text = f"{name} clouds: a folder, by frame name, or a file"
        add(f"--{name}", type=Path, metavar="PATH", help=text)
    add_fields(parser)
    add("--frame", metavar="NAME", help="show this frame only")
    add("--limit", type=int, metavar="N", help="show the first N frames only")
    text = "what colours mean (default: %(default)s)"
    add("--color", choices=COLORING_NAMES, default="height", help=text)
    add("--hide", nargs="+", choices=LAYER_NAMES, default=(), help="layers that are switched off")
    text = "pixels, of a LiDAR point (default: %(default)s)"
    add("--point-size", type=float, default=2.5, metavar="PX", help=text)
    text = "JSON file of the view; the key s writes it"
    add("--camera", type=Path, metavar="FILE", help=text)
    text = "write a picture (.png) or a film (.gif: all frames, or once around a single one)"
    add("--save", type=Path, metavar="FILE", help=text)
    text, size = "of pictures and of the window (default: 1280 800)", ("WIDTH", "HEIGHT")
    add("--size", type=int, nargs=2, default=(1280, 800), metavar=size, help=text)
    text = "of a film and when playing (default: %(default)s)"
    add("--fps", type=float, default=5.0, metavar="N", help=text)
    add("--web", action="store_true", help="show it in a browser on this machine")
    text = "with --web (default: %(default)s; 0: any that is free)"
    add("--port", type=int, default=8000, metavar="N", help=text)
    text = "with --web: write the page to a new folder instead of serving it"
    add("--out", type=Path, metavar="DIR", help=text)


def _act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    _check(arguments)
    if arguments.out:
        _unfinished(arguments).check()
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
    for name, (least, most) in BOUNDS.items():
        given = getattr(arguments, name.replace("-", "_"))
        for value in given if name == "size" else [given]:
            if value is not None and not least <= value <= most:
                raise InputError(f"--{name} {value}: must be from {least} to {most}")


def _choose(arguments: argparse.Namespace) -> Shown:
    given = {name: getattr(arguments, name) for name in LAYER_NAMES}
    if arguments.frames:
        prepared = {"radar": arguments.frames, "lidar": arguments.frames}
        given = {name: path or prepared.get(name) for name, path in given.items()}
    frames = ShownFrames.find({name: path for name, path in given.items() if path})
    frames = replace(frames, fields=read_fields(arguments))
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
    path = arguments.camera
    return Shown(frames, first, look, Camera.load(path) if path and path.exists() else Camera())


def _save(arguments: argparse.Namespace, shown: Shown) -> Mapping[str, Any]:
    path, films = arguments.save, arguments.save.suffix.lower() == FILM
    views = _film_views(shown) if films else [View(shown.first, shown.camera)]
    pictures = draw_views(views, shown.look, tuple(arguments.size))
    if films:
        save_film(path, pictures, arguments.fps)
    else:
        save_picture(path, next(pictures))
    print(f"wrote {path}")
    return {"path": str(path), "frames": len(shown.frames.names), "color": shown.look.coloring}


def _film_views(shown: Shown) -> Iterable[View]:
    if len(shown.frames.names) == 1:
        return orbit(shown.first, shown.camera, ORBIT_STEPS)
    return (View(shown.frames.read(name), shown.camera) for name in shown.frames.names)


def _show_in_browser(arguments: argparse.Namespace, shown: Shown) -> Mapping[str, Any]:
    site = Site(shown.frames, shown.look, shown.camera, arguments.fps)
    if arguments.out:
        with _unfinished(arguments).working() as folder:
            site.write(folder)
        print(f"wrote the page to {arguments.out}; any web server can serve it")
        return {"path": str(arguments.out), "frames": len(shown.frames.names)}
    serve(site, arguments.port)
    return {"frames": len(shown.frames.names)}


def _unfinished(arguments: argparse.Namespace) -> Unfinished:
    return Unfinished(arguments.out, {name: str(getattr(arguments, name)) for name in CLAIMED})


COMMAND = Command("view", __doc__ or "", EXAMPLES, _add_arguments, _act)
