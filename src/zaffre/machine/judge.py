# SPDX-License-Identifier: Apache-2.0
"""From the facts of an immutable host to verdicts. Pure."""

from __future__ import annotations

import json
import re

from zaffre.machine.facts import Facts, properties
from zaffre.machine.judge_disk import etc, root, usr, var, var_encrypted, var_grows, verity
from zaffre.machine.judge_extension import extension, laid_over, the_agent
from zaffre.machine.judge_fips import fips
from zaffre.machine.judge_ipe import ipe, ipe_locked, ipe_refused
from zaffre.machine.judge_kubelet import pod
from zaffre.machine.judge_measured import measured_boot
from zaffre.machine.judge_runtime import cgroups, container, container_network
from zaffre.machine.judge_selinux import confined, selinux
from zaffre.machine.judge_update import is_entry_of, updated
from zaffre.machine.judging import (
    Expectations,
    Judge,
    address_of,
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

_DOORS = (
    *("getty", "serial-getty", "console-getty", "sshd", "ssh.service", "ssh@", "dropbear"),
    *("debug-shell", "zaffre-debug-shell", "emergency", "rescue"),
)


def judge(facts: Facts, expected: Expectations) -> tuple[CheckLine, ...]:
    """All lines, in the order in which they are told."""
    unfit: set[Judge] = set() if expected.containers else {container, container_network, cgroups, confined}
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
        unfit.add(var_encrypted)
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
    verdicts = [_verdict(facts.get("health.verdict", boot).text, facts.get("boot-id", boot).text) for boot in (1, 2)]
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


def _verdict(text: str, boot: str) -> dict[str, object]:
    """Exit codes of a boot's checks by name; nothing if there is no such file, or if it is of another boot."""
    try:
        told = json.loads(text)
        if not boot or told["boot"] != boot:
            return {}
        return {str(one["name"]): one["status"] for one in told["checks"]}
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


_LINES: tuple[Judge, ...] = (
    extension,
    the_agent,
    laid_over,
    updated,
    release,
    system_runs,
    secure_boot,
    measured_boot,
    root,
    verity,
    usr,
    etc,
    var,
    var_grows,
    var_encrypted,
    _health,
    _slots,
    machine_id,
    container,
    container_network,
    cgroups,
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
