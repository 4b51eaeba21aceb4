"""Video files made for the tests, a server to fetch from, and where real data lie."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from kdlib.data import fetch

REAL = Path(os.environ.get("KDLIB_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _write_video(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    rate: int = 25,
    turned: tuple[int, bool] | None = None,
) -> Path:
    """Encode uint8 frames (T, H, W, 3), even sizes, in the container the suffix names.

    turned: degrees counter-clockwise, then whether mirrored, that its display matrix asks for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"libx264": {"crf": "0", "preset": "ultrafast"}}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=lossless.get(codec, {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        if turned:
            stream.set_display_rotation(turned[0], hflip=turned[1])
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def write_video() -> Callable[..., Path]:
    return _write_video


@pytest.fixture
def real() -> Path:
    """The folder of real data, or a skip that says where it was looked for."""
    if not (REAL / "test_clips").is_dir():
        pytest.skip(f"no real clips in {REAL} (KDLIB_REAL_DATA names another place)")
    return REAL


class Server(ThreadingHTTPServer):
    """Serves `content` at any path, as `behaviour` says; `asked` has the Range of each request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.ranges = (
            np.random.default_rng(0).bytes(700_000),
            '"one"',
            True,
        )
        self.cuts: list[int] = []  # bytes after which the next connections end
        self.status, self.location, self.asked = 200, "", []

    def handle_error(self, request, client_address):
        """A client that went away is no news."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/set.tar"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", server.location)
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        same = self.headers.get("If-Range") == server.etag
        if asked and server.ranges and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            end = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if server.cuts:
            body = body[: server.cuts.pop(0)]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(fetch, "_CHUNK", 1000)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()
