# SPDX-License-Identifier: Apache-2.0
"""A rehearsal: do the keys open, and could every role get other keys if some were lost?

The keys at hand sign a sentence that is no metadata, so nothing is made that anybody could use. Whether it would do
is then tried with a shadow: a repository in a scratch folder of the same shape, whose throw-away keys stand for those
that have signed, with a node that follows from the first root on.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key
from tuf.api.exceptions import DownloadError, RepositoryError

from zaffre.errors import ZaffreError
from zaffre.follow.client import Follower
from zaffre.follow.layout import TOP_ROLES
from zaffre.place.folder import Folder
from zaffre.release.desk import Desk
from zaffre.release.keys import NAME_FIELD, Ring, key_name, make_folder, make_key
from zaffre.release.metadata import DEFAULT_DAYS, Trustees, role_of
from zaffre.release.rotate import Turn, found, rotate
from zaffre.release.state import State
from zaffre.release.verify import words

_SENTENCE = b"zaffre: a rehearsal, and no release"


@dataclass(frozen=True)
class Act:
    """One thing that was tried. `ok` is None for what is only told."""

    name: str
    ok: bool | None
    detail: str


def rehearse(state: State, ring: Ring, lost: Collection[str], *, now: datetime) -> tuple[Act, ...]:
    """Try each key of the published roles, then a rotation of each role without the keys that are `lost` (names).

    Nothing is published, and nothing that is published is signed.
    """
    roles = {role: _trustees(state, role) for role in (*TOP_ROLES, *state.channels)}
    acts = [_tried(key, ring, lost) for key in {k.keyid: k for one in roles.values() for k in one.keys}.values()]
    useful = {act.name for act in acts if act.ok}
    with tempfile.TemporaryDirectory(prefix="zaffre-rehearsal-") as scratch:
        shadow = _Shadow(Path(scratch), roles, useful, now)
        if lacking := shadow.lacking:
            acts.append(shadow.rotated("all that is lost or elsewhere, at once", lacking))
        acts += [shadow.rotated(f"'{role}'", [role]) for role in roles]
        acts.append(shadow.followed("a node that was off meanwhile", "sleeper"))
    return tuple(acts)


def _trustees(state: State, role: str) -> Trustees:
    holder = state.root.signed if role in TOP_ROLES else state.targets.signed
    found_role = role_of(holder, role)
    return Trustees(tuple(holder.get_key(keyid) for keyid in found_role.keyids), found_role.threshold)


def _tried(key: Key, ring: Ring, lost: Collection[str]) -> Act:
    name = key_name(key)
    if key.unrecognized_fields.get(NAME_FIELD) in lost:
        return Act(name, None, "counts as lost")
    if not ring.has(key.keyid):
        return Act(name, None, "not at hand")
    try:
        key.verify_signature(ring.signer(key.keyid).sign(_SENTENCE), _SENTENCE)
    except ZaffreError as error:
        return Act(name, ok=False, detail=error.brief)
    except UnverifiedSignatureError:
        return Act(name, ok=False, detail="what it signs does not hold by its public half")
    return Act(name, ok=True, detail="opens, and signs")


class _Shadow:
    """The repository's shape with other keys: each real key has its stand-in, by name; those that are of no use are
    known by their public halves alone.
    """

    def __init__(self, scratch: Path, roles: Mapping[str, Trustees], useful: Collection[str], now: datetime) -> None:
        self._scratch = scratch
        self._now = now
        self._secret = secrets.token_hex(16)
        self._folder = scratch / "keys"
        make_folder(self._folder)
        stand_ins = {
            key.keyid: make_key(self._folder, f"key-{number}", self._secret)
            for number, key in enumerate({k.keyid: k for one in roles.values() for k in one.keys}.values())
        }
        self._useless = {
            role: [stand_ins[key.keyid].name for key in one.keys if key_name(key) not in useful]
            for role, one in roles.items()
        }
        trustees = {
            role: Trustees(tuple(stand_ins[key.keyid].key for key in one.keys), one.threshold)
            for role, one in roles.items()
        }
        self._names = {role: [stand_ins[key.keyid].name for key in one.keys] for role, one in roles.items()}
        channels = [role for role in roles if role not in TOP_ROLES]
        place = Folder(scratch / "place")
        desk = Desk(place, b"", self._ring(), scratch / "pending", now)
        done = desk.found(found(trustees, channels, DEFAULT_DAYS, now=now)).done
        if done is None:
            raise AssertionError("all keys of a shadow are at hand")
        self._place, self._first, self._root = place, done.root, done.root
        self._made = 0
        self.followed("", "sleeper")
        for names in self._useless.values():
            for name in names:
                (self._folder / f"{name}.key").unlink(missing_ok=True)

    @property
    def lacking(self) -> list[str]:
        """Roles that have a key of no use."""
        return [role for role, names in self._useless.items() if names]

    def rotated(self, what: str, roles: Sequence[str]) -> Act:
        """Other keys for roles: in the place of those that are of no use, or of one if all are good."""
        title = f"other keys for {what}"
        turns = {}
        for role in roles:
            gone = self._useless[role] or self._names[role][:1]
            self._made += 1
            names = [f"{role}-new-{self._made}-{number}" for number, _ in enumerate(gone)]
            turns[role] = Turn(gone, [make_key(self._folder, name, self._secret).key for name in names])
        pending = self._scratch / f"pending-{self._made}"
        desk = Desk(self._place, self._root, self._ring(), pending, self._now)
        make = partial(rotate, turns=turns, now=self._now)
        try:
            outcome = desk.carry_out(make)
        except ZaffreError as error:
            return Act(title, ok=False, detail=f"{error.brief}" + (f": {error.details}" if error.details else ""))
        if outcome.done is None:
            lacks = "; ".join(f"{one.role} needs {one.count} signatures more" for one in outcome.missing)
            return Act(title, ok=False, detail=f"not with the keys at hand: {lacks}")
        self._root = outcome.done.root
        for role, turn in turns.items():
            left = [name for name in self._names[role] if name not in turn.remove]
            self._names[role] = [*left, *(str(key.unrecognized_fields[NAME_FIELD]) for key in turn.add)]
            self._useless[role] = []
        return self.followed(title, str(self._made))

    def followed(self, title: str, name: str) -> Act:
        """Whether a node follows from the first root to every channel."""
        node = Follower(self._place, self._scratch / f"node-{name}", self._first)
        try:
            node.refresh()
            for role in self._names:
                if role not in TOP_ROLES:
                    node.channel(role)
        except (RepositoryError, DownloadError) as error:
            return Act(title, ok=False, detail=f"nodes would not follow: {words(error)}")
        return Act(title, ok=True, detail=f"nodes follow, by root {node.root.version}")

    def _ring(self) -> Ring:
        return Ring([self._folder], lambda _: self._secret)
