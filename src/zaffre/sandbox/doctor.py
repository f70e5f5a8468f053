# SPDX-License-Identifier: Apache-2.0
"""What the host must have, what it has, and how to get the rest. Tries things out rather than guess."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import WorldError, ZaffreError
from zaffre.sandbox.foreign import kernel_obstacle, registered_by_host
from zaffre.sandbox.model import ToolsTree
from zaffre.sandbox.namespace import missing_for_namespace
from zaffre.sandbox.sandbox import Sandbox

_LEAST_PYTHON = (3, 11)
_LEAST_BWRAP = (0, 5)  # --perms, --clearenv
_LEAST_DISK = 8 * 10**9  # a first build: tools tree, packages, roots, images
_LEAST_MEMORY = 2 * 10**9
_LARGE_STORE = 10 * 10**9


@dataclass(frozen=True)
class Check:
    """One thing looked at. `remedy` is empty when `ok`; a build fails without those that are `required`."""

    name: str
    ok: bool
    detail: str
    remedy: str
    required: bool


def doctor(*, space_at: Path, store_bytes: int | None = None) -> list[Check]:
    """Looks at the host. `space_at`: where the store is or will be; `store_bytes`: what it holds, if it is there.

    Takes well under a second, changes nothing.
    """
    checks = [_python(), _bwrap()]
    if os.geteuid() != 0:
        checks.append(_namespace())
    if checks[1].ok:
        checks.append(_sandbox())
    free = shutil.disk_usage(_there(space_at)).free
    checks.append(_disk(space_at, free))
    if store_bytes is not None:
        checks.append(store_check(space_at, store_bytes, free))
    return [*checks, _memory(), _kvm(), _emulation()]


def _python() -> Check:
    ok = sys.version_info[:2] >= _LEAST_PYTHON
    return Check(
        name="Python",
        ok=ok,
        detail=f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}",
        remedy="" if ok else "install Python 3.11 or later",
        required=True,
    )


def _bwrap() -> Check:
    remedy = "apt install bubblewrap (Debian, Ubuntu) or dnf install bubblewrap (Fedora)"
    path = shutil.which("bwrap")
    if path is None:
        return Check("bubblewrap", ok=False, detail="bwrap is not installed", remedy=remedy, required=True)
    shown = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).stdout.decode().strip()
    numbers = tuple(int(part) for part in shown.rpartition(" ")[2].split(".") if part.isdecimal())
    ok = numbers >= _LEAST_BWRAP
    return Check("bubblewrap", ok=ok, detail=f"{shown} ({path})", remedy="" if ok else remedy, required=True)


def _namespace() -> Check:
    missing: ZaffreError | None
    try:
        missing = missing_for_namespace()
    except (OSError, subprocess.TimeoutExpired) as error:
        missing = WorldError(str(error), resolution="run as root instead")
    if missing is None:
        return Check("building as an ordinary user", ok=True, detail="subordinate ids work", remedy="", required=True)
    detail = str(missing) + (f" ({missing.details})" if missing.details else "")
    return Check(
        "building as an ordinary user", ok=False, detail=detail, remedy=missing.resolution or "", required=True
    )


def _sandbox() -> Check:
    """Really runs one, with the host's own root as the tools tree."""
    try:
        run = Sandbox(ToolsTree(Path("/"), "host")).run(["true"], timeout=30)
    except (ZaffreError, OSError) as error:
        details = error.details if isinstance(error, ZaffreError) else None
        return Check(
            "sandbox",
            ok=False,
            detail=f"{error}: {details or ''}".strip(": "),
            remedy="as root: sysctl user.max_user_namespaces=10000; in a container, start it with "
            "--privileged or with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--cap-add SYS_ADMIN --cap-add NET_ADMIN",
            required=True,
        )
    return Check(
        "sandbox",
        ok=True,
        detail=f"a program ran in one, in {run.wall_seconds * 1000:.0f} ms",
        remedy="",
        required=True,
    )


def _there(path: Path) -> Path:
    """The path, or the nearest of its parents that there is."""
    here = path.absolute()
    while not here.exists():
        here = here.parent
    return here


def _disk(path: Path, free: int) -> Check:
    ok = free >= _LEAST_DISK
    return Check(
        name="disk space",
        ok=ok,
        detail=f"{free / 1e9:.1f} GB free for the store at {path}",
        remedy="" if ok else f"a first build needs {_LEAST_DISK / 1e9:.0f} GB: make room, or set ZAFFRE_STORE",
        required=False,
    )


def store_check(path: Path, held: int, free: int) -> Check:
    """Whether the store is large beside what is free: from 10 GB on, when it holds more than that. Pure."""
    ok = held < max(_LARGE_STORE, free)
    return Check(
        name="store",
        ok=ok,
        detail=f"{held / 1e9:.1f} GB" + ("" if ok else f", more than is free beside it, at {path}"),
        remedy=""
        if ok
        else f"`zaffre store gc --max-size {held // (2 * 10**9)}G` leaves the half of it that was used last; "
        "--dry-run says what would go",
        required=False,
    )


def _memory() -> Check:
    available = 0
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    ok = available >= _LEAST_MEMORY
    return Check(
        name="memory",
        ok=ok,
        detail=f"{available / 1e9:.1f} GB available",
        remedy="" if ok else f"builds and test machines need about {_LEAST_MEMORY / 1e9:.0f} GB",
        required=False,
    )


def _kvm() -> Check:
    present = os.access("/dev/kvm", os.R_OK | os.W_OK)
    return Check(
        name="KVM",
        ok=present,
        detail="/dev/kvm is there; whether it works is probed before its first use"
        if present
        else "no usable /dev/kvm: machines run emulated, which is slower and works",
        remedy="" if present else "optional: load the kvm module, and join the group that owns /dev/kvm",
        required=False,
    )


def _emulation() -> Check:
    """Whether images of another architecture can be built: their scripts are run by an emulator."""
    by_kernel = kernel_obstacle() is None
    ok = by_kernel or registered_by_host("amd64" if platform.machine() == "aarch64" else "arm64")
    how = "the kernel lets a build register its own emulator" if by_kernel else "the host has registered an emulator"
    return Check(
        name="other architectures",
        ok=ok,
        detail=how if ok else "images of another architecture (--arch) cannot be built here",
        remedy=""
        if ok
        else "optional: Linux 6.7 or later; or, as root, apt install qemu-user-static (Debian 12) or "
        "qemu-user-binfmt (Debian 13)",
        required=False,
    )
