# SPDX-License-Identifier: Apache-2.0
"""The control file of a package, read from the package itself, once for each package."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from zaffre.digest import source_digest
from zaffre.errors import IntegrityError
from zaffre.store import Action, ActionResult, Store
from zaffre.tree.deb.archive import CONTROL_LIMIT, BadArchiveError, decompressed, find_parts
from zaffre.upstream.lock import LockedPackage

_MAX_CONTROL = 1 << 20
_NAMES = ("./control", "control")


def control_of(package: LockedPackage, store: Store) -> str:
    """The text of its control file; the package's file is in the store. Raises IntegrityError for a malformed one."""
    action = Action(
        kind="control",
        label=f"control file of {package.name}",
        inputs={"package": package.sha256, "code": source_digest("repository")},
        reason="an index of packages is made of their control files",
    )
    known = store.lookup(action.key)
    if known is None:
        text = _read(store.path(package.digest), f"{package.name} {package.version}")
        known = ActionResult(outputs={"control": store.add_bytes(text.encode())}, facts={})
        store.record(action.key, action, known)
    return store.path(known.outputs["control"]).read_text("utf-8")


def _read(deb: Path, where: str) -> str:
    try:
        with deb.open("rb") as file:
            part, _ = find_parts(file, deb.stat().st_size)
            raw = b"".join(decompressed(file, part, limit=CONTROL_LIMIT))
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                if member.name in _NAMES and member.isreg() and member.size <= _MAX_CONTROL:
                    content = archive.extractfile(member)
                    return content.read().decode() if content is not None else ""
    except (BadArchiveError, tarfile.TarError, UnicodeDecodeError) as error:
        raise IntegrityError("the package cannot be read", where=where, details=str(error)) from error
    raise IntegrityError("the package has no control file", where=where)
