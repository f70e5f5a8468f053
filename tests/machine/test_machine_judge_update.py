# SPDX-License-Identifier: Apache-2.0
"""What is said of a host that got to its version by an update."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_facts import EXPECTED, MACHINE_ID, NONCE, Report, facts, sound, verdict

from support.measured import prediction
from zaffre.machine.judge import judge
from zaffre.machine.judge_update import HUNG
from zaffre.machine.judging import Step
from zaffre.machine.report import CheckLine, Verdict

UPDATED = replace(EXPECTED, updates=True, update=Step("host", "1.8", "1.9"))
REPORTS: dict[tuple[int, str], Report] = {
    (0, "update.run"): (0, b""),
    (0, "machine-id"): (0, MACHINE_ID.encode()),
    (1, "update.kept"): (0, NONCE.encode()),
    (1, "update.entry"): (0, b"\6\0\0\0" + "\\EFI\\Linux\\mine-host_1.9+2-1.efi\0".encode("utf-16-le")),
    (1, "update.version"): (0, b"1.9\n"),
    (1, "update.entries"): (0, b"mine-host_1.8.efi\nmine-host_1.9+2-1.efi\n"),
    (1, "update.labels"): (0, b"esp\nhost_1.8\nhost_1.9\nvar\n"),
}


def lines(changed: dict[tuple[int, str], Report]) -> dict[str, CheckLine]:
    return {line.name: line for line in judge(facts({**sound(), **REPORTS, **changed}), UPDATED)}


def test_the_version_before_wrote_it_and_is_kept() -> None:
    told = lines({})
    assert told["updated"].verdict is Verdict.PASSED
    assert told["updated"].found == "from 1.8 to 1.9, and the version before is kept"
    assert "slots" not in told, "both are in use"
    assert "updated" not in {line.name for line in judge(facts({**sound(), **REPORTS}), EXPECTED)}


def test_where_each_boot_is_counted_the_version_before_has_its_tries() -> None:
    told = lines({(1, "update.entries"): (0, b"mine-host_1.8+3.efi\nmine-host_1.9+2-1.efi\n")})
    assert told["updated"].verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("boot", "name", "report", "says"),
    [
        (0, "update.run", (1, b""), "nothing was reported"),
        (1, "update.version", (0, b"1.8\n"), "1.8 runs"),
        (1, "update.version", (127, b""), "nobody knows what runs"),
        (1, "update.labels", (0, b"esp\n_empty\nhost_1.9\nvar\n"), "1.8 is not kept"),
        (1, "update.entries", (0, b"mine-host_1.9+2-1.efi\n"), "1.8 is not kept"),
        (1, "update.entries", (0, b"mine-host_1.8+0.efi\nmine-host_1.9+2-1.efi\n"), "1.8 is not kept"),
        (1, "update.kept", (1, b"cat: no such file"), "/var or the machine's id was not kept"),
        (0, "machine-id", (0, b"another"), "/var or the machine's id was not kept"),
        (1, "update.entry", (0, b"\6\0\0\0/mine-host_1.9+1-2.efi"), "it came up at try 2"),
        (1, "update.entry", (1, b"cat: no such file"), "nobody knows at which try it came up"),
        (1, "update.entries", (0, b"mine-host_1.8+2-1.efi\nmine-host_1.9+2-1.efi\n"), "1.8 is not kept"),
    ],
)
def test_an_update_that_did_not_come_about_fails(boot: int, name: str, report: Report, says: str) -> None:
    told = lines({(boot, name): report})["updated"]
    assert (told.verdict, told.found) == (Verdict.FAILED, says)


def test_the_version_before_is_counted_in_its_own_way() -> None:
    judged: dict[tuple[int, str], Report] = {(boot, "health.verdict"): (0, verdict(boot)) for boot in (1, 2)}
    for entries in (b"h_1.8+3.efi\nh_1.9.efi\n", b"h_1.8.efi\nh_1.9.efi\n"):
        assert lines({**judged, (2, "boot.entries"): (0, entries)})["health"].verdict is Verdict.PASSED
    for entries in (b"h_1.8.efi\nh_1.9+2-1.efi\n", b"h_1.8.efi\n"):
        assert lines({**judged, (2, "boot.entries"): (0, entries)})["health"].verdict is Verdict.FAILED


def test_labels_are_as_udev_writes_them() -> None:
    step = Step("host", "1~rc.8", "1.9")
    told: dict[tuple[int, str], Report] = {
        (1, "update.labels"): (0, rb"host_1\x7erc.8" + b"\nhost_1.9\n"),
        (1, "update.entries"): (0, b"mine-host_1~rc.8.efi\n"),
    }
    found = judge(facts({**sound(), **REPORTS, **told}), replace(UPDATED, update=step))
    assert {line.name: line.verdict for line in found}["updated"] is Verdict.PASSED


def test_a_start_that_the_emulation_has_spoilt_is_no_try() -> None:
    second: dict[tuple[int, str], Report] = {(1, "update.entry"): (0, b"\6\0\0\0/mine-host_1.9+1-2.efi")}
    assert lines(second)["updated"].verdict is Verdict.FAILED
    assert lines({**second, (1, HUNG): (0, b"")})["updated"].verdict is Verdict.PASSED


def test_it_has_the_boot_loader_of_the_version_before() -> None:
    """An update does not write one."""
    before = prediction("1.0", kernel_image="ab" * 32)
    after = prediction(loader="cd" * 32)
    alone = judge(facts(sound()), replace(EXPECTED, prediction=after))
    assert {line.name: line.found for line in alone}["measured-boot"].startswith("boot loader: ")
    both = judge(facts(sound()), replace(EXPECTED, prediction=after, earlier=before))
    assert {line.name: line.verdict for line in both}["measured-boot"] is Verdict.PASSED


def test_the_kernel_of_the_version_before_is_not_what_is_to_run() -> None:
    found = judge(
        facts(sound()), replace(EXPECTED, prediction=prediction("1.2", kernel_image="ab" * 32), earlier=prediction())
    )
    line = {line.name: line for line in found}["measured-boot"]
    assert (line.verdict, line.found.startswith("kernel image: of ")) == (Verdict.FAILED, True)
