# SPDX-License-Identifier: Apache-2.0
"""Source packages of an upstream, from the Sources indexes that its signed Releases announce.

Fetched when a component asks for the first one, with the Releases that the package indexes came from: what is
locked is of one moment. Format: "DebianRepository/Format" in Debian's wiki, "Sources Indices"; deb-src-control(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from zaffre.definition import DebUpstream
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.upstream.deb.control import parse_stanza
from zaffre.upstream.deb.index import Index
from zaffre.upstream.deb.refresh import WantedIndex, fetch_index
from zaffre.upstream.deb.release import parse_release
from zaffre.upstream.deb.version import VersionKey, version_key
from zaffre.upstream.download import Downloader, Limits
from zaffre.upstream.lock import LockedFile, LockedSource, LockedSuite
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.sources import SourcePackage

SOURCE = "source"
_Version = tuple[VersionKey, Index, Mapping[str, str]]


def read_sources(
    upstream: DebUpstream,
    suites: Sequence[LockedSuite],
    mirrors: Mirrors,
    store: Store,
    *,
    progress: Progress,
    limits: Limits | None,
) -> Sources:
    """The Sources indexes of suites whose Releases the store has. A suite without sources has none to give.

    Raises WorldError when no mirror gives an index, IntegrityError when it is not the announced one.
    """
    locked = {(one.archive, one.suite): one for one in suites}
    wanted = []
    for suite in upstream.suites:
        where = f"{suite.archive} {suite.suite}"
        text = store.path(Sha256(locked[suite.archive, suite.suite].release_sha256)).read_bytes()
        release = parse_release(text, where=where)
        for component in suite.components:
            path = f"{component}/source/Sources"
            one = WantedIndex(suite, release, component, SOURCE, path, mirrors.sources(suite.archive))
            if one.announced:
                wanted.append(one)
    with (
        Downloader(limits) as downloader,
        ThreadPoolExecutor(downloader.limits.connections) as pool,
        progress.transfer(f"source indexes of {upstream.name}", sum(one.size for one in wanted)) as advance,
    ):
        try:
            paths = list(pool.map(lambda one: fetch_index(one, downloader, store, advance), wanted))
        except BaseException:
            downloader.cancel()
            raise
    return Sources(
        [
            Index(locked[one.suite.archive, one.suite.suite], one.component, SOURCE, digest, path)
            for one, (digest, path) in zip(wanted, paths, strict=True)
        ]
    )


class Sources:
    """All source packages of some indexes."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        self._indexes = tuple(indexes)

    def newest(self, name: str) -> SourcePackage | None:
        """The highest version over all suites (a security pocket can lag behind); None for an unknown name."""
        # One that is kept only because a binary is Built-Using it has a newer one, which is to be built.
        found = [one for one in self._versions(name) if one[2].get("Extra-Source-Only", "no") != "yes"]
        if not found:
            return None
        _, index, fields = max(found, key=lambda one: one[0])
        with _told(index, name):
            return SourcePackage(
                source=_locked(index, name, fields),
                binaries=tuple(sorted(word.strip() for word in fields["Binary"].split(",") if word.strip())),
            )

    def at(self, name: str, version: str) -> LockedSource | None:
        """That very version; None when no suite has it."""
        for _, index, fields in self._versions(name):
            if fields["Version"] == version:
                with _told(index, name):
                    return _locked(index, name, fields)
        return None

    def _versions(self, name: str) -> list[_Version]:
        return [one for index in self._indexes for one in _versions(index, name)]


def _locked(index: Index, name: str, fields: Mapping[str, str]) -> LockedSource:
    return LockedSource(name=name, version=fields["Version"], files=tuple(_files(index, fields)))


@contextmanager
def _told(index: Index, name: str) -> Iterator[None]:
    """What is wrong with a stanza, as an IntegrityError."""
    try:
        yield
    except KeyError as error:
        raise IntegrityError(f"the source '{name}' has no field {error.args[0]}", where=index.where) from error
    except ValueError as error:  # pydantic's too
        raise IntegrityError(
            f"the stanza of the source '{name}' is malformed", where=index.where, details=str(error)
        ) from error


def _versions(index: Index, name: str) -> Iterator[_Version]:
    for block in index.stanzas.get(name, ()):
        try:
            fields = parse_stanza(block.decode("utf-8"))
            yield version_key(fields["Version"]), index, fields
        except (KeyError, ValueError) as error:
            raise IntegrityError(
                "the index holds a malformed stanza", where=index.where, details=f"{error}: {block[:200]!r}"
            ) from error


def _files(index: Index, fields: Mapping[str, str]) -> Iterator[LockedFile]:
    for line in fields["Checksums-Sha256"].splitlines():
        if not line.strip():
            continue
        digest, size, name = line.split()
        if "/" in name:
            raise ValueError(f"{name[:200]!r} is not the name of a file")
        yield LockedFile(
            path=f"{fields['Directory']}/{name}", sha256=digest, size=int(size), archive=index.suite.archive
        )
