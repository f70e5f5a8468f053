# SPDX-License-Identifier: Apache-2.0
"""A real S3 server on the loopback: Versity's gateway, over a folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.go_programs import go_program

_MODULE = "github.com/versity/versitygw"
_VERSION = "v1.8.0"
_KEYS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret-of-a-test"}
BUCKET = "packages"


def built_gateway() -> Path:
    return go_program(f"{_MODULE}/cmd/versitygw", _VERSION)


@dataclass
class S3:
    """A server with one bucket. `environment` is what a client of it needs to have set."""

    program: Path
    folder: Path
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        (self.folder / BUCKET).mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **_KEYS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/linux"

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "ROOT_ACCESS_KEY": _KEYS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": _KEYS["AWS_SECRET_ACCESS_KEY"],
        }
        words = [str(self.program), "--port", f"127.0.0.1:{self.port}", "posix", str(self.folder)]
        self._process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, "the S3 server ended at once"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    server = S3(built_gateway(), folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
