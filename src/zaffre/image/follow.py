# SPDX-License-Identifier: Apache-2.0
"""What a host has that follows a channel of releases by itself (ADR 32).

Nothing of it is on the way to multi-user.target: when the boot was judged, zaffre-follow.service lays the extension
with the agent over the host, and starts the agent's timer. The disk image brings the extension on the ESP.

Sources: systemd-sysext(8), systemd.special(7); the settings are those of `zaffre.agent.settings`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from zaffre.definition import Distribution, Image
from zaffre.definition.update import Update
from zaffre.digest import Sha256
from zaffre.image.output import place
from zaffre.image.steps import Workshop
from zaffre.slots import SIGNED_ONLY

ROOT_OF_TRUST = "usr/lib/zaffre/root.json"
SETTINGS = "usr/lib/zaffre/agent.toml"
PROGRAM = "usr/lib/zaffre/follow"
ON_ESP = "zaffre"
"""The folder of the ESP in which the extension lies."""

_UNITS = "usr/lib/systemd/system"


def follow_files(distribution: Distribution, image: Image) -> dict[str, str]:
    """Contents by relative path, a value that begins with `->` being a link's target; none for a host that follows
    nothing. Raises OSError if the root of trust, at which the definition's loader has looked, cannot be read.
    """
    update = image.update
    if update.place is None or update.trusted is None:
        return {}
    return {
        ROOT_OF_TRUST: distribution.path(update.trusted).read_text(encoding="utf-8"),
        SETTINGS: settings(update),
        PROGRAM: resources.files("zaffre.image").joinpath("scripts", "follow.sh").read_text(),
        f"{_UNITS}/zaffre-follow.service": _FOLLOW.format(program=PROGRAM, agent=update.agent),
        f"{_UNITS}/boot-complete.target.wants/zaffre-follow.service": "->../zaffre-follow.service",
        f"{_UNITS}/systemd-sysext.service.d/zaffre-follow.conf": _signed("systemd-sysext refresh"),
        f"{_UNITS}/systemd-confext.service.d/zaffre-follow.conf": _signed(
            "systemd-confext refresh --mutable=ephemeral"
        ),
    }


def settings(update: Update) -> str:
    """The agent's settings, in TOML."""
    said: Mapping[str, object] = {
        "place": update.place,
        "channel": update.channel,
        "window": update.window,
        "restart": None if update.restart else False,
        "rate": update.rate,
        "ca": update.certificates,
        "extensions": update.extensions or None,
        "agent": None if update.agent == Update.model_fields["agent"].default else update.agent,
    }
    # Of strings of these forms, lists of them, numbers and booleans, JSON and TOML have the same spelling.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value is not None]
    return "\n".join(lines) + "\n"


def bring_agent(image: Image, agent: Sha256, folder: Path, esp: Path, shop: Workshop) -> int:
    """Put the signed extension `agent` beside a build's files, and into the tree of its ESP. Returns its bytes."""
    name = f"{image.update.agent}.raw"
    place(shop.store.verified(agent), folder / name)
    target = esp / ON_ESP / name
    target.parent.mkdir()
    shutil.copyfile(folder / name, target)
    for path in (target, target.parent, esp):
        os.utime(path, (shop.epoch, shop.epoch))
    return target.stat().st_size


def _signed(command: str) -> str:
    """The last of a service's drop-in files by its name: whatever else the host takes, it takes nothing unsigned. With
    a configuration laid over it, /etc can be written as before, and forgets as before.
    """
    line = f"{command} --image-policy={SIGNED_ONLY}"
    return f"[Service]\nExecStart=\nExecStart={line}\nExecReload=\nExecReload={line}\n"


_FOLLOW = """\
[Unit]
Description=Follow a channel of releases
Wants=boot.automount
After=boot.automount boot-complete.target systemd-bless-boot.service

[Service]
Type=oneshot
RemainAfterExit=yes
# With SELinux, where that is enforced, it has the rights of the agent.
SELinuxContext=-system_u:system_r:zaffre_agent_t:s0
# They must be there when the service's own view of the file system is made.
ExecStartPre=+mkdir -p /var/lib/extensions /var/lib/confexts
ExecStart=sh /{program} {agent}
TimeoutStartSec=5min

# It reads the ESP, writes extensions, and has the system manager start what lays them over the host.
ProtectSystem=strict
ReadWritePaths=-/var/lib/extensions -/var/lib/confexts
ProtectHome=yes
PrivateNetwork=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
DevicePolicy=closed
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
"""
