# SPDX-License-Identifier: Apache-2.0
"""Ask the mirrors what is new: the only door through which unlocked facts come in, each verified on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from zaffre.definition import DebUpstream, Suite
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.progress import SILENT, Progress
from zaffre.store import Store
from zaffre.upstream.deb.index import MAX_INDEX_BYTES, Index, Indexes
from zaffre.upstream.deb.release import MAX_RELEASE_BYTES, FileFact, Release, verify_release
from zaffre.upstream.decompress import decompress
from zaffre.upstream.download import Downloader, Limits
from zaffre.upstream.genuine import first_genuine
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.mirrors import Mirrors, Source
from zaffre.upstream.obtain import UnobtainableError, known_blob, obtain, urls_at

# In order of preference: what is smallest to fetch.
_SUFFIXES = (".xz", ".zst", ".gz", "")


@dataclass(frozen=True)
class WantedIndex:
    """One index that a verified Release announces. `path` lies below the suite's directory, without a suffix."""

    suite: Suite
    release: Release
    component: str
    architecture: str
    path: str
    sources: tuple[Source, ...]

    @property
    def announced(self) -> bool:
        return any(self.path + suffix in self.release.files for suffix in _SUFFIXES)

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return _choice(self)[1].size


def refresh(
    upstream: DebUpstream,
    mirrors: Mirrors,
    store: Store,
    *,
    architectures: Sequence[str],
    now: datetime,
    not_before: Mapping[tuple[str, str], datetime] | None = None,
    progress: Progress = SILENT,
    limits: Limits | None = None,
) -> Indexes:
    """Verified indexes of all suites of the upstream. Those whose digest the store knows are not fetched again.

    `not_before` holds the date of the locked Release by (archive, suite). Raises WorldError when no mirror
    answers, IntegrityError when none gives what is genuine, DefinitionError for suites that don't exist.
    """
    keyring = Keyring.load(upstream.keyring_file)
    oldest = not_before or {}
    upstream.check_architectures(architectures)
    with Downloader(limits) as downloader, ThreadPoolExecutor(downloader.limits.connections) as pool:
        try:
            with progress.step(f"releases of {upstream.name}") as remark:
                releases = list(
                    pool.map(
                        lambda suite: _release(
                            suite,
                            keyring,
                            mirrors,
                            downloader,
                            now=now,
                            not_before=oldest.get((suite.archive, suite.suite)),
                        ),
                        upstream.suites,
                    )
                )
                for release, _ in releases:
                    store.add_bytes(release.text)
                remark(
                    ", ".join(
                        f"{suite.suite} {release.date:%Y-%m-%d}"
                        for suite, (release, _) in zip(upstream.suites, releases, strict=True)
                    )
                )
            wanted = [
                one
                for suite, (release, sources) in zip(upstream.suites, releases, strict=True)
                for one in _wanted(suite, release, sources, architectures)
            ]
            total = sum(one.size for one in wanted)
            with progress.transfer(f"indexes of {upstream.name}", total) as advance:
                paths = list(pool.map(lambda one: fetch_index(one, downloader, store, advance), wanted))
        except BaseException:
            downloader.cancel()
            raise
    suites = tuple(
        release.locked(upstream=upstream.name, archive=suite.archive, suite=suite.suite)
        for suite, (release, _) in zip(upstream.suites, releases, strict=True)
    )
    by_name = {(one.archive, one.suite): one for one in suites}
    indexes = tuple(
        Index(by_name[one.suite.archive, one.suite.suite], one.component, one.architecture, digest, path)
        for one, (digest, path) in zip(wanted, paths, strict=True)
    )
    return Indexes(upstream.name, suites, indexes)


def _release(
    suite: Suite,
    keyring: Keyring,
    mirrors: Mirrors,
    downloader: Downloader,
    *,
    now: datetime,
    not_before: datetime | None,
) -> tuple[Release, tuple[Source, ...]]:
    """A good Release, and the sources with the one that gave it first."""
    max_age = timedelta(days=suite.max_age_days) if suite.max_age_days else None

    def read(source: Source) -> Release:
        (url,) = urls_at([source], f"dists/{suite.suite}/InRelease")
        message = downloader.read(url, limit=MAX_RELEASE_BYTES)
        where = f"{source.shown} dists/{suite.suite}/InRelease"
        return verify_release(
            message, keyring, suite=suite.suite, now=now, not_before=not_before, max_age=max_age, where=where
        )

    return first_genuine(
        suite.archive,
        mirrors.sources(suite.archive),
        read,
        thing=f"Release of '{suite.suite}'",
        place=f"suite '{suite.suite}'",
    )


def _wanted(
    suite: Suite, release: Release, sources: tuple[Source, ...], architectures: Sequence[str]
) -> Iterator[WantedIndex]:
    for component in suite.components:
        for architecture in architectures:
            path = f"{component}/binary-{architecture}/Packages"
            if not any(path + suffix in release.files for suffix in _SUFFIXES):
                known = sorted(
                    {name.split("/binary-")[0] for name in release.files if f"/binary-{architecture}/Pack" in name}
                )
                raise DefinitionError(
                    f"the suite '{suite.suite}' has no component '{component}' for {architecture}",
                    where=f"archive {suite.archive}",
                    resolution=f"its components for {architecture}: {', '.join(known) or 'none'}; "
                    f"its architectures: {', '.join(sorted(release.architectures))}",
                )
            yield WantedIndex(suite, release, component, architecture, path, sources)
        path = f"{component}/binary-all/Packages"
        if release.separate_all and any(path + suffix in release.files for suffix in _SUFFIXES):
            yield WantedIndex(suite, release, component, "all", path, sources)


def _choice(wanted: WantedIndex) -> tuple[str, FileFact]:
    """Suffix and facts of the form of the index that is fetched."""
    for suffix in _SUFFIXES:
        if fact := wanted.release.files.get(wanted.path + suffix):
            return suffix, fact
    raise AssertionError


def fetch_index(
    wanted: WantedIndex, downloader: Downloader, store: Store, advance: Callable[[int], None]
) -> tuple[Sha256, Path]:
    """Digest and blob of the index, unpacked. Raises IntegrityError, or WorldError when no mirror gives it."""
    suffix, fact = _choice(wanted)
    plain = wanted.release.files.get(wanted.path)
    where = f"{wanted.sources[0].shown} dists/{wanted.suite.suite}/{wanted.path}{suffix}"
    if plain is not None and plain.size > MAX_INDEX_BYTES:
        raise IntegrityError(f"the index is announced with {plain.size} bytes, too many to be one", where=where)
    if plain is not None and (known := known_blob(plain.sha256, store)) is not None:
        advance(fact.size)
        return plain.sha256, known
    directory, _, name = f"dists/{wanted.suite.suite}/{wanted.path}{suffix}".rpartition("/")
    hashed = f"{directory}/by-hash/SHA256/{fact.sha256}"
    paths = (hashed, f"{directory}/{name}") if wanted.release.by_hash else (f"{directory}/{name}",)
    try:
        packed = obtain(
            fact.sha256, fact.size, urls_at(wanted.sources, *paths), downloader=downloader, store=store, advance=advance
        )
    except UnobtainableError as error:
        raise _unobtainable(error, wanted, where) from error
    if not suffix:
        return fact.sha256, packed
    limit = plain.size if plain is not None else MAX_INDEX_BYTES
    with store.scratch("index") as scratch:
        target = scratch / "Packages"
        try:
            digest = decompress(packed, suffix, target, limit=limit)
        except ValueError as error:
            raise IntegrityError(
                "the index does not unpack to what the Release announces",
                where=where,
                details=str(error),
                resolution="use another mirror",
            ) from error
        if plain is not None and digest != plain.sha256:
            raise IntegrityError(
                "the unpacked index does not have the SHA-256 that the Release announces",
                where=where,
                resolution="use another mirror",
            )
        store.add_file(target, expected=digest, move=True)
    return digest, store.path(digest)


def _unobtainable(error: UnobtainableError, wanted: WantedIndex, where: str) -> WorldError:
    if error.wrong:
        return IntegrityError(
            "the index is not the one that the Release announces",
            where=where,
            details=str(error),
            resolution="the mirror may be in the middle of an update: try again in some minutes, or use another",
        )
    return WorldError(
        "the index cannot be fetched",
        where=where,
        details=str(error),
        resolution=f"try again, or give another mirror with `--mirror {wanted.suite.archive}=URL`",
    )
