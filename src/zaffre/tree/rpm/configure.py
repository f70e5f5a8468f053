# SPDX-License-Identifier: Apache-2.0
"""RPM packages become a configured root: their headers judged by us, installed and configured by rpm itself."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.bill import RPM_PURLS, PurlForm
from zaffre.definition import RpmUpstream
from zaffre.digest import JSON, sha256_file, source_digest
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult, Store
from zaffre.tree import ids
from zaffre.tree.cleanup import clean
from zaffre.tree.contents import PackagedFile, PackageFiles
from zaffre.tree.root import Built, Settings, Times, apply_setuid
from zaffre.tree.rootfs import inside
from zaffre.tree.rpm.database import settle, stored_headers
from zaffre.tree.rpm.declared import declared
from zaffre.tree.rpm.plan import PackagedPath, check_privileges, checked_paths, shipped
from zaffre.tree.rpm.transaction import TARGET, Transaction, install
from zaffre.tree.said import Said
from zaffre.tree.tarball import scan
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.lock import COMPONENTS, LockedPackage
from zaffre.upstream.rpm.header import Tag, read_head

_MOUNT_POINTS = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777}
"""Folders that rpm finds mounted over, and so cannot give the modes that a package says."""

_MODULES = "usr/lib/modules"
_SECONDS = 300.0
_MOST_SAID = 32 << 10
"""Bytes around a file in an archive: its path and a link's target, each of 4096 bytes at most, and padding."""


@dataclass(frozen=True)
class RpmPackages:
    """Packages whose headers are in order. `paths` are those of each, in the order of `packages`."""

    packages: tuple[LockedPackage, ...]
    paths: tuple[tuple[PackagedPath, ...], ...]
    upstream: RpmUpstream
    store: Store

    @property
    def size(self) -> int:
        return sum(one.size for paths in self.paths for one in paths if stat.S_ISREG(one.mode) and not one.ghost)

    def build(self, root: Path, settings: Settings, *, sandbox: Sandbox) -> Built:
        root.chmod(0o755)
        for path, mode in self._mount_points():
            place = root / path
            place.mkdir()
            place.chmod(mode)
        signed = {_label(one): self.store.verified(one.digest) for one in self.packages if one.archive != COMPONENTS}
        ours = {_label(one): self.store.verified(one.digest) for one in self.packages if one.archive == COMPONENTS}
        judged = settings.epoch if settings.judged is None else settings.judged
        keyring = Keyring.load(self.upstream.keyring_file)
        transaction = Transaction(signed, ours, keyring, settings.provides, settings.epoch, judged)
        with self.store.scratch("rpm") as scratch:
            install(root, transaction, scratch=scratch, sandbox=sandbox)
        settle(root)
        self._check_installed(root)
        index_modules(root, sandbox=sandbox)
        clean(root)
        numbers = ids.renumber(root, settings.users)
        nodes = apply_setuid(root, scan(root), settings.setuid)
        return Built(nodes, Times(shipped(self.paths), settings.epoch), numbers)

    def _mount_points(self) -> Iterator[tuple[str, int]]:
        said = {one.path: stat.S_IMODE(one.mode) for paths in self.paths for one in paths if one.path in _MOUNT_POINTS}
        yield from {**_MOUNT_POINTS, **said}.items()

    def _check_installed(self, root: Path) -> None:
        there = {header.text(Tag.NAME) for header in stored_headers(root)}
        if missing := sorted({one.name for one in self.packages} - there):
            raise WorldError(
                f"rpm left {len(missing)} package(s) out",
                details="\n".join(missing),
                resolution="this is a fault of Zaffre or of the packages: please report it with the lock",
            )


def _label(package: LockedPackage) -> str:
    """What messages call the file."""
    return f"{package.name}-{package.version}.{package.architecture}.rpm"


@dataclass(frozen=True)
class RpmFamily:
    """See `zaffre.tree.root.RootFamily`. rpm and the keyring are inputs: they decide what is installed, and how."""

    upstream: RpmUpstream

    @property
    def purls(self) -> PurlForm:
        return RPM_PURLS

    def said(self, package: LockedPackage, store: Store) -> Said:
        return declared(store.verified(package.digest))

    def inputs(self, sandbox: Sandbox) -> Mapping[str, JSON]:
        return {
            "name": "rpm",
            "tools": sandbox.tools.key,
            "keyring": sha256_file(self.upstream.keyring_file),
            "reader": source_digest("upstream/rpm"),
        }

    def prepare(
        self,
        packages: Sequence[LockedPackage],
        settings: Settings,
        *,
        store: Store,
        progress: Progress,  # noqa: ARG002 - the protocol's; reading headers takes no time that is worth a word
        use_cache: bool,  # noqa: ARG002 - nothing is kept of single packages
    ) -> RpmPackages:
        ordered = tuple(sorted(packages, key=lambda one: one.key))
        paths = tuple(self._paths(one, store) for one in ordered)
        check_privileges([(one.name, mine) for one, mine in zip(ordered, paths, strict=True)], settings.setuid)
        return RpmPackages(ordered, paths, self.upstream, store)

    def _paths(self, package: LockedPackage, store: Store) -> tuple[PackagedPath, ...]:
        try:
            with store.verified(package.digest).open("rb") as file:
                header = read_head(file).header
        except ValueError as error:
            raise IntegrityError(f"the package {package.name} is malformed: {error}", where=package.path) from error
        return checked_paths(package, header)

    def files(
        self, packages: Sequence[LockedPackage], *, store: Store, sandbox: Sandbox, progress: Progress
    ) -> Mapping[str, PackageFiles]:
        found: dict[str, PackageFiles] = {}
        with progress.step(f"unpack {len(packages)} packages"):
            for package in packages:
                limit = _most_unpacked(self._paths(package, store))
                performed = store.perform(*_archive_action(package, store, sandbox, limit=limit))
                archive = store.verified(performed.result.outputs["archive"])
                found[package.name] = PackageFiles(package.name, archive, _files_in(archive, package))
        return found


def _archive_action(
    package: LockedPackage, store: Store, sandbox: Sandbox, *, limit: int
) -> tuple[Action, Callable[[Path], ActionResult]]:
    """The payload as an uncompressed archive of at most `limit` bytes, by rpm2archive(1)."""
    action = Action(
        kind="rpm-archive",
        label=f"unpack {package.name}",
        inputs={"package": package.sha256, "tools": sandbox.tools.key},
        reason=f"single files are taken out of {package.name}",
    )

    def produce(scratch: Path) -> ActionResult:
        archive = scratch / "payload.tar"
        sandbox.run(
            ["prlimit", f"--fsize={limit}", "rpm2archive", "--nocompression", "--format=pax"],
            stdin=store.verified(package.digest),
            stdout=archive,
            timeout=_SECONDS,
        )
        return ActionResult({"archive": store.add_file(archive, move=True)}, {})

    return action, produce


def _most_unpacked(paths: Sequence[PackagedPath]) -> int:
    """Bytes of an archive of these paths, with room for what is said of each in it."""
    contents = sum(one.size for one in paths if stat.S_ISREG(one.mode) and not one.ghost)
    return contents + (len(paths) + 1) * _MOST_SAID


def _files_in(archive: Path, package: LockedPackage) -> dict[str, PackagedFile]:
    """The regular files by path. Those with several names are hard links to the first one in the archive."""
    found: dict[str, PackagedFile] = {}
    with tarfile.open(archive, "r:") as members:
        for member in members:
            name, target = (one.removeprefix("./").lstrip("/") for one in (member.name, member.linkname))
            if member.isreg():
                found[name] = PackagedFile(member.offset_data, member.size, member.mode)
            elif member.islnk():
                if target not in found:
                    raise IntegrityError(
                        f"the package {package.name} has a hard link to /{target}, which is no file before it",
                        where=f"{package.path}: /{name}",
                    )
                found[name] = found[target]
    return found


def index_modules(root: Path, *, sandbox: Sandbox) -> None:
    """Write modules.dep and its kin by depmod of the tools tree, which can read modules in every compression.

    kernel-install, which was told to do nothing, would have had it made; and a root's own depmod passes over what it
    cannot unpack without a word that anybody would see.
    """
    folder = inside(root, _MODULES)
    for version in sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ():
        sandbox.run(
            ["depmod", "--basedir", TARGET, "--", version],
            mounts=[Mount(root, TARGET, writable=True)],
            timeout=_SECONDS,
        )
