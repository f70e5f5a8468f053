# SPDX-License-Identifier: Apache-2.0
"""What is said of IPE: of its mode and policy, of what it has refused, and of what root can do against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_facts import EXPECTED, Report, facts, sound

from zaffre.machine.judge import judge
from zaffre.machine.judge_ipe import PLACES
from zaffre.machine.report import CheckLine, Verdict

ENFORCING = replace(EXPECTED, ipe="enforcing")
ON, PERMISSIVE = b"enforce=1\nzaffre=1\n", b"enforce=0\nzaffre=1\n"
REFUSED = (
    'audit: type=1420 audit(1764182252.012:18): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=231 comm="sh" '
    'path="{path}" dev="{dev}" ino=99 rule="DEFAULT action=DENY"\n'
)
ASKED_FOR = "".join(REFUSED.format(path=f"{place}/program", dev="tmpfs") for place in PLACES) + REFUSED.format(
    path="/usr/bin/busybox", dev="overlay"
)
EPERM = "tee: /sys/kernel/security/ipe/enforce: Operation not permitted"
LIBRARY = "ERROR: ld.so: object '{}/library' cannot be preloaded (failed to map segment from shared object): ignored."


def reports() -> dict[tuple[int, str], Report]:
    probes: dict[tuple[int, str], Report] = {}
    for place in PLACES:
        probes[1, f"ipe.program{place}"] = (126, f"env: {place}/program: Permission denied".encode())
        probes[1, f"ipe.loaded{place}"] = (127, f"{place}/program: failed to map segment from shared object".encode())
        probes[1, f"ipe.library{place}"] = (0, LIBRARY.format(place).encode())
    return {
        **sound(),
        **probes,
        (1, "ipe.mode"): (0, ON),
        (2, "ipe.mode"): (0, ON),
        (1, "ipe.own"): (0, b""),
        (1, "ipe.extension"): (0, b"ctr 1.7"),
        (1, "ipe.switch-off"): (2, EPERM.encode()),
        (1, "ipe.load"): (1, b"cat: write error: Operation not permitted"),
        (1, "ipe.denials"): (0, ASKED_FOR.encode()),
        (2, "ipe.denials"): (0, b""),
        (2, "ipe.denials-before"): (0, ASKED_FOR.encode()),
        (1, "container.pulled"): (1, b"exec /usr/bin/busybox: Permission denied: unknown"),
    }


def lines(found: dict[tuple[int, str], Report]) -> dict[str, CheckLine]:
    return {line.name: line for line in judge(facts(found), ENFORCING)}


def test_a_host_that_refuses_what_nobody_signed_and_nothing_else_passes() -> None:
    told = lines(reports())
    assert {name: told[name].verdict for name in ("ipe", "ipe-refused", "ipe-locked")} == {
        "ipe": Verdict.PASSED,
        "ipe-refused": Verdict.PASSED,
        "ipe-locked": Verdict.PASSED,
    }
    assert told["ipe"].found == "enforcing, nothing of its own refused"


def test_a_host_without_a_policy_is_not_asked() -> None:
    assert not {"ipe", "ipe-refused", "ipe-locked"} & {line.name for line in judge(facts(reports()), EXPECTED)}


def test_a_permissive_host_tells_what_it_would_refuse_and_is_not_asked_to_refuse_it() -> None:
    own = REFUSED.format(path="/var/lib/tool", dev="vda6")
    found = {**reports(), (1, "ipe.mode"): (0, PERMISSIVE), (2, "ipe.mode"): (0, PERMISSIVE)}
    told = {line.name: line for line in judge(facts(found), replace(EXPECTED, ipe="permissive"))}
    assert (told["ipe"].verdict, told["ipe"].found) == (Verdict.PASSED, "permissive, nothing of its own refused")
    assert not {"ipe-refused", "ipe-locked"} & told.keys()
    found[1, "ipe.denials"] = (0, own.encode())
    told = {line.name: line for line in judge(facts(found), replace(EXPECTED, ipe="permissive"))}
    assert told["ipe"].verdict is Verdict.FAILED
    assert 'path="/var/lib/tool" dev="vda6"' in told["ipe"].found


@pytest.mark.parametrize(
    ("boot", "name", "report", "line", "says"),
    [
        (1, "ipe.mode", (0, b"enforce=1\n"), "ipe", "without a policy"),
        (2, "ipe.mode", (0, PERMISSIVE), "ipe", "'enforce': '0'"),
        (2, "ipe.mode", (0, b"enforce=1\nzaffre=0\nother=1\n"), "ipe", "other"),
        (1, "ipe.denials", (1, b"no journal"), "ipe", "nobody told"),
        (2, "ipe.denials", (1, b""), "ipe", "nobody told"),
        (2, "ipe.denials-before", (1, b"Failed"), "ipe", "nobody told"),
        (1, "ipe.denials", (0, b""), "ipe", f"probes in {', '.join(PLACES)} is not in the log"),
        (2, "ipe.denials-before", (0, b""), "ipe", "is not in the log"),
        (1, "ipe.denials", (0, ASKED_FOR.partition("\n")[2].encode()), "ipe", f"in {PLACES[0]} is not in the log"),
        (2, "ipe.denials", (0, REFUSED.format(path="/usr/bin/crun", dev="dm-1").encode()), "ipe", "/usr/bin/crun"),
        (2, "ipe.denials-before", (0, REFUSED.format(path="/opt/x", dev="dm-1").encode()), "ipe", "/opt/x"),
        (1, f"ipe.program{PLACES[0]}", (0, b""), "ipe-refused", f"program in {PLACES[0]}"),
        (1, f"ipe.program{PLACES[1]}", (127, b"not found"), "ipe-refused", f"program in {PLACES[1]}"),
        (1, f"ipe.loaded{PLACES[2]}", (0, b""), "ipe-refused", f"loaded in {PLACES[2]}"),
        (1, f"ipe.library{PLACES[0]}", (0, b""), "ipe-refused", f"library in {PLACES[0]}"),
        (1, "ipe.own", (126, b"Permission denied"), "ipe-refused", "own program does not run"),
        (1, "ipe.extension", (126, b"Permission denied"), "ipe-refused", "extension program does not run"),
        (1, "container.pulled", (0, b""), "ipe-refused", "a container in /var"),
        (1, "ipe.switch-off", (0, b""), "ipe-locked", "switched off"),
        (1, "ipe.load", (1, b"cat: write error: File exists"), "ipe-locked", "given another policy"),
    ],
)
def test_what_does_not_hold_is_told(boot: int, name: str, report: Report, line: str, says: str) -> None:
    told = lines({**reports(), (boot, name): report})
    assert told[line].verdict is Verdict.FAILED
    assert says in told[line].found


def test_no_report_of_what_was_refused_can_be_left_out() -> None:
    for one in ((1, "ipe.denials"), (2, "ipe.denials"), (2, "ipe.denials-before")):
        assert lines({key: told for key, told in reports().items() if key != one})["ipe"].verdict is Verdict.FAILED


def test_what_was_not_reported_proves_nothing() -> None:
    told = lines(sound())
    assert {told[name].verdict for name in ("ipe", "ipe-refused", "ipe-locked")} == {Verdict.FAILED}
