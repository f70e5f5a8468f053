# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from machine_facts import EXPECTED, NONCE, Report, facts, sound

from zaffre.machine.facts import Facts
from zaffre.machine.judge_server import judge_server
from zaffre.machine.report import CheckLine, Verdict

_RULES = {"nftables": [{"chain": {"name": "input", "hook": "input", "policy": "drop"}}, {"chain": {"name": "local"}}]}
_OWN: dict[tuple[int, str], Report] = {
    (1, "system.mounts"): (0, b"29 1 253:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw\n"),
    (1, "root.size"): (0, b"900000 4096\n"),
    (2, "root.size"): (0, b"1162144 4096\n"),
    (1, "root.write"): (0, NONCE.encode()),
    (2, "root.kept"): (0, NONCE.encode()),
    (1, "boot.entries"): (0, b"zaffre-server_6.12.117-1.20261126.1.efi\nzaffre-server_6.12.118-1.20261127.1.efi\n"),
    (1, "cloud.status"): (0, json.dumps({"extended_status": "done", "errors": []}).encode()),
    (1, "user.keys"): (0, f"ssh-ed25519 AAAA {NONCE}\n".encode()),
    (1, "user.sudo"): (0, b""),
    (1, "ssh.settings"): (
        0,
        b"port 22\npermitrootlogin no\npasswordauthentication no\nkbdinteractiveauthentication no\n",
    ),
    (1, "ssh.keys"): (0, b"ssh-ed25519 BBBB root@machine\n"),
    (2, "ssh.keys"): (0, b"ssh-ed25519 BBBB root@machine\n"),
    (1, "firewall.rules"): (0, json.dumps(_RULES).encode()),
    (1, "packages.audit"): (0, b""),
    (1, "packages.check"): (0, b"Reading package lists...\n"),
    (1, "packages.verify"): (0, b"missing     /usr/share/man/man1/ls.1.gz\n"),
    (1, "journal.settings"): (0, b"[Journal]\nSystemMaxUse=256M\n"),
    (1, "journal.kept"): (0, b"fe2e2270c078412cb6e0d90914291b70\n"),
}
_OF_HOSTS = ("verity", "usr", "etc", "var", "container", "host", "root.remount", "system.command-line")
SOUND = {key: value for key, value in sound().items() if not key[1].startswith(_OF_HOSTS)} | _OWN


def lines(found: Facts) -> dict[str, CheckLine]:
    return {line.name: line for line in judge_server(found, EXPECTED)}


def failed(**changes: Report) -> set[str]:
    """Lines that fail when reports of the first boot are other ones; `_` in a name stands for a dot."""
    reports = SOUND | {(1, name.replace("_", ".")): report for name, report in changes.items()}
    return {name for name, line in lines(facts(reports)).items() if line.verdict is Verdict.FAILED}


def test_a_sound_server_passes_every_line() -> None:
    assert failed() == set()


def test_silence_proves_nothing() -> None:
    silent = {name for name, line in lines(Facts()).items() if line.verdict is Verdict.FAILED}
    assert silent == {name for name, line in lines(facts(SOUND)).items() if line.verdict is Verdict.PASSED}


def test_a_file_that_differs_is_named_with_all_of_its_name() -> None:
    told = (0, b"??5?????? c /etc/a file\nmissing     /usr/share/man/man1/ls.1.gz\n")
    assert lines(facts(SOUND | {(1, "packages.verify"): told}))["altered"].found == "/etc/a file"


@pytest.mark.parametrize("report", sorted(SOUND))
def test_no_report_can_be_left_out_unseen(report: tuple[int, str]) -> None:
    unjudged = {"system.memory", "system.times", "system.units", "selinux.enforce", "tpm.log", "tpm.registers"}
    without = {key: value for key, value in SOUND.items() if key != report}
    assert (lines(facts(SOUND)) != lines(facts(without))) == (report[1] not in unjudged)


@pytest.mark.parametrize(
    ("name", "report", "line"),
    [
        ("boot_entries", (0, b"zaffre-server_6.12.118-1.20261126.1+2-1.efi\n"), "boot-entries"),
        ("system_mounts", (0, b"29 1 253:2 / / ro,relatime shared:1 - ext4 /dev/vda2 ro\n"), "root"),
        ("root_size", (0, b"1162144 4096\n"), "root-grows"),
        ("cloud_status", (0, b'{"extended_status": "done", "errors": ["no key"]}'), "cloud-init"),
        ("cloud_status", (0, b"not JSON"), "cloud-init"),
        ("cloud_status", (0, b"[]"), "cloud-init"),
        ("user_keys", (0, b"ssh-ed25519 AAAA somebody\n"), "cloud-init"),
        ("user_sudo", (1, b""), "sudo"),
        (
            "ssh_settings",
            (0, b"permitrootlogin without-password\npasswordauthentication no\nkbdinteractiveauthentication no\n"),
            "ssh",
        ),
        ("ssh_keys", (0, b"ssh-ed25519 CCCC root@machine\n"), "ssh-keys"),
        ("firewall_rules", (0, b'{"nftables": []}'), "firewall"),
        ("firewall_rules", (0, json.dumps(_RULES).replace("drop", "accept").encode()), "firewall"),
        ("packages_audit", (0, b"The following packages are only half configured\n"), "packages"),
        ("packages_check", (100, b"E: Unmet dependencies\n"), "packages"),
        ("packages_verify", (127, b"sh: dpkg: not found\n"), "altered"),
        ("packages_verify", (2, b"dpkg: error: cannot open '/var/lib/dpkg/status'\n"), "altered"),
        ("packages_verify", (1, b"??5??????   /usr/bin/ls\n"), "altered"),
        ("journal_settings", (0, b"[Journal]\n"), "journal"),
        ("journal_kept", (0, b""), "journal"),
    ],
)
def test_what_is_amiss_fails_its_own_line(name: str, report: Report, line: str) -> None:
    assert failed(**{name: report}) == {line}
