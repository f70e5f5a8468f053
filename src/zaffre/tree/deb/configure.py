# SPDX-License-Identifier: Apache-2.0
"""Debian packages become a configured root: unpacked by us, configured by dpkg itself.

The steps are those that make a tree equal to dpkg's own (traps 20 to 23): the files of all packages and dpkg's
database; every preinst, in the order of dependencies; base-passwd, libc6, debianutils and dash configured; one
`dpkg --configure -a`; then everything removed that belongs to the moment of building.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zaffre.bill import DEB_PURLS
from zaffre.digest import JSON
from zaffre.errors import DefinitionError, ToolError, WorldError
from zaffre.progress import Progress
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.tree import ids
from zaffre.tree.bytecode import settle_bytecode
from zaffre.tree.cleanup import clean
from zaffre.tree.contents import PackagedFile, PackageFiles
from zaffre.tree.deb.declared import declared
from zaffre.tree.deb.dpkgdb import ADMIN, DIRECTORIES, PROVIDES, database, without_package
from zaffre.tree.deb.extract import extract_plan
from zaffre.tree.deb.merge import Plan, merge
from zaffre.tree.deb.model import ControlFile, Kind, PackageIndex
from zaffre.tree.deb.ordering import dependency_order
from zaffre.tree.deb.unpack import Unpacked, unpack_all
from zaffre.tree.root import Built, Settings, Times, apply_setuid
from zaffre.tree.rootfs import inside, make_folder, read_text, remove, walk, write_bytes, write_text
from zaffre.tree.said import Said
from zaffre.tree.tarball import scan
from zaffre.tree.variable import USED_BY_SCANNERS
from zaffre.upstream.deb.control import parse_stanzas
from zaffre.upstream.lock import LockedPackage

EARLY = ("base-passwd", "libc6", "debianutils", "dash")
"""Configured before all others: scripts take users, the loader's cache, run-parts and /bin/sh for granted."""

POLICY = "usr/sbin/policy-rc.d"
POLICY_TEXT = "#!/bin/sh\n# No service may be started while a tree is built (invoke-rc.d(8)).\nexit 101\n"
"""What keeps scripts from starting services, and where it lies."""

_STATUS = f"{ADMIN}/status"
_UNPACKED = "Status: install ok unpacked"
_INSTALLED = "Status: install ok installed"
_FURTHER = "/run/packages"
_TIMEOUT = 3600.0
_MERGED_SUFFIX = ".usr-is-merged"
_MERGED_FOLDERS = ("/bin/", "/sbin/", "/lib/", "/lib64/")

# As dpkg runs a preinst: in tmp.ci, where debconf looks for the package's name, with its environment (dpkg(1)).
_PREINST = r"""
export DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg DPKG_FORCE=security-mac,downgrade DPKG_MAINTSCRIPT_NAME=preinst
export DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 DPKG_COLORS=never PERL_DL_NONLAZY=1
DPKG_RUNNING_VERSION=$1; export DPKG_RUNNING_VERSION; shift
cd /var/lib/dpkg
while [ $# -gt 0 ]; do
    mv zaffre-preinsts/"$1" tmp.ci
    export DPKG_MAINTSCRIPT_PACKAGE=$2 DPKG_MAINTSCRIPT_ARCH=$3
    (cd / && exec /var/lib/dpkg/tmp.ci/preinst install >&2) || {
        echo "the preinst of $2 failed (exit $?)" >&2
        exit 1
    }
    rm -r tmp.ci
    shift 3
done
"""
_PREINSTS = f"{ADMIN}/zaffre-preinsts"
_CONFIGURE = 'exec dpkg --force-unsafe-io --abort-after=1 --log=/dev/null "$@" >&2'
_FAILED = re.compile(r"dpkg: error processing package (?P<package>\S+)|the preinst of (?P<preinst>\S+) failed")
ENVIRONMENT = {
    "LANG": "C",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "DEBCONF_NOWARNINGS": "yes",
}
"""So that scripts ask nothing; and that thousands of small programs do not each load a locale."""


@dataclass(frozen=True)
class DebPackages:
    """Packages whose archives lie unpacked in the store."""

    unpacked: tuple[Unpacked, ...]

    @property
    def size(self) -> int:
        return sum(one.data.stat().st_size for one in self.unpacked)

    def build(self, root: Path, settings: Settings, *, sandbox: Sandbox) -> Built:
        return build_root(self.unpacked, root, settings, sandbox=sandbox)


class DebFamily:
    """See `zaffre.tree.root.RootFamily`. A set is configured by its own dpkg: no tool is an input but an emulator."""

    purls = DEB_PURLS

    def said(self, package: LockedPackage, store: Store) -> Said:
        return declared(package, store)

    def inputs(self, sandbox: Sandbox) -> Mapping[str, JSON]:
        return {"name": "deb", **({"emulator": sandbox.tools.key} if sandbox.emulates else {})}

    def prepare(
        self,
        packages: Sequence[LockedPackage],
        settings: Settings,  # noqa: ARG002 - overlaps and the policy are judged when all are merged, before any script
        *,
        store: Store,
        progress: Progress,
        use_cache: bool,
    ) -> DebPackages:
        return DebPackages(unpack_all(packages, store=store, progress=progress, use_cache=use_cache))

    def files(
        self,
        packages: Sequence[LockedPackage],
        *,
        store: Store,
        sandbox: Sandbox,  # noqa: ARG002 - the protocol's
        progress: Progress,
    ) -> Mapping[str, PackageFiles]:
        return {
            one.package.name: PackageFiles(
                one.package.name,
                one.data,
                {
                    member.path: PackagedFile(member.offset, member.size, member.mode)
                    for member in one.index.members
                    if member.kind is Kind.FILE
                },
            )
            for one in unpack_all(packages, store=store, progress=progress)
        }


def build_root(unpacked: Sequence[Unpacked], root: Path, settings: Settings, *, sandbox: Sandbox) -> Built:
    """Fill the empty directory `root` with the configured packages."""
    root.chmod(0o755)
    ordered = dependency_order([(one.index, one.data) for one in unpacked])
    packages = [index for index, _ in ordered]
    plan = merge(packages, architecture=settings.architecture, setuid=settings.setuid)
    extract_plan(plan, [data for _, data in ordered], root, epoch=settings.epoch)
    lay_database(root, packages, plan, settings)
    if settings.bare:
        keep_records(root)
    else:
        configure(root, packages, settings, sandbox=sandbox)
    clean(root)
    numbers = ids.renumber(root, settings.users)
    nodes = apply_setuid(root, scan(root), settings.setuid)
    times = Times(_shipped(plan), settings.epoch)
    settle_bytecode(root, nodes, times)
    return Built(nodes, times, numbers)


def lay_database(root: Path, packages: Sequence[PackageIndex], plan: Plan, settings: Settings) -> None:
    """Dpkg's database for packages that lie unpacked in `root`."""
    for folder in DIRECTORIES:
        make_folder(root, f"{ADMIN}/{folder}")
    files = database(packages, plan, provides=settings.provides, architecture=settings.architecture)
    for path, mode, content in files:
        write_bytes(root, f"{ADMIN}/{path}", content, mode=mode)


def keep_records(root: Path) -> None:
    """Of dpkg's database leave what scanners read. It says "installed" of all: nothing here would configure it ever."""
    status = without_package(read_text(root, _STATUS), PROVIDES)
    write_text(root, _STATUS, re.sub(rf"^{_UNPACKED}$", _INSTALLED, status, flags=re.MULTILINE))
    remove(inside(root, f"{ADMIN}/info/{PROVIDES}.list"))
    for path, _ in [*walk(root, ADMIN)]:
        below = path.removeprefix(ADMIN)
        if below != "/info" and not USED_BY_SCANNERS(below):
            remove(root / path)


def configure(
    root: Path, packages: Sequence[PackageIndex], settings: Settings, *, sandbox: Sandbox, preinsts: bool = True
) -> None:
    """Run what dpkg would run, in `root`, and leave every package "install ok installed".

    `preinsts` is false when dpkg has run them while it unpacked.
    """

    def run(script: str, *arguments: str) -> None:
        _run(root, script, *arguments, epoch=settings.epoch, sandbox=sandbox)

    with _nothing_starts(root):
        _configure(root, packages, run, preinsts=preinsts)
    _check_installed(read_text(root, _STATUS), [index.name for index in packages])


def _configure(root: Path, packages: Sequence[PackageIndex], run: Callable[..., None], *, preinsts: bool) -> None:
    scripts = [index for index in packages if preinsts and "preinst" in index.files]
    dpkg = next((index.version for index in packages if index.name == "dpkg"), "")
    for index in scripts:
        _lay_control(root, index)
    run(_PREINST, dpkg, *(word for index in scripts for word in (index.label, index.name, index.architecture)))
    remove(inside(root, _PREINSTS))
    refuse_diversions(read_text(root, f"{ADMIN}/diversions"), packages)
    present = {index.name for index in packages}
    run(_CONFIGURE, "--force-depends", "--configure", *(name for name in EARLY if name in present))
    run(_CONFIGURE, "--configure", "-a")
    refuse_diversions(read_text(root, f"{ADMIN}/diversions"), packages)
    write_text(root, _STATUS, without_package(read_text(root, _STATUS), PROVIDES))
    remove(inside(root, f"{ADMIN}/info/{PROVIDES}.list"))


def _lay_control(root: Path, index: PackageIndex) -> None:
    """A package's control files, to be moved to where dpkg has them while it unpacks."""
    folder = make_folder(root, f"{_PREINSTS}/{index.label}")
    for name, (mode, content) in {"control": ControlFile(0o644, index.control.encode()), **index.files}.items():
        place = folder / name
        place.write_bytes(content)
        place.chmod(mode)


def install_packages(root: Path, debs: Sequence[Path], *, epoch: int, sandbox: Sandbox) -> None:
    """Install further packages into a configured root, by its own dpkg. Their configuration files win over what a
    script of another package has written there.
    """
    change_packages(root, install=debs, remove=(), epoch=epoch, sandbox=sandbox, options=("--force-confnew",))
    clean(root)


def change_packages(
    root: Path,
    *,
    install: Sequence[Path],
    remove: Sequence[str],
    epoch: int,
    sandbox: Sandbox,
    options: Sequence[str] = (),
) -> None:
    """Remove and install packages, by the root's own dpkg, which leaves its traces. `options` are dpkg's."""
    names = [f"{_FURTHER}/{number}.deb" for number in range(len(install))]
    mounts = [Mount(deb, name) for deb, name in zip(install, names, strict=True)]
    with _nothing_starts(root):
        if remove:
            _run(root, _CONFIGURE, "--remove", *remove, epoch=epoch, sandbox=sandbox)
        if install:
            _run(root, _CONFIGURE, *options, "--install", *names, epoch=epoch, sandbox=sandbox, mounts=mounts)


def _run(root: Path, script: str, *arguments: str, epoch: int, sandbox: Sandbox, mounts: Sequence[Mount] = ()) -> None:
    try:
        sandbox.run(
            ["/bin/sh", "-euc", script, "sh", *arguments],
            root=root,
            mounts=mounts,
            env={**ENVIRONMENT, "SOURCE_DATE_EPOCH": str(epoch)},
            timeout=_TIMEOUT,
        )
    except ToolError as error:
        raise _script_error(error) from error


@contextmanager
def _nothing_starts(root: Path) -> Iterator[None]:
    kept = inside(root, POLICY)
    own = kept.read_bytes() if kept.is_file() else None
    write_text(root, POLICY, POLICY_TEXT, mode=0o755)
    yield
    if own is None:
        remove(inside(root, POLICY))
    else:
        write_bytes(root, POLICY, own, mode=0o755)


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


def refuse_diversions(text: str, packages: Sequence[PackageIndex]) -> None:
    """Dpkg's `diversions` has three lines each: the path, where it goes, the package. Raises DefinitionError.

    A diversion moves files of packages that come later, which a plan made before any script has run cannot follow.
    One of a path that no other of the packages ships moves nothing: so it is with those that guard the links of the
    merged /usr, and with Debian 12's dash, which keeps /bin/sh to itself.
    """
    lines = text.splitlines()
    diversions = [
        diversion
        for diversion in zip(lines[::3], lines[1::3], lines[2::3], strict=True)
        if not diversion[1].endswith(_MERGED_SUFFIX)
    ]
    paths = {_merged(path) for path, _, _ in diversions}
    owners = {
        (path, index.name)
        for index in packages
        for member in index.members
        if member.kind is not Kind.DIRECTORY and (path := _merged(f"/{member.path}")) in paths
    }
    foreign = [
        f"{by} diverts {path} to {target}"
        for path, target, by in diversions
        if any(owned == _merged(path) and name != by for owned, name in owners)
    ]
    if foreign:
        raise DefinitionError(
            "a package diverts files of another, which Zaffre does not do",
            where="packages",
            details="\n".join(foreign),
            resolution="leave that package out; what it changes can be done with the image's own files",
        )


def _merged(path: str) -> str:
    """/bin/x as /usr/bin/x, which are one file."""
    return f"/usr{path}" if path.startswith(_MERGED_FOLDERS) else path


def _check_installed(status: str, names: Iterable[str]) -> None:
    states = {stanza["Package"]: stanza["Status"] for stanza in parse_stanzas(status)}
    bad = [f"{name}: {states.get(name, 'gone')}" for name in names if states.get(name) != "install ok installed"]
    if bad:
        raise WorldError(
            f"dpkg left {len(bad)} package(s) unconfigured",
            details="\n".join(bad),
            resolution="this is a fault of Zaffre or of the packages' scripts: please report it with the lock",
        )


def _shipped(plan: Plan) -> Mapping[str, tuple[int, int | str]]:
    """What `Times` wants to know of each file and link that a package has."""
    return {
        entry.path: (entry.mtime, entry.target if entry.kind is Kind.SYMLINK else entry.size)
        for entry in plan.entries
        if entry.kind in {Kind.FILE, Kind.SYMLINK} and entry.package >= 0
    }
