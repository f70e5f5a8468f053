# SPDX-License-Identifier: Apache-2.0
"""Files of keys: made once and synced, closed to others, read within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zaffre.errors import DefinitionError, IntegrityError, WorldError

_MAX_FILE = 64 * 1024


def require_directory(directory: Path) -> None:
    """Raises DefinitionError where there is no directory of keys."""
    if not directory.is_dir():
        raise DefinitionError(
            "there are no keys here",
            where=str(directory),
            resolution="make them with 'zaffre keys init', or say where they are with --keys DIR or ZAFFRE_KEYS",
        )


def require_private(path: Path, *, wanted: int) -> None:
    """Raises WorldError for what others can read or change."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise WorldError(
            f"private keys are open to other users: mode {mode:04o}, at most {wanted:04o} is allowed",
            where=str(path),
            resolution=f"if nobody else can have read it: chmod {wanted:o} {path}",
        )


def read_bounded(path: Path) -> bytes:
    """Raises IntegrityError for a file that is larger than any key."""
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise IntegrityError(f"the file is larger than any key ({_MAX_FILE} bytes)", where=str(path))
    return data


def create(path: Path, data: bytes, mode: int) -> None:
    """A new file of that mode whatever the umask, on the disk when this returns. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
