# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64

from zaffre.digest import JSON
from zaffre.errors import ExitCode, FindingError, WorldError
from zaffre.machine import ConsoleOutput, Ended, Message, MonitorEvent, Watch
from zaffre.machine.console import Stage

RESET = MonitorEvent("RESET", {"guest": True})


def event(name: str, **fields: JSON) -> Message:
    return Message({"event": name, "boot": 1, **fields})


def fact(name: str) -> Message:
    return Message({"fact": name, "boot": 1, "status": 0, "data": ""})


def test_a_check_of_two_boots() -> None:
    watch = Watch(began=100.0)
    for now, what in (
        (103.0, ConsoleOutput(b"BdsDxe: starting Boot0001\r\n")),
        (130.0, event("started", uptime=20.0)),
        (131.0, fact("system.state")),
        (140.0, event("restart", uptime=30.0)),
        (142.0, RESET),
        (145.0, ConsoleOutput(b"BdsDxe: starting Boot0001\r\n")),
        (170.0, Message({"event": "started", "boot": 2, "uptime": 18.5})),
    ):
        watch.take(what, now)
        assert watch.stuck(now) is None
        assert not watch.finished
    watch.take(Message({"event": "end", "boot": 2, "uptime": 20.0}), 172.0)
    assert watch.finished
    first, second = watch.outsides
    assert (first.began, first.loader, first.kernel) == (100.0, 103.0, 110.0)
    assert (second.began, second.loader, second.kernel) == (142.0, 145.0, 151.5)


def test_the_version_before_comes_first_where_a_host_is_updated() -> None:
    watch = Watch(began=0.0, first=0)
    for boot, began in ((0, 10.0), (1, 40.0), (2, 80.0)):
        watch.take(Message({"event": "started", "boot": boot, "uptime": 5.0}), began)
        assert (watch.boot, watch.finished) == (boot, False)
        watch.take(Message({"event": "restart", "boot": boot, "uptime": 20.0}), began + 15.0)
        watch.take(RESET, began + 16.0)
    assert [one.began for one in watch.outsides] == [0.0, 26.0, 56.0, 96.0]


def test_a_version_that_does_not_come_up_has_its_tries_until_the_one_before_says_so() -> None:
    watch = Watch(began=0.0, first=0)
    watch.take(Message({"event": "restart", "boot": 0, "uptime": 20.0}), 15.0)
    for now in (16.0, 40.0, 60.0, 80.0):
        watch.take(RESET, now)
        assert watch.stuck(now) is None
    watch.take(Message({"event": "failed", "boot": 0, "what": "the host went back", "data": ""}), 100.0)
    error = watch.stuck(100.0)
    assert error is not None
    assert error.brief == "the host went back"


def test_a_version_that_was_blessed_after_an_update_has_no_more_tries_than_others() -> None:
    watch = Watch(began=0.0, first=0)
    for now in (0.0, 100.0, 200.0):
        watch.take(Message({"event": "restart", "boot": now / 100, "uptime": 20.0}), now)
        watch.take(RESET, now + 1.0)
    watch.take(RESET, 300.0)
    assert watch.stuck(300.0) is None
    watch.take(RESET, 400.0)
    assert "again and again" in str(watch.stuck(400.0))


def test_after_an_update_too_a_second_boot_that_takes_itself_for_the_first_is_the_last() -> None:
    watch = Watch(began=0.0, first=0)
    for boot in (0, 1):
        watch.take(Message({"event": "restart", "boot": boot, "uptime": 20.0}), 15.0)
        watch.take(RESET, 16.0)
    watch.take(event("started", uptime=5.0), 30.0)
    assert watch.finished


def test_a_refused_boot_ends_the_wait_once_it_has_said_why() -> None:
    watch = Watch(began=0.0)
    watch.take(ConsoleOutput(b"BdsDxe: failed to load Boot0001: Access Denied\r\n"), 5.0)
    assert watch.stuck(5.5) is None
    error = watch.stuck(7.5)
    assert isinstance(error, FindingError)
    assert error.exit_code is ExitCode.FINDING
    assert "firmware" in error.brief
    assert "signature was refused" in error.brief
    assert "Access Denied" in (error.details or "")


STALL = ConsoleOutput(b"[   26.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\r\n")


def test_a_kernel_that_hangs_under_emulation_is_started_again_once() -> None:
    watch = Watch(began=0.0)
    watch.take(ConsoleOutput(b"BdsDxe: starting Boot0001\r\n"), 5.0)
    watch.take(STALL, 30.0)
    assert not watch.hangs(60.0), "a busy host can be that slow"
    assert watch.hangs(91.0)
    assert watch.hung == 1
    assert not watch.hangs(92.0)
    watch.take(RESET, 93.0)
    assert watch.stuck(93.0) is None
    watch.take(STALL, 120.0)
    assert not watch.hangs(300.0), "one that hangs again is no accident"


def test_a_stall_that_the_boot_gets_over_is_none() -> None:
    watch = Watch(began=0.0)
    watch.take(STALL, 30.0)
    watch.take(event("started", uptime=40.0), 50.0)
    assert not watch.hangs(100.0)


def test_too_slow_says_how_far_it_came() -> None:
    watch = Watch(began=0.0)
    watch.take(ConsoleOutput(b"BdsDxe: starting Boot0001\r\nBooting initrd of Zaffre\r\n"), 5.0)
    error = watch.out_of_time(300.0)
    assert "300 seconds" in error.brief
    assert "initrd" in error.brief
    assert "Booting initrd of Zaffre" in (error.details or "")
    watch.take(fact("container.import"), 6.0)
    assert "container.import" in watch.out_of_time(300.0).brief


def test_a_guest_that_gives_up_is_quoted() -> None:
    watch = Watch(began=0.0)
    said = base64.b64encode(b"Required key not available").decode()
    watch.take(event("failed", what="the check's extension was refused", data=said), 5.0)
    error = watch.stuck(5.0)
    assert error is not None
    assert error.brief == "the check's extension was refused"
    assert "Required key not available" in (error.details or "")


def test_one_reset_can_be_the_firmware_s_two_are_a_loop() -> None:
    watch = Watch(began=0.0)
    watch.take(RESET, 1.0)
    assert watch.stuck(1.0) is None
    assert watch.outsides[0].began == 1.0
    watch.take(RESET, 2.0)
    error = watch.stuck(2.0)
    assert error is not None
    assert "again and again" in error.brief


def test_a_second_boot_that_takes_itself_for_the_first_is_not_repeated_for_ever() -> None:
    watch = Watch(began=0.0)
    watch.take(event("started", uptime=1), 2.0)
    watch.take(event("restart", uptime=2), 3.0)
    watch.take(RESET, 4.0)
    watch.take(event("started", uptime=1), 6.0)
    assert watch.finished


def test_the_end_of_qemu_before_its_time() -> None:
    watch = Watch(began=0.0)
    watch.take(Ended(0, ""), 1.0)
    assert isinstance(watch.stuck(1.0), FindingError)
    watch = Watch(began=0.0)
    watch.take(Ended(1, "qemu: could not open disk"), 1.0)
    error = watch.stuck(1.0)
    assert isinstance(error, WorldError)
    assert error.details == "qemu: could not open disk"


def test_readiness_is_what_the_guest_says() -> None:
    watch = Watch(began=0.0)
    watch.take(ConsoleOutput(b"Reached target multi-user.target\n"), 1.0)
    assert watch.ready is None
    watch.take(event("ready", state="degraded"), 2.0)
    assert watch.ready == "degraded"
    assert watch.console.stage is Stage.SYSTEM
