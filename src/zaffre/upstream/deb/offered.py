# SPDX-License-Identifier: Apache-2.0
"""Packages that were built here, offered to apt beside those of the upstream, as one more suite of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from zaffre.store import Store
from zaffre.upstream.deb.index import Index, Indexes
from zaffre.upstream.lock import COMPONENTS, BuiltPackage, LockedSuite

PIN_PRIORITY = 1002
"""apt_preferences(5): above versions that are kept (1001), so that what is built here is taken though it be older."""


def with_built(indexes: Indexes, built: Sequence[BuiltPackage], architecture: str, store: Store) -> Indexes:
    """The indexes, and one of these packages. Their suites stay those of the upstream: nothing here is signed."""
    if not built:
        return indexes
    stanzas = "\n".join(_stanza(one) for one in sorted(built, key=lambda one: one.package.key))
    digest = store.add_bytes(stanzas.encode())
    release = store.add_bytes(f"Origin: {COMPONENTS}\nSuite: {COMPONENTS}\nCodename: {COMPONENTS}\n".encode())
    suite = LockedSuite(
        upstream=indexes.upstream,
        archive=COMPONENTS,
        suite=COMPONENTS,
        release_sha256=release,
        date=datetime.fromtimestamp(0, UTC),
    )
    index = Index(suite, "main", architecture, digest, store.path(digest))
    # First, so that it wins where a version is the same.
    return replace(indexes, indexes=(index, *indexes.indexes))


def _stanza(one: BuiltPackage) -> str:
    """As dpkg-scanpackages(1) writes it."""
    package = one.package
    return f"{one.control.strip()}\nFilename: {package.path}\nSize: {package.size}\nSHA256: {package.sha256}\n"


def offered_names(indexes: Indexes) -> frozenset[str]:
    """Names of the packages that are offered."""
    return frozenset(name for index in _offered(indexes.indexes) for name in index.stanzas)


def preferences(indexes: Sequence[Index]) -> str:
    """The pin for apt; nothing where nothing is offered."""
    if not _offered(indexes):
        return ""
    return f"Package: *\nPin: release n={COMPONENTS}\nPin-Priority: {PIN_PRIORITY}\n\n"


def _offered(indexes: Sequence[Index]) -> list[Index]:
    return [index for index in indexes if index.suite.archive == COMPONENTS]
