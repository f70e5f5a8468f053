# SPDX-License-Identifier: Apache-2.0
"""Ask the mirrors what is new in repositories of RPM packages; each repomd.xml is verified before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from zaffre.definition import Architecture, Repository, RpmUpstream
from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.upstream.download import Downloader, DownloadError, Limits
from zaffre.upstream.genuine import first_genuine
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.mirrors import Mirrors, Source, shown_url
from zaffre.upstream.obtain import urls_at
from zaffre.upstream.rpm.index import MODULES, PRIMARY, Metadata, RpmIndex, RpmIndexes
from zaffre.upstream.rpm.metalink import MAX_METALINK_BYTES, genuine_hashes
from zaffre.upstream.rpm.repomd import MAX_REPOMD_BYTES, Repomd, check_age, parse_repomd
from zaffre.upstream.rpm.solvfile import is_read

_REPOMD = "repodata/repomd.xml"
_MAX_SIGNATURE_BYTES = 64 * 1024


def refresh(
    upstream: RpmUpstream,
    mirrors: Mirrors,
    store: Store,
    *,
    architectures: Sequence[str],
    now: datetime,
    not_before: Mapping[tuple[str, str], datetime],
    progress: Progress,
    limits: Limits | None = None,
    sources: bool = False,
) -> RpmIndexes:
    """Verified repositories of the upstream, with the package metadata of each in the store; or those of its `sources`.

    `not_before` holds the date of the locked repomd.xml by (archive, path of the repository). Raises WorldError
    when no mirror answers, IntegrityError when none gives what is genuine.
    """
    repositories = upstream.source_repositories if sources else upstream.repositories
    if not repositories:
        return RpmIndexes(upstream.name, ())
    title = "repositories of sources" if sources else "repositories"
    keyring = Keyring.load(upstream.keyring_file)
    upstream.check_architectures(architectures)
    # A repository may hold several architectures; it is asked for once.
    wanted = {
        (repository.archive, repository.path_for(machine)): (repository, machine)
        for machine in map(Architecture, architectures)
        for repository in repositories
    }
    with Downloader(limits) as downloader, ThreadPoolExecutor(downloader.limits.connections) as pool:
        asking = _Asking(keyring, mirrors, downloader, now, not_before)
        try:
            with progress.step(f"{title} of {upstream.name}") as remark:
                found = dict(zip(wanted, pool.map(lambda pair: asking.read(*pair), wanted.values()), strict=True))
                dates = [f"{path} {repomd.date:%Y-%m-%d}" for (_, path), (repomd, _) in found.items()]
                remark(", ".join(dates))
        except BaseException:
            downloader.cancel()
            raise
    indexes = tuple(
        _index(upstream, repository, machine, *found[repository.archive, repository.path_for(machine)])
        for machine in map(Architecture, architectures)
        for repository in repositories
    )
    modular = sorted({index.suite.suite for index in indexes if MODULES in index.repomd.files})
    if modular:
        progress.note(
            f"{', '.join(modular)}: has modules, which Zaffre ignores: packages of all streams are taken for plain ones"
        )
    each = {index.suite.key: index for index in indexes}.values()
    for index in each:
        store.add_bytes(index.repomd.text)
    unread = [(index, PRIMARY) for index in each if not is_read(index, store)]
    Metadata(store, progress, limits).packed(unread, f"package metadata of {upstream.name}")
    return RpmIndexes(upstream.name, indexes)


def _index(
    upstream: RpmUpstream, repository: Repository, machine: Architecture, repomd: Repomd, sources: tuple[Source, ...]
) -> RpmIndex:
    suite = repomd.locked(upstream=upstream.name, archive=repository.archive, suite=repository.path_for(machine))
    return RpmIndex(suite, str(machine), repomd, sources)


class _Asking:
    """One round of questions to the mirrors."""

    def __init__(
        self,
        keyring: Keyring,
        mirrors: Mirrors,
        downloader: Downloader,
        now: datetime,
        not_before: Mapping[tuple[str, str], datetime],
    ) -> None:
        self._keyring = keyring
        self._mirrors = mirrors
        self._downloader = downloader
        self._now = now
        self._not_before = not_before

    def read(self, repository: Repository, architecture: Architecture) -> tuple[Repomd, tuple[Source, ...]]:
        """A good repomd.xml, and the sources with the one that gave it first."""
        path = repository.path_for(architecture)
        metalink = repository.metalink_for(architecture)
        genuine = self._genuine(metalink) if metalink is not None else None
        max_age = timedelta(days=repository.max_age_days) if repository.max_age_days else None

        def verified(source: Source) -> Repomd:
            where = f"{source.shown} {path}/{_REPOMD}"
            (url,) = urls_at([source], f"{path}/{_REPOMD}")
            text = self._downloader.read(url, limit=MAX_REPOMD_BYTES)
            if genuine is None:
                signature = self._signature(source, f"{path}/{_REPOMD}.asc", where)
                self._keyring.verify_detached(text, signature, now=self._now, where=where)
            elif (digest := sha256_bytes(text)) not in genuine:
                raise IntegrityError(
                    "repomd.xml is not one that the project's metalink vouches for",
                    where=where,
                    details=f"its SHA-256 is {digest}",
                    resolution="the mirror lags behind, or somebody serves other files: use another mirror, or wait",
                )
            repomd = parse_repomd(text, where=where)
            not_before = self._not_before.get((repository.archive, path))
            check_age(repomd, now=self._now, not_before=not_before, max_age=max_age, where=where)
            return repomd

        return first_genuine(
            repository.archive,
            self._mirrors.sources(repository.archive),
            verified,
            thing=f"repomd.xml of '{path}'",
            place=f"repository '{path}'",
        )

    def _genuine(self, metalink: str) -> frozenset[str]:
        try:
            text = self._downloader.read(metalink, limit=MAX_METALINK_BYTES, secure=True)
        except DownloadError as error:
            raise WorldError(
                "the project's metalink, which vouches for its repositories, cannot be fetched",
                where=shown_url(metalink),
                details=str(error),
                resolution="check the network and try again; without it, nothing can be locked from this upstream",
            ) from error
        return genuine_hashes(text, where=shown_url(metalink))

    def _signature(self, source: Source, path: str, where: str) -> bytes:
        (url,) = urls_at([source], path)
        try:
            return self._downloader.read(url, limit=_MAX_SIGNATURE_BYTES)
        except DownloadError as error:
            if not error.absent:
                raise
            raise IntegrityError(
                "the repository is not signed",
                where=where,
                details=f"there is no {path.rpartition('/')[2]} beside it",
                resolution="use another mirror; an unsigned repository is never used",
            ) from error
