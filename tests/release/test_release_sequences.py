# SPDX-License-Identifier: Apache-2.0
"""Any sequence of what an owner does, with a publisher that dies now and then: every state that can be seen is whole,
nodes agree with it, and nobody is led into a corner by a floor.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.mortal import DiesError, Mortal
from support.releases import CHANNELS, Yard
from zaffre.errors import FindingError
from zaffre.offer import stranded
from zaffre.place.folder import Folder
from zaffre.release.collect import Rule, collect
from zaffre.trust import Keys

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 12)),
        st.tuples(st.just("promote"), st.just(0)),
        st.tuples(st.just("floor"), st.integers(1, 3)),
        st.tuples(st.just("revoke"), st.integers(1, 3)),
        st.tuples(st.just("collect"), st.integers(1, 2)),
        st.tuples(st.just("rotate"), st.sampled_from([0, 1, 2, 3])),
    ),
    min_size=3,
    max_size=9,
)
ROLES = ("timestamp", "snapshot", "dev", "targets")


@dataclass
class Owner:
    """Does one thing after another; what is refused is left."""

    yard: Yard
    version: int = 0
    revoked: bool = False
    keys: dict[str, str] = field(default_factory=lambda: {role: role for role in ROLES})

    def publish(self, number: int) -> None:
        """Dies at the write of that number; then again, to the end."""
        self.version += 1
        version = str(self.version)
        try:
            self.yard.publish(version, place=Mortal(Folder(self.yard.repo), number))
        except DiesError:
            assert self.yard.verify().ok
            self.yard.publish(version)

    def promote(self, _: int) -> None:
        good = [one.version for one in self.yard.records().values() if one.revoked is None]
        if good:
            self.yard.promote(max(good, key=int))

    def floor(self, below: int) -> None:
        self.version += 1
        self.yard.publish(str(self.version), floor=str(max(1, self.version - below)))

    def revoke(self, back: int) -> None:
        known = sorted(self.yard.records(), key=int)
        if len(known) >= back:
            self.yard.revoke(known[-back])
            self.revoked = True

    def collect(self, keep: int) -> None:
        collect(self.yard.desk(), Rule(keep=keep), dry_run=False)

    def rotate(self, index: int) -> None:
        role = ROLES[index]
        fresh = f"{role}-{self.version}-{len(self.keys[role])}"
        self.yard.rotate(role, [self.keys[role]], [fresh])
        self.keys[role] = fresh


def refused(actor: Owner, name: str, number: int) -> str | None:
    try:
        getattr(actor, name)(number)
    except FindingError as error:
        return error.brief
    return None


@given(STEPS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_state_is_whole_and_leads_on(yard: Yard, owner: Keys, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory(dir=yard.root) as folder:
        root = Path(folder)
        signers = shutil.copytree(yard.signers[0], root / "signers")
        shutil.copytree(yard.repo, root / "repo")
        mine = Yard(root, owner, signers=[signers], trusted=yard.trusted, first=yard.first, clock=yard.clock)
        actor = Owner(mine)
        seen = dict.fromkeys(CHANNELS, 0)
        for name, number in steps:
            refusal = refused(actor, name, number)
            assert refusal is None or any(words in refusal for words in ("not newer", "floor", "no way", "revoked"))
            assert mine.verify(memory=root / "memory").ok
            for channel in CHANNELS:
                records = mine.records(channel)
                assert mine.sees(f"node-{channel}", channel) == sorted(records)
                newest = max((int(version) for version in records), default=0)
                assert newest >= seen[channel]
                seen[channel] = newest
                if not actor.revoked:
                    assert stranded(list(records.values()), records) == ()
