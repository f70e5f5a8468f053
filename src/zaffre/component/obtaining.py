# SPDX-License-Identifier: Apache-2.0
"""Locked files of sources, from the mirrors into the store."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.upstream.download import Downloader, Limits
from zaffre.upstream.lock import LockedFile, LockedSource, Outcome
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.obtain import UnobtainableError, obtain, urls_at
from zaffre.upstream.world import Chosen


class SourceGoneError(WorldError):
    """Every mirror answers, and none has the files: the source cannot be had."""


def fetch_files(
    files: Sequence[LockedFile],
    *,
    title: str,
    mirrors: Mirrors,
    store: Store,
    progress: Progress,
    limits: Limits | None = None,
) -> None:
    """After this, the store has every file. Raises SourceGoneError, or IntegrityError for other bytes in its place."""
    wanted = [file for file in files if not store.has(file.digest)]
    if not wanted:
        return
    with (
        Downloader(limits) as downloader,
        progress.transfer(title, sum(file.size for file in wanted)) as advance,
        ThreadPoolExecutor(downloader.limits.connections) as pool,
    ):

        def one(file: LockedFile) -> None:
            urls = urls_at(mirrors.sources(file.archive), file.path)
            try:
                obtain(file.digest, file.size, urls, downloader=downloader, store=store, advance=advance)
            except UnobtainableError as error:
                raise _failure(file, error, title) from error

        try:
            list(pool.map(one, wanted))
        except BaseException:
            downloader.cancel()
            raise


def upstream_binary(name: str, version: str, binaries: tuple[str, ...], why: str) -> Chosen:
    """The recorded outcome of a source that cannot be had: the upstream's packages are used as they are."""
    return Chosen(
        source=LockedSource(name=name, version=version),
        gives=binaries,
        outcome=Outcome.UPSTREAM_BINARY,
        note=f"{why}: the upstream's binary is taken, and no overlay of the component is in it",
    )


def _failure(file: LockedFile, error: UnobtainableError, title: str) -> WorldError:
    if error.wrong:
        return IntegrityError(
            "a file of the source is not the one that is signed for",
            where=file.path,
            details=str(error),
            resolution=f"name another mirror first, with `--mirror {file.archive}=URL`, and tell the mirror's owner",
        )
    if error.dropped:
        return SourceGoneError(
            f"{title} is at no mirror",
            where=file.path,
            details=str(error),
            resolution="run `zaffre lock --dropped` to lock what the mirrors have now, or add a snapshot service to "
            "mirrors.toml",
        )
    return WorldError(
        f"{title} cannot be fetched",
        where=file.path,
        details=str(error),
        resolution=f"check the network, or name another mirror with `--mirror {file.archive}=URL`",
    )
