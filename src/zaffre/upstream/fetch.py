# SPDX-License-Identifier: Apache-2.0
"""Bring locked package files into the store. After the lock, this is the only step that uses the network."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock as Mutex

from zaffre.digest import Sha256
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import SILENT, Progress
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.download import CancelledError, Downloader, Limits
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.missing import missing
from zaffre.upstream.obtain import UnobtainableError, obtain, urls_at
from zaffre.upstream.pool import may_be_in_pool, pool_url

_MOST_NAMED = 20


class DroppedError(WorldError):
    """Locked files that no source has any more: lock again, or name a source that keeps old files."""

    def __init__(
        self, brief: str, *, packages: tuple[LockedPackage, ...], where: str, details: str, resolution: str
    ) -> None:
        super().__init__(brief, where=where, details=details, resolution=resolution)
        self.packages = packages

    @property
    def names(self) -> tuple[str, ...]:
        """What `zaffre lock --update` has to be given."""
        return tuple(sorted({package.name for package in self.packages}))


def fetch(
    packages: Iterable[LockedPackage],
    mirrors: Mirrors,
    store: Store,
    progress: Progress = SILENT,
    *,
    acceptance: Acceptance,
    limits: Limits | None = None,
) -> None:
    """After this, the store has the file of every package. Present ones cost nothing, and then no mirror is needed.

    A file is used when it has the locked digest and `acceptance` has accepted it. A repository of our own is asked for
    what mirrors don't give.
    `mirrors` should be turned to the time of the lock (`Mirrors.at`), so that snapshot services can serve.
    Raises DroppedError when files are gone everywhere, IntegrityError when a source serves others in their
    place, WorldError when no source answers. What has arrived stays in the store, and parts are resumed.
    """
    needed = missing(packages, store, acceptance)
    wanted = missing(needed, store)
    for package in needed:
        if package not in wanted:
            acceptance.accept(package, store.path(package.digest))
    if not wanted:
        return
    places = {package.digest: _places(package, mirrors) for package in wanted}
    # Large files first: the last connection to finish decides how long all take.
    ordered = sorted(wanted, key=lambda package: package.size, reverse=True)
    failures: dict[Sha256, tuple[LockedPackage, UnobtainableError]] = {}
    with (
        Downloader(limits) as downloader,
        progress.transfer(f"{len(wanted)} packages", sum(package.size for package in wanted)) as advance,
        ThreadPoolExecutor(downloader.limits.connections) as pool,
    ):
        mutex = Mutex()

        def one(package: LockedPackage) -> None:
            urls, own = places[package.digest]
            try:
                path = obtain(
                    package.digest, package.size, urls, spare=own, downloader=downloader, store=store, advance=advance
                )
                acceptance.accept(package, path)
            except UnobtainableError as error:
                with mutex:
                    failures[package.digest] = package, error
                # Go on after a dropped file, to name all of them at once; anything else would fail again and again.
                if not error.dropped:
                    downloader.cancel()

        futures = [pool.submit(one, package) for package in ordered]
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except CancelledError:
                    continue
        except BaseException:
            downloader.cancel()
            raise
    if failures:
        raise _failure([failures[package.digest] for package in wanted if package.digest in failures])


def _places(package: LockedPackage, mirrors: Mirrors) -> tuple[list[str], list[str]]:
    """Where a package should be, and where a repository of our own may have it.

    Raises WorldError where neither is known.
    """
    own = [pool_url(source.url, package) for source in mirrors.own] if may_be_in_pool(package) else []
    try:
        return urls_at(mirrors.sources(package.archive), package.path), own
    except WorldError:
        if own:
            return [], own
        raise


def fetch_own(
    packages: Iterable[LockedPackage],
    mirrors: Mirrors,
    store: Store,
    progress: Progress = SILENT,
    *,
    limits: Limits | None = None,
) -> None:
    """Bring what was built here into the store from a repository of our own, as far as that has it.

    What it lacks, or serves with another content, is left out: it can be built.
    """
    wanted = missing([package for package in packages if may_be_in_pool(package)], store)
    if not wanted or not mirrors.own:
        return
    with (
        Downloader(limits) as downloader,
        progress.transfer(f"{len(wanted)} packages of ours", sum(one.size for one in wanted)) as advance,
    ):
        for package in wanted:
            places = [pool_url(source.url, package) for source in mirrors.own]
            try:
                obtain(package.digest, package.size, places, downloader=downloader, store=store, advance=advance)
            except UnobtainableError as error:
                progress.note(f"{package.name} is not in our own repository, so it is built: {error}")


def _failure(failures: list[tuple[LockedPackage, UnobtainableError]]) -> WorldError:
    fatal = [(package, error) for package, error in failures if not error.dropped]
    package, error = (fatal or failures)[0]
    where = f"{package.name} {package.version}"
    if error.wrong:
        return IntegrityError(
            "the package's file is not the one that is locked",
            where=where,
            details=str(error),
            resolution=f"name another mirror first, with `--mirror {package.archive}=URL`, and tell the mirror's owner",
        )
    if fatal:
        return WorldError(
            "the package cannot be fetched",
            where=where,
            details=str(error),
            resolution="check the network and run the same command again (it goes on where it stopped), "
            f"or name another mirror with `--mirror {package.archive}=URL`",
        )
    lines = []
    for gone, reason in failures[:_MOST_NAMED]:
        lines.append(f"{gone.name} {gone.version} ({gone.architecture}):")
        lines.extend(f"  {refusal}" for refusal in reason.refusals)
    if len(failures) > _MOST_NAMED:
        lines.append(f"… and {len(failures) - _MOST_NAMED} more")
    packages = tuple(gone for gone, _ in failures)
    names = " ".join(sorted({gone.name for gone in packages}))
    return DroppedError(
        "a locked package is no longer at any source"
        if len(failures) == 1
        else f"{len(failures)} locked packages are no longer at any source",
        packages=packages,
        where=where,
        details="\n".join(lines),
        resolution=f"run `zaffre lock --update {names}` to lock what the mirrors have now, or add a snapshot "
        "service to mirrors.toml",
    )
