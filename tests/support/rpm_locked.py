# SPDX-License-Identifier: Apache-2.0
"""Package files of an RPM distribution as the lock would have them, for tests that lock nothing."""

from __future__ import annotations

from pathlib import Path

from support.rpm_repository import CERTIFICATE
from zaffre.definition import RpmUpstream
from zaffre.digest import sha256_file
from zaffre.store import Store
from zaffre.upstream import LockedPackage
from zaffre.upstream.rpm.header import Tag, read_head
from zaffre.upstream.rpm.package import identity

ARCHIVE = "rpmtest"


def locked_rpm(path: Path, store: Store) -> LockedPackage:
    """A package file, which is put into the store."""
    with path.open("rb") as file:
        header = read_head(file).header
    name, version, architecture = identity(header)
    source, number, release = (header.text(Tag.SOURCE_RPM) or "").removesuffix(".src.rpm").rsplit("-", 2)
    return LockedPackage(
        name=name,
        version=version,
        architecture=architecture,
        sha256=store.add_file(path, expected=sha256_file(path)),
        size=path.stat().st_size,
        path=f"{path.parent.name}/{path.name}",
        suite="repo",
        archive=ARCHIVE,
        source=source,
        source_version=f"{number}-{release}",
    )


def rpm_upstream(folder: Path) -> RpmUpstream:
    """The upstream that a folder of `rpm_repository` is."""
    return RpmUpstream.model_validate(
        {
            "name": ARCHIVE,
            "family": "rpm",
            "keyring": CERTIFICATE,
            "keyring_file": folder / CERTIFICATE,
            "architectures": ["amd64", "arm64"],
            "repositories": [{"archive": ARCHIVE, "path": "repo", "verify": "signature"}],
        }
    )
