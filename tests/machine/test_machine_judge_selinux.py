# SPDX-License-Identifier: Apache-2.0
"""What is said of SELinux: of its mode, of what it has refused, and of a container that it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_facts import EXPECTED, Report, facts, sound

from zaffre.machine.facts import Facts
from zaffre.machine.judge import judge
from zaffre.machine.judge_selinux import CONFINED, denials_of, domains, told_denials
from zaffre.machine.judge_server import judge_server
from zaffre.machine.report import CheckLine, Verdict

ENFORCING = replace(EXPECTED, selinux="enforcing")
DENIAL = (
    'audit: type=1400 audit(1764182252.012:18): avc:  denied  { read open } for  pid=231 comm="containerd" '
    'name="shadow" dev="dm-0" ino=99 scontext=system_u:system_r:dockerd_t:s0 '
    "tcontext=system_u:object_r:shadow_t:s0 tclass=file permissive=0"
)
ASKED_FOR = DENIAL.replace("system_u:system_r:dockerd_t:s0", CONFINED)
LOADED = "audit: type=1403 audit(1764182251.1:2): auid=4294967295 ses=4294967295 lsm=selinux res=1\n"
HELD = (
    "there /host/etc/shadow\nthere /host/var/log/journal\n"
    f"label {CONFINED}\0\nstatus 0 /own/nonce\nstatus 1 /other/nonce\nstatus 1 /host/etc/shadow\n"
    "status 1 /host/var/log/journal\n"
)


def reports() -> dict[tuple[int, str], Report]:
    return {
        **sound(),
        (1, "selinux.enforce"): (0, b"1"),
        (2, "selinux.enforce"): (0, b"1"),
        (1, "selinux.denials"): (0, f"{ASKED_FOR}\n".encode()),
        (2, "selinux.denials"): (0, LOADED.encode()),
        (2, "selinux.denials-before"): (0, f"{LOADED}{ASKED_FOR}\n".encode()),
        (1, "selinux.console"): (0, b""),
        (1, "console.level"): (0, b""),
        (1, "container.confined"): (0, HELD.encode()),
    }


def lines(found: dict[tuple[int, str], Report]) -> dict[str, CheckLine]:
    return {line.name: line for line in judge(facts(found), ENFORCING)}


def test_a_host_that_refuses_nobody_but_the_container_that_asks_for_it_passes() -> None:
    told = lines(reports())
    assert (told["selinux"].verdict, told["selinux"].found) == (Verdict.PASSED, "enforcing, no denials")
    assert told["container-confined"].verdict is Verdict.PASSED
    assert told["container-confined"].found == "refused, as container_t:s0:c11,c12"


def by_update(enforce: Report = (0, b"1")) -> dict[tuple[int, str], Report]:
    """With a version before, that has written the one that is looked at."""
    return {
        **reports(),
        (0, "selinux.enforce"): enforce,
        (0, "selinux.denials"): (0, LOADED.encode()),
        (1, "selinux.denials-before"): (0, LOADED.encode()),
    }


def test_what_is_refused_to_an_update_counts() -> None:
    assert lines(by_update())["selinux"].verdict is Verdict.PASSED
    for one in ((0, "selinux.denials"), (1, "selinux.denials-before")):
        found = {**by_update(), one: (0, f"{LOADED}{DENIAL}\n".encode())}
        words = "enforcing; denied: dockerd_t: read open of shadow_t (file) (to the version before)"
        assert lines(found)["selinux"].found == words
        assert told_denials(facts(found)) == (DENIAL,)
        assert "a policy was loaded" in lines({**by_update(), one: (0, b"")})["selinux"].found
        assert "nobody told" in lines({**by_update(), one: (1, b"")})["selinux"].found


def test_of_a_version_before_without_a_policy_nothing_is_asked() -> None:
    found = {**by_update((1, b"cat: no such file")), (0, "selinux.denials"): (0, b"")}
    assert lines(found)["selinux"].verdict is Verdict.PASSED


def test_a_host_without_a_policy_is_not_asked() -> None:
    assert not {"selinux", "container-confined"} & {line.name for line in judge(facts(reports()), EXPECTED)}


def test_a_permissive_host_tells_what_it_would_refuse_and_holds_no_container() -> None:
    expected = replace(EXPECTED, selinux="permissive")
    found = {**reports(), **dict.fromkeys([(boot, "selinux.enforce") for boot in (1, 2)], (0, b"0"))}
    told = {line.name: line for line in judge(facts(found), expected)}
    assert (told["selinux"].verdict, told["selinux"].found) == (Verdict.PASSED, "permissive, no denials")
    assert "container-confined" not in told


@pytest.mark.parametrize(
    ("boot", "name"),
    [(1, "selinux.denials"), (2, "selinux.denials"), (2, "selinux.denials-before"), (1, "selinux.console")],
)
def test_one_denial_fails_and_is_named(boot: int, name: str) -> None:
    line = lines({**reports(), (boot, name): (0, f"{DENIAL}\n".encode())})["selinux"]
    assert line.verdict is Verdict.FAILED
    assert "dockerd_t: read open of shadow_t (file)" in line.found


@pytest.mark.parametrize(
    ("boot", "name", "data", "says"),
    [
        (1, "selinux.enforce", (0, b"0"), "permissive"),
        (1, "selinux.enforce", (1, b"cat: No such file or directory"), "off"),
        (1, "selinux.denials", (1, b""), "nobody told"),
        (1, "console.level", (1, b"sh: cannot create /proc/sys/kernel/printk"), "nobody told"),
        (1, "selinux.denials", (0, b""), "what was refused to the container is not in the log"),
        (
            1,
            "selinux.denials",
            (0, f"{ASKED_FOR}\nlost: audit: audit_lost=7\n".encode()),
            "log was lost: audit: audit_lost",
        ),
        (2, "selinux.enforce", (0, b"0"), "enforcing, and permissive after a restart"),
        (2, "selinux.denials", (0, b""), "does not even say that a policy was loaded"),
        (2, "selinux.denials-before", (0, ASKED_FOR.encode()), "does not even say that a policy was loaded"),
        (2, "selinux.denials-before", (0, LOADED.encode()), "what was refused to the container is not in the log"),
    ],
)
def test_silence_and_another_mode_fail(boot: int, name: str, data: Report, says: str) -> None:
    line = lines({**reports(), (boot, name): data})["selinux"]
    assert line.verdict is Verdict.FAILED
    assert says in line.found


def test_the_report_has_each_denial_once_and_none_that_was_asked_for() -> None:
    found = facts({**reports(), (2, "selinux.denials"): (0, f"{DENIAL}\n{ASKED_FOR}\n{DENIAL}\n".encode())})
    assert told_denials(found) == (DENIAL,)


def test_a_denial_that_cannot_be_read_counts_as_one() -> None:
    assert list(denials_of("avc: denied something of a new kind\nanother line\n")) == [
        "avc: denied something of a new kind"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "audit: type=1401 audit(1764182252.012:18): op=security_compute_sid invalid_context=system_u:system_r:own_t:s0",
        "SELINUX_ERR op=security_bounded_transition seresult=denied oldcontext=a newcontext=b",
    ],
)
def test_a_context_that_is_refused_is_a_denial(line: str) -> None:
    found = {**reports(), (2, "selinux.denials"): (0, f"{LOADED}{line}\n".encode())}
    told = lines(found)["selinux"]
    assert (told.verdict, told.found) == (Verdict.FAILED, f"enforcing; denied: {line}")
    assert told_denials(facts(found)) == (line,)


def test_the_container_is_excused_of_what_the_kernel_refuses_alone() -> None:
    told = (
        "user_avc pid=1 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 msg='avc:  denied  "
        f'{{ start }} for auid=n/a uid=0 gid=0 path="a.service" cmdline="x" scontext={CONFINED} '
        "tcontext=system_u:object_r:init_exec_t:s0 tclass=service permissive=0"
    )
    assert list(denials_of(told)) == ["container_t: start of init_exec_t (service)"]
    assert list(denials_of(ASKED_FOR)) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("status 1 /host/etc/shadow", "status 0 /host/etc/shadow", "it read /host/etc/shadow"),
        ("status 1 /other/nonce", "status 0 /other/nonce", "it read /other/nonce"),
        ("status 0 /own/nonce", "status 1 /own/nonce", "could not read its own"),
        (CONFINED, "system_u:system_r:spc_t:s0", "it ran as system_u:system_r:spc_t:s0"),
        ("status 1 /host/var/log/journal\n", "", "status 1 /host/etc/shadow"),
        ("there /host/etc/shadow\n", "", "the host itself has no /host/etc/shadow to read"),
    ],
)
def test_a_container_that_is_not_held_fails(before: str, after: str, says: str) -> None:
    assert before in HELD
    spoilt = HELD.replace(before, after).encode()
    line = lines({**reports(), (1, "container.confined"): (0, spoilt)})["container-confined"]
    assert line.verdict is Verdict.FAILED
    assert says in line.found


SERVICES = (
    "ssh.service system_u:system_r:sshd_t:s0-s0:c0.c1023\n"
    "systemd-networkd.service system_u:system_r:systemd_networkd_t:s0\n"
    "user@1000.service unconfined_u:unconfined_r:unconfined_t:s0\n"
    "zaffre-check.service system_u:system_r:zaffre_check_t:s0\n"
)


def served(text: str, status: int = 0) -> CheckLine:
    return domains(facts({(1, "selinux.domains"): (status, text.encode())}), ENFORCING)


def test_services_of_a_server_have_domains_of_their_own() -> None:
    line = served(SERVICES)
    assert (line.verdict, line.found) == (Verdict.PASSED, "2, each in a domain of its own")


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (SERVICES + "own.service system_u:system_r:dpkg_t:s0\n", 0, "own.service (dpkg_t)"),
        (SERVICES + "own.service \n", 0, "nobody told"),
        ("zaffre-check.service system_u:system_r:zaffre_check_t:s0\n", 0, "nobody told"),
        (SERVICES.replace("sshd_t", "initrc_t"), 0, "ssh.service (initrc_t)"),
        ("ssh.service kernel\n", 0, "nobody told"),
        (SERVICES, 1, "nobody told"),
        ("", 0, "nobody told"),
    ],
)
def test_a_service_without_one_is_named(text: str, status: int, says: str) -> None:
    line = served(text, status)
    assert (line.verdict, line.found) == (Verdict.FAILED, says)


def test_a_server_is_asked_for_both_where_it_has_a_policy() -> None:
    names = {line.name for line in judge_server(Facts(), ENFORCING)}
    assert names - {line.name for line in judge_server(Facts(), EXPECTED)} == {"selinux", "domains"}
