# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from machine_facts import CERTIFICATES, EXPECTED, LOG, MACHINE_ID, NONCE, facts, registers, sound, spoilt, verdict

from support.measured import log_of, prediction
from support.measured import sound as sound_boot
from zaffre.machine.facts import Facts
from zaffre.machine.judge import judge
from zaffre.machine.judging import Laid
from zaffre.machine.report import CheckLine, CheckReport, Verdict


def lines(found: Facts) -> dict[str, CheckLine]:
    return {line.name: line for line in judge(found, EXPECTED)}


def test_a_sound_host_passes_every_line() -> None:
    verdicts = {line.name: line.verdict for line in judge(facts(sound()), EXPECTED)}
    noted = {name for name, verdict in verdicts.items() if verdict is Verdict.NOTED}
    assert Verdict.FAILED not in verdicts.values()
    assert noted == {"release", "listening", "hardening", "tpm"}


def test_silence_proves_nothing() -> None:
    failed = {line.name for line in judge(Facts(), EXPECTED) if line.verdict is Verdict.FAILED}
    assert failed == {name for name, line in lines(facts(sound())).items() if line.verdict is Verdict.PASSED}


@pytest.mark.parametrize("report", sorted(sound()))
def test_no_report_can_be_left_out_unseen(report: tuple[int, str]) -> None:
    """Each report that a verdict stands on makes a line fail, or change, when it is missing."""
    boot, name = report
    unjudged = {"system.memory", "system.times", "system.units", "selinux.enforce"}
    before = lines(facts(sound()))
    after = lines(spoilt(name, None, boot=boot))
    assert (before != after) == (name not in unjudged)


@pytest.mark.parametrize(
    ("line", "name", "data", "status", "says"),
    [
        ("system", "system.state", b"degraded\n", 1, "degraded"),
        ("system", "system.failed", b"a.service loaded failed failed A\n", 0, "a.service"),
        ("secure-boot", "efi.SecureBoot", b"\6\0\0\0\0", 0, "off"),
        ("secure-boot", "efi.SetupMode", b"\6\0\0\0\1", 0, "off"),
        ("secure-boot", "efi.SecureBoot", b"cat: No such file", 1, "off"),
        ("secure-boot", "efi.db", b"\x27\0\0\0somebody else's", 0, "not in db"),
        ("measured-boot", "tpm.log", b"no log", 0, "cannot be read"),
        ("measured-boot", "tpm.log", LOG[:-100], 0, "cannot be read"),
        ("measured-boot", "tpm.registers", registers(LOG).replace(b"13=0", b"13=1"), 0, "other values than PCR 13"),
        ("measured-boot", "tpm.registers", b"4=\n", 0, "other values than PCR 4, 7, 11, 12, 13"),
        ("root", "system.mounts", b"1 1 8:1 / / rw - ext4 /dev/vda1 rw\n", 0, "ext4, writable"),
        ("root", "root.write", b"", 0, "not refused"),
        ("root", "root.remount", b"", 0, "not refused"),
        ("verity", "verity.status", b"0 336112 verity C\n", 0, "corruption"),
        ("verity", "verity.table", b"0 336112 linear 253:2 0\n", 0, "not a dm-verity"),
        ("verity", "system.command-line", b"roothash=ffffffffffffffff ro\n", 0, "ffffffffffff"),
        ("usr", "usr.write", b"", 0, "it was written"),
        ("usr", "usr.write", b"No space left on device", 1, "No space left"),
        ("container", "container.run", b"ctr: crun: not found\n", 1, "crun: not found"),
        ("container-network", "container.run", b"network net:[4026531840]\ninterface lo\n", 0, "the host's"),
        ("container-network", "container.run", b"network net:[1]\ninterface lo\ninterface eth0\n", 0, "eth0"),
        ("cgroups", "container.unit", b"ActiveState=inactive\nControlGroup=\n", 0, "inactive"),
        ("cgroups", "containerd.config", b"version = 2\n", 0, "runtimes none"),
        ("cgroups", "containerd.config", b"not toml", 0, "runtimes none"),
        ("ipv4", "network.links", b'{"Interfaces": []}', 0, "none"),
        ("ipv6", "network.links", b"not json", 0, "none"),
        ("resolver", "network.resolver", b"Global:\nLink 2 (enp0s4):\n", 0, "none"),
        ("settings", "kernel.settings", b"net/ipv4/ip_forward=0\n", 0, "net.ipv4.ip_forward = 0 (not 1)"),
        ("settings", "kernel.settings", b"net/ipv4/ip_forward=0\n", 0, "ping_group_range = absent"),
        ("modules", "kernel.modules", b"overlay 1 0 - Live 0x0\n", 0, "br_netfilter"),
        ("time", "system.time", b"Id=chrony.service\nActiveState=inactive\n", 0, "none"),
        ("power-button", "kernel.inputs", b'N: Name="Power Button"\nH: Handlers=kbd\n', 0, "nobody"),
        ("power-button", "system.services", b"containerd.service loaded active running C\n", 0, "nobody"),
        ("log-in", "system.services", b"getty@tty1.service loaded active running Getty\n", 0, "getty@tty1"),
        ("log-in", "system.services", b"ssh@1-10.0.2.15:22.service loaded active running\n", 0, "ssh@1"),
        ("log-in", "system.services", b"dropbear.service loaded active running\n", 0, "dropbear"),
        ("log-in", "system.services", b"zaffre-debug-shell.service loaded active running\n", 0, "zaffre-debug-shell"),
    ],
)
def test_one_fault_fails_its_line_and_is_named(line: str, name: str, data: bytes, status: int, says: str) -> None:
    found = lines(spoilt(name, data, status=status))[line]
    assert found.verdict is Verdict.FAILED
    assert says in found.found
    assert found.wanted


def test_what_a_restart_keeps() -> None:
    assert lines(spoilt("etc.kept", NONCE.encode(), boot=2))["etc"].found == "still there"
    assert lines(spoilt("var.kept", b"cat: no such file", status=1, boot=2))["var"].verdict is Verdict.FAILED
    assert lines(spoilt("var.size", b"800000 4096\n", boot=2))["var-grows"].found == "3.3 GB then 3.3 GB"
    assert lines(spoilt("var.size", b"stat: no\n", status=1, boot=2))["var-grows"].verdict is Verdict.FAILED
    assert "then none" in lines(spoilt("machine-id", b"", boot=2))["machine-id"].found
    same_boot = spoilt("boot-id", b"c655d888-0d88-48d7-9ca1-b384035f9c86\n", boot=2)
    assert lines(same_boot)["machine-id"].verdict is Verdict.FAILED, "nothing is proved if there was no restart"
    assert MACHINE_ID in lines(spoilt("machine-id", b"", boot=2))["machine-id"].found


def test_the_root_hash_must_be_the_manifest_s_too() -> None:
    other = replace(EXPECTED, root_hash="ab" * 32)
    verity = next(line for line in judge(facts(sound()), other) if line.name == "verity")
    assert verity.verdict is Verdict.FAILED
    assert "abababababab" in (verity.wanted or "")


def test_a_debug_build_may_have_a_shell() -> None:
    shell = spoilt("system.services", b"debug-shell.service loaded active running\n")
    line = next(line for line in judge(shell, replace(EXPECTED, debug=True)) if line.name == "log-in")
    assert (line.verdict, "debug-shell" in line.found) == (Verdict.NOTED, True)


def test_what_is_told_without_a_verdict() -> None:
    told = lines(facts(sound()))
    assert told["listening"].found == "tcp 0.0.0.0:5355", "neither loop-back nor a connection is an open door"
    assert told["hardening"].found.startswith("SELinux off; lockdown integrity")
    assert told["release"].found == "Zaffre Linux 1, Linux 6.12.0-cloud-amd64"


def test_a_report_passes_only_without_a_failed_line() -> None:
    def report(found: Facts) -> CheckReport:
        return CheckReport(
            image="i",
            accelerator="tcg",
            lines=judge(found, EXPECTED),
            boots=(),
            memory_used_bytes=None,
            memory_total_bytes=None,
            seconds=1.0,
        )

    assert report(facts(sound())).passed
    assert not report(spoilt("efi.SecureBoot", b"\6\0\0\0\0")).passed
    assert set(CERTIFICATES) == {"PK", "KEK", "db"}
    again = CheckReport.model_validate_json(report(facts(sound())).model_dump_json())
    assert again == report(facts(sound()))


JUDGED: dict[tuple[int, str], tuple[int, bytes]] = {
    **{(boot, "health.verdict"): (0, verdict(boot)) for boot in (1, 2)},
    (2, "boot.entries"): (0, b"mine-host_1.efi\n"),
    (1, "disk.labels"): (0, b"_empty\nesp\nhost_1\nvar\n"),
}


def test_a_host_that_is_updated_tells_that_its_boot_was_blessed_and_a_slot_is_free() -> None:
    told = {line.name: line for line in judge(facts({**sound(), **JUDGED}), replace(EXPECTED, updates=True))}
    assert (told["health"].verdict, told["health"].found) == (Verdict.PASSED, "1 checks held; blessed")
    assert (told["slots"].verdict, told["slots"].found) == (Verdict.PASSED, "free")
    assert not {"health", "slots"} & lines(facts(sound())).keys()


@pytest.mark.parametrize(
    ("line", "boot", "name", "data"),
    [
        ("health", 2, "boot.entries", b"mine-host_1+2-1.efi\n"),
        ("health", 2, "boot.entries", b""),
        ("health", 1, "health.verdict", verdict(1).replace(b'"status": 0', b'"status": 124')),
        ("health", 2, "health.verdict", verdict(1)),
        ("health", 2, "health.verdict", b"cat: no such file"),
        ("slots", 1, "disk.labels", b"esp\nhost_1\nvar\n"),
    ],
)
def test_a_host_that_was_not_judged_or_has_no_slot(line: str, boot: int, name: str, data: bytes) -> None:
    found = judge(facts({**sound(), **JUDGED, (boot, name): (0, data)}), replace(EXPECTED, updates=True))
    assert [one.name for one in found if one.verdict is Verdict.FAILED] == [line]


@pytest.mark.parametrize(
    ("entry", "blessed"),
    [
        (b"h_1+3.efi", True),
        (b"h_1+2-1.efi", True),
        (b"h_1+1-2.efi", False),
        (b"h_1+0-2.efi", False),
        (b"h_1.efi", False),
    ],
)
def test_where_each_boot_is_counted_the_first_one_gave_its_try_back(entry: bytes, *, blessed: bool) -> None:
    expected = replace(EXPECTED, updates=True, every_boot=True)
    found = judge(facts({**sound(), **JUDGED, (2, "boot.entries"): (0, entry)}), expected)
    assert [one.name for one in found if one.verdict is Verdict.FAILED] == ([] if blessed else ["health"])


EDGE = replace(EXPECTED, containers=False, configuration="site")
SITE: dict[tuple[int, str], tuple[int, bytes]] = {
    (1, "confext.kept"): (0, b"site.raw\n"),
    (2, "confext.merged"): (0, b"/etc site 2026-11-26 04:00:00 UTC\n"),
    **{
        (boot, "system.watchdog"): (
            0,
            b"RuntimeWatchdogUSec=30s\nWatchdogDevice=/dev/watchdog0\nWatchdogLastPingTimestampMonotonic=9000000\n",
        )
        for boot in (1, 2)
    },
}


def test_an_edge_device_has_no_containers_but_a_configuration_and_a_watchdog() -> None:
    told = {line.name: line for line in judge(facts({**sound(), **SITE}), EDGE)}
    assert Verdict.FAILED not in {line.verdict for line in told.values()}
    assert told["configuration"].verdict is told["watchdog"].verdict is Verdict.PASSED
    assert told["watchdog"].found == "told to wait 30s"
    assert not {"container", "container-network", "cgroups"} & told.keys()
    assert not {"configuration", "watchdog"} & lines(facts(sound())).keys()


@pytest.mark.parametrize(
    ("line", "boot", "name", "report"),
    [
        ("configuration", 1, "confext.kept", (2, b"ls: cannot access")),
        ("configuration", 2, "confext.merged", (0, b"/etc none\n")),
        ("watchdog", 2, "system.watchdog", (0, b"RuntimeWatchdogUSec=30s\nWatchdogLastPingTimestampMonotonic=0\n")),
    ],
)
def test_an_edge_device_that_fell_short(line: str, boot: int, name: str, report: tuple[int, bytes]) -> None:
    found = judge(facts({**sound(), **SITE, (boot, name): report}), EDGE)
    assert [one.name for one in found if one.verdict is Verdict.FAILED] == [line]


@pytest.mark.parametrize(
    ("report", "verdict", "says"),
    [
        ("net/a/lo/redirects=0\nnet/a/eth0.1/redirects=0\nnet/a/all/redirects=1\n", Verdict.PASSED, "all 2"),
        ("net/a/lo/redirects=0\nnet/a/eth0/redirects=1\nnet/a/all/redirects=1\n", Verdict.FAILED, "eth0/redirects = 1"),
        ("net/a/all/redirects=1\n", Verdict.FAILED, "net.a.*.redirects = absent (not 0)"),
    ],
)
def test_a_setting_that_is_a_pattern_is_every_one_that_no_other_names(report: str, verdict: Verdict, says: str) -> None:
    expected = replace(EXPECTED, settings={"net.a.*.redirects": "0", "net.a.all.redirects": "1"})
    found = spoilt("kernel.settings", report.encode())
    line = next(one for one in judge(found, expected) if one.name == "settings")
    assert line.verdict is verdict
    assert says in line.found


def test_another_boot_than_the_build_predicts() -> None:
    other = log_of(sound_boot(kernel_image="99" * 32))
    reports = {**sound(), (1, "tpm.log"): (0, other), (1, "tpm.registers"): (0, registers(other))}
    line = lines(facts(reports))["measured-boot"]
    assert line.verdict is Verdict.FAILED
    assert "kernel image: 9999999999999999…, of no release" in line.found


@pytest.mark.parametrize(("architecture", "verdict"), [("amd64", Verdict.FAILED), ("arm64", Verdict.NOTED)])
def test_a_system_that_sees_no_tpm(architecture: str, verdict: Verdict) -> None:
    """It is a failure where the kernel has the driver. What was not reported is one everywhere."""
    predicted = replace(EXPECTED, prediction=prediction().model_copy(update={"architecture": architecture}))
    gone = {(1, name): (1, b"cat: No such file") for name in ("tpm.version", "tpm.log", "tpm.registers")}
    told = {line.name: line for line in judge(facts({**sound(), **gone}), predicted)}
    assert told["measured-boot"].verdict is verdict
    unsaid = {key: value for key, value in sound().items() if not key[1].startswith("tpm.")}
    told = {line.name: line for line in judge(facts(unsaid), predicted)}
    assert told["measured-boot"].verdict is Verdict.FAILED


def test_an_image_that_predicts_nothing_has_no_such_line() -> None:
    found = judge(facts(sound()), replace(EXPECTED, prediction=None))
    assert "measured-boot" not in {line.name for line in found}


ENCRYPTED = (
    b"0 7307264 crypt aes-xts-plain64 :64:logon:cryptsetup:0c1a-d0 0 253:5 32768 1 sector_size:4096\n",
    b"CRYPT-LUKS2-0c1ae0f5a3ef4b0d8a2d3b8b3a0c1a2b-var\n",
    b"62 61 254:1 / /var rw,nosuid,nodev - ext4 /dev/mapper/var rw\n",
)


@pytest.mark.parametrize(
    ("table", "uuid", "mount", "says"),
    [
        (*ENCRYPTED, None),
        (b"0 7307264 linear 253:5 0\n", *ENCRYPTED[1:], "not encrypted"),
        (ENCRYPTED[0], b"CRYPT-PLAIN-var\n", ENCRYPTED[2], "not encrypted"),
        (b"Device var not found\n", b"Device var not found\n", ENCRYPTED[2], "not encrypted"),
        (*ENCRYPTED[:2], b"62 61 253:5 / /var rw,nosuid,nodev - ext4 /dev/vda5 rw\n", "not what is mounted"),
    ],
)
def test_an_encrypted_var_is_seen_where_it_is_asked_for(
    table: bytes, uuid: bytes, mount: bytes, says: str | None
) -> None:
    reports = sound()
    reports[1, "var.table"], reports[1, "var.uuid"] = (0, table), (0, uuid)
    status, mounts = reports[1, "system.mounts"]
    reports[1, "system.mounts"] = (status, mounts + mount)
    told = {line.name: line for line in judge(facts(reports), replace(EXPECTED, encrypted=True))}["var-encrypted"]
    if says is None:
        assert told.verdict is Verdict.PASSED
        assert "aes-xts-plain64" in told.found
    else:
        assert told.verdict is Verdict.FAILED
        assert says in told.found
    assert "var-encrypted" not in lines(facts(reports))


LAID = Laid("sysext", "agent", "container-host 1.1", agent=True)
OVER = b'[{"hierarchy":"/opt","extensions":"none"},{"hierarchy":"/usr","extensions":["agent","check"]}]'
TAKEN: dict[tuple[int, str], tuple[int, bytes]] = {
    (boot, name): fact
    for boot in (1, 2)
    for name, fact in {
        "extension.merge": (0, b""),
        "extension.merged": (0, OVER),
        "agent.runs": (0, b"usage: zaffre-agent [-h]"),
    }.items()
}


def laid_lines(changes: Mapping[tuple[int, str], tuple[int, bytes]], laid: Laid = LAID) -> dict[str, CheckLine]:
    found = judge(facts({**sound(), **TAKEN, **changes}), replace(EXPECTED, checked=laid))
    return {line.name: line for line in found}


def test_an_extension_is_judged_by_what_the_host_has_taken_and_with_all_of_the_host() -> None:
    told = laid_lines({})
    assert told["extension"].found == "laid over /usr, in both boots"
    assert told["agent"].verdict is Verdict.PASSED
    assert (told["host"].verdict, told["host"].found) == (Verdict.NOTED, "container-host 1.1")
    assert set(lines(facts(sound()))) == set(told) - {"extension", "agent", "host"}
    assert "agent" not in laid_lines({}, replace(LAID, agent=False))
    confext = b'[{"hierarchy":"/etc","extensions":["site"]}]'
    site = Laid("confext", "site", "edge 1.1")
    merged = {(boot, "extension.merged"): (0, confext) for boot in (1, 2)}
    assert laid_lines(merged, site)["extension"].found == "laid over /etc, in both boots"


@pytest.mark.parametrize(
    ("line", "changes", "says"),
    [
        ("extension", {(2, "extension.merge"): (1, b"")}, "over /usr"),
        ("extension", {(1, "extension.merge"): (1, b"Failed to read.\nRequired key not available")}, "Required key"),
        ("extension", {(1, "extension.merged"): (0, b'[{"hierarchy":"/usr","extensions":"none"}]')}, "none"),
        ("extension", {(2, "extension.merged"): (0, b"no JSON")}, "over /usr"),
        ("agent", {(2, "agent.runs"): (1, b"ModuleNotFoundError: tuf")}, "tuf"),
        ("agent", {(1, "agent.runs"): (0, b"")}, "nothing was reported"),
    ],
)
def test_an_extension_that_is_not_taken_or_does_not_run_fails(
    line: str, changes: dict[tuple[int, str], tuple[int, bytes]], says: str
) -> None:
    found = laid_lines(changes)[line]
    assert found.verdict is Verdict.FAILED
    assert says in found.found
