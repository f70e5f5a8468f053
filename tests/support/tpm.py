# SPDX-License-Identifier: Apache-2.0
"""A TPM without a machine: swtpm from the tools tree, spoken to in the TPM's own form. Source: swtpm(8), `--fd`."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox

_STATE = "/run/tpm"


class SoftwareTpm:
    """A `Channel` of the agent's, and what firmware does with a TPM besides."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def send(self, command: bytes) -> bytes:
        self._channel.sendall(command)
        head = self._channel.recv(10, socket.MSG_WAITALL)
        return head + self._channel.recv(struct.unpack(">HII", head)[1] - 10, socket.MSG_WAITALL)

    def extend(self, register: int, digest: str) -> None:
        """TPM2_PCR_Extend of the SHA-256 bank, by the empty password."""
        body = struct.pack(">IIIHBHIH", register, 9, 0x40000009, 0, 0, 0, 1, 0x000B) + bytes.fromhex(digest)
        answer = self.send(struct.pack(">HII", 0x8002, 10 + len(body), 0x00000182) + body)
        assert struct.unpack_from(">HII", answer)[2] == 0, answer.hex()


@contextmanager
def software_tpm(state: Path, sandbox: Sandbox) -> Iterator[SoftwareTpm]:
    """It has been started (TPM2_Startup), and is gone with the block; what it is stays in `state`."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours:
        with theirs:
            process = sandbox.spawn(
                [
                    *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={_STATE}", "--fd", str(theirs.fileno())),
                    *("--flags", "not-need-init,startup-clear"),
                ],
                mounts=[Mount(state, _STATE, writable=True)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        try:
            yield SoftwareTpm(ours)
        finally:
            ours.close()
            process.__exit__()
