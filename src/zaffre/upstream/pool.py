# SPDX-License-Identifier: Apache-2.0
"""Where a repository of our own has a package: below the digest of its content, so that no two files share a name."""

from __future__ import annotations

from urllib.parse import quote

from zaffre.upstream.lock import LockedPackage

POOL = "pool"


def pool_path(package: LockedPackage) -> str:
    """Path below the repository's root. Only the digest says what is there, the name is for people."""
    _, _, version = package.version.rpartition(":")
    name = f"{package.name}_{version}_{package.architecture}.deb"
    return f"{POOL}/{package.sha256[:2]}/{package.sha256}/{name}"


def source_folder(description: str) -> str:
    """Where all files of a source package lie, by the digest of its .dsc, which has the digests of the others."""
    return f"{POOL}/{description[:2]}/{description}"


def pool_url(base: str, package: LockedPackage) -> str:
    """URL of a package. '+' is encoded, since object stores take it for a space."""
    return f"{base.rstrip('/')}/{quote(pool_path(package), safe='/~')}"


def may_be_in_pool(package: LockedPackage) -> bool:
    """Whether it is of a kind that such a repository holds: a Debian package."""
    return package.path.endswith(".deb")
