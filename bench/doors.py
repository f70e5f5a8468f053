# SPDX-License-Identifier: Apache-2.0
"""When a machine lets somebody in: log-ins by SSH from the host, timed by the machine's own clock.

From the machine's start on, the door is tried until a command runs in a session. That command reads /proc/uptime
(proc(5)), which counts from the kernel's start, so nothing that comes before the kernel is counted and both sides of a
comparison are asked in the same way. What a try takes is in it: a banner of sshd is waited for first, which costs the
machine little, and only then comes ssh(1).
"""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from measure import BenchError

from zaffre.errors import ToolError
from zaffre.sandbox import Mount, Sandbox

USER = "visitor"
_KEY = "/run/visitor-key"
_SECONDS = 900.0
_BANNER_SECONDS = 1.0
_PAUSE_SECONDS = 0.2
_SSH_SECONDS = 30.0
_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=10",
)
_COMMAND = "cat /proc/uptime /proc/sys/kernel/random/boot_id"
_SAID = re.compile(r"(\d+\.\d+) \d+\.\d+\n([0-9a-f-]{36})\n")


@dataclass(frozen=True)
class LogIn:
    """`seconds` from the kernel's start until the session's command ran; `boot` is the id of that boot."""

    seconds: float
    boot: str


@dataclass(frozen=True)
class Visitor:
    """Who logs in: a user with a key, both of them made for this."""

    public: str
    private: Path

    @classmethod
    def made(cls, folder: Path) -> Visitor:
        """With the private key in a file of `folder` (the format is PROTOCOL.key of OpenSSH)."""
        key = Ed25519PrivateKey.generate()
        private = folder / "visitor-key"
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return cls(f"{public} bench", private)


class Door:
    """Tries to log in once in each boot of the machine behind `port`, beside the thread that drives it."""

    def __init__(self, sandbox: Sandbox, visitor: Visitor, port: int) -> None:
        self._sandbox = sandbox
        self._visitor = visitor
        self._port = port
        self._closed = False
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._trying: Future[LogIn] = self._pool.submit(self._try, "")
        self.log_ins: list[LogIn] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._pool.shutdown(cancel_futures=True)

    def passed(self) -> None:
        """Take in the log-in of this boot, and wait for the next one. Raises BenchError when there was none."""
        if not self._trying.done():
            raise BenchError("the boot has settled, and nobody could log in")
        self.log_ins.append(self._trying.result())
        self._trying = self._pool.submit(self._try, self.log_ins[-1].boot)

    def _try(self, last: str) -> LogIn:
        deadline = time.monotonic() + _SECONDS
        while not self._closed and time.monotonic() < deadline:
            if greets(self._port):
                found = _SAID.fullmatch(self._ssh())
                if found is not None and found[2] != last:
                    return LogIn(float(found[1]), found[2])
            time.sleep(_PAUSE_SECONDS)
        raise BenchError("nobody could log in")

    def _ssh(self) -> str:
        """What the session's command printed, if there was one."""
        words = ["ssh", "-F", "none", "-p", str(self._port), "-i", _KEY]
        words += [word for option in _OPTIONS for word in ("-o", option)]
        with suppress(ToolError):
            done = self._sandbox.run(
                [*words, f"{USER}@127.0.0.1", _COMMAND],
                mounts=[Mount(self._visitor.private, _KEY)],
                network=True,
                timeout=_SSH_SECONDS,
                check=False,
            )
            return done.stdout.decode("utf-8", "replace")
        return ""


def greets(port: int) -> bool:
    """Whether an SSH server's banner (RFC 4253, 4.2) comes from that port of this host within a second."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_BANNER_SECONDS) as connection:
        return connection.recv(4) == b"SSH-"
    return False


def free_port() -> int:
    """A TCP port of this host's loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
