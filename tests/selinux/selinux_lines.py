# SPDX-License-Identifier: Apache-2.0
"""Lines that tell of a denial, as the kernel and as systemd write them."""

from __future__ import annotations

OWN = "my_agent_t"
POD = "container_t:s0:c1,c2"


def line(
    what: str = "read", *, who: str = OWN, whom: str = "etc_t", kind: str = "file", names: str = 'name="a"'
) -> str:
    source, target = (one if ":" in one else f"{one}:s0" for one in (who, whom))
    return (
        f'12:00:00 host kernel: audit: type=1400 audit(1.2:18): avc:  denied  {{ {what} }} for  pid=1 comm="agent" '
        f'{names} dev="dm-0" ino=9 scontext=system_u:system_r:{source} tcontext=system_u:object_r:{target} '
        f"tclass={kind} permissive=1"
    )


def asked(
    command: str,
    *,
    kind: str = "service",
    before: str = "type=1107 audit(1.2:3): pid=1 subj=system_u:system_r:init_t:s0",
) -> str:
    """What systemd tells, which writes the command line of who asks as it is."""
    return (
        f'{before} msg=\'avc:  denied  {{ start }} for auid=n/a uid=0 gid=0 path="/usr/lib/systemd/system/a.service" '
        f'cmdline="{command}" function="x" scontext=system_u:system_r:my_agent_t:s0 '
        f"tcontext=system_u:object_r:systemd_unit_t:s0 tclass={kind} permissive=0 "
        'exe="/usr/lib/systemd/systemd" hostname=? addr=? terminal=?\''
    )
