# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zaffre.machine.console import ConsoleLog, PlainText, Stage
from zaffre.machine.lines import JsonLines

BOOT = (
    (b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001\r\n", Stage.FIRMWARE),
    (b'BdsDxe: starting Boot0001 "UEFI Misc Device"\r\n', Stage.LOADER),
    (b"EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\r\n", Stage.KERNEL),
    (b"[    0.000000] Linux version 6.12\r\n", Stage.KERNEL),
    (b"\x1b[0;1;39mBooting initrd of \x1b[0m\x1b[1mZaffre\x1b[0m\r\n", Stage.INITRD),
    (b"Welcome to Zaffre Linux\r\n", Stage.SYSTEM),
)


def test_the_stage_follows_the_words() -> None:
    log = ConsoleLog()
    for data, stage in BOOT:
        log.feed(data)
        assert log.stage is stage
    assert log.refusal is None
    assert log.tail(2) == "Booting initrd of Zaffre\nWelcome to Zaffre Linux"
    log.restarted()
    assert log.stage is Stage.FIRMWARE


def test_a_quiet_boot_is_told_by_other_witnesses() -> None:
    log = ConsoleLog()
    log.feed(BOOT[1][0])
    log.reached(Stage.SYSTEM)
    log.reached(Stage.INITRD)
    assert log.stage is Stage.SYSTEM


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"BdsDxe: failed to load Boot0001: Access Denied\r\n", "a signature was refused"),
        (b"Error loading image: Security violation\n", "a signature was refused"),
        (b"BdsDxe: No bootable option or device was found.\r\n", "nothing to boot"),
        (b"[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n", "kernel gave up"),
        (b"You are in emergency mode.\n", "emergency mode"),
    ],
)
def test_words_after_which_nothing_comes(line: bytes, words: str) -> None:
    log = ConsoleLog()
    log.feed(line)
    assert log.refusal is not None
    assert words in log.refusal


def test_a_running_system_may_say_access_denied() -> None:
    log = ConsoleLog()
    log.feed(b"Welcome to Zaffre Linux\nsome-service: Access denied\n")
    assert log.refusal is None


def test_a_line_counts_once_it_is_whole() -> None:
    log = ConsoleLog()
    log.feed(b"Kernel panic - not ")
    log.feed(b"syncing: VFS")
    assert log.refusal is None
    log.feed(b"\n")
    assert log.refusal is not None


def test_a_timer_that_a_busy_host_delayed_is_not_the_image_s_fault() -> None:
    log = ConsoleLog()
    log.feed(b"Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug\n")
    assert log.refusal is None


def test_what_the_kernel_refuses_while_it_stops_is_kept() -> None:
    log = ConsoleLog()
    log.feed(
        b"[   61.250001] audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=1\r\nStopped a.service\r\n"
    )
    log.restarted()
    assert log.denials == ["audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=1"]
    log.feed(b"[   61.250002] audit: type=1401 audit(1.2:4): op=security_compute_sid\r\n")
    assert log.denials[1:] == ["audit: type=1401 audit(1.2:4): op=security_compute_sid"]
    log.feed(b"avc:  denied  { write }\n" * 2000)
    assert len(log.denials) == 1000


def test_memory_is_bounded() -> None:
    log = ConsoleLog()
    log.feed(b"x" * 100_000)
    for number in range(1000):
        log.feed(f"line {number}\n".encode())
    assert log.tail(10_000).count("\n") < 400


@given(sizes=st.lists(st.integers(min_value=1, max_value=9), min_size=1))
def test_plain_text_keeps_words_and_nothing_that_moves_a_cursor(sizes: list[int]) -> None:
    text, shown, out, at = b"\x1b[2J\x1b[01;01Hone\n\x1b[8;25;80ttwo\x1b[=3h\n", PlainText(), b"", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        out, at = out + shown.feed(text[at : at + size]), at + size
    assert out == b"one\r\ntwo\r\n"
    assert shown.feed(b"\r\n\rx") == b"\r\n\r\nx"


@given(chunks=st.lists(st.binary(max_size=50)))
def test_a_console_takes_any_bytes(chunks: list[bytes]) -> None:
    log = ConsoleLog()
    for chunk in chunks:
        log.feed(chunk)
    assert "\x1b[" not in log.tail(100)


@given(
    values=st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3)),
    sizes=st.lists(st.integers(min_value=1, max_value=40), min_size=1),
)
def test_objects_come_out_whole_however_the_bytes_come_in(values: list[dict[str, object]], sizes: list[int]) -> None:
    stream = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    reader, out, at, turn = JsonLines(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        out += list(reader.feed(stream[at : at + size]))
        at, turn = at + size, turn + 1
    assert out == values
    assert reader.malformed == 0


def test_what_is_no_object_is_left_out() -> None:
    reader = JsonLines()
    found = list(reader.feed(b'[1]\n{"a": 1}\nnonsense\n\xff\xfe\n\n"text"\n' + b"[" * 100_000 + b"\n"))
    assert found == [{"a": 1}]
    assert reader.malformed == 5


def test_a_line_without_end_is_dropped() -> None:
    reader = JsonLines()
    for _ in range(70):
        assert list(reader.feed(b"x" * 65536)) == []
    assert list(reader.feed(b'x\n{"a": 1}\n')) == [{"a": 1}]
    assert reader.malformed == 1
