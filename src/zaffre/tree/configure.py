# SPDX-License-Identifier: Apache-2.0
"""Locked packages become a configured root: unpacked by us, configured by dpkg itself, packed into one blob.

The steps are those that make a tree equal to dpkg's own (traps 20 to 23): the files of all packages and dpkg's
database; every preinst, in the order of dependencies; base-passwd, libc6, debianutils and dash configured; one
`dpkg --configure -a`; then everything removed that belongs to the moment of building.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import JSON, source_digest
from zaffre.errors import DefinitionError, ToolError, WorldError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Action, ActionResult, Performed, Store
from zaffre.tree import ids
from zaffre.tree.cleanup import clean
from zaffre.tree.dpkgdb import ADMIN, DIRECTORIES, PROVIDES, database, without_package
from zaffre.tree.extract import extract_plan
from zaffre.tree.memory import scratch_for
from zaffre.tree.merge import Plan, merge
from zaffre.tree.model import Kind, PackageIndex
from zaffre.tree.ordering import dependency_order
from zaffre.tree.policy import SetuidPolicy, Verdict, is_privileged, undeclared_error
from zaffre.tree.rootfs import inside, make_folder, read_text, remove, write_bytes, write_text
from zaffre.tree.tarball import Node, pack, scan
from zaffre.tree.unpack import Unpacked, unpack_all
from zaffre.upstream.deb.control import parse_stanzas
from zaffre.upstream.lock import LockedPackage, Users

EARLY = ("base-passwd", "libc6", "debianutils", "dash")
"""Configured before all others: scripts take users, the loader's cache, run-parts and /bin/sh for granted."""

_POLICY = "usr/sbin/policy-rc.d"
_POLICY_TEXT = "#!/bin/sh\n# No service may be started while a tree is built (invoke-rc.d(8)).\nexit 101\n"
_TIMEOUT = 3600.0
_MERGED_SUFFIX = ".usr-is-merged"

# As dpkg runs a preinst: in tmp.ci, where debconf looks for the package's name, with its environment (dpkg(1)).
_PREINST = r"""
export DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg DPKG_FORCE=security-mac,downgrade DPKG_MAINTSCRIPT_NAME=preinst
export DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 DPKG_COLORS=never PERL_DL_NONLAZY=1
DPKG_RUNNING_VERSION=$1; export DPKG_RUNNING_VERSION; shift
cd /var/lib/dpkg
while [ $# -gt 0 ]; do
    mkdir tmp.ci
    printf 'Package: %s\n' "$2" >tmp.ci/control
    for file in info/"$1".*; do cp -p "$file" tmp.ci/"${file#info/"$1".}"; done
    export DPKG_MAINTSCRIPT_PACKAGE=$2 DPKG_MAINTSCRIPT_ARCH=$3
    (cd / && /var/lib/dpkg/tmp.ci/preinst install >&2) || {
        echo "the preinst of $2 failed (exit $?)" >&2
        exit 1
    }
    rm -r tmp.ci
    shift 3
done
"""
_CONFIGURE = 'exec dpkg --force-unsafe-io --abort-after=1 --log=/dev/null "$@" >&2'
_FAILED = re.compile(r"dpkg: error processing package (?P<package>\S+)|the preinst of (?P<preinst>\S+) failed")
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "DEBCONF_NOWARNINGS": "yes",
}


@dataclass(frozen=True)
class Settings:
    """What a configured root depends on besides its packages. `epoch` is SOURCE_DATE_EPOCH in seconds."""

    provides: tuple[str, ...]
    users: Users
    setuid: SetuidPolicy
    epoch: int
    architecture: str


def configured_root(
    packages: Sequence[LockedPackage],
    *,
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
) -> Performed:
    """The configured root of a set of packages as the blob `root`, a canonical tar archive (see `tarball`).

    Facts: `users`, the ids that scripts gave, in the form of `Users`; `packages`, their number; `early`, see EARLY.
    The same inputs give the same bytes, whatever the clock, the order of the lock and the host.
    Raises IntegrityError for hostile or overlapping packages, DefinitionError for undeclared setuid files and
    diversions, ToolError when a script fails.
    """
    settings = Settings(tuple(sorted(provides)), users, setuid, epoch, architecture)

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
            },
            reason="an image needs the configured root of its packages",
        )

    action = action_for(users)

    def produce(scratch: Path) -> ActionResult:
        unpacked = unpack_all(packages, store=store, progress=progress, use_cache=use_cache)
        with (
            progress.step(f"configure {len(packages)} packages"),
            scratch_for(store, "configure", expected=_size(unpacked)) as folder,
        ):
            root = folder / "root"
            root.mkdir()
            built = build_root(unpacked, root, settings, sandbox=sandbox)
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


def _size(unpacked: Sequence[Unpacked]) -> int:
    return sum(one.data.stat().st_size for one in unpacked)


@dataclass(frozen=True)
class Built:
    """What is in a root on disk, the time that each path is to have, and the numbers that its owners are to have."""

    nodes: list[Node]
    times: Times
    numbers: ids.Renumbering


def build_root(unpacked: Sequence[Unpacked], root: Path, settings: Settings, *, sandbox: Sandbox) -> Built:
    """Fill the empty directory `root` with the configured packages."""
    root.chmod(0o755)
    ordered = dependency_order([(one.index, one.data) for one in unpacked])
    packages = [index for index, _ in ordered]
    plan = merge(packages, architecture=settings.architecture, setuid=settings.setuid)
    extract_plan(plan, [data for _, data in ordered], root, epoch=settings.epoch)
    lay_database(root, packages, plan, settings)
    configure(root, packages, settings, sandbox=sandbox)
    clean(root)
    numbers = ids.renumber(root, settings.users)
    return Built(apply_setuid(root, scan(root), settings.setuid), Times(plan, settings.epoch), numbers)


def lay_database(root: Path, packages: Sequence[PackageIndex], plan: Plan, settings: Settings) -> None:
    """Dpkg's database for packages that lie unpacked in `root`."""
    for folder in DIRECTORIES:
        make_folder(root, f"{ADMIN}/{folder}")
    files = database(packages, plan, provides=settings.provides, architecture=settings.architecture)
    for path, mode, content in files:
        write_bytes(root, f"{ADMIN}/{path}", content, mode=mode)


def configure(
    root: Path, packages: Sequence[PackageIndex], settings: Settings, *, sandbox: Sandbox, preinsts: bool = True
) -> None:
    """Run what dpkg would run, in `root`, and leave every package "install ok installed".

    `preinsts` is false when dpkg has run them while it unpacked.
    """
    environment = {**_ENVIRONMENT, "SOURCE_DATE_EPOCH": str(settings.epoch)}
    kept = inside(root, _POLICY)
    own = kept.read_bytes() if kept.is_file() else None
    write_text(root, _POLICY, _POLICY_TEXT, mode=0o755)

    def run(script: str, *arguments: str) -> None:
        try:
            sandbox.run(["/bin/sh", "-euc", script, "sh", *arguments], root=root, env=environment, timeout=_TIMEOUT)
        except ToolError as error:
            raise _script_error(error) from error

    scripts = [index for index in packages if preinsts and "preinst" in index.files]
    dpkg = next((index.version for index in packages if index.name == "dpkg"), "")
    run(_PREINST, dpkg, *(word for index in scripts for word in (index.label, index.name, index.architecture)))
    refuse_diversions(read_text(root, f"{ADMIN}/diversions"))
    present = {index.name for index in packages}
    run(_CONFIGURE, "--force-depends", "--configure", *(name for name in EARLY if name in present))
    run(_CONFIGURE, "--configure", "-a")
    refuse_diversions(read_text(root, f"{ADMIN}/diversions"))
    status = f"{ADMIN}/status"
    write_text(root, status, without_package(read_text(root, status), PROVIDES))
    remove(inside(root, f"{ADMIN}/info/{PROVIDES}.list"))
    if own is None:
        remove(inside(root, _POLICY))
    else:
        write_bytes(root, _POLICY, own, mode=0o755)
    _check_installed(read_text(root, status), [index.name for index in packages])


def _script_error(error: ToolError) -> ToolError:
    """The same failure, in words that name the package."""
    found = _FAILED.search(error.details or "")
    if found is None:
        return error
    name = found["package"] or found["preinst"]
    return ToolError(
        f"a maintainer script of {name} failed",
        where=name,
        command=error.command,
        returncode=error.returncode,
        details=error.details,
        resolution=error.resolution,
    )


def refuse_diversions(text: str) -> None:
    """Dpkg's `diversions` has three lines each: the path, where it goes, the package. Raises DefinitionError.

    A diversion moves files of packages that come later, which a plan made before any script has run cannot follow.
    Those that guard the links of the merged /usr move nothing: no package ships such a path.
    """
    lines = text.splitlines()
    foreign = [
        f"{by} diverts {path} to {target}"
        for path, target, by in zip(lines[::3], lines[1::3], lines[2::3], strict=True)
        if not target.endswith(_MERGED_SUFFIX)
    ]
    if foreign:
        raise DefinitionError(
            "a package diverts files of another, which Zaffre does not do",
            where="packages",
            details="\n".join(foreign),
            resolution="leave that package out; what it changes can be done with the image's own files",
        )


def _check_installed(status: str, names: Iterable[str]) -> None:
    states = {stanza["Package"]: stanza["Status"] for stanza in parse_stanzas(status)}
    bad = [f"{name}: {states.get(name, 'gone')}" for name in names if states.get(name) != "install ok installed"]
    if bad:
        raise WorldError(
            f"dpkg left {len(bad)} package(s) unconfigured",
            details="\n".join(bad),
            resolution="this is a fault of Zaffre or of the packages' scripts: please report it with the lock",
        )


def apply_setuid(root: Path, nodes: Sequence[Node], policy: SetuidPolicy) -> list[Node]:
    """The policy once more, on what scripts made of the tree (chmod, setcap, dpkg-statoverride)."""
    out: list[Node] = []
    undeclared: list[tuple[str, str]] = []
    for node in nodes:
        mode = node.status.st_mode
        capability = dict(node.xattrs).get("security.capability", b"")
        if not (stat.S_ISREG(mode) and is_privileged(mode, capability)):
            out.append(node)
            continue
        match policy.verdict(node.path):
            case Verdict.UNDECLARED:
                undeclared.append((f"/{node.path}", "made so by a maintainer script"))
            case Verdict.ALLOW:
                out.append(node)
            case Verdict.STRIP:
                out.append(_stripped(root, node))
    if undeclared:
        raise undeclared_error(undeclared)
    return out


def _stripped(root: Path, node: Node) -> Node:
    path = root / node.path
    if any(name == "security.capability" for name, _ in node.xattrs):
        os.removexattr(path, "security.capability", follow_symlinks=False)
    path.chmod(stat.S_IMODE(node.status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
    kept = tuple(one for one in node.xattrs if one[0] != "security.capability")
    return Node(node.path, path.lstat(), kept, node.target)


class Times:
    """A file that is as its package shipped it keeps the package's time, at most `epoch`; all else has `epoch`.

    So no clock shows: neither a clock ahead, which clamping alone would mend, nor one behind.
    """

    def __init__(self, plan: Plan, epoch: int) -> None:
        self._epoch = epoch
        self._shipped: Mapping[str, tuple[int, int | str]] = {
            entry.path: (entry.mtime, entry.target if entry.kind is Kind.SYMLINK else entry.size)
            for entry in plan.entries
            if entry.kind in {Kind.FILE, Kind.SYMLINK} and entry.package >= 0
        }

    def __call__(self, node: Node) -> int:
        shipped = self._shipped.get(node.path)
        found = node.target if stat.S_ISLNK(node.status.st_mode) else node.status.st_size
        if shipped == (int(node.status.st_mtime), found) and shipped[0] * 10**9 == node.status.st_mtime_ns:
            return max(0, min(shipped[0], self._epoch))
        return self._epoch
