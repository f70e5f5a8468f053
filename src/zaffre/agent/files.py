# SPDX-License-Identifier: Apache-2.0
"""Files that survive a power cut whole, and a lock that one process has at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zaffre.errors import DiskFullError, WorldError

MAX_SMALL = 1 << 20
"""Bytes of a file that states something: more is no such file."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_whole(path: Path, data: bytes) -> None:
    """Write beside its place, sync, rename: after a crash there is the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    with told_when_full(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    write_whole(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, object]:
    """What a file of ours or of the host states; nothing when it is not there, cut off, or something else."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_SMALL))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def remove(path: Path) -> None:
    """Remove a file, and let that last."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_file_of(path: Path, length: int, sha256: str) -> bool:
    """Whether a file is there and has that content, which is read in bounded memory."""
    try:
        if path.stat().st_size != length:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Turns ENOSPC and EDQUOT into DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            "the disk is full", where=str(folder), resolution="make room there; the next run goes on by itself"
        ) from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """flock(2) on a file: the right ends with the process, however that ends. Raises WorldError if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise WorldError(
                "another zaffre-agent is at work here",
                where=str(path),
                details=file.read(200).strip() or None,
                resolution="wait until it has ended",
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
