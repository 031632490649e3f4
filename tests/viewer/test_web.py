import json
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from matplotlib.image import imread

from radarsparse.cli import parse
from radarsparse.commands.view import COMMAND
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_frame
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import LAYER_COLORS, Look, measure_bounds, rgb
from radarsparse.viewer.shown import ShownFrames
from radarsparse.viewer.web import Site, make_server

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Software drawing, so that a machine without a GPU shows the same.
BROWSER_FLAGS = (
    *("--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--window-size=1000,700", "--virtual-time-budget=5000"),
)
NAMES = ("000000", "000001", "000002")


@pytest.fixture(scope="module")
def site(frames: Path) -> Site:
    shown = ShownFrames.find({"radar": frames, "lidar": frames}).first(3)
    look = Look("layer", measure_bounds(shown.read("000000")), frozenset({"lidar"}), 4.0)
    return Site(shown, look, Camera(), 5.0)


class Quiet(SimpleHTTPRequestHandler):
    """Any other web server."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server, which ends with the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with running(make_server(site, 0)) as found:
        yield found


def fetch(address: str, path: str) -> tuple[bytes, str]:
    with urlopen(f"{address}/{path}", timeout=10) as answer:
        return answer.read(), answer.headers["Content-Type"]


def test_the_page_comes_with_its_script(address: str):
    page, kind = fetch(address, "")
    assert kind.startswith("text/html")
    assert b'src="view.js"' in page
    script, kind = fetch(address, "view.js")
    assert kind.startswith("text/javascript")
    assert b"scene.json" in script
    for text in (page, script):
        assert b"://" not in text, "nothing comes from elsewhere"


def test_the_scene_says_what_there_is_and_how_to_begin(address: str, site: Site):
    scene = json.loads(fetch(address, "scene.json")[0])
    assert scene["frames"] == list(NAMES)
    assert [layer["name"] for layer in scene["layers"]] == ["radar", "lidar"]
    assert [layer["visible"] for layer in scene["layers"]] == [True, False]
    assert list(scene["colorings"]) == ["height", "intensity", "doppler", "power", "error"]
    assert scene["colorings"]["doppler"]["bounds"] == list(site.look.bounds["doppler"])
    assert scene["coloring"] == "layer"
    assert scene["camera"]["eye_m"] == list(Camera().eye_m)


def test_clouds_come_as_rows_of_little_endian_floats(address: str, frames: Path):
    scene = json.loads(fetch(address, "scene.json")[0])
    pair = read_frame(frames / "frames" / "000001.npz")
    radar, lidar = (
        np.frombuffer(fetch(address, f"clouds/1-{layer['name']}.bin")[0], dtype="<f4").reshape(
            -1, len(layer["columns"])
        )
        for layer in scene["layers"]
    )
    assert scene["layers"][0]["columns"] == ["x", "y", "z", "doppler", "power", "error"]
    np.testing.assert_array_equal(radar[:, :5], pair.radar)
    assert (radar[:, 5] >= 0).all()
    assert scene["layers"][1]["columns"] == ["x", "y", "z", "intensity"]
    np.testing.assert_allclose(lidar, pair.lidar_in_radar_frame)


@pytest.mark.parametrize("path", ["clouds/3-radar.bin", "clouds/0-enhanced.bin", "../web.py", "x"])
def test_nothing_else_is_served(address: str, path: str):
    with pytest.raises(HTTPError, match="404") as caught:
        fetch(address, path)
    caught.value.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LocalHost:{port}", 200),
        ("localhost\r\nHost: evil.example", 403),
        ("[::1]:{port}", 200),
        ("localhost:9000", 200),  # of a tunnel
        ("127.0.0.1", 200),
        ("evil.example:{port}", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:{port}@evil.example", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_only_who_asks_this_machine_by_its_name_is_answered(
    address: str, host: str | None, status: int
):
    port = int(address.rpartition(":")[2])
    head = "" if host is None else f"Host: {host.format(port=port)}\r\n"
    answer = ask(port, f"GET /scene.json HTTP/1.0\r\n{head}\r\n")
    assert answer.startswith(b"HTTP/1.0 %d " % status)
    assert (b"000001" in answer) == (status == 200)


def ask(port: int, request: str) -> bytes:
    """What the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_who_says_nothing_is_not_waited_for(site: Site, monkeypatch, capfd):
    server = make_server(site, 0)
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.2)
    with running(server) as at:
        port = int(at.rpartition(":")[2])
        before = threading.active_count()
        assert ask(port, "") == ask(port, "GET / HTTP/1.1\r\nHost: lo") == b""
        deadline = time.monotonic() + 10
        while threading.active_count() > before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert capfd.readouterr() == ("", "")


def test_who_speaks_slowly_is_not_heard_for_ever(site: Site, monkeypatch):
    monkeypatch.setattr("radarsparse.viewer.web.CONNECTION_S", 0.3)
    with running(make_server(site, 0)) as at:
        port, begun = int(at.rpartition(":")[2]), time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n")
            with suppress(OSError):
                while time.monotonic() < begun + 10 and not readable(connection):
                    connection.sendall(b"X: y\r\n")
        assert time.monotonic() < begun + 5


def readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0.05)[0])


def test_a_closed_tab_leaves_no_trace(site: Site, capfd):
    with running(make_server(site, 0)) as at:
        port = int(at.rpartition(":")[2])
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as tab:
                # Closed with a reset, while the answer is on its way.
                tab.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                tab.sendall(b"GET /clouds/0-lidar.bin HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert fetch(at, "")[0]
    assert capfd.readouterr() == ("", "")


def test_a_frame_that_cannot_be_read_is_told_of(tmp_path: Path, frames: Path):
    shutil.copytree(frames / "frames", tmp_path / "frames")
    shown = ShownFrames.find({"radar": tmp_path}).first(2)
    look = Look("layer", measure_bounds(shown.read("000000")))
    (tmp_path / "frames" / "000001.npz").write_bytes(b"broken")
    with running(make_server(Site(shown, look, Camera(), 5.0), 0)) as at:
        with pytest.raises(HTTPError, match="500") as caught:
            fetch(at, "clouds/1-radar.bin")
        assert b"000001.npz" in caught.value.read()
        caught.value.close()


def test_a_taken_port_is_named(address: str, site: Site):
    port = int(address.rpartition(":")[2])
    with pytest.raises(InputError, match=f"--port {port}: can't be served on"):
        make_server(site, port)


def test_unknown_values_are_no_numbers(tmp_path: Path):
    np.savez(tmp_path / "a.npz", points=np.ones((2, 3), dtype=np.float32))
    shown = ShownFrames.find({"enhanced": tmp_path / "a.npz"})
    look = Look("layer", measure_bounds(shown.read("a")))
    Site(shown, look, Camera(), 5.0).write(tmp_path / "site")
    values = np.fromfile(tmp_path / "site" / "clouds" / "0-enhanced.bin", dtype="<f4")
    rows = values.reshape(2, 6)
    assert (rows[:, :3] == 1).all()
    assert np.isnan(rows[:, 3:]).all()


def test_a_written_page_holds_what_the_server_answers(address: str, site: Site, tmp_path: Path):
    folder = tmp_path / "page"
    site.write(folder)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"index.html", "view.js", "scene.json", "rings.bin", *site.clouds}
    for path in files:
        assert (folder / path).read_bytes() == fetch(address, path)[0]


def test_a_taken_place_is_refused_before_a_frame_is_read(tmp_path: Path):
    cloud, page = tmp_path / "a.ply", tmp_path / "page"
    cloud.write_bytes(b"broken")
    page.mkdir()
    (page / "diary").touch()
    arguments = parse(COMMAND, ["--radar", str(cloud), "--web", "--out", str(page)])
    with pytest.raises(InputError, match="page: exists with other contents"):
        COMMAND.act(arguments)
    assert [path.name for path in page.iterdir()] == ["diary"]
    (page / "diary").unlink()
    with pytest.raises(InputError, match=r"a\.ply"):
        COMMAND.act(arguments)


# Pressed one after the other; the page gets its title when it shows the frame they lead to.
PRESS = """<script>
  const until = async (done) => {
    while (!done()) await new Promise((go) => setTimeout(go, 20));
  };
  addEventListener("load", async () => {
    await until(() => document.body.dataset.shown === "000000");
    for (const key of ["3", "1", "c", "c", "ArrowLeft"]) {
      document.dispatchEvent(new KeyboardEvent("keydown", { key }));
    }
    await until(() => document.body.dataset.shown === "000002");
    document.title = "pressed";
  });
</script></html>"""


def browse(address: str, folder: Path, *flags: str) -> str:
    """What headless Chromium prints of a page."""
    words = [str(BROWSER), *BROWSER_FLAGS, f"--user-data-dir={folder}", *flags, address]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_chromium_draws_the_visible_layers(address: str, tmp_path: Path):
    path = tmp_path / "shot.png"
    browse(address, tmp_path / "profile", f"--screenshot={path}")
    # without the legend and the controls
    image = imread(path)[250:600, :, :3]
    radar, lidar = (
        (np.abs(image - rgb(LAYER_COLORS[name])).max(axis=-1) < 0.02).sum()
        for name in ("radar", "lidar")
    )
    assert radar > 100
    assert lidar == 0, "it begins hidden"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_chromium_obeys_the_keys_on_a_written_page(site: Site, tmp_path: Path):
    folder = tmp_path / "page"
    site.write(folder)
    index = folder / "index.html"
    index.write_text(index.read_text().replace("</html>", PRESS))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))) as at:
        text = browse(at, tmp_path / "profile", "--dump-dom")
    assert "<title>pressed</title>" in text
    assert "3 / 3" in text, "one frame back from the first is the last"
    assert "lidar: 550 points<" in text
    assert "radar: 40 points (hidden)<" in text
    assert "LiDAR intensity" in text
