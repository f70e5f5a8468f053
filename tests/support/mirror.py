# SPDX-License-Identifier: Apache-2.0
"""A web server on the loopback that serves a folder, honestly or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Mirror(BaseHTTPRequestHandler):
    """Serves a folder; files whose name has `word` in it come as `way` says."""

    folder: Path
    word = ""
    way = "honest"

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        path = self._head()
        if path is None:
            return
        if self.word and self.word in path.name and self.way == "endless":
            with suppress(BrokenPipeError, ConnectionResetError):
                while True:
                    self.wfile.write(b"x" * 65536)
        elif self.word and self.word in path.name and self.way == "slow":
            with suppress(BrokenPipeError, ConnectionResetError):
                for byte in path.read_bytes():
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
        elif self.word and self.word in path.name and self.way == "cut":
            self.wfile.write(path.read_bytes()[:10])
        else:
            self.wfile.write(path.read_bytes())

    def _head(self) -> Path | None:
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return None
        self.send_response(200)
        if self.way != "endless" or self.command == "HEAD" or self.word not in path.name:
            self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        return path

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the class's own
        pass


@contextmanager
def serving(folder: Path, word: str, way: str) -> Iterator[str]:
    handler = type("Misbehaved", (Mirror,), {"folder": folder, "word": word, "way": way})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
