# SPDX-License-Identifier: Apache-2.0
"""Packages installed by rpm of the tools tree, in one transaction, into a root that is empty but for mount points.

rpm opens the package files outside and enters the root by chroot(2) to unpack and to run scriptlets, so those run
with the root's own programs, in the sandbox, without a network. It checks every signature against the upstream's
keyring, which it gets as a folder beside the packages, so that no key ends up in the root's database. The result depends on
the packages alone: their order on the command line is that of names, all times in the database come from
SOURCE_DATE_EPOCH (rpm >= 4.18, rpmtsGetTime), and one transaction that is never undone fills the database in one way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rpm.database import PLACE, macros_for

TARGET = "/run/target"
_PACKAGES = "/run/packages"
_KEYS = f"{TARGET}/run/keys"
_SECONDS = 3600.0
_PROVIDES = "zaffre-provides"
_FAILED = re.compile(r"(?P<scriptlet>%\S+)\((?P<package>\S+)\) scriptlet failed")
_UNVERIFIED = re.compile(r"package (?P<package>\S+) does not verify")
_DEBIAN_RELATION = re.compile(r"(?P<name>\S+)\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>)\s*(?P<version>\S+)\s*\))?")

_MACROS: Mapping[str, str] = {
    **macros_for(PLACE),
    "_keyring": "fs",
    "_keyringpath": _KEYS.removeprefix(TARGET),
    "_pkgverify_level": "all",
    "_tmppath": "/tmp",  # noqa: S108 - inside
    # Debian's rpm would call a script that needs useradd, and not say so when there is none.
    "__systemd_sysusers": "/usr/bin/systemd-sysusers",
}
_ENVIRONMENT: Mapping[str, str] = {
    # No service is started, and the kernel's hooks make no initrd: image/ does (ADR 11).
    "SYSTEMD_OFFLINE": "1",
    "KERNEL_INSTALL_BYPASS": "1",
}


@dataclass(frozen=True)
class Transaction:
    """What is installed: package files by the name that messages shall have, the keyring (armoured), what the image
    provides by itself, SOURCE_DATE_EPOCH in seconds."""

    packages: Mapping[str, Path]
    keyring: Path
    provides: tuple[str, ...]
    epoch: int


def install(root: Path, transaction: Transaction, *, scratch: Path, sandbox: Sandbox) -> None:
    """Run it. `root` has the mount points of /proc, /dev, /tmp and /run.

    Raises IntegrityError for a package that rpm does not take for genuine, ToolError for one that fails.
    """
    provides = _provides_package(transaction, scratch, sandbox=sandbox) if transaction.provides else None
    if provides is not None:
        _rpm(root, ["--install", "--nosignature"], {f"{_PROVIDES}.rpm": provides}, transaction, sandbox=sandbox)
    _rpm(root, ["--install"], transaction.packages, transaction, sandbox=sandbox)
    if provides is not None:
        _rpm(root, ["--erase", "--justdb", "--nodeps", _PROVIDES], {}, transaction, sandbox=sandbox)


def _rpm(
    root: Path, words: Sequence[str], files: Mapping[str, Path], transaction: Transaction, *, sandbox: Sandbox
) -> None:
    level = {"_pkgverify_level": "digest"} if "--nosignature" in words else {}
    macros = [word for name, value in {**_MACROS, **level}.items() for word in ("--define", f"{name} {value}")]
    names = sorted(files)
    try:
        sandbox.run(
            ["rpm", "--root", TARGET, "--noplugins", *macros, *words, *(f"{_PACKAGES}/{name}" for name in names)],
            mounts=[
                Mount(root, TARGET, writable=True),
                Mount(transaction.keyring, f"{_KEYS}/upstream.key"),
                *(Mount(files[name], f"{_PACKAGES}/{name}") for name in names),
            ],
            env={**_ENVIRONMENT, "SOURCE_DATE_EPOCH": str(transaction.epoch)},
            timeout=_SECONDS,
            fatal=" scriptlet failed, ",  # rpm goes on after most
            chroot=TARGET,
        )
    except ToolError as error:
        raise _named(error, transaction.keyring) from error


def _named(error: ToolError, keyring: Path) -> ToolError | IntegrityError:
    """The same failure, in words that name the package."""
    details = error.details or ""
    if failed := _FAILED.search(details):
        return ToolError(
            f"the scriptlet {failed['scriptlet']} of {failed['package']} failed",
            where=failed["package"],
            command=error.command,
            returncode=error.returncode,
            details=error.details,
            resolution=error.resolution,
        )
    if refused := _UNVERIFIED.search(details):
        return IntegrityError(
            f"rpm does not take the package {refused['package']} for genuine",
            where=refused["package"],
            details=details,
            resolution=f"only packages signed by a key of {keyring.name} count; if the project signs with a new key, "
            "verify it and add it there",
        )
    return error


def _provides_package(transaction: Transaction, scratch: Path, *, sandbox: Sandbox) -> Path:
    """An empty package that provides what the image supplies by itself (ADR 12), for as long as rpm checks relations."""
    lines = [f"Name: {_PROVIDES}", "Version: 1", "Release: 1", "Summary: what the image supplies", "License: none"]
    lines += ["BuildArch: noarch", *(f"Provides: {relation(one)}" for one in transaction.provides)]
    spec = scratch / f"{_PROVIDES}.spec"
    spec.write_text("\n".join([*lines, "", "%description", "Not a file of any image.", "", "%files", ""]))
    out = scratch / "provides"
    out.mkdir()
    macros = {
        "_topdir": "/tmp/build",  # noqa: S108 - inside
        "_dbpath": "/tmp/rpmdb",  # noqa: S108
        "_tmppath": "/tmp",  # noqa: S108
        "_rpmdir": "/job/out",
        "_buildhost": "zaffre",
        "use_source_date_epoch_as_buildtime": "1",
    }
    sandbox.run(
        ["rpmbuild", "-bb", "--quiet", *(word for one in macros.items() for word in ("--define", " ".join(one)))]
        + ["/job/provides.spec"],
        mounts=[Mount(spec, "/job/provides.spec"), Mount(out, "/job/out", writable=True)],
        env={"SOURCE_DATE_EPOCH": str(transaction.epoch)},
        timeout=_SECONDS,
    )
    return next(out.rglob("*.rpm"))


def relation(text: str) -> str:
    """`runc (= 1.3)`, as definitions say it for every family, in rpm's words: `runc = 1.3`."""
    match = _DEBIAN_RELATION.fullmatch(text.strip())
    if match is None or match["operator"] is None:
        return text.strip()
    operator = {"<<": "<", ">>": ">"}.get(match["operator"], match["operator"])
    return f"{match['name']} {operator} {match['version']}"
