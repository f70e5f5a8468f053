# SPDX-License-Identifier: Apache-2.0
"""A repository of releases to measure with: one channel, keys made for it, every release for every node at once."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import BenchError

from zaffre.definition import Waves
from zaffre.digest import sha256_file
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.offer import Evidence
from zaffre.place.folder import Folder
from zaffre.progress import SILENT
from zaffre.release.candidate import Candidate, File
from zaffre.release.deltas import Goal, Workshop, wanted
from zaffre.release.desk import Desk
from zaffre.release.keys import Ring, make_folder, make_key
from zaffre.release.kinds import UPDATE_FILES
from zaffre.release.metadata import DEFAULT_DAYS
from zaffre.release.operate import add, rollout
from zaffre.release.payload import payload_of
from zaffre.release.rotate import found, trustees_by_name

CHANNEL = "stable"
_SECRET = "a passphrase of the bench"
_KEYS = ("root-1", "root-2", "targets", "snapshot", "timestamp", CHANNEL)
_AT_ONCE = Waves.model_validate({"steps": [{"share": 100, "until": "1m"}]})


class Publisher:
    """A repository of releases in `folder`/repo, with keys of its own; `root` is what its readers trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now = datetime.now(UTC).replace(microsecond=0)
        make_folder(folder / "signers")
        for name in _KEYS:
            make_key(folder / "signers", name, _SECRET)
        desk = self._desk(b"")
        change = found(trustees_by_name(desk.ring, [CHANNEL], 2), [CHANNEL], DEFAULT_DAYS, now=self._now)
        done = desk.found(change).done
        if done is None:
            raise BenchError("the repository of releases could not be begun")
        self.root = done.root

    def publish(self, build: Path, *, deltas: int, version: str | None = None) -> None:
        """A release of a build, for every node, with deltas from so many versions before it; under another version than
        the build's, if said.
        """
        manifest = Manifest.model_validate_json((build / MANIFEST_NAME).read_bytes())
        candidate = Candidate(
            image=manifest.image,
            architecture=manifest.architecture,
            version=version or manifest.version,
            profile=manifest.profile,
            root_hash=manifest.root_hash,
            created=self._now,
            floor=None,
            notes="",
            manifest=_file(build / MANIFEST_NAME),
            files={name: _file(build / name) for name in UPDATE_FILES},
            evidence=Evidence(report="0" * 64, checked=self._now, held=1, machine="not booted"),
        )
        desk, pace = self._desk(self.root), rollout("at once", _AT_ONCE, self._now - timedelta(days=1))
        state = desk.state()
        scratch = self._folder / "scratch"
        scratch.mkdir()
        listed = wanted(
            state.records(CHANNEL).values(), state.role(CHANNEL).signed, Goal.of_candidate(candidate), deltas
        )
        made = Workshop(desk.place, scratch, SILENT, lambda one: build / one.file).make(state, listed)
        desk.carry_out(
            lambda state: add(state, CHANNEL, candidate, pace, now=self._now, deltas=[one.target for one in made]),
            lambda _: payload_of(build, candidate, CHANNEL, deltas=made),
        )
        shutil.rmtree(scratch)

    def _desk(self, trusted: bytes) -> Desk:
        ring = Ring([self._folder / "signers"], lambda _: _SECRET)
        return Desk(Folder(self._folder / "repo"), trusted, ring, self._folder / "pending", self._now)


def _file(path: Path) -> File:
    return File(sha256=sha256_file(path), size=path.stat().st_size)
