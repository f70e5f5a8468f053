# SPDX-License-Identifier: Apache-2.0
"""What is in a root file tree: every path, whose it is, and what of it faces other users, the network or the kernel."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from zaffre.tree.ids import accounts
from zaffre.tree.installed import InstalledPackage, installed_packages, owners
from zaffre.tree.kernelsettings import kernel_settings, kernel_versions
from zaffre.tree.kmod import plain_name
from zaffre.tree.listing import Content, listing
from zaffre.tree.overlay import laid_paths
from zaffre.tree.tarball import Node, scan
from zaffre.tree.units import UnitState, unit_lines, unit_states
from zaffre.upstream.lock import Users

_NOBODY = ("", "")
_LISTENS = ("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenNetlink", "ListenSpecial")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageShare(_Model):
    """A package and what is left of it in the tree. A file that hard links share counts once."""

    name: str
    version: str
    architecture: str
    files: int
    bytes: int


class FolderShare(_Model):
    path: str
    files: int
    bytes: int


class PrivilegedFile(_Model):
    """A file that gives its caller rights: setuid, setgid, or capabilities by their numbers (capability.h)."""

    path: str
    mode: str
    owner: str
    capabilities: tuple[int, ...] = ()


class ListeningUnit(_Model):
    """A socket unit. `enabled`: something pulls it in at boot, and it is not masked."""

    name: str
    listens: tuple[str, ...]
    enabled: bool


class Inventory(_Model):
    """`bytes` are apparent sizes of regular files; folders are those of two levels below /usr, else of one.

    `sysctl` is what systemd-sysctl(8) would set at boot; `command_line` is the kernel's, without what names the root;
    `kernels` are the versions that the tree has modules of.
    """

    format: Literal[2] = 2
    packages: tuple[PackageShare, ...]
    folders: tuple[FolderShare, ...]
    files: int
    directories: int
    links: int
    bytes: int
    unpackaged: FolderShare = Field(description="what no package has: generated files, files of the definition")
    privileged: tuple[PrivilegedFile, ...]
    listening: tuple[ListeningUnit, ...]
    units: dict[str, UnitState]
    sysctl: dict[str, str]
    command_line: tuple[str, ...]
    kernels: tuple[str, ...]
    accounts: Users
    content: tuple[Content, ...]


def inventory_of(
    root: Path,
    *,
    command_line: Sequence[str] = (),
    trees: Mapping[str, Path] | None = None,
    nodes: Sequence[Node] | None = None,
) -> Inventory:
    """Read a tree, configured or customised. Packages are those of its own database.

    `trees` are those that were laid over it, by their names in the definition, in that order; `nodes` are its paths,
    where they were looked at already.
    """
    if nodes is None:
        nodes = scan(root)
    files = _regular_files(nodes)
    packages = tuple(installed_packages(root))
    owned = owners(root, packages)
    shares: dict[tuple[str, str], list[int]] = {}
    folders: dict[str, list[int]] = {}
    for path, size in files.items():
        _count(shares, owned.get(plain_name(path), _NOBODY), size)
        _count(folders, _folder(path), size)
    loose = shares.pop(_NOBODY, [0, 0])
    states = unit_states(root)
    return Inventory(
        packages=tuple(_packages(packages, shares)),
        folders=tuple(
            FolderShare(path=path, files=count, bytes=size)
            for path, (count, size) in sorted(folders.items(), key=lambda one: (-one[1][1], one[0]))
        ),
        files=len(files),
        directories=sum(stat.S_ISDIR(node.status.st_mode) for node in nodes),
        links=sum(stat.S_ISLNK(node.status.st_mode) for node in nodes),
        bytes=sum(files.values()),
        unpackaged=FolderShare(path="", files=loose[0], bytes=loose[1]),
        privileged=tuple(_privileged(nodes)),
        listening=tuple(_listening(root, states)),
        units=states,
        sysctl=kernel_settings(root),
        command_line=tuple(command_line),
        kernels=kernel_versions(root),
        accounts=accounts(root),
        content=tuple(listing(root, nodes, owned, laid_paths(root, trees or {}))),
    )


def inventory_text(inventory: Inventory) -> str:
    """JSON with an entry a line, as the lock has it: equal trees give equal bytes, and `diff` shows what differs.

    Fields that have their default are left out.
    """
    fields = {"format": inventory.format, **inventory.model_dump(mode="json", exclude_defaults=True)}
    return "{\n" + ",\n".join(f' "{key}": {_value(value)}' for key, value in fields.items()) + "\n}\n"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {_json(one)}" for one in value) + "\n ]"
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _regular_files(nodes: Iterable[Node]) -> dict[str, int]:
    """Sizes by path, each hard-linked file at its first path."""
    seen: set[tuple[int, int]] = set()
    files: dict[str, int] = {}
    for node in nodes:
        status = node.status
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            files[node.path] = status.st_size
    return files


_Key = TypeVar("_Key")


def _count(totals: dict[_Key, list[int]], key: _Key, size: int) -> None:
    total = totals.setdefault(key, [0, 0])
    total[0] += 1
    total[1] += size


def _folder(path: str) -> str:
    parts = path.split("/")[:-1]
    return "/" + "/".join(parts[:2] if parts[:1] == ["usr"] else parts[:1])


def _packages(
    packages: Iterable[InstalledPackage], shares: Mapping[tuple[str, str], list[int]]
) -> Iterator[PackageShare]:
    rows = []
    for one in packages:
        count, size = shares.get(one.key, [0, 0])
        rows.append(
            PackageShare(name=one.name, version=one.version, architecture=one.architecture, files=count, bytes=size)
        )
    yield from sorted(rows, key=lambda row: (-row.bytes, row.name, row.architecture))


def _privileged(nodes: Iterable[Node]) -> Iterator[PrivilegedFile]:
    for node in nodes:
        mode = node.status.st_mode
        capability = dict(node.xattrs).get("security.capability", b"")
        if stat.S_ISREG(mode) and (mode & (stat.S_ISUID | stat.S_ISGID) or capability):
            yield PrivilegedFile(
                path=f"/{node.path}",
                mode=f"{stat.S_IMODE(mode):04o}",
                owner=f"{node.status.st_uid}:{node.status.st_gid}",
                capabilities=_capabilities(capability),
            )


def _capabilities(value: bytes) -> tuple[int, ...]:
    """The permitted set of struct vfs_cap_data (linux/capability.h): a magic, then permitted and inheritable words."""
    if len(value) < 20:
        return ()
    low, _, high, _ = struct.unpack_from("<4I", value, 4)
    return tuple(number for number in range(64) if (low | high << 32) >> number & 1)


def _listening(root: Path, states: Mapping[str, UnitState]) -> Iterator[ListeningUnit]:
    for name in (unit for unit in states if unit.endswith(".socket")):
        listens: list[str] = []
        for key, value in unit_lines(root, name):
            if key in _LISTENS:
                # An empty one forgets those before it, of every kind.
                listens = [*listens, f"{key}={value}"] if value else []
        if listens:
            yield ListeningUnit(name=name, listens=tuple(listens), enabled=states[name] is UnitState.ENABLED)
