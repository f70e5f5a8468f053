# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a user namespace in which the kernel starts programs of another processor by an emulator.

A program of its own, run by its path with nothing but the standard library: MAGIC MASK INTERPRETER COMMAND…
Since Linux 6.7 binfmt_misc can be mounted in a user namespace and counts for that one and those below it (kernel,
admin-guide/binfmt-misc.rst; user_namespaces(7)), so neither root nor a change of the host is needed, and what is
registered is gone with the last process. The emulator is opened when it is registered (flag F): no root that is entered
later needs to have it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

BINFMT = "/proc/sys/fs/binfmt_misc"

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18  # linux/mount.h


def main(magic: str, mask: str, interpreter: str, command: list[str]) -> None:
    """Does not return. Raises OSError where the kernel does not let it."""
    _enter_namespaces()
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("binfmt_misc", BINFMT, "binfmt_misc", 0)
    emulator = Path(interpreter)
    # By its bare name: what is registered may have 127 characters for it. The way back is not by name, as the folder
    # may have been removed meanwhile.
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(emulator.parent)
    Path(BINFMT, "register").write_text(f":zaffre:M::{magic}:{mask}:{emulator.name}:PF")
    os.fchdir(here)
    os.execvp(command[0], command)  # noqa: S606


def _enter_namespaces() -> None:
    """A user namespace with the very ids of this one, and a mount namespace of its own.

    A process cannot map other ids than its own after it went in, so a child that stays outside does it.
    """
    maps = {name: _same(Path(f"/proc/self/{name}").read_text("ascii")) for name in ("uid_map", "gid_map")}
    wait, go = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(go)
        status = 1
        if os.read(wait, 1):
            for name, text in maps.items():
                Path(f"/proc/{parent}/{name}").write_text(text)
            status = 0
        os._exit(status)
    os.close(wait)
    _checked(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "a user namespace")
    os.write(go, b"x")
    _, status = os.waitpid(child, 0)
    if status:
        raise PermissionError("the ids of a user namespace could not be mapped")


def _same(text: str) -> str:
    """The map that leaves every id as it is: its ranges inside, onto themselves."""
    rows = [line.split() for line in text.splitlines()]
    return "".join(f"{inside} {inside} {length}\n" for inside, _, length in rows)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    done = library.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), None)
    _checked(done, target)


def _checked(done: int, what: str) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    except OSError as error:
        sys.exit(f"emulation: {error}")
