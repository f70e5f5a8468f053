# SPDX-License-Identifier: Apache-2.0
"""A machine that starts twice and is asked each time how its boot went, without a change to its image.

A unit comes as a credential from outside (systemd-debug-generator(8)), waits until the boot has settled, looks at the
memory some seconds after that, tells all by a virtio port, and restarts the machine. It runs under TCG with OVMF,
Secure Boot and a TPM, whatever it is.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lab import Lab
from measure import BenchError

from zaffre.digest import JSON
from zaffre.machine import Accelerator, ConsoleLog, ConsoleOutput, Ended, Guest, Message, MonitorEvent, boot
from zaffre.machine.facts import blocks, memory_bytes
from zaffre.machine.spec import NOTIFY_PORT
from zaffre.store import Store

BOOTS = 2
"""The first boot of a fresh disk, then a restart."""

_SECONDS = 900.0
_UNIT = "zaffre-bench.service"

# exec, not oneshot: a job that runs until the system is settled would itself keep it from being so. Where there is
# SELinux, nothing is refused to what comes from outside.
_SERVICE = """\
[Unit]
Description=Tell how the boot went
ConditionPathExists=!/etc/initrd-release
After=multi-user.target

[Service]
Type=exec
SELinuxContext=-system_u:system_r:zaffre_check_t:s0
ImportCredential=bench.script
ExecStart=/bin/sh %d/bench.script
"""
_SCRIPT = """\
port=/dev/virtio-ports/{port}
until [ -e "$port" ]; do sleep 0.2; done
state=$(systemctl is-system-running --wait | base64 -w0)
sleep {settle}
memory=$(base64 -w0 </proc/meminfo)
blame=$(systemd-analyze blame --no-pager 2>&1 | grep -v '[.]device$' | head -n 15 | base64 -w0)
{asked}
printf '{form}\\n' {values} >"$port"
systemctl --no-block reboot
"""


@dataclass(frozen=True)
class Told:
    """What a machine told of one boot: the state in which it settled ("running"), bytes of memory in use (MemTotal less
    MemAvailable), its slowest units, and the answers to what it was asked besides, by name.
    """

    state: str
    memory: int
    blame: str
    answers: Mapping[str, str]

    def active_since(self, unit: str) -> float:
        """Seconds from the kernel's start; of `systemctl show` as the answer "units". Raises BenchError."""
        block = blocks(self.answers["units"]).get(unit, {})
        stamp = block.get("ActiveEnterTimestampMonotonic", "0")
        if block.get("ActiveState") != "active" or not stamp.isdigit() or stamp == "0":
            raise BenchError(f"{unit} is {block.get('ActiveState', 'not there')}\n{self.blame}")
        return int(stamp) / 1e6


def ask_units(*units: str) -> str:
    """The command for the answer "units"."""
    return f"systemctl show {' '.join(units)} -p Id -p ActiveState -p ActiveEnterTimestampMonotonic"


def boot_twice(
    lab: Lab,
    guest: Guest,
    name: str,
    *,
    asked: Mapping[str, str],
    settle_seconds: int,
    on_told: Callable[[], None] = lambda: None,
) -> tuple[Told, ...]:
    """Both boots. `asked`: shell commands by names of letters; `on_told` is called after each boot has told of itself.

    Raises BenchError when a boot stops, or has told nothing after a quarter of an hour.
    """
    credentials = {
        "bench.script": script(asked, settle_seconds).encode(),
        f"systemd.extra-unit.{_UNIT}": _SERVICE.encode(),
        "systemd.unit-dropin.multi-user.target~bench": f"[Unit]\nWants={_UNIT}\n".encode(),
    }
    console = ConsoleLog()
    found: list[Told] = []
    deadline = time.monotonic() + _SECONDS
    guest = replace(guest, credentials={**guest.credentials, **credentials})
    with boot(guest, Accelerator.TCG, store=Store(lab.store), sandbox=lab.sandbox) as machine:
        for event in machine.events(deadline):
            match event:
                case ConsoleOutput(data):
                    console.feed(data)
                case MonitorEvent(name="RESET"):
                    console.restarted()
                case Message(fields):
                    found.append(_told(fields, asked))
                    try:
                        on_told()
                    except BenchError as error:
                        raise BenchError(f"{name}: {error}\n{found[-1].blame}\n{console.tail(30)}") from error
                    if len(found) == BOOTS:
                        return tuple(found)
                case Ended(error=error):
                    raise BenchError(f"{name}: the machine ended\n{error}\n{console.tail(30)}")
                case _:
                    pass
            if console.refusal is not None:
                raise BenchError(f"{name}: {console.refusal}\n{console.tail(30)}")
    raise BenchError(f"{name}: no word from the guest in {_SECONDS:.0f} s\n{console.tail(30)}")


def script(asked: Mapping[str, str], settle_seconds: int) -> str:
    """What runs in the guest. Its report is JSON whose values are in base64. Pure."""
    names = ("state", "memory", "blame", *asked)
    return _SCRIPT.format(
        port=NOTIFY_PORT,
        settle=settle_seconds,
        asked="\n".join(f"{name}=$({{ {command}; }} | base64 -w0)" for name, command in asked.items()),
        form="{" + ",".join(f'"{name}":"%s"' for name in names) + "}",
        values=" ".join(f'"${name}"' for name in names),
    )


def _told(fields: Mapping[str, JSON], asked: Mapping[str, str]) -> Told:
    memory = memory_bytes(_text(fields, "memory"))
    return Told(
        state=_text(fields, "state").strip(),
        memory=memory["MemTotal"] - memory["MemAvailable"],
        blame=_text(fields, "blame"),
        answers={name: _text(fields, name) for name in asked},
    )


def _text(fields: Mapping[str, JSON], key: str) -> str:
    return base64.b64decode(str(fields.get(key, ""))).decode("utf-8", "replace")
