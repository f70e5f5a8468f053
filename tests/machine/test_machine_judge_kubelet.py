# SPDX-License-Identifier: Apache-2.0
"""A pod that a kubelet without a cluster was given: it runs, ends, and reads nothing of a host that has a policy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_facts import EXPECTED, Report, facts, sound

from zaffre.machine.judge import judge
from zaffre.machine.judge_kubelet import pod
from zaffre.machine.judge_selinux import denials_of, told_denials
from zaffre.machine.report import CheckLine, Verdict

PLAIN = replace(EXPECTED, kubelet=True)
ENFORCING = replace(PLAIN, selinux="enforcing")
LABEL = "system_u:system_r:container_t:s0:c71,c802"
POD = f"""\
there /host/etc/shadow
there /host/var/log/journal
label {LABEL}
status 0 /own
status 1 /host/etc/shadow
status 1 /host/var/log/journal
ready
"""
DENIAL = (
    'audit: type=1400 audit(1764182252.012:18): avc:  denied  {{ read }} for  pid=231 comm="busybox" '
    'name="shadow" dev="dm-0" ino=99 scontext={context} '
    "tcontext=system_u:object_r:shadow_t:s0 tclass=file permissive=0"
)


def reports(text: str = POD) -> dict[tuple[int, str], Report]:
    return {
        (1, "kubelet.pod"): (0, text.encode()),
        (1, "kubelet.unit"): (0, b"NRestarts=0\nActiveState=active\n"),
        (1, "kubelet.rest"): (0, b""),
    }


def line(found: dict[tuple[int, str], Report]) -> CheckLine:
    return pod(facts(found), ENFORCING)


def test_a_pod_is_held_by_its_domain() -> None:
    told = line(reports())
    assert (told.verdict, told.found) == (
        Verdict.PASSED,
        "runs, as container_t:s0:c71,c802; the host's files are refused to it",
    )


def test_without_a_policy_it_is_enough_that_it_runs() -> None:
    text = POD.replace(LABEL, "unconfined").replace("status 1", "status 0")
    told = pod(facts(reports(text)), PLAIN)
    assert (told.verdict, told.found) == (Verdict.PASSED, "runs")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (POD.replace("ready\n", ""), "status 1 /host/var/log/journal"),
        (POD.replace("status 0 /own", "status 1 /own"), "could not write"),
        (POD.replace(LABEL, "system_u:system_r:spc_t:s0"), "it ran as system_u:system_r:spc_t:s0"),
        (POD.replace(LABEL, "system_u:system_r:container_t:s0"), "it ran as"),
        (POD.replace("status 1 /host/etc/shadow", "status 0 /host/etc/shadow"), "it read /host/etc/shadow"),
        (POD.replace("there /host/etc/shadow\n", ""), "nothing for it to read"),
        (POD.replace("status 1 /host/etc/shadow\n", ""), "did not tell of /host/etc/shadow"),
        ("", "nothing was reported"),
    ],
)
def test_what_is_amiss_is_told(text: str, says: str) -> None:
    told = line(reports(text))
    assert told.verdict is Verdict.FAILED
    assert says in told.found


@pytest.mark.parametrize(
    ("name", "report", "says"),
    [
        ("kubelet.unit", (0, b"ActiveState=failed\n"), "kubelet is failed"),
        ("kubelet.unit", (1, b""), "kubelet is unknown"),
        ("kubelet.unit", (0, b"NRestarts=3\nActiveState=active\n"), "started again 3 times"),
        ("kubelet.rest", (0, b"4f5ac1\n"), "did not end"),
        ("kubelet.rest", (1, b""), "did not end"),
        ("kubelet.pod", (1, POD.encode()), "ready"),
    ],
)
def test_the_kubelet_has_to_live_and_to_clean_up(name: str, report: Report, says: str) -> None:
    told = line({**reports(), (1, name): report})
    assert told.verdict is Verdict.FAILED
    assert says in told.found


def test_what_is_refused_to_the_pod_is_no_denial_of_the_host() -> None:
    own, other = (DENIAL.format(context=one) for one in (LABEL, LABEL.replace("c71", "c72")))
    found = {**sound(), **reports(), (1, "selinux.denials"): (0, f"{own}\n{other}\n".encode())}
    assert told_denials(facts(found)) == (other,)
    assert list(denials_of(own)) != [], "of a pod that is not known"


def test_a_host_without_kubelet_is_not_asked() -> None:
    assert "pod" not in {one.name for one in judge(facts({**sound(), **reports()}), EXPECTED)}
