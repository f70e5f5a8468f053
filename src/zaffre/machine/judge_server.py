# SPDX-License-Identifier: Apache-2.0
"""From the facts of a server to verdicts. Pure."""

from __future__ import annotations

import json
import re

from zaffre.machine.facts import Facts, mount_points, properties
from zaffre.machine.judge_selinux import domains, selinux
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

# systemd.io/AUTOMATIC_BOOT_ASSESSMENT: an entry that is on trial has the tries that are left in its name.
_COUNTED = re.compile(r"\+\d+(-\d+)?\.efi$")
# dpkg(1): nothing differs, something does; whatever else it ends with, it has not looked.
_ANSWERS = (0, 1)
_PATH_FROM = 12
_SSH = {"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "permitrootlogin": "no"}


def judge_server(facts: Facts, expected: Expectations) -> tuple[CheckLine, ...]:
    """All lines, in the order in which they are told."""
    unfit = {selinux, domains} if expected.selinux == "off" else set()
    return tuple(line(facts, expected) for line in _LINES if line not in unfit)


def _root(facts: Facts, expected: Expectations) -> CheckLine:
    mounts = [mount for mount in mount_points(facts.get("system.mounts").text) if mount.target == "/"]
    kept = facts.get("root.write").text == expected.nonce and facts.get("root.kept", 2).text == expected.nonce
    found = f"{mounts[-1].type}, {'read-only' if 'ro' in mounts[-1].options else 'writable'}" if mounts else ""
    passed = found == "ext4, writable" and kept
    found += "; a change is kept" if kept else "; a change was not kept"
    return line_of("root", "root file system", passed=passed, found=found, wanted="ext4, writable, changes are kept")


def _root_grows(facts: Facts, _: Expectations) -> CheckLine:
    sizes = [file_system_bytes(facts.get("root.size", boot).text) for boot in (1, 2)]
    passed = sizes[0] > 0 and sizes[1] - sizes[0] > 0.9 * DISK_GROWS_BY
    found = " then ".join(f"{size / 1e9:.1f} GB" for size in sizes)
    return line_of(
        "root-grows",
        "the root, when the disk has grown",
        passed=passed,
        found=f"grew: {found}" if passed else found,
        wanted=f"larger by {DISK_GROWS_BY / 1e9:.1f} GB",
    )


def _boot_chain(facts: Facts, _: Expectations) -> CheckLine:
    entries = facts.get("boot.entries").text.split()
    counted = [entry for entry in entries if _COUNTED.search(entry)]
    return line_of(
        "boot-entries",
        "boot entries",
        passed=bool(entries) and not counted,
        found=f"{some(entries)}" + ("; not yet known as good" if counted else ""),
        wanted="one at least, all known as good",
    )


def _cloud(facts: Facts, expected: Expectations) -> CheckLine:
    """The seed gave the default user a key whose comment is the nonce."""
    try:
        status = json.loads(facts.get("cloud.status").text)
        state, errors = str(status.get("extended_status", status.get("status"))), status.get("errors") or []
    except (ValueError, AttributeError):
        state, errors = "unknown", []
    key = expected.nonce in facts.get("user.keys").text
    found = f"{state}; the key is {'there' if key else 'missing'}" + (f"; {some(errors)}" if errors else "")
    passed = state == "done" and key and not errors
    return line_of(
        "cloud-init", "user and key from cloud-init", passed=passed, found=found, wanted="done, with the key"
    )


def _sudo(facts: Facts, _: Expectations) -> CheckLine:
    passed = facts.get("user.sudo").status == 0
    return line_of(
        "sudo", "the user's rights", passed=passed, found="sudo" if passed else "no sudo", wanted="sudo, to administer"
    )


def _ssh(facts: Facts, _: Expectations) -> CheckLine:
    settings = dict(line.partition(" ")[::2] for line in facts.get("ssh.settings").text.splitlines())
    wrong = [f"{key} {settings.get(key, 'unknown')}" for key, value in _SSH.items() if settings.get(key) != value]
    return line_of(
        "ssh",
        "log-in by SSH",
        passed=not wrong,
        found="keys only, nobody as root" if not wrong else some(wrong),
        wanted="keys only, nobody as root",
    )


def _ssh_keys(facts: Facts, _: Expectations) -> CheckLine:
    first, second = facts.get("ssh.keys", 1), facts.get("ssh.keys", 2)
    passed = first.status == 0 and bool(first.text) and first.text == second.text
    return line_of(
        "ssh-keys",
        "the machine's SSH keys, after a restart",
        passed=passed,
        found="kept" if passed else "changed, or none",
        wanted="kept",
    )


def _firewall(facts: Facts, _: Expectations) -> CheckLine:
    try:
        rules = json.loads(facts.get("firewall.rules").text)["nftables"]
        chains = [rule["chain"] for rule in rules if "chain" in rule]
        policy = next(chain["policy"] for chain in chains if chain.get("hook") == "input")
    except (ValueError, KeyError, StopIteration, TypeError):
        policy = "none"
    return line_of(
        "firewall",
        "firewall",
        passed=policy == "drop",
        found="closed: what nobody let in is dropped" if policy == "drop" else f"policy {policy}",
        wanted="closed",
    )


def _packages(facts: Facts, _: Expectations) -> CheckLine:
    audit, check = facts.get("packages.audit"), facts.get("packages.check")
    passed = audit.status == 0 and not audit.text and check.status == 0
    found = "whole: dpkg and apt find nothing amiss" if passed else f"{audit.text} {check.text}".strip()
    return line_of("packages", "the packages' database", passed=passed, found=found, wanted="whole")


def _altered(facts: Facts, _: Expectations) -> CheckLine:
    """Dpkg --verify: `??5?????? c /path`; c marks a configuration file, "missing" one that is gone."""
    told = facts.get("packages.verify")
    changed = [line[_PATH_FROM:] for line in told.text.splitlines() if line.startswith("??5")]
    asked = told.status in _ANSWERS
    return line_of(
        "altered",
        "files other than their packages'",
        passed=asked and not changed,
        found=some(changed) if asked or changed else f"dpkg could not tell: {told.text or 'nothing was reported'}",
        wanted="none",
    )


def _journal(facts: Facts, _: Expectations) -> CheckLine:
    settings = properties(facts.get("journal.settings").text)
    limit, kept = settings.get("SystemMaxUse"), facts.get("journal.kept")
    passed = bool(limit) and kept.status == 0 and bool(kept.text)
    found = f"kept on disk, at most {limit}" if passed else "not kept, or without a limit"
    return line_of("journal", "the journal", passed=passed, found=found, wanted="kept on disk, with a limit")


_LINES: tuple[Judge, ...] = (
    release,
    system_runs,
    secure_boot,
    _boot_chain,
    _root,
    _root_grows,
    machine_id,
    _cloud,
    _sudo,
    _ssh,
    _ssh_keys,
    _firewall,
    _packages,
    _altered,
    _journal,
    address_of(4),
    address_of(6),
    resolver,
    kernel_settings,
    kernel_modules,
    time_service,
    power_button,
    listening,
    hardening,
    selinux,
    domains,
    tpm,
)
