# SPDX-License-Identifier: Apache-2.0
"""From a definition and its lock to a directory of signed artifacts, doing no step that was done before."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.bill import Bill
from zaffre.definition import Distribution, Image, Kind, SelinuxMode, Upstream, digest, located
from zaffre.digest import JSON, Sha256, sha256_bytes, sha256_file, sha256_json, source_digest
from zaffre.errors import DefinitionError
from zaffre.image.bill import Papers, Subject, bill_of, carried, system_of, with_result
from zaffre.image.container import ContainerParts, build_container, place_container, require_container
from zaffre.image.extension import PLAIN, HostTraits, build_extension, place_extension
from zaffre.image.forms.build import add_forms, write_sums
from zaffre.image.fresh import fresh_directory, remove_leftovers
from zaffre.image.host import build_host, host_tree, place_host
from zaffre.image.ipe import has_policy
from zaffre.image.output import (
    ManifestSigner,
    describe_artifact,
    describe_artifacts,
    read_build,
    write_manifest,
)
from zaffre.image.policy import Labels, policy_of
from zaffre.image.python import agent_digest
from zaffre.image.server import build_own, build_server, place_server, server_tree
from zaffre.image.serverstate import repository_files
from zaffre.image.steps import StepLog, Workshop, code_digest
from zaffre.image.system import SystemPlan
from zaffre.image.uki import SigningKeys
from zaffre.image.wsl.build import build_wsl, place_wsl, wsl_packages
from zaffre.manifest import SUMS_NAME, Artifact, Manifest, PackageFact, Report
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Stopwatch, Store, explain_difference
from zaffre.tree import memory
from zaffre.tree.configure import configured_root, handles_single_packages
from zaffre.tree.policy import setuid_policy
from zaffre.upstream import Lock, LockedPackage, LockedSet
from zaffre.upstream.requests import host_architecture

PROFILES = ("dev", "release")


@dataclass(frozen=True)
class Order:
    """What is asked for. `out` is the directory that gets the build's own directory."""

    image: str
    architecture: str
    profile: str
    out: Path
    use_cache: bool = True


@dataclass(frozen=True)
class Build:
    """A finished build. `fresh` is false when everything was there already; `why` says what changed since the last."""

    folder: Path
    manifest: Manifest
    fresh: bool
    why: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    image: Image
    locked: LockedSet
    order: Order
    folder: Path
    key: Sha256


@dataclass(frozen=True)
class Builder:
    """Builds images of one distribution from one lock.

    `tools_key` names the tools tree for an architecture without making it; `sandbox` makes it, and is called only when
    a step has to run. `fetch` brings locked packages into the store; `archive_keyring` gives the public key of the own
    repository. `accept` is shown the artifacts of an image that has a root, before the build is finished, and raises
    for one that is not to be had.
    """

    distribution: Distribution
    lock: Lock
    store: Store
    keys: SigningKeys
    signer: ManifestSigner
    papers: Papers
    progress: Progress
    tools_key: Callable[[str], str]
    sandbox: Callable[[str], Sandbox]
    fetch: Callable[[Iterable[LockedPackage]], None]
    archive_keyring: Callable[[], bytes]
    accept: Callable[[Image, Path], None]

    def build(self, order: Order) -> Build:
        """Build an image, or find that it is built.

        Raises DefinitionError for what the definition asks in vain, FindingError for what is not accepted,
        IntegrityError for a package that doesn't hold, ToolError, DiskFullError; the output directory then is as it
        was before.
        """
        watch = Stopwatch()
        image = self.distribution.image(order.image)
        locked = self.lock.set(image.name, order.architecture)
        if runs_scripts(image):
            require_scripts_run(self.distribution.upstream_of(image), order.architecture)
        inputs = self._inputs(image, locked, order)
        folder = order.out / f"{image.name}-{self.version}-{order.architecture}"
        job = _Job(image, locked, order, folder, sha256_json(inputs))
        label = f"build {image.name} {order.architecture} {order.profile}"
        why = tuple(explain_difference(self.store.recall(label), inputs))
        if order.use_cache and (built := read_build(folder, self.signer)) is not None and built.build.key == job.key:
            return Build(folder, built, fresh=False, why=())
        remove_leftovers(order.out)
        memory.remove_leftovers()
        shop = self._shop(order)
        with located(self.distribution, image.name):
            makers = {
                Kind.HOST: self._host,
                Kind.SERVER: self._server,
                Kind.SYSEXT: self._extension,
                Kind.CONFEXT: self._extension,
                Kind.CONTAINER: self._container,
                Kind.WSL: self._wsl,
            }
            manifest = makers[image.kind](job, shop, watch)
        self.store.remember(label, inputs)
        return Build(folder, manifest, fresh=True, why=why)

    @property
    def version(self) -> str:
        """`<distribution>.<date of the lock>.<n>`."""
        return f"{self.distribution.identity.version}.{self.lock.version}"

    def _shop(self, order: Order) -> Workshop:
        return Workshop(
            store=self.store,
            sandbox=self.sandbox(order.architecture),
            keys=self.keys,
            progress=self.progress,
            log=StepLog(),
            architecture=order.architecture,
            epoch=self.lock.epoch,
            use_cache=order.use_cache,
        )

    def tree(self, order: Order) -> Sha256:
        """The blob of an image's root as an archive of its files, accepted or not. Raises what `build` does, and
        DefinitionError for an image that has no root.
        """
        image = self.distribution.image(order.image)
        if image.kind in {Kind.SYSEXT, Kind.CONFEXT}:
            raise DefinitionError(f"'{image.name}' is a {image.kind}, which has no root of its own", where=image.name)
        if runs_scripts(image):
            require_scripts_run(self.distribution.upstream_of(image), order.architecture)
        job = _Job(image, self.lock.set(image.name, order.architecture), order, Path(), Sha256(""))
        shop = self._shop(order)
        with located(self.distribution, image.name):
            plan = self._plan(job, shop)
            match image.kind:
                case Kind.HOST:
                    return host_tree(plan, build_host(plan, shop), shop)
                case Kind.SERVER:
                    parts = build_server(plan, job.locked.packages, self._keyring(image), shop)
                    return server_tree(plan, parts, shop)
                case Kind.CONTAINER:
                    return self._container_parts(plan, shop).layer.diff_id
                case _:
                    return build_wsl(plan, self._keyring(image), shop).tree

    def _plan(self, job: _Job, shop: Workshop) -> SystemPlan:
        if job.image.kind is Kind.CONTAINER:
            require_container(self.distribution.upstream_of(job.image), job.image)
        self.fetch(job.locked.packages)
        root = self._configured(job, shop)
        # Where a package manager goes on, what an image carries of its own bill would soon be untrue.
        sealed = job.image.kind is Kind.HOST or job.image.container.bare
        own = carried(self._bill(job, job.locked.packages), self.papers) if sealed else {}
        return SystemPlan(self.distribution, job.image, job.order.profile, self.version, root, own)

    def _host(self, job: _Job, shop: Workshop, watch: Stopwatch) -> Manifest:
        plan = self._plan(job, shop)
        parts = build_host(plan, shop)
        agent = self._agent(job, shop)
        with fresh_directory(job.folder) as partial:
            shop.timed(
                "disk", "partitions and boot loader", lambda: place_host(plan, parts, partial, shop, agent=agent)
            )
            add_forms(job.image.forms, partial, shop, tree=lambda: host_tree(plan, parts, shop))
            return self._finish(job, partial, shop, watch, root_hash=parts.root_hash)

    def _server(self, job: _Job, shop: Workshop, watch: Stopwatch) -> Manifest:
        plan = self._plan(job, shop)
        parts = build_server(plan, job.locked.packages, self._keyring(job.image), shop)
        with fresh_directory(job.folder) as partial:
            shop.timed("disk", "partitions and boot loader", lambda: place_server(plan, parts, partial, shop))
            add_forms(job.image.forms, partial, shop, tree=lambda: server_tree(plan, parts, shop))
            return self._finish(job, partial, shop, watch, root_hash=None)

    def _wsl(self, job: _Job, shop: Workshop, watch: Stopwatch) -> Manifest:
        parts = build_wsl(self._plan(job, shop), self._keyring(job.image), shop)
        with fresh_directory(job.folder) as partial:
            shop.timed("output", "the file that WSL installs", lambda: place_wsl(parts, partial, shop))
            add_forms(job.image.forms, partial, shop, tree=lambda: parts.tree)
            return self._finish(job, partial, shop, watch, root_hash=None)

    def _container(self, job: _Job, shop: Workshop, watch: Stopwatch) -> Manifest:
        plan = self._plan(job, shop)
        parts = self._container_parts(plan, shop)
        with fresh_directory(job.folder) as partial:
            shop.timed("output", "the layout and its archive", lambda: place_container(plan, parts, partial, shop))
            return self._finish(job, partial, shop, watch, root_hash=None)

    def _container_parts(self, plan: SystemPlan, shop: Workshop) -> ContainerParts:
        generated = repository_files(self.distribution, plan.image, self._keyring(plan.image))
        return build_container(plan, generated, shop)

    def own_packages(self, image: Image, architecture: str, *, revision: int) -> tuple[Path, ...]:
        """The packages of ours that a server of the lock has, or a system for WSL: blobs of the store. Raises what
        `build` does.

        `revision` tells what is made from the same lock at different times apart.
        """
        locked = self.lock.set(image.name, architecture)
        order = Order(image.name, architecture, "release", Path())
        shop = self._shop(order)
        self.fetch(locked.packages)
        with located(self.distribution, image.name):
            root = self._configured(_Job(image, locked, order, Path(), Sha256("")), shop)
            version = self.version if revision == 1 else f"{self.version}.{revision}"
            plan = SystemPlan(self.distribution, image, order.profile, version, root)
            if image.kind is Kind.WSL:
                ours = wsl_packages(plan, self._keyring(image), shop)
            else:
                ours = build_own(plan, locked.packages, self._keyring(image), shop).packages
        return tuple(self.store.verified(digest) for digest in ours.values())

    def _repository(self, image: Image) -> JSON:
        if (keyring := self._keyring(image)) is None or image.channel is None:
            return None
        return [self.distribution.apt_sources(image.channel), sha256_bytes(keyring)]

    def _keyring(self, image: Image) -> bytes | None:
        return self.archive_keyring() if image.channel is not None else None

    def _agent(self, job: _Job, shop: Workshop) -> Sha256 | None:
        """The blob of the extension that a host which follows a channel brings along."""
        if job.image.update.place is None:
            return None
        image = self.distribution.image(job.image.update.agent)
        locked = self.lock.set(image.name, job.order.architecture)
        parts = self._extracted(image, locked)
        return build_extension(self.distribution, image, parts, shop, host=self._traits(image, shop))

    def _traits(self, image: Image, shop: Workshop) -> HostTraits:
        """What the host that an extension is laid over asks of it."""
        if image.base is None:
            return PLAIN
        base = self.distribution.image(image.base)
        return HostTraits(self._labels(base, shop), has_policy(base))

    def _labels(self, base: Image, shop: Workshop) -> Labels | None:
        if base.selinux.mode is SelinuxMode.OFF:
            return None
        policy = policy_of(self.distribution, base, shop)
        return policy.labels if policy is not None else None

    def _extracted(self, image: Image, locked: LockedSet) -> tuple[LockedPackage, ...]:
        """The packages of which an extension takes files, fetched. Raises DefinitionError if the lock lacks one."""
        wanted = {one.package for one in image.extract} | {one.package for one in image.oci}
        chosen = tuple(package for package in locked.packages if package.name in wanted)
        if missing := wanted - {package.name for package in chosen}:
            raise DefinitionError(
                f"the lock lacks {', '.join(sorted(missing))}",
                where=f"images/{image.name}.toml",
                resolution="run `zaffre lock`",
            )
        self.fetch(chosen)
        return chosen

    def _extension(self, job: _Job, shop: Workshop, watch: Stopwatch) -> Manifest:
        chosen = self._extracted(job.image, job.locked)
        host = self._traits(job.image, shop)
        blob = build_extension(self.distribution, job.image, chosen, shop, host=host)
        with fresh_directory(job.folder) as partial:
            shop.timed("output", "the signed extension", lambda: place_extension(blob, partial, shop))
            return self._finish(job, partial, shop, watch, root_hash=None, packages=chosen)

    def _bill(self, job: _Job, packages: Sequence[LockedPackage]) -> Bill:
        """What an image is made of, but for its files."""
        system = system_of(self.lock, job.image, job.order.architecture)
        self.fetch(system)
        subject = Subject(
            distribution=self.distribution,
            image=job.image,
            lock=self.lock,
            locked=job.locked,
            version=self.version,
            profile=job.order.profile,
            definition=digest(self.distribution, job.image),
            tools=self.tools_key(job.order.architecture),
        )
        return bill_of(subject, packages, system=system, store=self.store, progress=self.progress)

    def _configured(self, job: _Job, shop: Workshop) -> Sha256:
        locked = job.locked
        performed = configured_root(
            locked.packages,
            upstream=self.distribution.upstreams[locked.upstream],
            provides=job.image.provides,
            users=locked.users,
            setuid=setuid_policy(job.image),
            epoch=shop.epoch,
            architecture=locked.architecture,
            label=f"configure {job.image.name}",
            store=self.store,
            sandbox=shop.sandbox,
            progress=self.progress,
            use_cache=shop.use_cache,
            bare=job.image.container.bare,
        )
        with self.progress.step(f"{len(locked.packages)} packages") as remark:
            shop.record("packages", performed, remark, reason="the locked packages, put together and configured once")
        return performed.result.outputs["root"]

    def _finish(
        self,
        job: _Job,
        folder: Path,
        shop: Workshop,
        watch: Stopwatch,
        *,
        root_hash: str | None,
        packages: Sequence[LockedPackage] | None = None,
    ) -> Manifest:
        """`packages` are those that are in it, if those are not the whole set."""
        if job.image.kind not in {Kind.SYSEXT, Kind.CONFEXT}:
            self.accept(job.image, folder)
        artifacts: dict[str, Artifact] = {}

        def describe() -> int:
            artifacts.update(describe_artifacts(folder))
            bill = self._bill(job, job.locked.packages if packages is None else packages)
            for name in self.papers.write(folder, with_result(bill, folder, artifacts)):
                artifacts[name] = describe_artifact(folder / name)
            if job.image.forms:
                artifacts[SUMS_NAME] = write_sums(folder, artifacts)
            return sum(artifact.size for artifact in artifacts.values())

        shop.timed("manifest", "every artifact is in the signed manifest", describe)
        manifest = Manifest(
            image=job.image.name,
            kind=str(job.image.kind),
            version=self.version,
            architecture=job.order.architecture,
            profile=job.order.profile,
            debug=job.image.debug,
            definition=digest(self.distribution, job.image),
            lock=job.locked.digest,
            tools=self.tools_key(job.order.architecture),
            epoch=self.lock.epoch,
            root_hash=root_hash,
            artifacts=artifacts,
            packages=_facts(job.locked.packages),
            build=Report(
                key=job.key,
                steps=shop.log.steps,
                wall_seconds=round(watch.wall, 3),
                cpu_seconds=round(watch.cpu, 3),
                peak_memory_bytes=_peak_memory(),
            ),
        )
        write_manifest(folder, manifest, self.signer)
        return manifest

    def _inputs(self, image: Image, locked: LockedSet, order: Order) -> dict[str, JSON]:
        return {
            "definition": digest(self.distribution, image),
            "settings": image.model_dump(mode="json", exclude={"extends", "profiles"}),
            "packages": {package.name: f"{package.version} {package.sha256}" for package in locked.packages},
            "lock": locked.digest,
            "version": self.version,
            "tools": self.tools_key(order.architecture),
            "profile": order.profile,
            "architecture": order.architecture,
            "certificates": [sha256_file(self.keys.db_certificate), sha256_file(self.keys.verity_certificate)],
            "repository": self._repository(image),
            "code": code_digest(),
            "papers": self.papers.code,
            **({"measured": source_digest("measured")} if image.kind is Kind.HOST else {}),
            **self._agent_inputs(image, order),
            **self._base_inputs(image, order),
        }

    def _base_inputs(self, image: Image, order: Order) -> dict[str, JSON]:
        """What an extension takes from its host: labels, and whose signature its kernel takes."""
        base = self.distribution.image(image.base) if image.base is not None else None
        if base is None or (base.selinux.mode is SelinuxMode.OFF and not has_policy(base)):
            return {}
        return {"base": [digest(self.distribution, base), self.lock.set(base.name, order.architecture).digest]}

    def _agent_inputs(self, image: Image, order: Order) -> dict[str, JSON]:
        if image.update.place is None:
            return {}
        agent = self.distribution.image(image.update.agent)
        locked = self.lock.set(agent.name, order.architecture)
        return {"agent": [digest(self.distribution, agent), locked.digest, agent_digest()]}


def runs_scripts(image: Image) -> bool:
    """Whether the packages' scripts run when the image is built."""
    return image.kind not in {Kind.SYSEXT, Kind.CONFEXT} and not image.container.bare


def require_scripts_run(upstream: Upstream, architecture: str) -> None:
    """Raise DefinitionError where the packages' scripts cannot be run: rpm runs those of its own machine only."""
    if architecture != host_architecture() and not handles_single_packages(upstream):
        raise DefinitionError(
            f"an image of RPM packages for {architecture} cannot be built on a machine of {host_architecture()} yet",
            where="--arch",
            resolution=f"build it on a machine of {architecture}, from the same lock",
        )


def _facts(packages: Sequence[LockedPackage]) -> list[PackageFact]:
    return [
        PackageFact(
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            source=package.source,
            source_version=package.source_version,
            sha256=package.sha256,
            archive=package.archive,
            suite=package.suite,
        )
        for package in packages
    ]


def _peak_memory() -> int:
    """Bytes: the largest of this process and the programs that it ran."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1024 * max(own.ru_maxrss, children.ru_maxrss)
