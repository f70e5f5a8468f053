# SPDX-License-Identifier: Apache-2.0
"""The files of a version come to this node: each by a delta from what runs, or whole.

Which way is decided before anything is fetched, from signed metadata and from what is here. A delta is believed no more
than the whole file is: what it makes has the signed length and digest, or is removed, and the whole file is fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zaffre.agent.download import Downloads
from zaffre.agent.files import sync_folder, told_when_full
from zaffre.agent.handover import Expected
from zaffre.delta import apply_delta
from zaffre.errors import DiskFullError, FindingError, IntegrityError, ZaffreError
from zaffre.follow.layout import target_place
from zaffre.offer import Listed, smallest

_READ = 1 << 20
_MADE = ".made"


class Sources(Protocol):
    """What a host gives of the version that runs."""

    def source(self, file: str) -> Path | None:
        """Where that file of it can be read, such as the beginning of a partition; None if that is not known."""
        ...


@dataclass
class Brought:
    """What came how: bytes that were fetched, those of the whole files, which files came by delta, and why others did
    not although there was one.
    """

    fetched: int = 0
    whole: int = 0
    by_delta: list[str] = field(default_factory=list)
    fell_back: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        return {
            "fetched": self.fetched,
            "whole": self.whole,
            "by_delta": list(self.by_delta),
            "fell_back": dict(self.fell_back),
        }


def choose(
    files: Mapping[str, Expected], deltas: Iterable[Listed], running: str, have: Mapping[str, int]
) -> dict[str, Listed]:
    """By file, the delta that is fetched instead; files that come whole are not in it. `have`: bytes of each that are
    here already. Pure.
    """
    offered = tuple(deltas)
    return {
        name: found
        for name, one in files.items()
        if (found := smallest(offered, running, one.sha256, one.length - have[name])) is not None
    }


@dataclass(frozen=True)
class Bringer:
    downloads: Downloads
    sources: Sources

    def bring(
        self, files: Mapping[str, Expected], deltas: Iterable[Listed], running: str
    ) -> tuple[dict[str, tuple[Path, Expected]], Brought]:
        """All files, whole and verified. Raises as `Downloads.fetch` does for a whole file."""
        have = {name: self.downloads.have(one) for name, one in files.items()}
        chosen = self._with_room(files, choose(files, deltas, running, have))
        told, found = Brought(), {}
        for name, one in files.items():
            path = self._by_delta(name, one, chosen[name], told) if name in chosen else None
            if path is None:
                path = self.downloads.fetch(name, one)
                told.fetched += one.length - have[name]
            told.whole += one.length
            found[name] = (path, one)
        return found, told

    def _with_room(self, files: Mapping[str, Expected], chosen: Mapping[str, Listed]) -> dict[str, Listed]:
        """Deltas need room beside the files that they make; without it, all comes whole. What was downloaded for others
        goes first. Raises DiskFullError when there is no room for whole files either.
        """
        if chosen:
            all_of_it = [*files.values(), *map(expected, chosen.values())]
            with suppress(DiskFullError):
                self.downloads.keep_only(all_of_it)
                self.downloads.require_room(all_of_it)
                return dict(chosen)
        self.downloads.keep_only(files.values())
        self.downloads.require_room(files.values())
        return {}

    def _by_delta(self, name: str, one: Expected, delta: Listed, told: Brought) -> Path | None:
        """The file; None when it did not come this way, and `told` why. What is left of the try is removed, but for a
        part of the delta that can be gone on with.
        """
        folder = self.downloads.folder
        wanted, made = expected(delta), folder / f"{one.sha256}{_MADE}"
        try:
            source = self._source(name, delta)
            missing = wanted.length - self.downloads.have(wanted)
            packed = self.downloads.fetch(f"delta of {_words(delta)}", wanted)
            told.fetched += missing
            with told_when_full(folder):
                self._make(one, delta, packed, source, made)
                made.replace(folder / one.sha256)
                sync_folder(folder)
        except (ZaffreError, OSError) as error:
            details = error.details if isinstance(error, ZaffreError) else None
            told.fell_back[name] = ": ".join(part for part in (str(error), details) if part)
            self.downloads.progress.note(f"{name} comes whole: {told.fell_back[name]}")
            made.unlink(missing_ok=True)
            return None
        finally:
            (folder / wanted.sha256).unlink(missing_ok=True)
        told.by_delta.append(name)
        return folder / one.sha256

    def _source(self, name: str, delta: Listed) -> Path:
        """What runs, if it is what the delta begins with, bit for bit."""
        source, end = self.sources.source(name), delta.delta.source
        if source is None or _digest(source, end.length) != end.sha256:
            raise FindingError(
                f"the {name} that runs is not the one that the delta begins with", where=str(source) if source else None
            )
        return source

    def _make(self, one: Expected, delta: Listed, packed: Path, source: Path, made: Path) -> None:
        digest = hashlib.sha256()
        with (
            self.downloads.progress.transfer(_words(delta), one.length) as advance,
            made.open("wb") as file,
            packed.open("rb") as told,
            source.open("rb", buffering=0) as old,
        ):

            def write(data: bytes) -> None:
                file.write(data)
                digest.update(data)
                advance(len(data))

            apply_delta(told, old.fileno(), delta.delta.source.length, one.length, write)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != one.sha256:
            raise IntegrityError("the delta made another file than the one that was signed")


def _words(delta: Listed) -> str:
    return f"{delta.delta.file} from {delta.delta.source.version}"


def _digest(path: Path, length: int) -> str | None:
    """Of the first `length` bytes of a file or a partition; None when there are fewer."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length and (data := file.read(min(length, _READ))):
            digest.update(data)
            length -= len(data)
    return None if length else digest.hexdigest()


def expected(delta: Listed) -> Expected:
    """What the signed metadata say of the delta itself."""
    return Expected(target_place(delta.path, delta.sha256), delta.length, delta.sha256)
