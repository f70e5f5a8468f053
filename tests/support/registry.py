# SPDX-License-Identifier: Apache-2.0
"""A real registry on the loopback, Debian's `docker-registry`, and a wire to it that can break.

with registry(folder) as server, Wire(server.port) as wire:
    wire.cut_after(500_000)        # bytes towards the registry; what comes later is lost
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

USER, PASSWORD = "pusher", "secret-of-a-test"
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuWF5xLxbFEYcgKzhJRr.Tnen4mSayl0C\n"  # bcrypt, as htpasswd(1) makes it
_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


def unmet(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Registry:
    """A server whose files are in `folder`. With `closed`, only `USER` may do anything."""

    folder: Path
    closed: bool = False
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            unmet("no docker-registry here")
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "of a test", "relativeurls": True},
        }
        if self.closed:
            (self.folder / "htpasswd").write_text(_HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(self.folder / "htpasswd")}}
        config = self.folder / "config.yml"
        config.write_text(json.dumps(settings))
        self._process = subprocess.Popen(
            [str(program), "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, "the registry ended at once"
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def tags(self, name: str) -> list[str]:
        return self._get(f"/v2/{name}/tags/list", {"tags": None}).get("tags") or []

    def manifest(self, name: str, reference: str) -> dict[str, Any]:
        """What a tag or digest names; {} for nothing."""
        return self._get(f"/v2/{name}/manifests/{reference}", {})

    def digest(self, name: str, reference: str) -> str:
        request = self._request(f"/v2/{name}/manifests/{reference}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Docker-Content-Digest"]

    def _get(self, path: str, otherwise: dict[str, Any]) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self._request(path), timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return otherwise

    def _request(self, path: str) -> urllib.request.Request:
        return urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": _ACCEPT})


@contextmanager
def registry(folder: Path, *, closed: bool = False) -> Iterator[Registry]:
    server = Registry(folder, closed)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Wire:
    """A port that leads to another one. `sent` counts the bytes that went that way, over all connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._stalled = threading.Event()
        self.sent = 0
        self.port: int = self._listener.getsockname()[1]

    def cut_after(self, count: int) -> None:
        """Carry so many bytes more towards the other side, then break every connection at once."""
        self._left = count

    def stall(self) -> None:
        """Carry nothing more, and keep the connections."""
        self._stalled.set()

    def mend(self) -> None:
        self._left = None
        self._stalled.clear()
        self.sent = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
            back.start()
            while data := near.recv(1 << 14):
                while self._stalled.is_set():
                    time.sleep(0.05)
                with self._lock:
                    if self._left is not None:
                        self._left -= len(data)
                        if self._left < 0:
                            return
                    self.sent += len(data)
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                target.sendall(data)
