# SPDX-License-Identifier: Apache-2.0
"""Files from a place that nobody trusts, by what signed metadata say of them.

Never more bytes than the signed length; within a time that follows from it; no faster than the owner allows. What
arrived before the place went away is kept and gone on from, and the whole is verified. What does not verify is removed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from zaffre.agent.files import is_file_of, sync_folder, told_when_full
from zaffre.agent.handover import Expected
from zaffre.agent.source import Place
from zaffre.errors import DiskFullError, IntegrityError, WorldError
from zaffre.progress import SILENT, Progress

LEAST_RATE: Final = 16_000
"""Bytes a second, on the whole: a place that gives less is left, and gone on with by the next run."""
GRACE: Final = 60.0
"""Seconds that every file may take."""
SPARE: Final = 16 << 20
"""Bytes of /var that are left to the host."""
_ATTEMPTS = 3
_READ = 1 << 20


def free_bytes(folder: Path) -> int:
    """What is left to us of the file system (statvfs(3): `f_bavail`)."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@dataclass
class Downloads:
    """`folder` keeps whole files by their digest, and parts. `rate` is in bytes a second, 0 without a limit."""

    place: Place
    folder: Path
    rate: int = 0
    progress: Progress = SILENT
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    free: Callable[[Path], int] = free_bytes

    def require_room(self, wanted: Iterable[Expected]) -> None:
        """Raises DiskFullError before anything is begun that has no room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = sum(one.length - self.have(one) for one in wanted)
        free = self.free(self.folder)
        if missing and missing + SPARE > free:
            raise DiskFullError(
                "there is not enough room for the release",
                where=str(self.folder),
                details=f"{(missing + SPARE) / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
                resolution="make room in /var; the next run tries again",
            )

    def have(self, one: Expected) -> int:
        """Bytes of a file that are here, whatever they are."""
        whole = self.folder / one.sha256
        path = whole if whole.exists() else whole.with_suffix(".part")
        return min(path.stat().st_size, one.length) if path.exists() else 0

    def keep_only(self, wanted: Iterable[Expected]) -> None:
        """Remove what was downloaded for others."""
        names = {one.sha256 for one in wanted}
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if path.name.removesuffix(".part") not in names:
                path.unlink()

    def fetch(self, name: str, one: Expected) -> Path:
        """A whole file. Raises IntegrityError for one that is not what was signed, WorldError when it can't be had."""
        whole = self.folder / one.sha256
        part = whole.with_suffix(".part")
        with told_when_full(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if is_file_of(whole, one.length, one.sha256):
                return whole
            whole.unlink(missing_ok=True)
            with self.progress.transfer(name, one.length) as advance:
                self._complete(one, part, advance)
            part.replace(whole)
            sync_folder(self.folder)
        return whole

    def _complete(self, one: Expected, part: Path, advance: Callable[[int], None]) -> None:
        """Until the part is the file. A part of an earlier run that proves bad is begun anew, once."""
        old = part.exists() and part.stat().st_size > 0
        try:
            self._attempts(one, part, advance)
        except IntegrityError:
            part.unlink(missing_ok=True)
            if not old:
                raise
            self._attempts(one, part, advance)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _attempts(self, one: Expected, part: Path, advance: Callable[[int], None]) -> None:
        """Go on where it ended, as long as something comes."""
        end = self.clock() + GRACE + one.length / LEAST_RATE
        for attempt in range(1, _ATTEMPTS + 1):
            before = part.stat().st_size if part.exists() else 0
            try:
                self._once(one, part, advance, end)
            except IntegrityError:
                part.unlink(missing_ok=True)
                raise
            except WorldError:
                now = part.stat().st_size if part.exists() else 0
                if attempt == _ATTEMPTS or now <= before or self.clock() > end:
                    raise
            else:
                return

    def _once(self, one: Expected, part: Path, advance: Callable[[int], None], end: float) -> None:
        with part.open("a+b") as file:
            digest = hashlib.sha256()
            have = _hashed(file, digest.update, one.length)
            if have < one.length:
                start, chunks = self.place.rest(one.place, have)
                if start != have:
                    file.truncate(0)
                    digest, have = hashlib.sha256(), 0
                begun, from_here = self.clock(), have
                for chunk in chunks:
                    have += len(chunk)
                    if have > one.length:
                        raise self._bad(one, f"it goes on after the {one.length} bytes that it should have")
                    file.write(chunk)
                    digest.update(chunk)
                    advance(len(chunk))
                    self._pause(have - from_here, begun)
                    if self.clock() > end:
                        raise self._short(one, have, "it comes too slowly")
            file.flush()
            os.fsync(file.fileno())
        if have < one.length:
            raise self._short(one, have, "it ended before its end")
        if digest.hexdigest() != one.sha256:
            raise self._bad(one, f"its SHA-256 is {digest.hexdigest()}")

    def _pause(self, brought: int, begun: float) -> None:
        if self.rate and (ahead := brought / self.rate - (self.clock() - begun)) > 0:
            self.sleep(ahead)

    def _bad(self, one: Expected, why: str) -> IntegrityError:
        return IntegrityError(
            "the file is not the one that was signed; it was removed",
            where=one.place,
            details=why,
            resolution="tell whoever runs this mirror; the next run tries again",
        )

    def _short(self, one: Expected, have: int, why: str) -> WorldError:
        return WorldError(
            "the file did not arrive",
            where=one.place,
            details=f"{why}: {have} of {one.length} bytes are here, and are kept",
            resolution="the next run goes on from there",
        )


def _hashed(file: BinaryIO, update: Callable[[bytes], object], limit: int) -> int:
    """Take in what is there, from the beginning; what is longer than the file may be is thrown away. Bytes."""
    if file.seek(0, os.SEEK_END) > limit:
        file.truncate(0)
    file.seek(0)
    size = 0
    while data := file.read(_READ):
        update(data)
        size += len(data)
    return size
