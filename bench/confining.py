# SPDX-License-Identifier: Apache-2.0
"""What an enforced policy costs: the host with SELinux, the same host permissive, and without, alternated, in the same
machine.

Both boots as `boots.py` counts them. Then containers, in each boot: a static program in its own namespaces, from the
call of containerd's client until the container is removed; in the domain and with the categories of a pod, where there
are some. The client and the program's image come with the signed extension that `zaffre check` lays over a host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from boots import UNITS, BootFacts, boot_facts
from figures import Figure, Limit, Unit
from guests import Told, ask_units, boot_twice
from lab import CHECK_PERMISSIVE, CHECK_UNCONFINED, IMAGE, PERMISSIVE, UNCONFINED, Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm

from zaffre.machine import Guest
from zaffre.machine.inject import CHECK_DISK
from zaffre.slots import SIGNED_ONLY

HOSTS: Mapping[str, str] = {IMAGE: "check", PERMISSIVE: CHECK_PERMISSIVE, UNCONFINED: CHECK_UNCONFINED}
"""The host with an enforced policy, with one that refuses nothing, and without, and the extension for each."""
CONTAINERS = 11
"""Started in each boot. The first is not counted: it reads the programs from the disk."""

_SETTLE_SECONDS = 5
_MOST = Limit(ratio=1.05)
# What it runs, crun reads; labels as containerd gives them to a pod.
_SCRIPT = """\
exec 2>&1
work=/run/zaffre-bench
mkdir -p /run/extensions $work/image $work/upper $work/index $work/root
cp /dev/disk/by-id/virtio-{disk} /run/extensions/{extension}.raw
systemd-sysext refresh --image-policy={policy} || exit 1
ctr --namespace bench images import /usr/share/zaffre/oci/probe.tar || exit 1
ctr --namespace bench images mount "$(ctr --namespace bench images list --quiet | head -n 1)" $work/image || exit 1
label= context=
if [ -e /sys/fs/selinux/enforce ]; then
    context=',context="system_u:object_r:container_file_t:s0:c11,c12"'
    label='"selinuxLabel": "system_u:system_r:container_t:s0:c11,c12", '
fi
mount -t overlay overlay $work/root \\
    -o "lowerdir=$work/image,upperdir=$work/upper,workdir=$work/index$context" || exit 1
mkdir -p $work/root/dev $work/root/proc
cat >$work/config.json <<END
{{"ociVersion": "1.0.2", "root": {{"path": "$work/root"}}, "process": {{$label"user": {{"uid": 0, "gid": 0}},
 "cwd": "/", "args": ["/usr/bin/busybox", "sh", "-c", "echo ran; /usr/bin/busybox cat /proc/self/attr/current"]}},
 "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
 {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}}],
 "linux": {{"cgroupsPath": "system.slice:zaffre:bench", "namespaces": [{{"type": "pid"}}, {{"type": "mount"}},
 {{"type": "network"}}, {{"type": "ipc"}}, {{"type": "uts"}}]}}}}
END
number=0
while [ $number -lt {containers} ]; do
    number=$((number + 1))
    began=$(date +%s%N)
    said=$(ctr --namespace bench run --rm --runc-binary /usr/bin/crun --runc-systemd-cgroup \\
        --cgroup system.slice:zaffre:bench --config $work/config.json "bench-$number" </dev/null 2>&1)
    ended=$(date +%s%N)
    printf 'took %s %s\\n' $((ended - began)) "$(printf %s "$said" | tr -d '\\000' | tr '\\n' ' ')"
done
umount $work/root $work/image
"""


@dataclass
class Confined:
    """Of each machine, in the order in which they were measured: both boots, and the seconds that a container took."""

    boots: dict[str, list[tuple[BootFacts, ...]]] = field(default_factory=lambda: {name: [] for name in HOSTS})
    containers: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HOSTS})
    sizes: dict[str, int] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)
    """The share of the host that other programs used, for each machine."""


def measure_confining(lab: Lab, builds: Mapping[str, Path], *, rounds: int, say: Say) -> Confined:
    """`builds` has the folders of the builds of HOSTS: of the hosts and of the extensions."""
    found = Confined(sizes={name: _size(builds[name]) for name in HOSTS})
    for number in range(1, rounds + 1):
        for name, extension in HOSTS.items():
            wait_for_calm()
            noise = Noise()
            guest = Guest(
                image=builds[name] / "image.raw",
                architecture=lab.architecture,
                certificates=lab.certificates,
                disks={CHECK_DISK: builds[extension] / "extension.raw"},
            )
            asked = {"units": ask_units(*UNITS), "containers": containers_script(extension)}
            told = boot_twice(lab, guest, name, asked=asked, settle_seconds=_SETTLE_SECONDS)
            facts, times = tuple(boot_facts(one) for one in told), [_containers(one, name) for one in told]
            found.boots[name].append(facts)
            found.containers[name].append(median(time for boot in times for time in boot))
            found.others.append(noise.share())
            for title, one, took in zip(("first boot", "restart"), facts, times, strict=True):
                say(
                    f"round {number} of {rounds}: {name}, {title}: {one.seconds:.1f} s, {one.memory / 1e6:.0f} MB in "
                    f"use, a container {median(took):.2f} s, {one.state} (others {found.others[-1]:.0%})"
                )
            with lab.log("confining").open("a") as log:
                log.writelines(
                    f"{name} {one}\n{of.answers['containers']}\n" for one, of in zip(facts, told, strict=True)
                )
    return found


def confining_figures(found: Confined) -> list[Figure]:
    """The lines of the table that are about a policy."""
    return [
        *_times(found, "permissive", PERMISSIVE, _MOST),
        *_times(found, "without a policy", UNCONFINED, None),
        *_room(found, "without a policy", UNCONFINED),
    ]


def _times(found: Confined, peer: str, name: str, limit: Limit | None) -> Iterator[Figure]:
    for boot, title in enumerate(("first boot", "restart")):
        ours, theirs = (tuple(facts[boot].seconds for facts in found.boots[one]) for one in (IMAGE, name))
        what = f"SELinux enforcing: {title}: kernel to multi-user, containerd ready"
        yield Figure(what, Unit.SECONDS, ours, peer, theirs, limit)
    ours, theirs = (tuple(found.containers[one]) for one in (IMAGE, name))
    yield Figure("SELinux enforcing: a container, from call to end", Unit.SECONDS, ours, peer, theirs, limit)


def _room(found: Confined, peer: str, name: str) -> Iterator[Figure]:
    memory = [tuple(float(facts[-1].memory) for facts in found.boots[one]) for one in (IMAGE, name)]
    yield Figure("SELinux enforcing: memory in use after boot", Unit.BYTES, memory[0], peer, memory[1])
    size = [(float(found.sizes[one]),) for one in (IMAGE, name)]
    yield Figure("SELinux enforcing: size: root.erofs + uki.efi, release", Unit.BYTES, size[0], peer, size[1])


def containers_script(extension: str) -> str:
    """What starts containers in the guest and tells how long each took, in a shell of its own. Pure."""
    body = _SCRIPT.format(disk=CHECK_DISK, extension=extension, policy=SIGNED_ONLY, containers=CONTAINERS)
    return f"(\n{body})"


def _containers(told: Told, name: str) -> tuple[float, ...]:
    return container_seconds(told.answers["containers"], labelled=name != UNCONFINED)


def container_seconds(text: str, *, labelled: bool) -> tuple[float, ...]:
    """Of all but the first. Raises BenchError when one did not run, or not as it was to."""
    words = [line.split() for line in text.splitlines() if line.startswith("took ")]
    wanted = ["ran", "system_u:system_r:container_t:s0:c11,c12"] if labelled else ["ran"]
    ran = [one for one in words if one[2 : 2 + len(wanted)] == wanted]
    if len(ran) != CONTAINERS:
        raise BenchError(f"not all containers ran as they were to\n{text[-2000:]}")
    return tuple(int(one[1]) / 1e9 for one in ran[1:])


def _size(build: Path) -> int:
    return sum((build / name).stat().st_size for name in ("root.erofs", "uki.efi"))
