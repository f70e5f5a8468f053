# SPDX-License-Identifier: Apache-2.0
"""The extensions that a node follows beside its host, and the agent itself: taken, tried, kept, or taken back.

A new version is tried in `/run`, over the one that is kept in `/var`: so whatever ends this program, or the machine,
during a trial, the one before it is there after the next restart. It is kept when systemd has laid it over, and the
agent that is then on the host, the new one if it is the agent's own, has reached the place and read what it says. What
systemd refuses is not tried again; what does not prove itself is, a few times, as the place may be away by chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import TargetFile

from zaffre.agent.download import Downloads
from zaffre.agent.files import is_file_of, sync_folder, told_when_full
from zaffre.agent.handover import Expected
from zaffre.agent.home import Home
from zaffre.agent.host import Identity
from zaffre.agent.look import EXTENSION, Offers, offers
from zaffre.agent.overlay import KINDS, Overlay, forget, keep, lay_passing, take_passing
from zaffre.agent.remembered import TRIES, Remembered, Shelf
from zaffre.agent.settings import Settings
from zaffre.errors import FindingError, IntegrityError, ZaffreError
from zaffre.offer import Carried, ExtensionStep, Move, Record, decide_extension, version_key
from zaffre.progress import Progress


@dataclass(frozen=True)
class Carrier:
    """`downloads` makes what fetches into a folder."""

    home: Home
    settings: Settings
    overlay: Overlay
    downloads: Callable[[Path], Downloads]
    now: Callable[[], datetime]
    progress: Progress

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.home.extensions)

    def settle(self) -> None:
        """Whatever became of a trial that nobody saw the end of: what is kept is laid over again."""
        hanging = {
            kind
            for kind in KINDS
            for name in {*self.shelf.names(), self.settings.agent, *self.settings.extensions}
            if take_passing(self.overlay, kind, name)
        }
        for name in self.shelf.names():
            self.shelf.trying(name).unlink(missing_ok=True)
            for kind in KINDS:
                (self.overlay.kept(kind) / f"{name}.raw.refused").unlink(missing_ok=True)
            one = self.shelf.read(name)
            if one.tried is None or one.tried_sha256 is None:
                continue
            kinds = [kind for kind in KINDS if self._digest(kind, name) == one.tried_sha256]
            if kinds:
                self.shelf.keep(name, one.taken(kinds[0], one.tried, one.tried_sha256))
            elif one.tries >= TRIES:
                self.shelf.keep(name, one.refused(one.tried))
        for kind in sorted(hanging):
            self.overlay.merge(kind)

    def go_on(self, mine: Identity, blessed: Callable[[], bool], targets: Mapping[str, TargetFile]) -> None:
        """All of them, the agent last. What keeps one from being taken keeps no other from it, and raises nothing."""
        followed = (*self.settings.extensions, self.settings.agent)
        for name in followed:
            with self._told(name):
                self._one(name, mine, blessed, offers(targets, self.settings.channel, self._product(name, mine)))
        for name in self.shelf.names():
            if name not in followed and blessed():
                with self._told(name):
                    self._leave(name)

    def _one(self, name: str, mine: Identity, blessed: Callable[[], bool], offered: Offers) -> None:
        kind, digest = self._kept(name)
        one = self._seen(name, kind, digest, mine, offered.records)
        carried = Carried(
            node=mine.node,
            newest=one.newest,
            there=digest is not None and (kind, digest) == (one.kind, one.sha256),
            failed=frozenset(one.failed),
            blessed=blessed(),
            needed=name == self.settings.agent,
        )
        step = decide_extension(carried, offered.records, self.settings.policy, self.now())
        self._keep_last(name, one, step)
        if step.move is Move.TAKE and step.version is not None:
            self._take(name, step.version, offered, blessed)
        elif step.move is Move.REMOVE and one.kind is not None:
            forget(self.overlay, one.kind, name)
            self.overlay.merge(one.kind)
            self.shelf.keep(name, replace(self.shelf.read(name), sha256=None))
            self.home.note("taken away", self.now(), extension=name, version=step.version, reason=step.reason)

    def _seen(
        self, name: str, kind: str | None, digest: str | None, mine: Identity, records: tuple[Record, ...]
    ) -> Remembered:
        """What is remembered, and of a file that somebody else has brought, what is known of it: its version by its
        digest; of the agent that came with the image, that it is as new as the host.
        """
        one = self.shelf.read(name)
        if digest is None or digest == one.sha256:
            return one
        version = next((record.version for record in records if _digest_of(record) == digest), None)
        if version is None and name == self.settings.agent and one.newest is None:
            version = mine.version
        if version is None or (one.newest is not None and version_key(version) < version_key(one.newest)):
            return one
        return replace(one, kind=kind, newest=version, sha256=digest)

    def _take(self, name: str, version: str, offered: Offers, blessed: Callable[[], bool]) -> None:
        kind, expected = offered.record(version).kind, offered.extension(version)
        trying = self._laid_out(name, self._fetched(name, expected), expected)
        if not blessed():  # once more: a download takes long
            raise FindingError("the running boot is not blessed, so nothing is laid over it", where=name)
        self.shelf.keep(name, self.shelf.read(name).trying(version, expected.sha256))
        try:
            self.overlay.require_fit(trying)
            self._try(name, kind, trying)
        except IntegrityError:
            self.shelf.keep(name, self.shelf.read(name).refused(version))
            self.home.note("refused", self.now(), extension=name, version=version)
            self.shelf.clear(name)
            raise
        keep(self.overlay, kind, name, trying)
        take_passing(self.overlay, kind, name)
        before = self.shelf.read(name)
        self.shelf.keep(name, before.taken(kind, version, expected.sha256))
        if before.kind not in {None, kind}:
            forget(self.overlay, str(before.kind), name)
            self.overlay.merge(str(before.kind))
        self.home.note("laid over", self.now(), extension=name, version=version)
        self.shelf.clear(name)

    def _fetched(self, name: str, expected: Expected) -> Path:
        downloads = self.downloads(self.shelf.parts(name))
        downloads.keep_only([expected])
        downloads.require_room([expected, expected])  # once more, when it is kept
        return downloads.fetch(name, expected)

    def _laid_out(self, name: str, path: Path, expected: Expected) -> Path:
        """Verified once more, where it is tried from."""
        if not is_file_of(path, expected.length, expected.sha256):
            path.unlink()
            raise FindingError(
                "a downloaded file is no longer what was verified; it was removed",
                where=str(path),
                resolution="look at the disk; the next run downloads it again",
            )
        trying = self.shelf.trying(name)
        with told_when_full(self.shelf.folder):
            trying.parent.mkdir(parents=True, exist_ok=True)
            path.replace(trying)
            sync_folder(trying.parent)
        return trying

    def _try(self, name: str, kind: str, trying: Path) -> None:
        """Raises IntegrityError when systemd does not lay it over, ToolError when it does not prove itself; what was
        laid over before is again, then.
        """
        lay_passing(self.overlay, kind, name, trying)
        try:
            self.overlay.merge(kind)
            if name not in self.overlay.merged(kind):
                raise IntegrityError(
                    "the host does not lay the extension over itself: it is made for another version of the system",
                    where=name,
                    resolution="build it for the version of this host (VERSION_ID of os-release), and release that",
                )
            self.overlay.prove()
        except ZaffreError:
            take_passing(self.overlay, kind, name)
            with suppress(ZaffreError):  # said by the one that is raised
                self.overlay.merge(kind)
            raise

    def _leave(self, name: str) -> None:
        """The settings no longer follow it: what the agent has brought of it goes, but for an agent, which may be the
        one that the host lays over itself.
        """
        one = self.shelf.read(name)
        if one.needed:
            return
        if one.kind is not None and one.sha256 is not None and one.sha256 == self._digest(one.kind, name):
            forget(self.overlay, one.kind, name)
            self.overlay.merge(one.kind)
            self.home.note("taken away", self.now(), extension=name, reason="the settings no longer follow it")
        self.shelf.drop(name)

    def _product(self, name: str, mine: Identity) -> str:
        return f"{name}-{mine.architecture}"

    def _kept(self, name: str) -> tuple[str | None, str | None]:
        """Kind and digest of what is kept under that name."""
        found = ((kind, self._digest(kind, name)) for kind in KINDS)
        return next(((kind, digest) for kind, digest in found if digest is not None), (None, None))

    def _digest(self, kind: str | None, name: str) -> str | None:
        if kind is None:
            return None
        try:
            with (self.overlay.kept(kind) / f"{name}.raw").open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def _keep_last(self, name: str, one: Remembered, step: ExtensionStep) -> None:
        last = {
            "time": self.now().isoformat(),
            "move": step.move.value,
            "version": step.version,
            "reason": step.reason,
            "until": step.until.isoformat() if step.until else None,
        }
        needed = one.needed or name == self.settings.agent
        self.shelf.keep(name, replace(one, last=last, needed=needed))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Why nothing came of it; a disk that is full must not hide that."""
        try:
            yield
        except (ZaffreError, OSError) as error:
            details = error.details if isinstance(error, ZaffreError) else None
            problem = ": ".join(part for part in (str(error), details) if part)
            self.progress.note(f"{name}: {problem}")
            with suppress(OSError, ZaffreError):
                one = self.shelf.read(name)
                self.shelf.keep(name, replace(one, last={**one.last, "problem": problem}))


def _digest_of(record: Record) -> str | None:
    """Of its extension: the pool says the content in the path."""
    path = record.files.get(EXTENSION)
    return path.split("/")[1] if path else None
