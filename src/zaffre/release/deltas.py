# SPDX-License-Identifier: Apache-2.0
"""Deltas of a release: from which versions, made of what is published, each tried before it is.

A delta is a target of its own beside the files of the release, and stays as long as both its versions are in the
channel. Nodes need none: the whole file is there, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tuf.api.metadata import TargetFile, Targets

from zaffre.delta import apply_delta
from zaffre.digest import sha256_file
from zaffre.errors import IntegrityError
from zaffre.follow.deltas import delta_path, deltas_of
from zaffre.follow.layout import pool_path, target_place
from zaffre.offer import Delta, Listed, Record, version_key
from zaffre.offer.delta import End
from zaffre.place.target import Readable
from zaffre.progress import Progress
from zaffre.release.candidate import Candidate
from zaffre.release.encode import write_delta
from zaffre.release.kinds import UPDATE_FILES
from zaffre.release.selection import of_product
from zaffre.release.state import State

LEAST_GAIN: Final = 64 << 10
"""Bytes that a delta must save: one more request, and one more file to keep, are worth that."""


@dataclass(frozen=True)
class Made:
    """A delta as a channel lists it; `file` is where it is here, None if the place has it already."""

    target: TargetFile
    file: Path | None = None


@dataclass(frozen=True)
class Goal:
    """The release that deltas are to lead to, with those of its files that a node's slot is written from."""

    product: str
    version: str
    floor: str | None
    files: Mapping[str, End]

    @classmethod
    def of_candidate(cls, candidate: Candidate) -> Self:
        files = {
            name: End(version=candidate.version, sha256=file.sha256, length=file.size)
            for name, file in candidate.files.items()
            if name in UPDATE_FILES
        }
        return cls(f"{candidate.image}-{candidate.architecture}", candidate.version, candidate.floor, files)

    @classmethod
    def of_record(cls, record: Record, listed: Targets) -> Self:
        return cls(record.product, record.version, record.floor, ends(record, listed))


def ends(record: Record, listed: Targets) -> dict[str, End]:
    """The files of a release as deltas name them."""
    return {
        name: End(version=record.version, sha256=target.hashes["sha256"], length=target.length)
        for name in UPDATE_FILES
        if (target := listed.targets.get(record.files.get(name, ""))) is not None
    }


def leading_to(record: Record, deltas: Iterable[Listed]) -> dict[str, tuple[Listed, ...]]:
    """The deltas to the files of a release, by the version that they begin with, the newest first."""
    found: dict[str, list[Listed]] = {}
    for one in deltas:
        if record.files.get(one.delta.file) == pool_path(one.delta.target.sha256, one.delta.file):
            found.setdefault(one.delta.source.version, []).append(one)
    return {
        version: tuple(sorted(found[version], key=lambda one: one.delta.file))
        for version in sorted(found, key=version_key, reverse=True)
    }


def wanted(records: Iterable[Record], listed: Targets, goal: Goal, count: int) -> list[Delta]:
    """The deltas that lead there from the `count` versions before it, the newest first; from none below its floor.

    A version that is revoked counts: who runs it is to leave it soon.
    """
    before = [
        one
        for one in of_product(records, goal.product)
        if version_key(one.version) < version_key(goal.version)
        and (goal.floor is None or version_key(one.version) >= version_key(goal.floor))
    ]
    return [
        Delta(file=name, source=source, target=goal.files[name])
        for one in reversed(before[-count:] if count else [])
        for name, source in ends(one, listed).items()
        if name in goal.files and source.sha256 != goal.files[name].sha256
    ]


@dataclass(frozen=True)
class Workshop:
    """Where deltas are made: files come from `place` into the empty `folder`, but for those that `local` has."""

    place: Readable
    folder: Path
    progress: Progress
    local: Callable[[Delta], Path | None] = lambda _: None

    def make(self, state: State, deltas: Iterable[Delta]) -> tuple[Made, ...]:
        """Those that are worth it; what a channel has already is taken from there.

        Raises IntegrityError for a published file that is not what is listed, and for a delta that does not give back
        its target.
        """
        known = {
            (one.delta.source.sha256, one.delta.target.sha256): channel.signed.targets[one.path]
            for channel in state.channels.values()
            for one in deltas_of(channel.signed.targets)
        }
        made = []
        for delta in deltas:
            found = known.get((delta.source.sha256, delta.target.sha256))
            one = self._made(delta) if found is None else Made(found)
            if one is not None:
                made.append(one)
        return tuple(made)

    def _made(self, delta: Delta) -> Made | None:
        path = self.folder / f"{delta.source.sha256}-{delta.target.sha256}"
        with self.progress.step(f"delta of {delta.file} from {delta.source.version}") as remark:
            source = self._fetched(delta.file, delta.source)
            target = self.local(delta) or self._fetched(delta.file, delta.target)
            write_delta(source, target, path)
            _try(delta, source, path)
            length = path.stat().st_size
            source.unlink()
            remark(f"{length / 1e6:.1f} of {delta.target.length / 1e6:.1f} MB")
        if length + LEAST_GAIN > delta.target.length:
            path.unlink()
            return None
        digest = sha256_file(path)
        custom = {"custom": delta.model_dump(mode="json")}
        return Made(TargetFile(length, {"sha256": digest}, delta_path(digest, delta), custom), path)

    def _fetched(self, name: str, end: End) -> Path:
        """A file of the pool, verified."""
        path = self.folder / end.sha256
        if path.exists():
            return path
        where = target_place(pool_path(end.sha256, name), end.sha256)
        digest, have = hashlib.sha256(), 0
        with path.open("wb") as file:
            for chunk in self.place.chunks(where):
                have += len(chunk)
                if have > end.length:
                    break
                digest.update(chunk)
                file.write(chunk)
        if (have, digest.hexdigest()) != (end.length, end.sha256):
            path.unlink()
            raise IntegrityError(
                "a published file is not the one that is listed, so no delta can begin with it",
                where=f"{self.place.shown}/{where}",
                resolution="see 'zaffre release verify'; or publish without deltas: --deltas 0",
            )
        return path


def _try(delta: Delta, source: Path, path: Path) -> None:
    digest = hashlib.sha256()
    descriptor = os.open(source, os.O_RDONLY)
    try:
        with path.open("rb") as file:
            apply_delta(file, descriptor, delta.source.length, delta.target.length, digest.update)
    finally:
        os.close(descriptor)
    if digest.hexdigest() != delta.target.sha256:
        raise IntegrityError(
            f"the delta of {delta.file} from {delta.source.version} does not give back its target",
            where=str(path),
            resolution="publish without deltas (--deltas 0), and report this: it is a fault of zaffre",
        )
