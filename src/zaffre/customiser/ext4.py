# SPDX-License-Identifier: Apache-2.0
"""An ext4 file system inside an image, read and changed in place by debugfs(8) of the tools tree. Nothing is mounted.

All that is not changed stays byte for byte where it is. debugfs says what went wrong, and goes on: so a word of it on
standard error is a failure, and e2fsck(8) has to find nothing before and after.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rootfs import walk
from zaffre.trust.gpt import Partition

_SECONDS = 1800.0
_WRITTEN_AT = 1024 + 0x30
_TREE = "/job/tree"
_VALUES = "/job/values"
_BANNER = re.compile(r"debugfs \d[^\n]*\n")
_FULL = ("Could not allocate", "No free space", "No space left")
_UNSPEAKABLE = re.compile(r'["\n\\]')
_ASKED = 'debugfs: ls -p "/'
_LISTED = re.compile(r"/(?P<inode>\d+)/(?P<mode>[0-7]{6})/\d+/\d+/(?P<name>[^/]+)/\d*/")
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_SPECIAL = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "folder"}


@dataclass(frozen=True)
class Node:
    """A path to be as it is in a tree on disk: paths relative to the root, `time` in seconds."""

    path: str
    mode: int
    uid: int
    gid: int
    time: int
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def kind(self) -> int:
        return stat.S_IFMT(self.mode)


@dataclass(frozen=True)
class TreeChanges:
    """What differs between two trees: a path whose content or kind changed is in `gone` and in `new`.

    `dressed` have another owner or mode, and what they hold is the same.
    """

    gone: tuple[Node, ...]
    new: tuple[Node, ...]
    dressed: tuple[Node, ...]

    def __bool__(self) -> bool:
        return bool(self.gone or self.new or self.dressed)


@dataclass(frozen=True)
class Ext4:
    """The file system in `partition` of the raw image `image`."""

    image: Path
    partition: Partition
    sandbox: Sandbox

    @property
    def _place(self) -> str:
        return f"/job/image?offset={self.partition.offset}"

    @property
    def written(self) -> int:
        """When it was written to last, in seconds (kernel documentation, "ext4", super block: s_wtime)."""
        with self.image.open("rb") as file:
            file.seek(self.partition.offset + _WRITTEN_AT)
            return int.from_bytes(file.read(4), "little")

    def require_sound(self) -> None:
        """Raise IntegrityError unless e2fsck finds nothing to mend, a journal to be replayed included."""
        done = self.sandbox.run(
            ["e2fsck", "-f", "-n", self._place], mounts=[self._mount()], timeout=_SECONDS, check=False
        )
        said = done.stdout.decode(errors="replace")
        if done.returncode != 0 or "skipping journal recovery" in said + done.stderr_tail:
            raise IntegrityError(
                "the root file system is damaged, or its machine was not shut down in order",
                where=str(self.image),
                details=said[-2000:],
                resolution="take the image from where it came from again, or shut its machine down",
            )

    def extract(self, root: Path) -> None:
        """Write the tree to `root`, which is made: owners, modes, times and hard links, but no extended attributes."""
        root.mkdir()
        done = self.sandbox.run(
            ["debugfs", "-R", f"rdump / {_TREE}", self._place],
            mounts=[self._mount(), Mount(root, _TREE, writable=True)],
            timeout=_SECONDS,
        )
        self._require_silent(done.stderr_tail)
        self._mend(root)

    def _mend(self, root: Path) -> None:
        """Give back what debugfs loses: setuid, setgid and sticky bits, and that files are one under several names."""
        folders = ["", *(path for path, status in walk(root) if stat.S_ISDIR(status.st_mode))]
        said = self._run([f'ls -p "{spoken(folder)}"' for folder in folders], writable=False)
        folder, first = "", dict[str, Path]()
        for line in said.splitlines():
            if line.startswith(_ASKED):
                folder = line.removeprefix(_ASKED).removesuffix('"')
            if (found := _LISTED.fullmatch(line)) is None or found["name"] in {".", ".."}:
                continue
            place, mode = root / folder / found["name"], int(found["mode"], 8)
            if stat.S_ISREG(mode) and (other := first.setdefault(found["inode"], place)) is not place:
                place.unlink()
                place.hardlink_to(other)
            elif mode & _SPECIAL_BITS and not stat.S_ISLNK(mode):
                place.chmod(stat.S_IMODE(mode))

    def attributes(self, paths: Iterable[str], *, without: str | None = None) -> dict[str, str]:
        """What debugfs lists of the extended attributes of paths that have some, beside the one that is named."""
        script = [f'ea_list "{spoken(path)}"' for path in paths]
        if not script:
            return {}
        said = self._run(script, writable=False)
        found: dict[str, str] = {}
        path = ""
        for line in said.splitlines():
            if line.startswith('debugfs: ea_list "'):
                path = line.removeprefix('debugfs: ea_list "/').removesuffix('"')
            elif (match := re.match(r"\s+(\S+) \(\d+\)", line)) and match[1] != without:
                found[path] = found.get(path, "") + line.strip()
        return found

    def change(self, changes: TreeChanges, tree: Path, *, epoch: int, scratch: Path) -> None:
        """Make the file system's paths as `changes` has them, with the content that they have in `tree`.

        Raises DefinitionError when there is no room.
        """
        values = scratch / "attributes"
        values.mkdir()
        script = [f"set_current_time @{epoch}", *_removals(changes.gone), *_writes(changes.new)]
        for one in (*changes.new, *changes.dressed):
            script += _dressing(one, values)
        self._run(script, writable=True, mounts=[Mount(tree, _TREE), Mount(values, _VALUES)])

    def _run(self, script: list[str], *, writable: bool, mounts: Iterable[Mount] = ()) -> str:
        done = self.sandbox.run(
            ["debugfs", *(["-w"] if writable else []), "-f", "-", self._place],
            mounts=[self._mount(writable=writable), *mounts],
            stdin="".join(f"{line}\n" for line in script).encode(),
            timeout=_SECONDS,
        )
        self._require_silent(done.stderr_tail)
        return done.stdout.decode(errors="replace")

    def _require_silent(self, said: str) -> None:
        words = _BANNER.sub("", said).strip()
        if not words:
            return
        if any(word in words for word in _FULL):
            raise DefinitionError(
                "the root file system has no room for the changes",
                where=str(self.image),
                details=words[-2000:],
                resolution="lay less over it, remove packages, or take an image with a larger root",
            )
        raise ToolError("debugfs failed", command="debugfs", returncode=0, where=str(self.image), details=words[-2000:])

    def _mount(self, *, writable: bool = False) -> Mount:
        return Mount(self.image.resolve(), "/job/image", writable=writable)


def spoken(path: str) -> str:
    """A path as debugfs is told it, in quotes. Raises DefinitionError for one that it can't be told."""
    if _UNSPEAKABLE.search(path):
        raise DefinitionError(
            "a path with a quotation mark, a backslash or the end of a line can't be written to this image",
            where=f"/{path}",
            resolution="give it another name",
        )
    return f"/{path}"


def _removals(nodes: Iterable[Node]) -> Iterator[str]:
    for one in sorted(nodes, key=lambda node: node.path, reverse=True):
        yield f'{"rmdir" if one.kind == stat.S_IFDIR else "rm"} "{spoken(one.path)}"'


def _writes(nodes: Iterable[Node]) -> Iterator[str]:
    """Folders before what is in them."""
    for one in sorted(nodes, key=lambda node: node.path):
        path = spoken(one.path)
        folder, _, name = path.rpartition("/")
        if one.kind not in _SPECIAL:
            raise DefinitionError("only files, links and folders can be written", where=path)
        if one.kind == stat.S_IFDIR:
            yield f'mkdir "{path}"'
        elif one.kind == stat.S_IFLNK:
            yield f'symlink "{path}" "{spoken(one.target)[1:]}"'
        else:
            yield f'cd "{folder or "/"}"'
            yield f'write "{_TREE}{path}" "{name}"'
    yield 'cd "/"'


def _dressing(one: Node, values: Path) -> Iterator[str]:
    """Owner, mode, times and attributes; the values of those go by way of the folder `values`."""
    path = spoken(one.path)
    yield f'sif "{path}" mode 0{one.mode:o}'
    yield f'sif "{path}" uid {one.uid}'
    yield f'sif "{path}" gid {one.gid}'
    for field in ("atime", "mtime", "ctime"):
        yield f'sif "{path}" {field} @{one.time}'
    for name, value in one.xattrs:
        number = sum(1 for _ in values.iterdir())
        (values / str(number)).write_bytes(value)
        yield f'ea_set -f {_VALUES}/{number} "{path}" {name}'
