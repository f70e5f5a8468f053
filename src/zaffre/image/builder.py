# SPDX-License-Identifier: Apache-2.0
"""From a definition and its lock to a directory of signed artifacts, in the store's terms as little work as possible."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Distribution, Image, digest
from zaffre.digest import JSON, Sha256, sha256_file, sha256_json
from zaffre.errors import DefinitionError
from zaffre.image.extension import build_extension, place_extension
from zaffre.image.host import HostParts, HostPlan, build_host, place_host
from zaffre.image.output import (
    ManifestSigner,
    describe_artifacts,
    fresh_directory,
    read_report,
    remove_leftovers,
    write_manifest,
    write_report,
)
from zaffre.image.steps import StepLog, Workshop, code_digest
from zaffre.image.uki import SigningKeys
from zaffre.manifest import Manifest, PackageFact, Report
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Stopwatch, Store, explain_difference
from zaffre.tree import configured_root, setuid_policy
from zaffre.upstream import Lock, LockedPackage, LockedSet

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
    report: Report
    fresh: bool
    why: tuple[str, ...]


@dataclass(frozen=True)
class Builder:
    """Builds images of one distribution from one lock.

    `tools_key` names the tools tree without making it; `sandbox` makes it, and is called only when a step has to
    run. `fetch` brings locked packages into the store.
    """

    distribution: Distribution
    lock: Lock
    store: Store
    keys: SigningKeys
    signer: ManifestSigner
    progress: Progress
    tools_key: str
    sandbox: Callable[[], Sandbox]
    fetch: Callable[[Iterable[LockedPackage]], None]

    def build(self, order: Order) -> Build:
        """Build an image, or find that it is built.

        Raises DefinitionError for what the definition asks in vain, IntegrityError for a package that doesn't
        hold, ToolError, DiskFullError; the output directory then is as it was before.
        """
        watch = Stopwatch()
        image = self.distribution.image(order.image)
        locked = self.lock.set(image.name, order.architecture)
        inputs = self._inputs(image, locked, order)
        key = sha256_json(inputs)
        folder = order.out / f"{image.name}-{self.version}-{order.architecture}"
        label = f"build {image.name} {order.architecture} {order.profile}"
        why = tuple(explain_difference(self.store.recall(label), inputs))
        if order.use_cache and (report := read_report(folder)) is not None and report.key == key:
            return Build(folder, report, fresh=False, why=())
        remove_leftovers(order.out)
        shop = Workshop(
            store=self.store,
            sandbox=self.sandbox(),
            keys=self.keys,
            progress=self.progress,
            log=StepLog(),
            architecture=order.architecture,
            epoch=self.lock.epoch,
            use_cache=order.use_cache,
        )
        report = self._make(image, locked, order, folder, key, shop, watch)
        self.store.remember(label, inputs)
        return Build(folder, report, fresh=True, why=why)

    @property
    def version(self) -> str:
        """`<distribution>.<date of the lock>.<n>`."""
        return f"{self.distribution.identity.version}.{self.lock.version}"

    def _make(
        self, image: Image, locked: LockedSet, order: Order, folder: Path, key: Sha256, shop: Workshop, watch: Stopwatch
    ) -> Report:
        parts: HostParts | None = None
        if image.kind == "host":
            plan, parts = self._host(image, locked, order, shop)
        else:
            extension = self._extension(image, locked, shop)
        with fresh_directory(folder) as partial:
            if parts is not None:
                host = parts
                shop.timed("disk", "partitions, boot loader, checks of size", lambda: place_host(plan, host, partial, shop))
            else:
                shop.timed("output", "the signed extension", lambda: place_extension(extension, partial, shop))
            shop.timed("manifest", "digests of all files, signed", lambda: self._sign(image, locked, order, partial, parts))
            report = Report(
                key=key,
                steps=shop.log.steps,
                wall_seconds=round(watch.wall, 3),
                cpu_seconds=round(watch.cpu, 3),
                peak_memory_bytes=_peak_memory(),
            )
            write_report(partial, report)
        return report

    def _host(self, image: Image, locked: LockedSet, order: Order, shop: Workshop) -> tuple[HostPlan, HostParts]:
        self.fetch(locked.packages)
        with self.progress.step("packages") as remark:
            performed = configured_root(
                locked.packages,
                provides=image.provides,
                users=locked.users,
                setuid=setuid_policy(image),
                epoch=shop.epoch,
                architecture=order.architecture,
                label=image.name,
                store=self.store,
                sandbox=shop.sandbox,
                progress=self.progress,
                use_cache=shop.use_cache,
            )
            size = self.store.path(performed.result.outputs["root"]).stat().st_size
            remark("cached" if performed.cached else f"{len(locked.packages)} unpacked and configured")
        shop.log.add("packages", performed, size, "unpacked in parallel, configured by dpkg once")
        plan = HostPlan(self.distribution, image, order.profile, self.version, performed.result.outputs["root"])
        return plan, build_host(plan, shop)

    def _extension(self, image: Image, locked: LockedSet, shop: Workshop) -> Sha256:
        wanted = {entry.package for entry in (*image.extract, *image.oci)}
        chosen = tuple(package for package in locked.packages if package.name in wanted)
        if missing := wanted - {package.name for package in chosen}:
            raise DefinitionError(
                f"the lock lacks {', '.join(sorted(missing))}", where=f"images/{image.name}.toml", resolution="run `zaffre lock`"
            )
        self.fetch(chosen)
        return build_extension(self.distribution, image, chosen, shop)

    def _sign(self, image: Image, locked: LockedSet, order: Order, folder: Path, parts: HostParts | None) -> int:
        manifest = Manifest(
            image=image.name,
            kind=str(image.kind),
            version=self.version,
            architecture=order.architecture,
            profile=order.profile,
            debug=image.debug,
            definition=digest(self.distribution, image),
            lock=locked.digest,
            tools=self.tools_key,
            epoch=self.lock.epoch,
            root_hash=parts.root_hash if parts else None,
            artifacts=describe_artifacts(folder),
            packages=_facts(locked.packages),
        )
        write_manifest(folder, manifest, self.signer)
        return sum(artifact.size for artifact in manifest.artifacts.values())

    def _inputs(self, image: Image, locked: LockedSet, order: Order) -> dict[str, JSON]:
        return {
            "definition": digest(self.distribution, image),
            "settings": image.model_dump(mode="json", exclude={"extends", "profiles"}),
            "packages": {package.name: f"{package.version} {package.sha256}" for package in locked.packages},
            "lock": locked.digest,
            "version": self.version,
            "tools": self.tools_key,
            "profile": order.profile,
            "architecture": order.architecture,
            "certificates": [sha256_file(self.keys.db_certificate), sha256_file(self.keys.verity_certificate)],
            "code": code_digest(),
        }


def _facts(packages: Sequence[LockedPackage]) -> list[PackageFact]:
    return [
        PackageFact(
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            source=package.source,
            source_version=package.source_version,
            sha256=package.sha256,
        )
        for package in packages
    ]


def _peak_memory() -> int:
    """Bytes: the largest of this process and the programs that it ran."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1024 * max(own.ru_maxrss, children.ru_maxrss)
