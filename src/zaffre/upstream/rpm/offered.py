# SPDX-License-Identifier: Apache-2.0
"""Packages that were built here, offered to libsolv beside those of the upstream, as one more repository."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import solv

from zaffre.errors import IntegrityError
from zaffre.upstream.lock import COMPONENTS, BuiltPackage, LockedPackage
from zaffre.upstream.rpm.entry import metadata_of
from zaffre.upstream.rpm.package import architecture_of
from zaffre.upstream.rpm.xml import refuse_declarations

_PRIORITY = 1
"""Above that of the upstream's repositories, which is 0: what is built here is taken though it be older."""


class Offered:
    """What is offered to one architecture. Nothing here is signed: the lock vouches for it."""

    def __init__(self, built: Sequence[BuiltPackage]) -> None:
        self._built = tuple(sorted(built, key=lambda one: one.package.key))
        self._packages = {(one.package.key, one.package.version): one.package for one in built}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one.package.name for one in self._built)

    def read_into(self, pool: solv.Pool) -> None:
        """Add them as a repository. Raises IntegrityError for a lock whose words on them are none of metadata's."""
        if not self._built:
            return
        repository = pool.add_repo(COMPONENTS)
        repository.priority = _PRIORITY
        with tempfile.TemporaryDirectory(prefix="zaffre-offered-") as folder:
            path = Path(folder, "primary.xml")
            path.write_text(metadata_of(one.control for one in self._built), "utf-8")
            try:
                refuse_declarations(path)
                good = _added(repository, path)
            except ValueError as error:
                raise self._malformed(str(error)) from error
            if not good:
                raise self._malformed(str(pool.errstr))

    def package(self, one: solv.XSolvable) -> LockedPackage | None:
        """The package that libsolv calls so, if it is one that is offered here."""
        if one.repo.name != COMPONENTS:
            return None
        try:
            return self._packages[(one.name, architecture_of(one.arch)), one.evr]
        except (KeyError, ValueError) as error:
            raise self._malformed(f"{one.name} {one.evr} ({one.arch}) calls itself otherwise there") from error

    @staticmethod
    def _malformed(details: str) -> IntegrityError:
        return IntegrityError(
            "what the lock says of packages that were built here is malformed",
            where="zaffre.lock: components",
            details=details,
            resolution="restore the lock from version control, or run `zaffre lock --update` with the component's name",
        )


def _added(repository: solv.Repo, path: Path) -> bool:
    file = solv.xfopen(str(path))
    try:
        return bool(repository.add_rpmmd(file, None, 0))
    finally:
        file.close()
