# SPDX-License-Identifier: Apache-2.0
"""The way of every change: read what is published, change it, sign, bring the files, publish; or set it aside for
signatures that are made elsewhere, and publish it when they have come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from zaffre.errors import DefinitionError, IntegrityError
from zaffre.follow.layout import ROOT_ROLE, SNAPSHOT_ROLE, TARGETS_ROLE, TIMESTAMP_ROLE, metadata_place
from zaffre.place.target import Target
from zaffre.progress import SILENT, Progress
from zaffre.release.change import Change, Missing
from zaffre.release.keys import Ring
from zaffre.release.operate import renew
from zaffre.release.pending import PENDING_NAME, read_pending, set_aside
from zaffre.release.publish import Done, Payload, commit, upload
from zaffre.release.state import State, load_state


def _nothing(_: State) -> Payload:
    """What most changes bring."""
    return Payload()


@dataclass(frozen=True)
class Outcome:
    """What became of a change. `pending` is the folder in which it waits for the signatures that are `missing`; `done`
    is there when it was published. With `dry_run` nothing was written, `files` and `bytes` would have been brought.
    """

    title: str
    dry_run: bool
    files: int
    bytes: int
    missing: tuple[Missing, ...]
    pending: Path | None
    done: Done | None


@dataclass(frozen=True)
class Desk:
    """Where a publisher works: the place, the root that is believed, the keys at hand, a folder for what must wait."""

    place: Target
    trusted: bytes
    ring: Ring
    pending: Path
    now: datetime
    progress: Progress = SILENT
    seen: int = 0
    """The number of the last state that was published from here: an older one is not built upon."""

    def carry_out(
        self, make: Callable[[State], Change], payload: Callable[[State], Payload] = _nothing, *, dry_run: bool = False
    ) -> Outcome:
        """Make a change of what is published at this moment, and publish it or set it aside.

        Raises FindingError for what can't be, and for metadata that only `renew` can mend; WorldError when another is
        publishing.
        """
        if dry_run:
            change, state = self._made(make)
            missing = payload(state).missing(self.place)
            return Outcome(change.title, True, len(missing), sum(missing.values()), change.missing(state), None, None)
        with self.place.publishing() as held:
            change, state = self._made(make)
            files, size = upload(self.place, payload(state), self.progress)
            missing_signatures = change.missing(state)
            outcome = Outcome(change.title, False, files, size, missing_signatures, None, None)
            if missing_signatures or change.root is not None:
                aside = set_aside(change, state, self.pending)
                if missing_signatures:
                    return replace(outcome, pending=self.pending)
                done = commit(change, self.place, held, self.trusted, self.ring, now=self.now)
                aside.remove()
                return replace(outcome, done=done)
            return replace(outcome, done=commit(change, self.place, held, self.trusted, self.ring, now=self.now))

    def submit(self) -> Outcome:
        """Publish a change that was set aside, once its signatures are there. Raises FindingError while they aren't."""
        aside = read_pending(self.pending)
        root = aside.change.root
        trusted = root.to_bytes() if root is not None and root.signed.version == 1 else self.trusted
        with self.place.publishing() as held:
            done = commit(aside.change, self.place, held, trusted, self.ring, now=self.now)
        aside.remove()
        return Outcome(aside.change.title, False, 0, 0, (), None, done)

    def found(self, change: Change) -> Outcome:
        """Publish a first change. Raises DefinitionError where something is published already."""
        with self.place.publishing() as held:
            if self.place.size(metadata_place(TIMESTAMP_ROLE, 0)) is not None:
                raise DefinitionError(
                    "releases are published here already",
                    where=self.place.shown,
                    resolution="see them with 'zaffre release list', or choose another place",
                )
            change.signed_by(self.ring, None)
            aside = set_aside(change, None, self.pending)
            missing = change.missing(None)
            outcome = Outcome(change.title, False, 0, 0, missing, self.pending if missing else None, None)
            if missing:
                return outcome
            root = change.roles[ROOT_ROLE].to_bytes()
            done = commit(change, self.place, held, root, self.ring, now=self.now)
        aside.remove()
        return replace(outcome, done=done)

    def renew(self, role: str | None) -> Outcome:
        """Sign timestamp and snapshot anew, and with `role` that role too, expired or not."""

        def make(state: State) -> Change:
            if role is None or role in (SNAPSHOT_ROLE, TIMESTAMP_ROLE):
                return Change("snapshot and timestamp signed anew", {})
            return renew(state, role, now=self.now)

        return self.carry_out(make)

    def state(self) -> State:
        """What is published. Raises IntegrityError as `load_state` does; it may be a change of ours that stopped."""
        try:
            return load_state(self.place, self.trusted)
        except IntegrityError as error:
            if (self.pending / PENDING_NAME).is_file():
                error.resolution = f"a change that stopped half-way waits in {self.pending}: go on with it, by "
                error.resolution += f"'zaffre release submit {self.place.shown}'"
            raise

    def _made(self, make: Callable[[State], Change]) -> tuple[Change, State]:
        state = self.state()
        if state.timestamp.signed.version < self.seen:
            raise IntegrityError(
                f"the place shows state {state.timestamp.signed.version}, and {self.seen} was published from here",
                where=self.place.shown,
                details="what is older may lack releases and revocations; to publish upon it would make that final",
                resolution="restore the place from a copy that has the newest state",
            )
        change = make(state)
        if ROOT_ROLE not in change.roles and TARGETS_ROLE not in change.roles:
            state.require_current(self.now)
        change.signed_by(self.ring, state)
        return change, state
