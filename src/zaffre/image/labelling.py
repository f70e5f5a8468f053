# SPDX-License-Identifier: Apache-2.0
"""SELinux labels in an ext4 file system that was made from a directory, without the kernel of the building machine.

Which label is whose, libselinux says (matchpathcon(8) of the tools); debugfs(8) writes them, as the extended attribute
`security.selinux`, with the zero byte at its end that setfilecon(3) writes. In an image they lie within the inodes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from zaffre.errors import DefinitionError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rootfs import walk

ATTRIBUTE = "security.selinux"
_SECONDS = 600.0
_BATCH = 2000
"""Paths on one command line: Linux takes 2 MB of them."""
_NONE = "<<none>>"
# matchpathcon's names of kinds.
_KINDS: Mapping[int, str] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "lnk_file",
    stat.S_IFCHR: "chr_file",
    stat.S_IFBLK: "blk_file",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "sock_file",
}
# What mke2fs makes beside the directory's files.
_MADE = ("/", "/lost+found")


def label_ext4(
    image: Path, root: Path, tables: tuple[Path, Path], *, epoch: int, scratch: Path, sandbox: Sandbox
) -> int:
    """Give each file of the file system `image`, made from the directory `root`, the label of its path, and return how
    many have one. `tables` are as `make_erofs` takes them.

    The same input gives the same bytes. Raises DefinitionError for a name with a line feed, ToolError when a label was
    not written.
    """
    files = ((f"/{name}", status.st_mode) for name, status in walk(root))
    labels = labels_of((*((path, stat.S_IFDIR) for path in _MADE), *files), tables, sandbox)
    job = scratch / "labels"
    job.mkdir()
    numbers = {label: str(number) for number, label in enumerate(sorted(set(labels.values())))}
    for label, number in numbers.items():
        (job / number).write_bytes(attribute(label))
    commands = (f"ea_set -f /job/{numbers[label]} {_quoted(path)} {ATTRIBUTE}\n" for path, label in labels.items())
    (job / "commands").write_bytes(os.fsencode("".join(commands)))
    argv = ["debugfs", "-w", "-f", "/job/commands", "/image"]
    done = sandbox.run(
        argv,
        mounts=[Mount(job, "/job"), Mount(image, "/image", writable=True)],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
        timeout=_SECONDS,
    )
    # It says what it could not do, goes on, and ends with 0; its version is the first line.
    if wrong := [line for line in done.stderr_tail.splitlines() if line and not line.startswith("debugfs ")]:
        details = "\n".join(wrong[-20:])
        raise ToolError("labels could not be written", command=" ".join(argv), returncode=0, details=details)
    return len(labels)


def labels_of(paths: Iterable[tuple[str, int]], tables: tuple[Path, Path], sandbox: Sandbox) -> dict[str, str]:
    """The label of each absolute path with a file of such a mode, if there is one for it.

    Raises DefinitionError for a path with a line feed.
    """
    return dict(_labels(paths, tables, sandbox))


def attribute(label: str) -> bytes:
    """The value of `security.selinux` for it."""
    return label.encode() + b"\0"


def _labels(paths: Iterable[tuple[str, int]], tables: tuple[Path, Path], sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    by_kind: dict[str, list[str]] = {kind: [] for kind in _KINDS.values()}
    for path, mode in paths:
        if "\n" in path:
            raise DefinitionError(f"a name has a line feed in it: {path!r}", where="files.trees")
        by_kind[_KINDS[stat.S_IFMT(mode)]].append(path)
    mounts = [Mount(tables[0], "/job/contexts"), Mount(tables[1], "/job/contexts.subs_dist")]
    for kind, names in by_kind.items():
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            argv = ["matchpathcon", "-n", "-m", kind, "-f", "/job/contexts", *batch]
            told = sandbox.run(argv, mounts=mounts, timeout=_SECONDS).stdout.decode().splitlines()
            if len(told) != len(batch):
                brief = f"there are {len(told)} labels for {len(batch)} paths"
                raise ToolError(brief, command="matchpathcon", returncode=0, where=batch[0])
            yield from ((name, label) for name, label in zip(batch, told, strict=True) if label != _NONE)


def _quoted(path: str) -> str:
    """As debugfs reads an argument: a quote within quotes is two of them."""
    return '"' + path.replace('"', '""') + '"'
