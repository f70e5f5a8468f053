# SPDX-License-Identifier: Apache-2.0
"""How programs of another processor are run in a root: by qemu-user, which the kernel starts for them.

Where the kernel lets us, the tools tree's own emulator is registered for one command and gone with it (`emulated.py`).
An older kernel needs a registration by the host's administrator, which has to keep its emulator open (flag F), since
no root that we enter has one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.sandbox import emulated
from zaffre.sandbox.model import ToolsTree

_HEAD = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
# Any ABI (byte 7), and shared objects (3) as well as programs (2), which is all that the lowest bit tells apart.
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# e_machine of elf(5): EM_X86_64 and EM_AARCH64.
_MACHINES: Mapping[str, tuple[str, str]] = {"amd64": ("x86_64", r"\x3e\x00"), "arm64": ("aarch64", r"\xb7\x00")}
_SECONDS = 30


def emulator_path(architecture: str) -> str:
    """Where a tools tree has the emulator for programs of `architecture` (Debian's package qemu-user)."""
    return f"usr/bin/qemu-{_MACHINES[architecture][0]}"


def emulation(tools: ToolsTree) -> tuple[str, ...]:
    """The words before a command that runs programs of the architecture that these tools emulate; none if that is
    nobody, or if the host emulates it by itself.

    Raises WorldError where neither the kernel nor the host can.
    """
    if tools.emulates is None:
        return ()
    words = _words(tools.emulates, tools.root / emulator_path(tools.emulates))
    obstacle = _obstacle(words)
    if obstacle is None:
        return words
    if registered_by_host(tools.emulates):
        return ()
    raise cannot_emulate(tools.emulates, obstacle)


def kernel_obstacle() -> str | None:
    """Why this kernel does not let us register an emulator for ourselves; None if it does. It is tried, with one that
    emulates nothing.
    """
    return _obstacle(_words("arm64", Path("/bin/true")))


def registered_by_host(architecture: str, *, folder: Path = Path(emulated.BINFMT)) -> bool:
    """Whether the host's administrator has registered an emulator that every root can use (flag F)."""
    magic = (_HEAD + _MACHINES[architecture][1]).replace(r"\x7fELF", r"\x7f\x45\x4c\x46").replace(r"\x", "")
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name in {"register", "status"}:
            continue
        facts = dict(line.partition(" ")[::2] for line in entry.read_text("ascii", errors="replace").splitlines())
        if "enabled" in facts and "F" in facts.get("flags:", "") and facts.get("magic") == magic:
            return True
    return False


def cannot_emulate(architecture: str, obstacle: str) -> WorldError:
    return WorldError(
        f"programs of {architecture} cannot be run here",
        details=obstacle,
        resolution="Linux 6.7 and later can do it by themselves; on an older kernel, register an emulator, as root: "
        "`apt install qemu-user-static` (Debian 12) or `apt install qemu-user-binfmt` (Debian 13); "
        f"or build on a machine of {architecture}, from the same lock",
    )


def _words(architecture: str, emulator: Path) -> tuple[str, ...]:
    magic = _HEAD + _MACHINES[architecture][1]
    # -I: nothing of the caller's environment or folder; -S: no packages either.
    return (sys.executable, "-I", "-S", emulated.__file__, magic, _MASK, str(emulator.absolute()))


@cache
def _obstacle(words: tuple[str, ...]) -> str | None:
    """Why these words do not work, tried once; None if they do.

    The command tried is no name to be searched for: what is remembered must not depend on the PATH of the first caller.
    """
    done = subprocess.run(
        [*words, sys.executable, "-I", "-S", "-c", ""],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
