# SPDX-License-Identifier: Apache-2.0
"""A plan from two locks: the packages of both are looked into, and apt proves the way."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zaffre.definition import DebUpstream, Distribution, Image
from zaffre.errors import DefinitionError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.tree import STRIP_ALL, configured_root, extract_root, scratch_for
from zaffre.tree.deb.dpkgdb import PROVIDES, provided_stanza
from zaffre.tree.deb.model import Member
from zaffre.tree.deb.unpack import Unpacked, unpack_all
from zaffre.tree.overlay import lay_tree
from zaffre.tree.rootfs import walk
from zaffre.upgrade.conffiles import Laid, conffile_changes, own_questions
from zaffre.upgrade.model import MoveKind, Plan, Proof
from zaffre.upgrade.moves import comparable, is_essential, moves_between, room_needed
from zaffre.upgrade.own import Side, StandIn, stand_ins
from zaffre.upgrade.prove import Goal, prove
from zaffre.upgrade.scratch import Offered, ScratchRoot, prepare
from zaffre.upgrade.services import reboot_reasons, services
from zaffre.upstream import Lock, LockedPackage, LockedSet


@dataclass(frozen=True)
class Order:
    """What is asked: from which lock to which, for an image on an architecture; and whether apt is to prove it."""

    old: Lock
    new: Lock
    image: str
    architecture: str
    prove: bool = True


@dataclass(frozen=True)
class Planner:
    """Plans upgrades of one distribution. `fetch` brings packages of a lock into the store; `sandbox` is called only
    for a proof, and needs apt and dpkg."""

    distribution: Distribution
    store: Store
    progress: Progress
    fetch: Callable[[Lock, Iterable[LockedPackage]], None]
    sandbox: Callable[[], Sandbox]

    def plan(self, order: Order) -> Plan:
        """Raises DefinitionError for locks between which there is no upgrade and for what is not made of Debian
        packages, FindingError for a lock without the image, and what `fetch` and `configured_root` raise."""
        image = self.distribution.image(order.image)
        old, new = comparable(order.old, order.new, image.name, order.architecture)
        self._require_debian(image, order.old, old)
        before, after = self._unpacked(order.old, old), self._unpacked(order.new, new)
        mine = {one.index.name: one.index for one in before}
        yours = {one.index.name: one.index for one in after}
        moves = moves_between(old, new, mine, yours)
        side = Side(order.old, old, mine)
        ours = stand_ins(self.distribution, image, side, Side(order.new, new, yours))
        data = {one.index.name: one for one in after}

        def read_unit(name: str, member: Member) -> str:
            with data[name].data.open("rb") as file:
                file.seek(member.offset)
                return file.read(member.size).decode(errors="replace")

        goal = Goal(
            {
                **{one.name: one.version for one in new.packages},
                **{one.package.name: one.package.version for one in ours},
            },
            kept={one.name for one in moves if one.kind is MoveKind.KEPT},
            essential={name for name, index in mine.items() if is_essential(index)},
        )
        return Plan(
            distribution=order.new.distribution,
            image=image.name,
            architecture=order.architecture,
            old=order.old.version,
            new=order.new.version,
            moves=tuple(sorted((*moves, *(one.move for one in ours if one.move)), key=lambda move: move.name)),
            room=room_needed(moves, new, mine, yours),
            conffiles=conffile_changes(mine, yours, self._laid(image)),
            questions=tuple(own_questions(moves, mine, yours)),
            services=tuple(services(moves, yours, masked=image.units.mask, read_unit=read_unit)),
            reboot=tuple(reboot_reasons(moves, yours)),
            proof=self._proof(image, side, after, ours, goal) if order.prove else None,
        )

    def _require_debian(self, image: Image, lock: Lock, locked: LockedSet) -> None:
        if lock.distribution != self.distribution.identity.id:
            raise DefinitionError(
                f"the locks are of the distribution '{lock.distribution}', this is '{self.distribution.identity.id}'",
                where=str(self.distribution.root),
                resolution="name their distribution with --distro DIR",
            )
        upstream = self.distribution.upstreams.get(locked.upstream)
        if not isinstance(upstream, DebUpstream):
            raise DefinitionError(
                f"'{image.name}' is not made of Debian packages, and no others are upgraded in place"
                if upstream
                else f"the distribution has no upstream '{locked.upstream}', which the locks are made from",
                where=f"images/{image.name}.toml",
                resolution="build the image from the new lock, and install that",
            )

    def _unpacked(self, lock: Lock, locked: LockedSet) -> tuple[Unpacked, ...]:
        self.fetch(lock, locked.packages)
        return unpack_all(locked.packages, store=self.store, progress=self.progress)

    def _laid(self, image: Image) -> dict[str, Laid]:
        """What the image's own trees put where, by absolute path."""
        return {
            f"/{path}": Laid(tree, hashlib.md5((source / path).read_bytes(), usedforsecurity=False).hexdigest())
            for tree in image.files.trees
            for source in (self.distribution.path(tree),)
            for path, status in walk(source)
            if stat.S_ISREG(status.st_mode)
        }

    def _proof(
        self,
        image: Image,
        old: Side,
        after: Sequence[Unpacked],
        ours: Sequence[StandIn],
        goal: Goal,
    ) -> Proof:
        sandbox = self.sandbox()
        performed = configured_root(
            old.locked.packages,
            upstream=self.distribution.upstreams[old.locked.upstream],
            provides=image.provides,
            users=old.locked.users,
            # Which rights files have changes nothing here, and the old set may have some that the new definition
            # does not know.
            setuid=STRIP_ALL,
            epoch=old.lock.epoch,
            architecture=old.locked.architecture,
            label=f"configure {image.name}",
            store=self.store,
            sandbox=sandbox,
            progress=self.progress,
        )
        archive = self.store.verified(performed.result.outputs["root"])
        growth = sum(one.data.stat().st_size for one in after)
        with (
            self.store.scratch("repository") as repository,
            scratch_for(self.store, "upgrade", expected=archive.stat().st_size + growth) as folder,
            self.progress.step(f"upgrade {image.name} in a scratch root") as remark,
        ):
            scratch = ScratchRoot(folder / "root", folder / "apt", repository, sandbox)
            extract_root(archive, scratch.root)
            for tree in image.files.trees:
                lay_tree(scratch.root, self.distribution.path(tree))
            made = [one.offered(folder / "own", epoch=old.lock.epoch, sandbox=sandbox) for one in ours]
            prepare(
                scratch,
                installed=_installed(image, ours),
                offered=[*(self._offered(one) for one in after), *made],
                architecture=old.locked.architecture,
                wanted=[ours[-1].package.name] if ours else [],
            )
            proof = prove(scratch, goal, note=remark)
            remark("proved" if proof.proved else "can not be done")
        return proof

    def _offered(self, one: Unpacked) -> Offered:
        return Offered(self.store.verified(one.package.digest), one.index.control, one.package.digest)


def _installed(image: Image, ours: Sequence[StandIn]) -> Mapping[str, str]:
    """What is there besides the old lock's packages, in dpkg's words: of a server the packages of ours, else what
    stands for all that the image supplies by itself."""
    if ours:
        return {one.package.name: one.installed for one in ours}
    return {PROVIDES: provided_stanza(sorted(image.provides))} if image.provides else {}
