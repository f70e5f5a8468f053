# SPDX-License-Identifier: Apache-2.0
"""A configured root's blob becomes a file tree again, without what the image does not want of it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zaffre.tree.rootfs import write_all
from zaffre.tree.tarball import TarEntry, read_tar


def _nothing(_: str) -> bool:
    return False


def extract_root(
    tar: Path, destination: Path, *, skip: Callable[[str], bool] = _nothing, jobs: int | None = None
) -> None:
    """Write a canonical archive below `destination`, an empty or absent directory: modes, owners, times, attributes.

    `skip` gets absolute paths of the tree; what it takes away is never written, a directory with all below it. A
    hard-linked file whose first path is skipped is written at its next one. Owners as for `extract_plan`.
    """
    destination.mkdir(exist_ok=True)
    base = os.fspath(destination)
    workers = jobs or os.cpu_count() or 1
    with tar.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        entries = list(_wanted(read_tar(content), skip))
        for entry in entries:
            if entry.kind == "5":
                path = f"{base}/{entry.path}"
                if entry.path:
                    os.mkdir(path, 0o700)  # noqa: PTH102
                _dress(path, entry)
        files = [entry for entry in entries if entry.kind == "0"]
        with memoryview(content) as view, ThreadPoolExecutor(workers, thread_name_prefix="extract") as pool:
            for done in [pool.submit(_write_files, files[n::workers], view, base) for n in range(workers)]:
                done.result()
    for entry in entries:
        path = f"{base}/{entry.path}"
        if entry.kind == "1":
            os.link(f"{base}/{entry.target}", path, follow_symlinks=False)
        elif entry.kind == "2":
            os.symlink(entry.target, path)  # noqa: PTH211
            if entry.uid or entry.gid:
                os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)
    for entry in reversed(entries):
        if entry.kind == "5":
            os.utime(f"{base}/{entry.path}", (entry.mtime, entry.mtime))


def _wanted(entries: Iterator[TarEntry], skip: Callable[[str], bool]) -> Iterator[TarEntry]:
    gone: set[str] = set()
    files: dict[str, TarEntry] = {}
    moved: dict[str, str] = {}
    for entry in entries:
        if entry.path and (entry.path.rpartition("/")[0] in gone or skip(f"/{entry.path}")):
            if entry.kind == "5":
                gone.add(entry.path)
            elif entry.kind == "0":
                files[entry.path] = entry
            continue
        if entry.kind == "1":
            first = moved.get(entry.target, entry.target)
            if first in files:
                moved[entry.target] = entry.path
                yield files[first]._replace(path=entry.path)
            else:
                yield entry._replace(target=first)
        else:
            yield entry


def _write_files(entries: Sequence[TarEntry], content: memoryview, base: str) -> None:
    for entry in entries:
        path = f"{base}/{entry.path}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, content, entry.offset, entry.size)
            _dress(fd, entry)
            os.utime(fd, (entry.mtime, entry.mtime))
        finally:
            os.close(fd)


def _dress(place: int | str, entry: TarEntry) -> None:
    """Owner before mode and attributes: chown(2) takes setuid bits and capabilities away."""
    if entry.uid or entry.gid:
        os.chown(place, entry.uid, entry.gid)
    os.chmod(place, entry.mode)  # noqa: PTH101 - a file descriptor too
    for name, value in entry.xattrs:
        os.setxattr(place, name, value)
