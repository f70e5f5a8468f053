# SPDX-License-Identifier: Apache-2.0
"""Repositories in a pool of libsolv's, and what it says of a package in the words of the lock."""

from __future__ import annotations

import re
from collections.abc import Sequence

import solv

from zaffre.errors import IntegrityError
from zaffre.upstream.lock import LockedFile, LockedPackage, LockedSource, LockedSuite
from zaffre.upstream.rpm.index import FILELISTS, Metadata, RpmIndex
from zaffre.upstream.rpm.package import architecture_of, source_said
from zaffre.upstream.rpm.solvfile import solv_file

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_SOURCES = {"src", "nosrc"}


def read_into(pool: solv.Pool, indexes: Sequence[RpmIndex], metadata: Metadata, *, file_lists: bool = False) -> None:
    """Add a repository for each index, whose name is the index's number; earlier ones win where versions are equal.

    Raises WorldError and IntegrityError for metadata that is not to be had as it was announced.
    """
    for number, index in enumerate(indexes):
        repository = pool.add_repo(str(number))
        repository.subpriority = -number
        listed = file_lists and FILELISTS in index.repomd.files
        file = solv.xfopen(str(solv_file(index, metadata, file_lists=listed)))
        try:
            if not repository.add_solv(file):
                raise IntegrityError(
                    "libsolv cannot read what it wrote itself",
                    where=index.where,
                    details=str(pool.errstr),
                    resolution="`zaffre store verify --repair` takes damaged files out of the store",
                )
        finally:
            file.close()


def is_source(one: solv.XSolvable) -> bool:
    return one.arch in _SOURCES


def source_of(one: solv.XSolvable) -> tuple[str, str] | None:
    """Name and version of the source that a binary package says it is built from."""
    return source_said(one.lookup_sourcepkg() or "")


def locked_package(one: solv.XSolvable, index: RpmIndex) -> LockedPackage:
    """What the lock keeps of a package. Raises IntegrityError for metadata that lacks something or is senseless."""
    try:
        return _package(one, index.suite)
    except (ValueError, TypeError) as error:  # pydantic's too
        raise _malformed(one, index, error) from error


def locked_source(one: solv.XSolvable, index: RpmIndex) -> LockedSource:
    """The same of a source package."""
    try:
        path, digest = _place(one, index.suite)
        size = one.lookup_num(solv.SOLVABLE_DOWNLOADSIZE)
        file = LockedFile(path=path, sha256=digest, size=size, archive=index.suite.archive)
        return LockedSource(name=one.name, version=one.evr, files=(file,))
    except (ValueError, TypeError) as error:
        raise _malformed(one, index, error) from error


def _package(one: solv.XSolvable, suite: LockedSuite) -> LockedPackage:
    path, digest = _place(one, suite)
    source, version = source_of(one) or (one.name, one.evr)
    return LockedPackage(
        name=one.name,
        version=one.evr,
        architecture=architecture_of(one.arch),
        sha256=digest,
        size=one.lookup_num(solv.SOLVABLE_DOWNLOADSIZE),
        path=path,
        suite=suite.suite,
        archive=suite.archive,
        source=source,
        source_version=version,
    )


def _place(one: solv.XSolvable, suite: LockedSuite) -> tuple[str, str]:
    """Path below the archive, and SHA-256."""
    location, _ = one.lookup_location()
    checksum = _SHA256.fullmatch(str(one.lookup_checksum(solv.SOLVABLE_CHECKSUM)))
    if checksum is None:
        raise ValueError("its metadata has no SHA-256 of it")
    if base := one.lookup_str(solv.SOLVABLE_MEDIABASE):
        raise ValueError(f"it is at another place ({base[:200]!r})")
    return f"{suite.suite}/{location}", checksum[1]


def _malformed(one: solv.XSolvable, index: RpmIndex, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"the metadata of '{one.name}' is malformed",
        where=index.where,
        details=str(error),
        resolution="tell the repository's owner; it was published like this",
    )


class Newest:
    """The order of versions, for `max`: libsolv's own comparison."""

    def __init__(self, one: solv.XSolvable) -> None:
        self._one = one

    def __lt__(self, other: Newest) -> bool:
        return bool(self._one.evrcmp(other._one) < 0)
