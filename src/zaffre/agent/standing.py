# SPDX-License-Identifier: Apache-2.0
"""How the extensions stand that a node follows: for its status, and for what differs from the release."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zaffre.agent.home import Home
from zaffre.agent.overlay import KINDS, Overlay
from zaffre.agent.remembered import Remembered, Shelf
from zaffre.agent.settings import Settings
from zaffre.errors import ZaffreError


@dataclass(frozen=True)
class Standing:
    """`version` is what is kept of it, None for nothing; `merged`, whether it is laid over, None when that cannot be
    found out; `failed` are versions that are not tried again; `why` is the last decision, or what kept the agent from
    it.
    """

    name: str
    kind: str | None
    version: str | None
    merged: bool | None
    failed: tuple[str, ...]
    why: str

    @property
    def words(self) -> str:
        has = f"{self.version}, a {self.kind}" if self.version else "nothing"
        lies = {True: "laid over", False: "not laid over", None: "not known whether laid over"}[self.merged]
        failed = f"; failed here: {', '.join(self.failed)}" if self.failed else ""
        return f"{has}, {lies}{failed}; {self.why}" if self.version else f"{has}{failed}; {self.why}"


def standings(home: Home, settings: Settings, overlay: Overlay) -> tuple[Standing, ...]:
    """Of all that the settings name, the agent's own last."""
    shelf, merged = Shelf(home.extensions), {kind: _merged(overlay, kind) for kind in KINDS}
    return tuple(_standing(name, shelf.read(name), overlay, merged) for name in (*settings.extensions, settings.agent))


def released(home: Home, overlay: Overlay) -> frozenset[tuple[str, str]]:
    """Kinds and names of what is kept as the agent has brought it, bit for bit."""
    shelf = Shelf(home.extensions)
    found = ((name, shelf.read(name)) for name in shelf.names())
    return frozenset((one.kind, name) for name, one in found if one.kind is not None and _is_kept(overlay, name, one))


def _standing(name: str, one: Remembered, overlay: Overlay, merged: dict[str, frozenset[str] | None]) -> Standing:
    there = _is_kept(overlay, name, one)
    laid = merged.get(one.kind or "")
    return Standing(
        name=name,
        kind=one.kind,
        version=one.newest if there else None,
        merged=None if laid is None else name in laid,
        failed=one.failed,
        why=str(one.last.get("problem") or one.last.get("reason") or "not looked at yet"),
    )


def _is_kept(overlay: Overlay, name: str, one: Remembered) -> bool:
    if one.kind is None or one.sha256 is None:
        return False
    try:
        with (overlay.kept(one.kind) / f"{name}.raw").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == one.sha256
    except OSError:
        return False


def _merged(overlay: Overlay, kind: str) -> frozenset[str] | None:
    try:
        return overlay.merged(kind)
    except ZaffreError:
        return None
