# SPDX-License-Identifier: Apache-2.0
"""A TPM 2.0 for a machine: swtpm from the tools tree, with its state in a directory of the caller's.

swtpm's control channel is a socket pair that both programs inherit (`clientfd`); QEMU hands the data
channel over by it. Source: swtpm(8), swtpm_ioctls(3).
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox

_STATE = "/run/tpm"
_LAST_SECONDS = 5.0


@contextmanager
def software_tpm(state: Path, sandbox: Sandbox) -> Iterator[socket.socket]:
    """Runs swtpm; yields the socket for QEMU (`start(tpm=…)`). It ends when QEMU does, or with the block."""
    for_machine, for_tpm = socket.socketpair()
    with for_machine:
        with for_tpm:
            process = sandbox.spawn(
                [
                    *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={_STATE}"),
                    *("--ctrl", f"type=unixio,clientfd={for_tpm.fileno()}"),
                    *("--flags", "startup-clear", "--terminate"),
                ],
                mounts=[Mount(state, _STATE, writable=True)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[for_tpm.fileno()],
            )
        try:
            yield for_machine
        finally:
            for_machine.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_SECONDS)
            process.__exit__()
