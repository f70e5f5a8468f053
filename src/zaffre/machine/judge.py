# SPDX-License-Identifier: Apache-2.0
"""From the facts of an immutable host to verdicts. Pure."""

from __future__ import annotations

import json
import re
import tomllib

from zaffre.machine.facts import Facts, MountPoint, mount_points, properties
from zaffre.machine.judge_extension import extension, laid_over, the_agent
from zaffre.machine.judge_fips import fips
from zaffre.machine.judge_ipe import ipe, ipe_locked, ipe_refused
from zaffre.machine.judge_kubelet import pod
from zaffre.machine.judge_measured import measured_boot
from zaffre.machine.judge_selinux import confined, selinux
from zaffre.machine.judge_update import is_entry_of, updated
from zaffre.machine.judging import (
    DISK_GROWS_BY,
    Expectations,
    Judge,
    address_of,
    file_system_bytes,
    hardening,
    kernel_modules,
    kernel_settings,
    line_of,
    listening,
    machine_id,
    noted,
    power_button,
    release,
    resolver,
    secure_boot,
    some,
    system_runs,
    time_service,
    tpm,
)
from zaffre.machine.report import CheckLine

_DOORS = ("getty", "sshd", "ssh.service", "debug-shell", "serial-getty", "console-getty", "emergency", "rescue")


def judge(facts: Facts, expected: Expectations) -> tuple[CheckLine, ...]:
    """All lines, in the order in which they are told."""
    unfit: set[Judge] = set() if expected.containers else {_container, _container_network, _cgroups, confined}
    if expected.configuration is None:
        unfit.add(_configuration)
    if expected.checked is None:
        unfit |= {extension, laid_over}
    if expected.checked is None or not expected.checked.agent:
        unfit.add(the_agent)
    if not expected.kubelet:
        unfit.add(pod)
    if not expected.updates:
        unfit |= {_health, _slots}
    unfit.add(updated if expected.update is None else _slots)
    if not expected.encrypted:
        unfit.add(_var_encrypted)
    if expected.selinux == "off":
        unfit.add(selinux)
    if expected.selinux != "enforcing":
        unfit.add(confined)
    if expected.prediction is None:
        unfit.add(measured_boot)
    if expected.ipe == "off":
        unfit.add(ipe)
    if expected.ipe != "enforcing":
        unfit |= {ipe_refused, ipe_locked}
    if not expected.fips:
        unfit.add(fips)
    if _watchdog_setting(facts) in {"", "0", "infinity"}:
        unfit.add(_watchdog)
    return tuple(line(facts, expected) for line in _LINES if line not in unfit)


def _mounts(facts: Facts) -> list[MountPoint]:
    return mount_points(facts.get("system.mounts").text)


def _root(facts: Facts, _: Expectations) -> CheckLine:
    mounts = [mount for mount in _mounts(facts) if mount.target == "/"]
    found = f"{mounts[-1].type}, {'read-only' if 'ro' in mounts[-1].options else 'writable'}" if mounts else ""
    remount, write = facts.get("root.remount"), facts.get("root.write")
    refused = remount.status > 0 and write.status > 0
    if mounts and not refused:
        found += "; a write or a remount for writing was not refused"
    passed = found == "erofs, read-only"
    return line_of("root", "root file system", passed=passed, found=found, wanted="erofs, read-only, never writable")


def _verity(facts: Facts, expected: Expectations) -> CheckLine:
    status, table = facts.get("verity.status").text.split(), facts.get("verity.table").text.split()
    arguments = facts.get("system.command-line").text.split()
    promised = next((word.partition("=")[2] for word in arguments if word.startswith("roothash=")), None)
    # dm-verity's table (kernel, admin-guide/device-mapper/verity.rst): the digest is the ninth parameter.
    actual = table[11] if len(table) > 11 and table[2] == "verity" else None
    verified = len(status) > 3 and status[2:4] == ["verity", "V"]
    passed = verified and actual is not None and actual == promised and expected.root_hash in {None, actual}
    if actual is None:
        found = "the root is not a dm-verity device" if facts.get("verity.table").status >= 0 else ""
    elif not verified:
        found = "corruption was seen"
    elif actual != promised:
        found = f"root hash {actual[:12]}…, though the kernel image says {(promised or 'none')[:12]}…"
    else:
        found = f"verified, root hash {actual[:12]}…"
    return line_of(
        "verity",
        "dm-verity",
        passed=passed,
        found=found,
        wanted=f"verified, with the root hash {(expected.root_hash or promised or 'of the kernel image')[:12]}…",
    )


def _usr(facts: Facts, _: Expectations) -> CheckLine:
    write = facts.get("usr.write")
    passed = write.status > 0 and "Read-only file system" in write.text
    found = (
        "refused: read-only file system" if passed else write.text or ("it was written" if write.status == 0 else "")
    )
    return line_of("usr", "a write to /usr", passed=passed, found=found, wanted="refused")


def _etc(facts: Facts, expected: Expectations) -> CheckLine:
    written = facts.get("etc.write").text == expected.nonce
    after = facts.get("etc.kept", 2)
    gone = after.status > 0 and expected.nonce not in after.text
    found = "gone" if written and gone else "still there" if written and after.status == 0 else "could not be made"
    return line_of("etc", "a change in /etc, after a restart", passed=found == "gone", found=found, wanted="gone")


def _var(facts: Facts, expected: Expectations) -> CheckLine:
    kept = facts.get("var.write").text == expected.nonce and facts.get("var.kept", 2).text == expected.nonce
    return line_of(
        "var", "a change in /var, after a restart", passed=kept, found="kept" if kept else "gone", wanted="kept"
    )


def _var_grows(facts: Facts, _: Expectations) -> CheckLine:
    sizes = [file_system_bytes(facts.get("var.size", boot).text) for boot in (1, 2)]
    passed = sizes[0] > 0 and sizes[1] - sizes[0] > 0.9 * DISK_GROWS_BY
    found = " then ".join(f"{size / 1e9:.1f} GB" for size in sizes)
    return line_of(
        "var-grows",
        "/var, when the disk has grown",
        passed=passed,
        found=f"grew: {found}" if passed else found,
        wanted=f"larger by {DISK_GROWS_BY / 1e9:.1f} GB",
    )


def _var_encrypted(facts: Facts, _: Expectations) -> CheckLine:
    table = facts.get("var.table").text.split()  # of dm-crypt (kernel, admin-guide/device-mapper/dm-crypt.rst)
    cipher = table[3] if len(table) > 3 and table[2] == "crypt" else None
    luks = facts.get("var.uuid").text.startswith("CRYPT-LUKS2-")
    mapped = any(mount.target == "/var" and mount.source == "/dev/mapper/var" for mount in _mounts(facts))
    found = f"encrypted: LUKS2, {cipher}, unlocked by the TPM" if luks and cipher else "not encrypted"
    return line_of(
        "var-encrypted",
        "/var on the disk",
        passed=bool(cipher) and luks and mapped,
        found=found if mapped else "not what is mounted",
        wanted="encrypted (LUKS2), and unlocked without anybody's help",
    )


def _container(facts: Facts, expected: Expectations) -> CheckLine:
    run = facts.get("container.run")
    imported = facts.get("container.import").status == 0
    passed = (
        imported
        and run.status == 0
        and f"nonce {expected.nonce}" in run.text.splitlines()
        and "pid 1" in run.text.splitlines()
    )
    image = facts.get("container.source").text.rpartition(" ")[2]
    trouble = next(
        (facts.get(name).text for name in ("container.run", "container.import") if facts.get(name).status), ""
    )
    found = f"{image} ran under containerd and crun" if passed else _tail(trouble or run.text)
    return line_of(
        "container", "a container", passed=passed, found=found, wanted="runs, prints what it was given, ends"
    )


def _container_network(facts: Facts, _: Expectations) -> CheckLine:
    lines = facts.get("container.run").text.splitlines()
    own = next((line.partition(" ")[2] for line in lines if line.startswith("network ")), "")
    interfaces = [line.partition(" ")[2] for line in lines if line.startswith("interface ")]
    host = facts.get("host.network-namespace").text
    passed = own.startswith("net:[") and host.startswith("net:[") and own != host and interfaces == ["lo"]
    found = f"its own, with {some(interfaces)}" if own != host else "the host's"
    return line_of(
        "container-network",
        "the container's network",
        passed=passed,
        found=found if own else "",
        wanted="a namespace of its own with nothing but lo",
    )


def _cgroups(facts: Facts, _: Expectations) -> CheckLine:
    unit = properties(facts.get("container.unit").text)
    by_systemd = unit.get("ActiveState") == "active" and unit.get("ControlGroup", "").endswith("/zaffre-probe.scope")
    runtimes = _systemd_runtimes(facts.get("containerd.config").text)
    passed = by_systemd and bool(runtimes)
    found = f"systemd's ({some(runtimes)})" if passed else f"unit {some([*unit.values()])}; runtimes {some(runtimes)}"
    return line_of(
        "cgroups",
        "the container's control group",
        passed=passed,
        found=found,
        wanted="a scope of systemd's, and SystemdCgroup in containerd's configuration",
    )


def _systemd_runtimes(text: str) -> list[str]:
    """Names of the runtimes of Kubernetes' interface (CRI) whose control groups are systemd's."""
    try:
        plugins = tomllib.loads(text)["plugins"]
        cri = next(
            plugins[name] for name in plugins if name in {"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}
        )
        runtimes = cri["containerd"]["runtimes"]
        return [name for name, runtime in runtimes.items() if runtime.get("options", {}).get("SystemdCgroup") is True]
    except (tomllib.TOMLDecodeError, KeyError, StopIteration, AttributeError, TypeError):
        return []


def _doors(facts: Facts, expected: Expectations) -> CheckLine:
    services = [line.split()[0] for line in facts.get("system.services").text.splitlines() if line.strip()]
    doors = [name for name in services if name.startswith(_DOORS)]
    if expected.debug:
        return noted("log-in", "log-in", f"a debug build: {some(doors)}")
    passed = bool(services) and not doors
    found = "none" if passed else some(doors) if doors else ""
    return line_of("log-in", "log-in services", passed=passed, found=found, wanted="none")


def _configuration(facts: Facts, expected: Expectations) -> CheckLine:
    kept = facts.get("confext.kept", 1).text.split()
    merged = facts.get("confext.merged", 2).text
    name = str(expected.configuration)
    passed = f"{name}.raw" in kept and name in merged
    found = "taken, kept and laid over /etc" if passed else f"kept: {some(kept)}; laid over /etc: {merged or 'nothing'}"
    return line_of(
        "configuration",
        "signed configuration of a medium",
        passed=passed,
        found=found,
        wanted=f"{name}, taken in the first boot and there in the second",
    )


def _health(facts: Facts, expected: Expectations) -> CheckLine:
    """The first boot of an image is on trial; when it was judged healthy, the count is taken off its entry's name."""
    verdicts = [_verdict(facts.get("health.verdict", boot).text) for boot in (1, 2)]
    failed = sorted({name for verdict in verdicts for name, status in verdict.items() if status != 0})
    entries = facts.get("boot.entries", 2).text.split()
    if expected.update is not None:  # the version before has a line of its own, and its own way of counting
        entries = [entry for entry in entries if not is_entry_of(entry, expected.update.before)]
    blessed = bool(entries) and not any(_on_trial(entry, expected) for entry in entries)
    if not all(verdicts):
        found = "not judged"
    elif failed:
        found = f"not healthy: {some(failed)}"
    else:
        found = f"{len(verdicts[0])} checks held; " + ("blessed" if blessed else f"not blessed: {some(entries)}")
    return line_of(
        "health",
        "the boot's own verdict",
        passed=all(verdicts) and not failed and blessed,
        found=found,
        wanted="all checks of /usr/lib/zaffre/health hold in both boots, and the first one was blessed",
    )


def _on_trial(entry: str, expected: Expectations) -> bool:
    """By the name of its file in the second boot. Where each boot is counted, it has its tries, or all but the one of
    this boot.
    """
    if expected.every_boot:
        return not re.search(r"\+\d+(-1)?\.efi$", entry)
    return "+" in entry


def _verdict(text: str) -> dict[str, object]:
    """Exit codes of a boot's checks by name; nothing if there is no such file."""
    try:
        return {str(one["name"]): one["status"] for one in json.loads(text)["checks"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _slots(facts: Facts, _: Expectations) -> CheckLine:
    labels = facts.get("disk.labels").text.split()
    return line_of(
        "slots",
        "a slot for the next version",
        passed="_empty" in labels,
        found="free" if "_empty" in labels else some(labels),
        wanted="a partition with the label _empty",
    )


def _watchdog_setting(facts: Facts) -> str:
    return properties(facts.get("system.watchdog", 1).text).get("RuntimeWatchdogUSec", "")


def _watchdog(facts: Facts, _: Expectations) -> CheckLine:
    pings = [
        properties(facts.get("system.watchdog", boot).text).get("WatchdogLastPingTimestampMonotonic", "0")
        for boot in (1, 2)
    ]
    passed = all(ping.isdigit() and ping != "0" for ping in pings)
    found = f"told to wait {_watchdog_setting(facts)}" if passed else "set, but there is no device that is told of it"
    return line_of("watchdog", "watchdog", passed=passed, found=found, wanted="a device that is told the system lives")


def _tail(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-3:])


_LINES: tuple[Judge, ...] = (
    extension,
    the_agent,
    laid_over,
    updated,
    release,
    system_runs,
    secure_boot,
    measured_boot,
    _root,
    _verity,
    _usr,
    _etc,
    _var,
    _var_grows,
    _var_encrypted,
    _health,
    _slots,
    machine_id,
    _container,
    _container_network,
    _cgroups,
    confined,
    pod,
    address_of(4),
    address_of(6),
    resolver,
    kernel_settings,
    kernel_modules,
    _configuration,
    time_service,
    _watchdog,
    _doors,
    power_button,
    listening,
    selinux,
    ipe,
    ipe_refused,
    ipe_locked,
    fips,
    hardening,
    tpm,
)
