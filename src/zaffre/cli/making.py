# SPDX-License-Identifier: Apache-2.0
"""How the rooms are joined for a command: mirrors, the tools tree, and a builder with all that it is given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from zaffre.cli.context import Workspace
from zaffre.errors import FindingError

if TYPE_CHECKING:
    from pathlib import Path

    from zaffre.component.engine import Built, ComponentEngine
    from zaffre.component.graph import Identity
    from zaffre.image import Build, Builder, Order, SigningKeys
    from zaffre.repository.build import Workshop
    from zaffre.sandbox import Sandbox
    from zaffre.trust import Keys
    from zaffre.upstream import Lock, LockedComponent, LockedFile, LockedPackage, LockedSet, Users
    from zaffre.upstream.mirrors import Mirrors
    from zaffre.upstream.toolsets import ToolSets
    from zaffre.upstream.world import World

# The same tools are the same tree whenever they are locked: no file of an image takes its date from them.
_TOOLS_EPOCH = 0


class Making:
    """What it takes to make something of the workspace's distribution; each part is had when first asked for.

    With a `lock`, that one is worked from instead of the distribution's.
    """

    def __init__(self, work: Workspace, lock: Lock | None = None) -> None:
        self.work = work
        self._given = lock
        self._sandboxes: dict[str, Sandbox] = {}
        work.make_room()

    @cached_property
    def mirrors(self) -> Mirrors:
        from platformdirs import user_config_path

        from zaffre.upstream.mirrors import find_mirrors
        from zaffre.upstream.requests import archives_of, published_of

        return find_mirrors(
            archives_of(self.work.distribution),
            explicit=self.work.mirrors,
            environ=os.environ,
            config_home=user_config_path(),
            published=published_of(self.work.distribution),
            own=self.work.distribution.repository.url if self.work.distribution.repository else None,
        )

    @cached_property
    def lock(self) -> Lock:
        """The lock. Raises FindingError when there is none, or when it does not answer the definition."""
        from zaffre.upstream import load_lock
        from zaffre.upstream.requests import check_lock

        distribution = self.work.distribution
        lock = self._given or load_lock(distribution.lock_file)
        stale = check_lock(distribution, lock, tools_architecture=self.tools_architecture)
        if lock is None or stale:
            raise FindingError(
                "there is no lock yet" if lock is None else "the lock does not answer the definition",
                where=str(distribution.lock_file),
                details="\n".join(str(one) for one in stale) or None,
                resolution="run `zaffre lock`",
            )
        return lock

    @cached_property
    def world(self) -> World:
        """What locking reaches outside for."""
        from zaffre.repository.control import control_of
        from zaffre.upstream.world import World

        store = self.work.store
        return World(
            mirrors=self.mirrors,
            store=store,
            tools=self.tools_for,
            cross_tools=self.cross_tools_for,
            learn_users=self.learn_users,
            engine=self.engine,
            control=lambda package: control_of(package, store),
            progress=self.work.progress,
        )

    @property
    def tools_architecture(self) -> str:
        from zaffre.upstream.requests import host_architecture

        return str(host_architecture())

    @property
    def tools_set(self) -> LockedSet:
        """The locked tools of this machine, without what is added to them for another architecture."""
        from zaffre.definition import TOOLS

        return self.lock.set(TOOLS, self.tools_architecture)

    def tool_sets(self, architecture: str) -> ToolSets:
        """The locked tools with which images for `architecture` are made here."""
        from zaffre.upstream.toolsets import tool_sets

        return tool_sets(self.work.distribution, self.lock, architecture=architecture, machine=self.tools_architecture)

    def fetch(self, packages: Iterable[LockedPackage]) -> None:
        """Bring locked packages into the store; reaches the network only for what is not there.

        What was built here and is not there comes from our own repository, or is built again, from the lock, and must
        come out as it is locked.
        """
        from zaffre.upstream import COMPONENTS
        from zaffre.upstream.acceptance import Acceptance
        from zaffre.upstream.missing import missing

        store, created = self.work.store, self.lock.created
        acceptance = Acceptance(self.work.distribution.upstreams.values(), store, now=created)
        wanted = missing(packages, store, acceptance)
        if ours := [one for one in wanted if one.archive == COMPONENTS]:
            from zaffre.component.engine import locked_packages

            for component in locked_packages(self.lock, self.fetch_own(ours)).values():
                self.component(component)
        if theirs := [one for one in wanted if one.archive != COMPONENTS]:
            from zaffre.upstream.fetch import fetch

            fetch(theirs, self.mirrors.at(created), store, self.work.progress, acceptance=acceptance)

    def fetch_own(self, ours: Iterable[LockedPackage]) -> tuple[LockedPackage, ...]:
        """Bring what was built here into the store from our own repository; gives back what that has not."""
        from zaffre.upstream.fetch import fetch_own
        from zaffre.upstream.missing import missing

        wanted = tuple(ours)
        fetch_own(wanted, self.mirrors, self.work.store, self.work.progress)
        return missing(wanted, self.work.store)

    @cached_property
    def engine(self) -> ComponentEngine:
        from zaffre.component.engine import ComponentEngine

        return ComponentEngine(self.work.distribution, self.work.store, self.mirrors, self.work.progress)

    def fetch_component(self, locked: LockedComponent) -> None:
        """Bring into the store all that a component is made of and with, without building it."""
        from zaffre.component.engine import maker_of
        from zaffre.upstream import COMPONENTS

        installed = self.lock.find(locked.build_set, locked.architecture)
        if installed is not None:
            self.fetch([one for one in installed.packages if one.archive != COMPONENTS])
        bench = self.engine.bench(locked, self.sandbox, created=self.lock.created)
        maker_of(bench.component).fetch(bench, locked.source)

    def component(self, locked: LockedComponent, *, use_cache: bool = True) -> Built:
        """Build a locked component, after the components that it is built with."""
        installed = self.lock.find(locked.build_set, locked.architecture)
        if installed is not None:
            self.fetch(installed.packages)
        return self.engine.built(locked, installed, self.sandbox, created=self.lock.created, use_cache=use_cache)

    def components(
        self, wanted: Sequence[LockedComponent], *, scheduler: str | None, use_cache: bool
    ) -> Mapping[Identity, Built]:
        """Build several locked components and all that they are built with, many at once."""
        from zaffre.component.farm import Farm, build_all

        farm = Farm(
            distribution=self.work.distribution.root.resolve(),
            store=self.work.store.root,
            tools=self.sandbox.tools,
            mirrors=self.mirrors,
            created=self.lock.created,
            use_cache=use_cache,
        )
        return build_all(farm, self.lock, wanted, scheduler=scheduler, progress=self.work.progress)

    @property
    def sandbox(self) -> Sandbox:
        """A sandbox with the locked tools, which stay in use until the command ends."""
        return self.sandbox_for(self.tools_architecture)

    def sandbox_for(self, architecture: str) -> Sandbox:
        """The same with what it takes to make and run images for that architecture."""
        if architecture not in self._sandboxes:
            sets = self.tool_sets(architecture)
            self.fetch(sets.packages)
            self._sandboxes[architecture] = self.work.cleanup.enter_context(self.cross_tools_for(sets))
        return self._sandboxes[architecture]

    @contextmanager
    def tools_for(self, locked: LockedSet) -> Iterator[Sandbox]:
        """A sandbox with the tools tree of a locked set, whose packages are in the store."""
        from zaffre.upstream.toolsets import own_tools

        with self.cross_tools_for(own_tools(self.work.distribution, locked)) as sandbox:
            yield sandbox

    @contextmanager
    def cross_tools_for(self, sets: ToolSets) -> Iterator[Sandbox]:
        """The same of several sets."""
        from zaffre.sandbox import Sandbox
        from zaffre.tree.tools import tools_tree

        with tools_tree(
            sets.programs,
            architecture=sets.machine,
            epoch=_TOOLS_EPOCH,
            store=self.work.store,
            sandbox=Sandbox(None),
            progress=self.work.progress,
            unpacked=sets.unpacked,
            emulates=sets.emulates,
        ) as tools:
            yield Sandbox(tools)

    def learn_users(self, locked: LockedSet, sandbox: Sandbox, epoch: int) -> Users:
        """The ids that the scripts of a locked image give: its root is configured once to see them."""
        from zaffre.definition import located
        from zaffre.tree.configure import configured_root
        from zaffre.tree.policy import setuid_policy
        from zaffre.upstream import Users

        image = self.work.distribution.image(locked.name)
        with located(self.work.distribution, image.name):
            performed = configured_root(
                locked.packages,
                upstream=self.work.distribution.upstreams[locked.upstream],
                provides=image.provides,
                users=locked.users,
                setuid=setuid_policy(image),
                epoch=epoch,
                architecture=locked.architecture,
                label=f"configure {image.name}",
                store=self.work.store,
                sandbox=sandbox,
                progress=self.work.progress,
            )
        return Users.model_validate(performed.result.facts["users"])

    @cached_property
    def signing_keys(self) -> SigningKeys:
        return signing_keys(self.work.keys)

    @cached_property
    def builder(self) -> Builder:
        from zaffre.image import Builder
        from zaffre.surface.budget import require_within_budget
        from zaffre.tree.tools import tools_key

        def key(architecture: str) -> str:
            sets = self.tool_sets(architecture)
            return tools_key(sets.programs, architecture=sets.machine, epoch=_TOOLS_EPOCH, unpacked=sets.unpacked)

        return Builder(
            distribution=self.work.distribution,
            lock=self.lock,
            store=self.work.store,
            keys=self.signing_keys,
            signer=self.work.keys.release_signer(),
            papers=self.work.keys.papers(),
            progress=self.work.progress,
            tools_key=key,
            sandbox=self.sandbox_for,
            fetch=self.fetch,
            archive_keyring=lambda: self.work.archive_certificate.keyring,
            accept=require_within_budget,
        )

    @cached_property
    def repository(self) -> Workshop:
        """Who makes snapshots of the lock for the distribution's own repository."""
        from zaffre.repository.build import Workshop

        return Workshop(
            distribution=self.work.distribution,
            lock=self.lock,
            store=self.work.store,
            sandbox=self.sandbox,
            fetch=self.fetch,
            fetch_files=self.fetch_files,
            progress=self.work.progress,
        )

    def fetch_files(self, files: Sequence[LockedFile]) -> None:
        """Bring locked files of source packages into the store."""
        from zaffre.component.obtaining import fetch_files

        fetch_files(
            files,
            title="source packages",
            mirrors=self.mirrors.at(self.lock.created),
            store=self.work.store,
            progress=self.work.progress,
        )

    def own_packages(self, images: Sequence[str], *, revision: int) -> tuple[Path, ...]:
        """The packages that are made with those among these images, or among all that the lock has, which have any."""
        names = images or [one.name for one in self.work.distribution.images.values()]
        changing = [image for image in map(self.work.distribution.image, names) if image.kind.has_own_packages]
        return tuple(
            path
            for image in changing
            for locked in self.lock.sets
            if locked.name == image.name
            for path in self.builder.own_packages(image, locked.architecture, revision=revision)
        )

    def build(self, image: str, *, architecture: str | None, profile: str, out: Path, use_cache: bool = True) -> Build:
        from zaffre.component.drift import unapplied
        from zaffre.image import Order

        chosen = self.work.distribution.image(image)
        machine = str(self.work.distribution.architecture_for(chosen, architecture))
        for one in unapplied(self.work.distribution, self.lock, self.lock.set(chosen.name, machine)):
            self.work.progress.note(f"{one.name}: {one.note}")
        order: Order = Order(
            image=image,
            architecture=machine,
            profile=profile,
            out=out,
            use_cache=use_cache,
        )
        return self.builder.build(order)


def signing_keys(keys: Keys) -> SigningKeys:
    """The files that the field's own tools sign with."""
    from zaffre.image import PcrKey, SigningKeys
    from zaffre.trust import Role

    return SigningKeys(
        db_key=keys.private_path(Role.DB),
        db_certificate=keys.public_path(Role.DB),
        verity_key=keys.private_path(Role.VERITY),
        verity_certificate=keys.public_path(Role.VERITY),
        pcr=PcrKey(keys.private_path(Role.PCR), keys.public_path(Role.PCR)) if keys.has(Role.PCR) else None,
    )
