# SPDX-License-Identifier: Apache-2.0
"""Units that do harm in WSL: what configures the machine's network and what empties folders that WSL has filled.

Source: Microsoft's documentation, "Build a Custom Linux Distribution for WSL", "Systemd recommendations", which means
system and user units; and those that the program adds which Microsoft holds submitted distributions against
(`distributions/validate-modern.py` of microsoft/WSL).
"""

from __future__ import annotations

from zaffre.image.wsl.archive import WslArchive

HARMFUL = (
    "NetworkManager.service",
    "networking.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-tmpfiles-clean.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup.service",
    "tmp.mount",
)
SCOPES = ("system", "user")

_PULLS = (".wants", ".requires", ".upholds")


def masks() -> dict[str, str]:
    """The links that mask all of them, those too that a package may bring one day (systemd.unit(5))."""
    return {f"etc/systemd/{scope}/{unit}": "->/dev/null" for scope in SCOPES for unit in HARMFUL}


def harmful_units(archive: WslArchive) -> list[str]:
    """Paths by which something in the archive pulls such a unit in, that is there and not masked."""
    found = []
    for path, member in archive.members.items():
        scope, unit = _pulled(path)
        if unit in HARMFUL and member.kind == "link" and _is_there(archive, scope, unit):
            found.append(f"/{path}")
    return sorted(found)


def _folders(scope: str) -> tuple[str, ...]:
    """Where units lie, the folder that counts first first."""
    return (
        f"etc/systemd/{scope}",
        f"usr/local/lib/systemd/{scope}",
        f"usr/lib/systemd/{scope}",
        f"lib/systemd/{scope}",
    )


def _pulled(path: str) -> tuple[str, str]:
    """Scope and name of the unit that a link pulls in; empty for other paths."""
    folder, _, unit = path.rpartition("/")
    place, _, puller = folder.rpartition("/")
    if puller.endswith(_PULLS):
        for scope in SCOPES:
            if place in _folders(scope):
                return scope, unit
    return "", ""


def _is_there(archive: WslArchive, scope: str, unit: str) -> bool:
    """Whether the unit would be started. The first file of its name counts; an empty one, or /dev/null, masks it."""
    for folder in _folders(scope):
        path = f"{archive.resolve(folder)}/{unit}"
        member = archive.members.get(path)
        if member is None:
            continue
        if member.kind == "link" and member.target == "/dev/null":
            return False
        target = archive.at(path)
        return target is not None and target.size > 0
    return False
