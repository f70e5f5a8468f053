# SPDX-License-Identifier: Apache-2.0
"""Packages of a machine to upgrade: real ones, made on the spot, and locks that name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.repository import Deb
from zaffre.digest import sha256_bytes
from zaffre.store import Store
from zaffre.tree.deb.model import PackageIndex
from zaffre.tree.deb.unpack import read_package
from zaffre.upstream import COMPONENTS, LockedPackage

UNIT = "usr/lib/systemd/system/{}.service"
# As debhelper 13 writes it (autoscripts/postinst-systemd-restart).
RESTART = """\
#!/bin/sh
set -e
if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ] ; then
	if [ -z "${{DPKG_ROOT:-}}" ] && [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then
			_dh_action={action}
		else
			_dh_action=start
		fi
		deb-systemd-invoke $_dh_action '{unit}.service' >/dev/null || true
	fi
fi
"""


def locked(deb: Deb) -> LockedPackage:
    """As a lock has what was built here: nobody fetches it."""
    data = deb.build()
    return LockedPackage(
        name=deb.name,
        version=deb.version,
        architecture=deb.architecture,
        sha256=sha256_bytes(data),
        size=len(data),
        path=deb.path,
        suite=COMPONENTS,
        archive=COMPONENTS,
        source=deb.name,
        source_version=deb.version,
    )


def put(debs: Sequence[Deb], store: Store) -> tuple[LockedPackage, ...]:
    for deb in debs:
        store.add_bytes(deb.build())
    return tuple(locked(deb) for deb in debs)


def index(deb: Deb, scratch: Path) -> PackageIndex:
    """What is in the package, read as a build reads it."""
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"{deb.name}_{deb.version}.deb"
    path.write_bytes(deb.build())
    return read_package(path, path.with_suffix(".tar"), package=locked(deb))
