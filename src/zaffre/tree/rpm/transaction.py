# SPDX-License-Identifier: Apache-2.0
"""Packages installed by rpm of the tools tree, in one transaction, into a root that is empty but for mount points.

rpm opens the package files outside and enters the root by chroot(2) to unpack and to run scriptlets, so those run
with the root's own programs, in the sandbox, without a network. Before that, rpmkeys checks the signature of every
package that was not built here against the upstream's keyring, which lies in a folder of its own, so that no key ends
up in the root's database. The result depends on the packages alone: their order on the command line is that of names,
all times in the database come from SOURCE_DATE_EPOCH (rpm >= 4.18, rpmtsGetTime), and one transaction that is never
undone fills the database in one way.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rpm.database import PLACE
from zaffre.upstream.keyring import Keyring

TARGET = "/run/target"
_PACKAGES = "/run/packages"
_KEYS = "/run/keys"
_SECONDS = 3600.0
_PROVIDES = "zaffre-provides"
_FATAL = (" scriptlet failed, ", "lua script failed: ")
"""What rpm says of a scriptlet, the second of one in its own Lua. It goes on after most, and then ends well."""
_FAILED = re.compile(r"(?P<scriptlet>%\w+)\((?P<package>\S+)\)(?: scriptlet failed|\"\]:\d+: )")
_REFUSED = re.compile(rf"{_PACKAGES}/(?P<package>\S+): .*NOT OK")
_DEBIAN_RELATION = re.compile(r"(?P<name>\S+)\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>)\s*(?P<version>\S+)\s*\))?")

_MACROS: Mapping[str, str] = {
    "_dbpath": f"/{PLACE}",
    "_db_backend": "sqlite",
    "_pkgverify_level": "digest",
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
    """What is installed: package files by the name that messages shall have, the upstream's keyring, what the image
    provides by itself, SOURCE_DATE_EPOCH in seconds.

    `signed` are the upstream's packages, whose signatures must be good at the time `judged`, in seconds; `ours` were
    built here, and their digests in the lock are all that vouches for them.
    """

    signed: Mapping[str, Path]
    ours: Mapping[str, Path]
    keyring: Keyring
    provides: tuple[str, ...]
    epoch: int
    judged: int

    @property
    def packages(self) -> Mapping[str, Path]:
        return {**self.signed, **self.ours}


def install(root: Path, transaction: Transaction, *, scratch: Path, sandbox: Sandbox) -> None:
    """Run it. `root` has the mount points of /proc, /dev, /tmp and /run.

    Raises IntegrityError for a package that rpm does not take for genuine, ToolError for one that fails.
    """
    at_that_time = Sandbox(sandbox.tools, clock_offset_seconds=transaction.judged - int(time.time()))
    _verify(transaction, scratch, sandbox=at_that_time)
    rpm = _Rpm(root, transaction.epoch, sandbox)
    if not transaction.provides:
        rpm.run(["--install"], transaction.packages)
        return
    provides = _provides_package(transaction, scratch, sandbox=sandbox)
    rpm.run(["--install", "--nodeps"], {f"{_PROVIDES}.rpm": provides})
    rpm.run(["--install"], transaction.packages)
    rpm.run(["--erase", "--justdb", "--nodeps", _PROVIDES], {})


def _verify(transaction: Transaction, scratch: Path, *, sandbox: Sandbox) -> None:
    """Every signature and digest of the upstream's packages, by rpmkeys(8).

    The sandbox's clock is that of the lock, which may outlive a key.
    """
    if not transaction.signed:
        return
    keys = scratch / "keys"
    keys.mkdir()
    for number, certificate in enumerate(transaction.keyring.armoured):
        (keys / f"{number}.key").write_text(certificate)
    macros = {"_dbpath": "/tmp/rpmdb", "_keyring": "fs", "_keyringpath": _KEYS, "_pkgverify_level": "all"}  # noqa: S108
    names, mounts = _mounted(transaction.signed)
    try:
        sandbox.run(
            ["rpmkeys", *_defines(macros), "--checksig", *names], mounts=[Mount(keys, _KEYS), *mounts], timeout=_SECONDS
        )
    except ToolError as error:
        refused = sorted({match["package"] for match in _REFUSED.finditer(error.details or "")})
        if not refused:
            raise
        raise IntegrityError(
            f"rpm does not take {len(refused)} package(s) for genuine",
            where=refused[0],
            details=error.details,
            resolution=f"only packages signed by a key of {transaction.keyring.where} count; if the project signs with "
            "a new key, verify it and add it there",
        ) from error


def _mounted(files: Mapping[str, Path]) -> tuple[list[str], list[Mount]]:
    """Package files where rpm finds them, in the order of their names."""
    mounts = [Mount(files[name], f"{_PACKAGES}/{name}") for name in sorted(files)]
    return [mount.target for mount in mounts], mounts


@dataclass(frozen=True)
class _Rpm:
    """rpm with a root. `epoch` is SOURCE_DATE_EPOCH, in seconds."""

    root: Path
    epoch: int
    sandbox: Sandbox

    def run(self, words: Sequence[str], files: Mapping[str, Path]) -> None:
        names, mounts = _mounted(files)
        try:
            self.sandbox.run(
                ["rpm", "--root", TARGET, "--noplugins", "--nosignature", *_defines(_MACROS), *words, *names],
                mounts=[Mount(self.root, TARGET, writable=True), *mounts],
                env={**_ENVIRONMENT, "SOURCE_DATE_EPOCH": str(self.epoch)},
                timeout=_SECONDS,
                fatal=_FATAL,
                chroot=TARGET,
            )
        except ToolError as error:
            raise _named(error) from error


def _named(error: ToolError) -> ToolError:
    """The same failure, in words that name the package."""
    failed = _FAILED.search(error.details or "")
    if failed is None:
        return error
    return ToolError(
        f"the scriptlet {failed['scriptlet']} of {failed['package']} failed",
        where=failed["package"],
        command=error.command,
        returncode=error.returncode,
        details=error.details,
        resolution=error.resolution,
    )


def _provides_package(transaction: Transaction, scratch: Path, *, sandbox: Sandbox) -> Path:
    """An empty package that provides what the image supplies by itself (ADR 12), while rpm checks relations."""
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
        ["rpmbuild", "-bb", "--quiet", *_defines(macros), "/job/provides.spec"],
        mounts=[Mount(spec, "/job/provides.spec"), Mount(out, "/job/out", writable=True)],
        env={"SOURCE_DATE_EPOCH": str(transaction.epoch)},
        timeout=_SECONDS,
    )
    return next(out.rglob("*.rpm"))


def _defines(macros: Mapping[str, str]) -> list[str]:
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


def relation(text: str) -> str:
    """`runc (= 1.3)`, as definitions say it for every family, in rpm's words: `runc = 1.3`."""
    match = _DEBIAN_RELATION.fullmatch(text.strip())
    if match is None or match["operator"] is None:
        return text.strip()
    operator = {"<<": "<", ">>": ">"}.get(match["operator"], match["operator"])
    return f"{match['name']} {operator} {match['version']}"
