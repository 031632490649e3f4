"""The same in a browser: a page, a list of what there is, and every cloud as bytes."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from threading import Timer
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import (
    BACKGROUND,
    COLORINGS,
    LAYER_COLORS,
    RING_COLOR,
    SIZE_FACTORS,
    Layer,
    Look,
    ring_dots,
)
from radarsparse.viewer.shown import ShownFrames

ADDRESS = "127.0.0.1"
# Whoever asks by another name was led here by a foreign page; the port may be that of a tunnel.
HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
IDLE_S, CONNECTION_S = 20.0, 120.0
PAGE = Path(__file__).parent / "page"
PAGE_FILES = ("index.html", "view.js")
SCENE_FILE, RINGS_FILE = "scene.json", "rings.bin"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".bin": "application/octet-stream",
}
# The columns of a layer's clouds after x, y, z, the same in every frame.
COLUMNS = {
    "radar": ("doppler", "power", "error"),
    "enhanced": ("intensity", "probability", "error"),
    "lidar": ("intensity",),
}


@dataclass(frozen=True)
class Site:
    """Everything that the browser asks for, by path; look and camera are those to begin with."""

    frames: ShownFrames
    look: Look
    camera: Camera
    frames_per_s: float

    def scene(self) -> dict[str, Any]:
        """What `scene.json` holds: frames, layers, colourings and how to begin."""
        colorings = {
            name: {**coloring._asdict(), "bounds": self.look.bounds[name]}
            for name, coloring in COLORINGS.items()
            if name in self.look.bounds
        }
        layers = [
            {
                "name": name,
                "color": LAYER_COLORS[name],
                "size": SIZE_FACTORS[name],
                "columns": ["x", "y", "z", *COLUMNS[name]],
                "visible": name not in self.look.hidden,
            }
            for name in self.frames.files
        ]
        return {
            "frames": self.frames.names,
            "layers": layers,
            "colorings": colorings,
            "coloring": self.look.coloring,
            "point_size_px": self.look.point_size_px,
            "background": BACKGROUND,
            "ring_color": RING_COLOR,
            "camera": asdict(self.camera),
            "frames_per_s": self.frames_per_s,
        }

    @cached_property
    def clouds(self) -> Mapping[str, tuple[str, str]]:
        """Frame and layer of every cloud, by path."""
        return {
            f"clouds/{number}-{layer}.bin": (name, layer)
            for number, name in enumerate(self.frames.names)
            for layer in self.frames.files
        }

    def content(self, path: str) -> bytes | None:
        """What stands at a path; None where there is no such path.

        Raises:
            InputError: a frame can't be read.
        """
        if path in PAGE_FILES:
            return (PAGE / path).read_bytes()
        if path == SCENE_FILE:
            return json.dumps(self.scene()).encode()
        if path == RINGS_FILE:
            return ring_dots(self.look.bounds).points.astype("<f4").tobytes()
        if path not in self.clouds:
            return None
        frame, wanted = self.clouds[path]
        layers = self.frames.read(frame).layers
        return next(encode(layer) for layer in layers if layer.name == wanted)

    def write(self, folder: Path) -> None:
        """Write the page to a folder; clouds that it held before go away.

        Raises:
            InputError: a frame can't be read, or a file can't be written.
        """
        shutil.rmtree(folder / "clouds", ignore_errors=True)
        (folder / "clouds").mkdir(parents=True)
        for path in (*PAGE_FILES, SCENE_FILE, RINGS_FILE, *self.clouds):
            with replacing(folder / path) as part:
                part.write_bytes(self.content(path) or b"")


def encode(layer: Layer) -> bytes:
    """A cloud as little-endian float32, row by row: x, y, z, then its `COLUMNS`; NaN: unknown."""
    unknown = np.full(len(layer.points), np.nan, dtype=np.float32)
    columns = [layer.values.get(name, unknown) for name in COLUMNS[layer.name]]
    return np.column_stack([layer.points, *columns]).astype("<f4").tobytes()


class _Server(ThreadingHTTPServer):
    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        super().__init__((ADDRESS, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of who went away: a tab that was closed, a line that fell silent."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] (it serves no other)
    timeout = IDLE_S  # of each wait; all of them together end with the connection

    def setup(self) -> None:
        super().setup()
        self._end = Timer(CONNECTION_S, self.connection.shutdown, [SHUT_RDWR])
        self._end.daemon = True
        self._end.start()

    def finish(self) -> None:
        self._end.cancel()
        super().finish()

    def do_GET(self) -> None:  # the name that http.server calls
        if not all(map(HOST.fullmatch, self.headers.get_all("Host", [""]))):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = self.path.partition("?")[0].lstrip("/") or "index.html"
        try:
            found = self.server.site.content(path)
        except InputError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
            return
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", KINDS[Path(path).suffix])
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of every request."""


def make_server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone, not yet running.

    Args:
        site: what it serves.
        port: where; 0 for any that is free, see `server_port`.

    Raises:
        InputError: the port is taken.
    """
    try:
        return _Server(site, port)
    except OSError as error:
        raise InputError(f"--port {port}: can't be served on ({error.strerror})") from error


def serve(site: Site, port: int) -> None:
    """Serve a site on this machine alone until Ctrl+C.

    Raises:
        InputError: the port is taken.
    """
    with make_server(site, port) as server:
        print(f"http://{ADDRESS}:{server.server_port}/ (Ctrl+C ends it)", flush=True)
        server.serve_forever()
