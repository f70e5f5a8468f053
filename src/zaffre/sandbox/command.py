# SPDX-License-Identifier: Apache-2.0
"""The bubblewrap command line. Pure, but for the listing of the tools tree's top.

Written for bubblewrap 0.8 (Debian 12): no overlays. The tools tree's top-level entries are bound one by
one below a temporary root, so that a mount may have a target of a new name at the top.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.sandbox.model import Mount, ToolsTree

HOST_NAME = "zaffre"
NAMESPACE_PREFIX = ("unshare", "--user", "--map-root-user", "--map-auto", "--")

_OWN = frozenset({"proc", "dev", "sys", "tmp", "run", "lost+found"})
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FAKETIME = "/run/zaffre-faketime"
_FAKETIME_LIBRARY = "usr/lib/*/faketime/libfaketime.so.1"
TRIPLETS: Mapping[str, str] = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
"""Debian's multi-arch triplets: the folders of an architecture's libraries."""
# What it takes to give files their owners, to run maintainer scripts and to make users. Others reach out of the
# sandbox. Where we are the real root, SYS_ADMIN mounts the host's devices, and DAC_READ_SEARCH opens any file of a file
# system by its number (open_by_handle_at(2)). In a user namespace, SYS_ADMIN is enough to make the tools tree writable,
# as its mounts are that namespace's own (mount_namespaces(7)); a program in a chroot gets to them by /proc/1/root.
_BUILDING = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
# Nor do programs that mount for themselves need these. In a user namespace they count for nothing.
_DROPPED = ("CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_MKNOD")


@dataclass(frozen=True)
class Privilege:
    """How this process is root: for real, in a user namespace with many ids, or (neither) an ordinary user."""

    root: bool
    namespaced: bool

    def arguments(self, *, confined: bool) -> list[str]:
        words = [] if self.root else ["--unshare-user", "--uid", "0", "--gid", "0"]
        if confined:
            return [*words, "--cap-drop", "ALL", *(word for name in _BUILDING for word in ("--cap-add", name))]
        dropped = _DROPPED if self.root and not self.namespaced else ()
        return [*words, "--cap-add", "ALL", *(word for name in dropped for word in ("--cap-drop", name))]


@dataclass(frozen=True)
class Request:
    """All that the line depends on. `/` is `root`, writable, when there is one, else the tools tree, read-only.

    `confined`: of root's capabilities only those that our own steps need, in a user namespace too; else nearly all,
    for programs that mount for themselves, as other image builders do. `chroot` is the target of a mount, a root tree
    that the program enters by itself: it gets /proc, /dev, /tmp and /run of its own, whose mount points must be there.
    """

    argv: Sequence[str]
    tools: ToolsTree | None
    root: Path | None
    privilege: Privilege
    mounts: Sequence[Mount] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    network: bool = False
    devices: Sequence[str] = ()
    clock_offset_seconds: int = 0
    confined: bool = False
    chroot: str | None = None


def bwrap_arguments(request: Request, *, bwrap: str) -> list[str]:
    """The whole argv. Raises ValueError when there is no root to run in, FileNotFoundError without libfaketime."""
    words = [bwrap, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", HOST_NAME]
    if not request.network:
        words.append("--unshare-net")
    words += request.privilege.arguments(confined=request.confined)
    words += _root_arguments(request)
    words += _system_arguments("")
    words += ["--dir", "/run/lock"]
    environment = environment_of(request)
    if request.clock_offset_seconds:
        words += ["--ro-bind", str(_faketime_for(request).parent), _FAKETIME]
    for mount in request.mounts:
        words += ["--bind" if mount.writable else "--ro-bind", str(mount.source.absolute()), mount.target]
        if mount.target == request.chroot:
            words += _system_arguments(mount.target)
            if request.clock_offset_seconds:
                words += ["--ro-bind", str(_faketime_for(request).parent), f"{mount.target}{_FAKETIME}"]
    for device in request.devices:
        words += ["--dev-bind", device, device]
    if request.root is None:
        words += ["--remount-ro", "/"]
    words += ["--chdir", request.cwd, "--clearenv"]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return [*words, "--", *request.argv]


def environment_of(request: Request) -> dict[str, str]:
    """The whole environment inside; nothing of the caller's own comes through."""
    environment = {
        "PATH": _PATH,
        "HOME": "/root" if request.root is not None else "/tmp",  # noqa: S108 - inside; /root is read-only there
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    if request.clock_offset_seconds:
        environment |= {
            "LD_PRELOAD": f"{_FAKETIME}/libfaketime.so.1",
            "FAKETIME": f"{request.clock_offset_seconds:+d}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }
    return environment | dict(request.env)


def _system_arguments(root: str) -> list[str]:
    """What a running system has below `root`: the kernel's file systems, and memory for what does not last."""
    words = ["--proc", f"{root}/proc", "--dev", f"{root}/dev"]
    words += ["--perms", "1777", "--tmpfs", f"{root}/tmp"]  # noqa: S108 - inside
    return [*words, "--perms", "0755", "--tmpfs", f"{root}/run"]


def _root_arguments(request: Request) -> list[str]:
    if request.root is not None:
        return ["--bind", str(request.root.absolute()), "/"]
    if request.tools is None:
        raise ValueError("a sandbox without a tools tree needs a root to run in")
    words = []
    for entry in sorted(request.tools.root.iterdir()):
        target = f"/{entry.name}"
        if entry.name in _OWN:
            continue
        if entry.is_symlink():
            words += ["--symlink", str(entry.readlink()), target]
        elif entry.is_dir():
            words += ["--ro-bind", str(entry.absolute()), target]
    return [*words, "--dir", "/sys"]


def _faketime_for(request: Request) -> Path:
    if request.tools is None:
        raise FileNotFoundError(_FAKETIME_LIBRARY)
    foreign = request.tools.emulates if request.root is not None else None
    return faketime_library(request.tools, architecture=foreign)


def faketime_library(tools: ToolsTree, *, architecture: str | None = None) -> Path:
    """Libfaketime of a tools tree: for programs of the machine's own architecture, or of the one that it emulates.

    Raises FileNotFoundError.
    """
    theirs = TRIPLETS.get(tools.emulates or "")
    wanted = sorted(
        path
        for path in tools.root.glob(_FAKETIME_LIBRARY)
        if (path.parent.parent.name == theirs) == (architecture is not None)
    )
    if not wanted:
        raise FileNotFoundError(_FAKETIME_LIBRARY)
    return wanted[0]


def pasteable(
    words: Sequence[str], *, privilege: Privilege, stdin: bytes | Path | None = None, stdout: Path | None = None
) -> str:
    """A shell line that runs `words` again in the same way. Input given as bytes is written out in full."""
    prefix = NAMESPACE_PREFIX if privilege.namespaced else ()
    line = shlex.join([*prefix, *words])
    if isinstance(stdin, Path):
        line += f" < {shlex.quote(str(stdin.absolute()))}"
    elif stdin:
        line = f"printf %b {shlex.quote(_printf_escaped(stdin))} | {line}"
    else:
        line += " < /dev/null"
    if stdout is not None:
        line += f" > {shlex.quote(str(stdout.absolute()))}"
    return line


def _printf_escaped(data: bytes) -> str:
    # %b reads \0ooo; printable ASCII stays readable.
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte != 92 else "\\n" if byte == 10 else f"\\0{byte:03o}" for byte in data
    )
