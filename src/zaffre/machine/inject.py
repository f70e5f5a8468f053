# SPDX-License-Identifier: Apache-2.0
"""Units that are given to a guest from outside, for one boot, without changing its image.

systemd-debug-generator(8), version 256 and later, makes units and drop-ins of credentials; without that
generator in the image nothing happens. They reach the initrd too, where a condition keeps them from running.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from zaffre.slots import INCOMING

READY_UNIT = "zaffre-ready.service"
CHECK_UNIT = "zaffre-check.service"
UPDATE_UNIT = "zaffre-check-update.service"
CHECK_DISK = "zaffre-check"
"""Serial of the disk that holds the check's extension."""
CHECKED_DISK = "zaffre-checked"
"""Serial of the one that holds the extension that is checked."""
UPDATE_DISK = "zaffre-update"
"""Serial of the one that holds the version that a host is updated to."""

# exec, not oneshot: a job that runs until the system is settled would itself keep it from being so. Who gives units
# from outside is whoever the machine belongs to: where there is SELinux, nothing is refused to their domain.
_UNIT = """\
[Unit]
Description={description}
ConditionPathExists=!/etc/initrd-release
After=multi-user.target

[Service]
Type=exec
SELinuxContext=-system_u:system_r:zaffre_check_t:s0
{service}
StandardOutput=journal+console
StandardError=journal+console
TimeoutStopSec=5
"""


# The agent's service (distro/files/agent), as far as it matters to who writes into a slot.
_UPDATE = """\
[Unit]
Description=Write the next version into the other slot
Wants=boot.automount
After=boot.automount

[Service]
Type=oneshot
SELinuxContext=-system_u:system_r:zaffre_agent_t:s0
StateDirectory=zaffre/agent zaffre/agent/incoming
ProtectSystem=strict
ReadWritePaths=-/boot -/run/extensions -/run/confexts -/var/lib/extensions -/var/lib/confexts
ProtectHome=yes
PrivateTmp=yes
MemoryMax=256M
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_RAWIO CAP_SYS_BOOT CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER
DevicePolicy=closed
DeviceAllow=block-* rw
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
ExecStart=sh -ec 'cp /run/zaffre-check/update/* {incoming}; \\
    /usr/lib/systemd/systemd-sysupdate update {version}; rm {incoming}/*'
"""


def ready_credentials() -> dict[str, bytes]:
    """The guest says {"event": "ready", "state": "running" | "degraded" | …} once its boot has settled."""
    service = "ImportCredential=zaffre.ready\nExecStart=/bin/sh %d/zaffre.ready"
    return {
        **_unit(READY_UNIT, _UNIT.format(description="Tell that the system is up", service=service)),
        "zaffre.ready": _script("ready.sh"),
    }


def check_credentials(
    *,
    nonce: str,
    extension: str,
    image_policy: str,
    setting_paths: tuple[str, ...],
    checked: tuple[str, str] | None = None,
    update: tuple[str, str] | None = None,
) -> Mapping[str, bytes]:
    """What `guest/start.sh` and the program in the check's extension read.

    `extension` is the name in the extension's release file; `setting_paths` are relative to /proc/sys; `checked` are
    kind and name of the extension that is checked; `update` are the version that is booted first, and the one that it
    is updated to.
    """
    service = "ImportCredential=zaffre.*\nExecStart=/bin/sh %d/zaffre.start"
    return {
        **_unit(CHECK_UNIT, _UNIT.format(description="Check of this system", service=service)),
        "zaffre.start": _script("report.sh") + (_script("update.sh") if update else b"") + _script("start.sh"),
        "zaffre.nonce": nonce.encode(),
        "zaffre.extension": extension.encode(),
        "zaffre.policy": image_policy.encode(),
        **({"zaffre.checked": " ".join(checked).encode() + b"\n"} if checked else {}),
        **(_update(*update) if update else {}),
        "zaffre.sysctl": "".join(f"{path}\n" for path in setting_paths).encode(),
    }


def server_check_credentials(*, nonce: str, setting_paths: tuple[str, ...]) -> Mapping[str, bytes]:
    """What `guest/server.sh` reads; `setting_paths` are relative to /proc/sys."""
    service = "ImportCredential=zaffre.*\nExecStart=/bin/sh %d/zaffre.start"
    return {
        **_unit(CHECK_UNIT, _UNIT.format(description="Check of this system", service=service)),
        "zaffre.start": _script("report.sh") + _script("server.sh"),
        "zaffre.nonce": nonce.encode(),
        "zaffre.sysctl": "".join(f"{path}\n" for path in setting_paths).encode(),
    }


def _update(before: str, after: str) -> dict[str, bytes]:
    unit = _UPDATE.format(incoming=INCOMING, version=after)
    return {f"systemd.extra-unit.{UPDATE_UNIT}": unit.encode(), "zaffre.update": f"{before} {after}\n".encode()}


def _unit(name: str, text: str) -> dict[str, bytes]:
    return {
        f"systemd.extra-unit.{name}": text.encode(),
        f"systemd.unit-dropin.multi-user.target~{name.partition('.')[0]}": f"[Unit]\nWants={name}\n".encode(),
    }


def _script(name: str) -> bytes:
    return resources.files("zaffre.machine").joinpath("guest", name).read_bytes()
