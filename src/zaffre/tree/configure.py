# SPDX-License-Identifier: Apache-2.0
"""Locked packages become a configured root, packed into one blob: the only place in `tree` that asks for the family.

What is the same for every family is here: the key, the cache, memory, the owners' numbers and the archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from zaffre.bill import PurlForm
from zaffre.definition import DebUpstream, Upstream
from zaffre.digest import JSON, source_digest
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Action, ActionResult, Performed, Store
from zaffre.tree import ids
from zaffre.tree.contents import PackageFiles
from zaffre.tree.declared import Declared, declared
from zaffre.tree.memory import scratch_for
from zaffre.tree.policy import SetuidPolicy
from zaffre.tree.root import RootFamily, Settings
from zaffre.tree.tarball import pack
from zaffre.upstream.lock import LockedPackage, Users


def configured_root(
    packages: Sequence[LockedPackage],
    *,
    upstream: Upstream,
    provides: Sequence[str],
    users: Users,
    setuid: SetuidPolicy,
    epoch: int,
    architecture: str,
    store: Store,
    sandbox: Sandbox,
    progress: Progress,
    label: str = "configure",
    use_cache: bool = True,
    judged: int | None = None,
    bare: bool = False,
) -> Performed:
    """The configured root of a set of packages as the blob `root`, a canonical tar archive (see `tarball`).

    `upstream` is where the packages come from; for `judged` and `bare`, see `Settings`.
    Facts: `users`, the ids that scripts gave, in the form of `Users`; `packages`, their number.
    The same inputs give the same bytes, whatever the clock, the order of the lock and the host.
    Raises IntegrityError for hostile or overlapping packages, DefinitionError for undeclared setuid files and
    diversions, ToolError when a script fails.
    """
    settings = Settings(tuple(sorted(provides)), users, setuid, epoch, architecture, judged, bare)
    family = _family(upstream)

    def action_for(users: Users) -> Action:
        return Action(
            kind="configure",
            label=label,
            inputs={
                "code": source_digest("sandbox", "tree"),
                "packages": {f"{one.name}:{one.architecture}": one.sha256 for one in packages},
                "provides": list(settings.provides),
                "users": users.model_dump(mode="json"),
                "setuid": setuid.to_json(),
                "epoch": epoch,
                "architecture": architecture,
                "family": dict(family.inputs(sandbox)),
                "bare": bare,
            },
            reason="an image needs the configured root of its packages",
        )

    action = action_for(users)

    def produce(scratch: Path) -> ActionResult:
        prepared = family.prepare(packages, settings, store=store, progress=progress, use_cache=use_cache)
        with (
            progress.step(f"configure {len(packages)} packages"),
            scratch_for(store, "configure", expected=prepared.size) as folder,
        ):
            root = folder / "root"
            root.mkdir()
            built = prepared.build(root, settings, sandbox=sandbox)
            archive = scratch / "root.tar"
            with archive.open("wb", buffering=1 << 20) as out:
                pack(root, built.nodes, out, mtime=built.times, owner=built.numbers.owner)
            facts: dict[str, JSON] = {"users": ids.harvest(root).model_dump(mode="json"), "packages": len(packages)}
        return ActionResult(outputs={"root": store.add_file(archive, move=True)}, facts=facts)

    performed = store.perform(action, produce, use_cache=use_cache)
    if not users:
        # Renumbered by its own harvest the root is the same: the build that follows the lock need not do it again.
        again = action_for(Users.model_validate(performed.result.facts["users"], strict=False))
        if store.lookup(again.key) is None:
            store.record(again.key, again, performed.result)
    return performed


def package_files(
    packages: Sequence[LockedPackage], *, upstream: Upstream, store: Store, sandbox: Sandbox, progress: Progress
) -> Mapping[str, PackageFiles]:
    """The files of single packages, by the packages' names, for those who want no root. No script runs."""
    return _family(upstream).files(packages, store=store, sandbox=sandbox, progress=progress)


def declared_by(
    packages: Sequence[LockedPackage], *, upstream: Upstream, store: Store, progress: Progress, label: str
) -> Declared:
    """What packages say of themselves. Raises IntegrityError for one that is malformed or hostile."""
    return declared(packages, ask=_family(upstream).said, store=store, progress=progress, label=label)


def purls_of(upstream: Upstream) -> PurlForm:
    """How the upstream's packages are named in bills of materials."""
    return _family(upstream).purls


def handles_single_packages(upstream: Upstream) -> bool:
    """Whether packages of this upstream's family can be unpacked, made and installed one by one, as Debian's can."""
    return isinstance(upstream, DebUpstream)


def _family(upstream: Upstream) -> RootFamily:
    if isinstance(upstream, DebUpstream):
        from zaffre.tree.deb.configure import DebFamily  # noqa: PLC0415 - only the family that is used

        return DebFamily()
    from zaffre.tree.rpm.configure import RpmFamily  # noqa: PLC0415 - likewise

    return RpmFamily(upstream)
