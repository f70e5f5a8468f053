# SPDX-License-Identifier: Apache-2.0
"""A .deb becomes two blobs, once: its data archive uncompressed, and an index of what is in it.

Nothing is written to a file tree here. What a hostile archive could do later is refused now: paths and links that
leave the root, devices and pipes, archives that are damaged or unpack without end. Whether a setuid file is
wanted is not a question of the package but of the definition, and is asked in `merge`.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.progress import Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.tree.deb.archive import (
    CONTROL_LIMIT,
    DATA_RATIO,
    DATA_SLACK,
    BadArchiveError,
    Part,
    decompressed,
    find_parts,
)
from zaffre.tree.deb.model import INDEX_FORMAT, ControlFile, Kind, Member, PackageIndex
from zaffre.upstream.deb.control import parse_stanza
from zaffre.upstream.lock import LockedPackage

_MAX_MEMBERS = 2_000_000
_MAX_ID = 65535
_MAX_PATH = 4096
_CAPABILITY = "SCHILY.xattr.security.capability"
_BLOCK = 512
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_REFUSED = {tarfile.CHRTYPE: "a character device", tarfile.BLKTYPE: "a block device", tarfile.FIFOTYPE: "a named pipe"}


@dataclass(frozen=True)
class Unpacked:
    """A package in the store: the path of its uncompressed data archive, and its index."""

    package: LockedPackage
    data: Path
    index: PackageIndex


class HostileError(BadArchiveError):
    """A member that is refused."""

    def __init__(self, member: str, why: str) -> None:
        super().__init__(why)
        self.member = member


def unpack_all(
    packages: Sequence[LockedPackage],
    *,
    store: Store,
    progress: Progress,
    jobs: int | None = None,
    use_cache: bool = True,
) -> tuple[Unpacked, ...]:
    """All packages, in the order given; each is unpacked once a store. Raises IntegrityError for one that is refused.

    Threads, as decompressing and hashing release the interpreter's lock; unlike processes they cannot outlive
    a `kill -9`. The largest is begun first: a kernel that came last would be waited for alone.
    """
    if not packages:
        return ()
    by_size = sorted(packages, key=lambda package: -package.size)
    with (
        ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="unpack") as pool,
        progress.transfer(f"unpack {len(packages)} packages", sum(package.size for package in packages)) as advance,
    ):

        def one(package: LockedPackage) -> Unpacked:
            unpacked = _unpack_one(package, store=store, use_cache=use_cache)
            advance(package.size)
            return unpacked

        futures = {package.key: pool.submit(one, package) for package in by_size}
        try:
            return tuple(futures[package.key].result() for package in packages)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def known_index(package: LockedPackage, store: Store) -> PackageIndex | None:
    """What is in a package that this store has unpacked before; nothing is unpacked for the question."""
    result = store.lookup(_unpack_action(package).key)
    return PackageIndex.from_bytes(store.verified(result.outputs["index"]).read_bytes()) if result else None


def _unpack_action(package: LockedPackage) -> Action:
    return Action(
        kind="unpack",
        label=f"unpack {package.name}",
        inputs={"package": package.sha256, "format": INDEX_FORMAT},
        reason=f"{package.name} {package.version} is in the lock",
    )


def _unpack_one(package: LockedPackage, *, store: Store, use_cache: bool) -> Unpacked:
    action = _unpack_action(package)

    def produce(scratch: Path) -> ActionResult:
        data = scratch / "data.tar"
        index = read_package(store.verified(package.digest), data, package=package)
        return ActionResult(
            outputs={"data": store.add_file(data, move=True), "index": store.add_bytes(index.to_bytes())}, facts={}
        )

    performed = store.perform(action, produce, use_cache=use_cache)
    outputs: Mapping[str, Sha256] = performed.result.outputs
    # What lay in the store since an earlier run is hashed again before it goes into a root.
    blob = store.verified if performed.cached else store.path
    return Unpacked(package, blob(outputs["data"]), PackageIndex.from_bytes(blob(outputs["index"]).read_bytes()))


def read_package(deb: Path, data: Path, *, package: LockedPackage) -> PackageIndex:
    """Write the uncompressed data archive of `deb` to `data` and return its index.

    Guarantees for each member: its path is relative, clean and unique, its kind is one of `Kind`, a symlink does
    not climb above the root, a hard link leads to an earlier file of the package, content lies within the archive.
    Raises IntegrityError that names the package and the member.
    """
    label = f"{package.name}_{package.version}_{package.architecture}.deb"
    try:
        with deb.open("rb") as file:
            control_part, data_part = find_parts(file, deb.stat().st_size)
            control, files = _read_control(
                b"".join(decompressed(file, control_part, limit=min(CONTROL_LIMIT, _limit(control_part))))
            )
            fields = parse_stanza(control)
            _check_identity(fields, package)
            with data.open("wb") as out:
                for chunk in decompressed(file, data_part, limit=_limit(data_part)):
                    out.write(chunk)
        members = _read_data(data, hashed=fields.get("Multi-Arch") == "same")
        conffiles = _conffiles(files.get("conffiles"), members, data)
        return PackageIndex(control=control, files=files, conffiles=conffiles, members=members)
    except (BadArchiveError, tarfile.TarError, UnicodeError, ValueError, EOFError) as error:
        where = f"{label}: {error.member}" if isinstance(error, HostileError) else label
        raise IntegrityError(
            f"the package {package.name} is refused: {error}",
            where=where,
            details=f"sha256 {package.sha256}, {package.size} bytes, from suite {package.suite}",
            resolution="no package of a sound archive looks like this: find out who made it before anything else; "
            "`zaffre lock --update` takes another version",
        ) from error


def _limit(part: Part) -> int:
    return part.size * DATA_RATIO + DATA_SLACK


def _check_identity(fields: Mapping[str, str], package: LockedPackage) -> None:
    for name, want in (("Package", package.name), ("Version", package.version), ("Architecture", package.architecture)):
        if fields.get(name) != want:
            raise BadArchiveError(f"its control file says {name}: {fields.get(name)}, the lock says {want}")


def _read_control(raw: bytes) -> tuple[str, dict[str, ControlFile]]:
    files: dict[str, ControlFile] = {}
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", errors="surrogateescape", encoding="utf-8") as archive:
        end = 0
        for info in _members(archive):
            end = _end_of(info, len(raw))
            path = _clean(info.name)
            if info.type == tarfile.DIRTYPE and not path:
                continue
            if info.type not in _FILES or "/" in path or path in files or not path:
                raise HostileError(path, "its control archive holds something else than plain files")
            files[path] = ControlFile(0o755 if info.mode & 0o111 else 0o644, raw[info.offset_data : end][: info.size])
        if any(raw[end:]) or len(raw) - end < _BLOCK:
            raise BadArchiveError("its control archive is truncated or damaged")
    if "control" not in files:
        raise BadArchiveError("it has no control file")
    return files.pop("control").content.decode(), files


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, info in enumerate(archive):
        if count >= _MAX_MEMBERS:
            raise BadArchiveError(f"it has more than {_MAX_MEMBERS} members")
        yield info
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps all that it has seen


def _end_of(info: tarfile.TarInfo, size: int) -> int:
    end = info.offset_data
    if info.type in _FILES:
        end += -(-info.size // _BLOCK) * _BLOCK
    if info.size < 0 or end > size:
        raise HostileError(info.name, "its archive is truncated in the middle of this member")
    return end


def _read_data(data: Path, *, hashed: bool) -> tuple[Member, ...]:
    size = data.stat().st_size
    if not size:
        raise BadArchiveError("its data archive is empty")
    members: list[Member] = []
    kinds: dict[str, Kind] = {}
    end = 0
    with (
        data.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        tarfile.open(fileobj=file, mode="r:", errors="surrogateescape", encoding="utf-8") as archive,
    ):
        for info in _members(archive):
            end = _end_of(info, size)
            member = _member(info, kinds)
            if member.path in kinds and not member.kind == kinds[member.path] == Kind.DIRECTORY:
                raise HostileError(member.path, "it has this member twice")
            kinds[member.path] = member.kind
            if hashed and member.kind is Kind.FILE:
                digest = hashlib.sha256(memoryview(content)[member.offset : member.offset + member.size]).hexdigest()
                member = member._replace(sha256=digest)
            members.append(member)
        # tarfile takes a damaged header for the end of the archive; only blocks of zeros are that.
        if size - end < _BLOCK or content[end : end + _BLOCK].strip(b"\0") or _not_zero(content, end):
            raise BadArchiveError("its data archive is truncated or damaged")
    return tuple(members)


def _not_zero(content: mmap.mmap, start: int) -> bool:
    return any(content[at : at + (1 << 20)].strip(b"\0") for at in range(start, len(content), 1 << 20))


def _member(info: tarfile.TarInfo, earlier: Mapping[str, Kind]) -> Member:
    path = _clean(info.name)
    if why := _REFUSED.get(info.type):
        raise HostileError(path, f"it ships {why}")
    if not (0 <= info.uid <= _MAX_ID and 0 <= info.gid <= _MAX_ID):
        raise HostileError(path, f"it belongs to {info.uid}:{info.gid}, which no package may use")
    mode, target, size = stat.S_IMODE(info.mode), "", 0
    if info.type == tarfile.DIRTYPE:
        kind = Kind.DIRECTORY
    elif info.type == tarfile.SYMTYPE:
        kind, target, mode = Kind.SYMLINK, info.linkname, 0o777
        _check_symlink(path, target)
    elif info.type == tarfile.LNKTYPE:
        kind, target = Kind.HARDLINK, _clean(info.linkname)
        if earlier.get(target) not in {Kind.FILE, Kind.HARDLINK}:
            raise HostileError(path, f"it is a hard link to {info.linkname}, which is no earlier file of the package")
    elif info.type in _FILES and not info.issparse():
        kind, size = Kind.FILE, info.size
    else:
        raise HostileError(path, f"it is a member of type {info.type!r}, which no package uses")
    if not path and kind is not Kind.DIRECTORY:
        raise HostileError("/", "it replaces the root directory")
    capability = info.pax_headers.get(_CAPABILITY, "")
    return Member(
        path=path,
        kind=kind,
        mode=mode,
        uid=info.uid,
        gid=info.gid,
        size=size,
        mtime=int(info.mtime),
        offset=info.offset_data if kind is Kind.FILE else 0,
        target=target,
        capability=capability.encode("utf-8", "surrogateescape").hex(),
    )


def _clean(name: str) -> str:
    """The form of `Member.path`. Raises HostileError."""
    if name.startswith("/"):
        raise HostileError(name, "it has an absolute path")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise HostileError(name, "it has a path with '..'")
    path = "/".join(parts)
    if len(path) >= _MAX_PATH or not _is_text(path):
        raise HostileError(ascii(path[:200]), "it has a path that is too long, not UTF-8 or holds control characters")
    return path


def _is_text(text: str) -> bool:
    """Debian policy 10.10 wants UTF-8; control characters would break the lists of dpkg's database."""
    return all(c >= " " and c != "\x7f" and not "\ud800" <= c <= "\udfff" for c in text)


def _check_symlink(path: str, target: str) -> None:
    if not target or len(target) >= _MAX_PATH or not _is_text(target):
        raise HostileError(path, "it is a symbolic link with a malformed target")
    depth = 0 if target.startswith("/") else path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in {"", "."}:
            depth += 1
        if depth < 0:
            raise HostileError(path, f"it is a symbolic link to {target}, above the root")


def _conffiles(listing: ControlFile | None, members: Sequence[Member], data: Path) -> tuple[tuple[str, str], ...]:
    """What dpkg's status file says of each: deb-conffiles(5), and dpkg's dump.c for a file that is to be removed.

    MD5 because that is how dpkg recognises local changes; it protects nothing here.
    """
    if listing is None:
        return ()
    by_path = {member.path: member for member in members if member.kind is Kind.FILE}
    found = []
    with data.open("rb") as file:
        for line in listing.content.decode().splitlines():
            flag, _, path = ("", "", line.strip()) if line.startswith("/") else line.strip().partition(" ")
            if not path:
                continue
            if flag == "remove-on-upgrade":
                found.append((path, "newconffile remove-on-upgrade"))
                continue
            member = by_path.get(path.lstrip("/"))
            if member is None or flag:
                raise HostileError(path, "it is listed as a configuration file but not in the package")
            file.seek(member.offset)
            found.append((path, hashlib.md5(file.read(member.size), usedforsecurity=False).hexdigest()))
    return tuple(found)
