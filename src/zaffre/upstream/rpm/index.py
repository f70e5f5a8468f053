# SPDX-License-Identifier: Apache-2.0
"""The verified repositories of an upstream, and the metadata files below them, fetched when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.upstream.download import Downloader, Limits
from zaffre.upstream.lock import LockedSuite
from zaffre.upstream.mirrors import Source
from zaffre.upstream.obtain import UnobtainableError, known_blob, obtain, urls_at
from zaffre.upstream.rpm.repomd import MetadataFile, Repomd

PRIMARY = "primary"
FILELISTS = "filelists"
UPDATEINFO = "updateinfo"
MODULES = "modules"


@dataclass(frozen=True)
class RpmIndex:
    """One repository for one architecture. `sources`: the one that gave its repomd.xml comes first."""

    suite: LockedSuite
    architecture: str
    repomd: Repomd
    sources: tuple[Source, ...]

    @property
    def where(self) -> str:
        return f"{self.suite.archive} {self.suite.suite}"

    def file(self, kind: str) -> MetadataFile:
        """Raises IntegrityError when the repository has no metadata of that kind that can be read."""
        return self.repomd.file(kind, where=self.where)


@dataclass(frozen=True)
class RpmIndexes:
    """Everything that was verified in one go: the repositories of an upstream, in the definition's order."""

    upstream: str
    indexes: tuple[RpmIndex, ...]

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        return tuple(index.suite for index in self.indexes)

    def of(self, architecture: str) -> tuple[RpmIndex, ...]:
        """Raises DefinitionError when the architecture was not among those that were read."""
        found = tuple(index for index in self.indexes if index.architecture == architecture)
        if not found:
            raise DefinitionError(
                f"the upstream '{self.upstream}' was not read for the architecture '{architecture}'",
                resolution=f"add it to the `architectures` of upstreams/{self.upstream}.toml",
            )
        return found


@dataclass(frozen=True)
class Metadata:
    """The way to metadata files: the store first, then the sources of their repository, by digest."""

    store: Store
    progress: Progress
    limits: Limits | None = None

    def packed(self, wanted: Sequence[tuple[RpmIndex, str]], title: str) -> list[Path]:
        """The files of those kinds as they were published, in order. Raises WorldError, IntegrityError."""
        files = [(index, index.file(kind)) for index, kind in wanted]
        found = [known_blob(file.sha256, self.store) for _, file in files]
        if None not in found:
            return [path for path in found if path is not None]
        total = sum(file.size for _, file in files)
        with (
            Downloader(self.limits) as downloader,
            self.progress.transfer(title, total) as advance,
            ThreadPoolExecutor(downloader.limits.connections) as pool,
        ):

            def one(pair: tuple[RpmIndex, MetadataFile]) -> Path:
                index, file = pair
                urls = urls_at(index.sources, f"{index.suite.suite}/{file.path}")
                try:
                    return obtain(
                        file.sha256, file.size, urls, downloader=downloader, store=self.store, advance=advance
                    )
                except UnobtainableError as error:
                    raise _unobtainable(error, index, file) from error

            try:
                return list(pool.map(one, files))
            except BaseException:
                downloader.cancel()
                raise


def _unobtainable(error: UnobtainableError, index: RpmIndex, file: MetadataFile) -> WorldError:
    where = f"{index.where} {file.path}"
    if error.wrong:
        return IntegrityError(
            f"the {file.kind} metadata is not what repomd.xml announces",
            where=where,
            details=str(error),
            resolution="the mirror may be in the middle of an update: try again in some minutes, or use another",
        )
    return WorldError(
        f"the {file.kind} metadata cannot be fetched",
        where=where,
        details=str(error),
        resolution=f"try again, or give another mirror with `--mirror {index.suite.archive}=URL`",
    )
