# SPDX-License-Identifier: Apache-2.0
"""SELinux labels in an ext4 file system that was made from a directory, without the kernel of the building machine.

Which label is whose, libselinux says (matchpathcon(8) of the tools); debugfs(8) writes them, as the extended attribute
`security.selinux`, with the zero byte at its end that setfilecon(3) writes. In an image they lie within the inodes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zaffre.errors import DefinitionError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rootfs import walk

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
_MADE = (("/", "dir"), ("/lost+found", "dir"))


def label_ext4(
    image: Path, root: Path, tables: tuple[Path, Path], *, epoch: int, scratch: Path, sandbox: Sandbox
) -> int:
    """Give each file of the file system `image`, made from the directory `root`, the label of its path, and return how
    many have one. `tables` are as `make_erofs` takes them.

    The same input gives the same bytes. Raises DefinitionError for a name with a line feed, ToolError when a label was
    not written.
    """
    labels = dict(_labels(_by_kind(root), tables, sandbox))
    job = scratch / "labels"
    job.mkdir()
    numbers = {label: str(number) for number, label in enumerate(sorted(set(labels.values())))}
    for label, number in numbers.items():
        (job / number).write_bytes(label.encode() + b"\0")
    commands = (f"ea_set -f /job/{numbers[label]} {_quoted(path)} security.selinux\n" for path, label in labels.items())
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


def _by_kind(root: Path) -> Mapping[str, list[str]]:
    """Absolute paths of a tree by matchpathcon's name of their kind. Raises DefinitionError."""
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS.values()}
    for path, kind in _MADE:
        found[kind].append(path)
    for name, status in walk(root):
        if "\n" in name:
            raise DefinitionError(f"a name has a line feed in it: {name!r}", where="files.trees")
        found[_KINDS[stat.S_IFMT(status.st_mode)]].append(f"/{name}")
    return found


def _labels(
    paths: Mapping[str, Sequence[str]], tables: tuple[Path, Path], sandbox: Sandbox
) -> Iterator[tuple[str, str]]:
    """Each path with its label, if there is one for it."""
    mounts = [Mount(tables[0], "/job/contexts"), Mount(tables[1], "/job/contexts.subs_dist")]
    for kind, names in paths.items():
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
