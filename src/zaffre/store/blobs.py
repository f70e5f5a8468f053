# SPDX-License-Identifier: Apache-2.0
"""Content-addressed files: how they come in, are found, and are held against their name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.store.errors import CorruptBlobError, MissingBlobError, disk_full_guard
from zaffre.store.files import copy_sparse, hash_file
from zaffre.store.layout import Layout, mark_used
from zaffre.store.session import Sessions

_MODE = 0o444


_Stamp = tuple[int, int, int, int, int]


class Blobs:
    """Blobs appear under their name complete or not at all: they are written in the session's directory and renamed.

    What this process has hashed is not hashed again as long as its file is the same one, of the same size, and neither
    its content nor its status was changed since. Nor is it marked as used again: it was, since this session began.
    """

    def __init__(self, layout: Layout, sessions: Sessions) -> None:
        self._layout = layout
        self._sessions = sessions
        self._hashed: dict[Sha256, _Stamp] = {}

    def has(self, digest: Sha256) -> bool:
        if self._is_as_hashed(digest):
            return True
        self._sessions.directory()
        with self._layout.using():
            return mark_used(self._layout.blob(digest))

    def absent(self, digests: Iterable[Sha256]) -> frozenset[Sha256]:
        self._sessions.directory()
        with self._layout.using():
            return frozenset(digest for digest in digests if not mark_used(self._layout.blob(digest)))

    def path(self, digest: Sha256) -> Path:
        if not self.has(digest):
            raise MissingBlobError(
                f"blob {digest} is not in the store",
                where=str(self._layout.root),
                resolution="run the command again: what is missing is fetched or built anew",
            )
        return self._layout.blob(digest)

    def verified(self, digest: Sha256) -> Path:
        path = self.path(digest)
        if not self._is_as_hashed(digest):
            stamp = _stamp(path)
            found = hash_file(path)
            if found != digest:
                self.quarantine(digest)
                raise corrupt(digest, found, path)
            self._hashed[digest] = stamp
        return path

    def _is_as_hashed(self, digest: Sha256) -> bool:
        known = self._hashed.get(digest)
        try:
            return known is not None and _stamp(self._layout.blob(digest)) == known
        except FileNotFoundError:
            return False

    def quarantine(self, digest: Sha256) -> None:
        """Takes a blob out of use, keeping its bytes in `partial/` until the next collection."""
        with suppress(FileNotFoundError):
            self._layout.blob(digest).replace(self._layout.partial / f"{digest}.corrupt")

    def add_bytes(self, data: bytes) -> Sha256:
        digest = sha256_bytes(data)
        if self._present(digest, len(data)):
            return digest
        temporary = self._sessions.temporary()
        try:
            with disk_full_guard(temporary):
                temporary.write_bytes(data)
                self._publish(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def add_file(self, path: Path, *, expected: Sha256 | None, move: bool) -> Sha256:
        temporary = self._sessions.temporary()
        try:
            with disk_full_guard(temporary):
                if not (move and _rename(path, temporary)):
                    copy_sparse(path, temporary)
                digest = hash_file(temporary)
                if expected is not None and digest != expected:
                    raise _mismatch(expected, digest, path)
                self._publish(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)
        if move:
            path.unlink(missing_ok=True)
        return digest

    def adopt(self, digest: Sha256) -> Path:
        partial = self._layout.partial / digest
        self._sessions.directory()
        try:
            found = hash_file(partial)
        except FileNotFoundError:
            return self.path(digest)  # another process adopted it meanwhile
        if found != digest:
            partial.unlink(missing_ok=True)
            raise _mismatch(digest, found, partial)
        with disk_full_guard(partial):
            self._publish(partial, digest)
        return self._layout.blob(digest)

    def _present(self, digest: Sha256, size: int) -> bool:
        if not self.has(digest):
            return False
        with suppress(FileNotFoundError):
            return self._layout.blob(digest).stat().st_size == size
        return False

    def _publish(self, temporary: Path, digest: Sha256) -> None:
        """Renames over whatever is there: adding good content heals a corrupted blob."""
        target = self._layout.blob(digest)
        temporary.chmod(_MODE)
        with self._layout.using():
            mark_used(temporary)
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
            self._hashed[digest] = _stamp(target)


def _stamp(path: Path) -> _Stamp:
    """What changes when a file does: no program can set the last one, the time of its last change of any kind.

    Before Linux 6.13 it stands still for up to 10 ms, within which a second change does not show.
    """
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def corrupt(digest: str, found: str, path: Path) -> CorruptBlobError:
    return CorruptBlobError(
        f"blob {digest} in the store is corrupted",
        where=str(path),
        details=f"its content has the SHA-256 {found}; it has been taken out of the store",
        resolution="run the same command again: the blob is fetched or built anew; "
        "`zaffre store verify` looks at all the others",
    )


def _mismatch(expected: str, found: str, path: Path) -> IntegrityError:
    return IntegrityError(
        "the file does not have the SHA-256 that it must have",
        where=str(path),
        details=f"expected {expected}\nfound    {found}",
        resolution="run the command again to fetch it anew; if it happens again, the source serves a changed file",
    )


def _rename(source: Path, target: Path) -> bool:
    """False when both are not on one file system, or when the file has other names that could change it."""
    if source.is_symlink() or source.stat().st_nlink > 1:
        return False
    try:
        os.replace(source, target)  # noqa: PTH105
    except OSError as error:
        if error.errno in {errno.EXDEV, errno.EPERM, errno.EACCES}:
            return False
        raise
    return True
