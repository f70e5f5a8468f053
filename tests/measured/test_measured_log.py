# SPDX-License-Identifier: Apache-2.0
"""The log of a boot: read whole or not at all, and judged by what is vouched for."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.measured import (
    CERTIFICATE,
    KERNEL_IMAGE,
    LOADER,
    SECURITY,
    Measured,
    log_of,
    prediction,
    sound,
    variable,
)
from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.measured.boot import read_boot
from zaffre.measured.eventlog import ACTION, APPLICATION, AUTHORITY, MAX_LOG, NO_ACTION, SEPARATOR, read_log, replay
from zaffre.measured.judge import judge_boot

GOOD = log_of(sound())


def broken(events: list[Measured]) -> set[str]:
    """The lines that do not hold."""
    return {line.name for line in judge_boot(read_boot(log_of(events)), [prediction()])[1] if not line.ok}


def test_a_sound_boot_holds() -> None:
    boot = read_boot(GOOD)
    assert boot.programs == (LOADER, KERNEL_IMAGE)
    assert boot.enforced
    assert boot.authorities == (sha256_bytes(CERTIFICATE),)
    assert boot.odd == ()
    booted, lines = judge_boot(boot, [prediction("1.0", kernel_image="cc" * 32), prediction()])
    assert booted is not None
    assert booted.version == "1.1"
    assert [line.name for line in lines if not line.ok] == []


def test_a_register_is_a_chain_of_digests() -> None:
    first = hashlib.sha256(bytes(32) + hashlib.sha256(b"one").digest()).digest()
    second = hashlib.sha256(first + hashlib.sha256(b"two").digest()).hexdigest()
    events = [Measured(9, ACTION, b"one"), Measured(9, NO_ACTION, b"not measured"), Measured(9, ACTION, b"two")]
    assert replay(read_log(log_of(events))) == {9: second}


@pytest.mark.parametrize("size", range(0, len(GOOD), 7))
def test_a_log_that_is_cut_off_is_none_or_shorter(size: int) -> None:
    """Cut between two events, it is a log; but one that comes to other registers."""
    try:
        events = read_log(GOOD[:size])
    except IntegrityError:
        return
    assert events != read_log(GOOD)
    assert replay(events) != replay(read_log(GOOD))


@given(st.binary(max_size=400))
def test_noise_is_no_log(noise: bytes) -> None:
    for data in (noise, GOOD[:69] + noise):
        try:
            read_log(data)
        except IntegrityError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        bytes(MAX_LOG + 1),
        GOOD[:69] + struct.pack("<III", 4, APPLICATION, 2**31),
        GOOD[:69] + struct.pack("<IIIH", 4, APPLICATION, 1, 0x0012) + bytes(40),
        GOOD[:69] + struct.pack("<IIIH20sI", 4, APPLICATION, 1, 0x0004, bytes(20), 0),
        GOOD[:69] + struct.pack("<IIII", 4, APPLICATION, 0, 2**32 - 1),
        GOOD.replace(b"Spec ID Event03", b"Spec ID Event02"),
    ],
    ids=["too large", "digests", "algorithm", "no sha256", "size", "form"],
)
def test_what_is_no_log_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_log(data)


def test_what_a_log_says_of_an_event_is_nothing_without_its_digest() -> None:
    """Secure Boot was off, and the log says that it was on."""
    off = variable("SecureBoot", b"\x00")
    lie = replace(variable("SecureBoot", b"\x01"), digest=off.measured)
    assert "Secure Boot" in broken([lie, *sound()[1:]])
    stranger = variable("db", bytes(16) + b"a stranger's", owner=SECURITY, kind=AUTHORITY)
    forged = [replace(one, digest=stranger.measured) if one.type == AUTHORITY else one for one in sound()]
    assert {"Secure Boot", "what else was measured"} <= broken(forged)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (variable("SecureBoot", b"\x00"), "Secure Boot"),
        (variable("db", bytes(16) + b"a stranger's", owner=SECURITY, kind=AUTHORITY), "Secure Boot"),
        (variable("Shim", b"\x01", kind=AUTHORITY), "what else was measured"),
        (variable("SecureBoot", b"\x01", owner=SECURITY), "what else was measured"),
        (Measured(7, ACTION, b"UEFI Debug Mode"), "what else was measured"),
        (Measured(7, SEPARATOR, b"\1\0\0\0"), "what else was measured"),
        (Measured(4, APPLICATION, b"another program", "3c" * 32), "what else was measured"),
        (Measured(4, SEPARATOR, b"\1\0\0\0"), "what else was measured"),
        (Measured(4, ACTION, b"Calling", "4d" * 32), "what else was measured"),
        (Measured(4, 0x80000004, b"a driver"), "what else was measured"),
        (Measured(11, 0xD, b"more"), "PCR 11, parts of the kernel image"),
        (Measured(12, 0xD, b"a command line"), "PCR 12, beside the kernel image"),
        (Measured(13, 0xD, b"an extension"), "PCR 13, beside the kernel image"),
    ],
    ids=lambda one: one if isinstance(one, str) else f"{one.register}-{one.type:x}-{one.data[-12:]!r}",
)
def test_whatever_more_was_measured_is_seen(event: Measured, line: str) -> None:
    assert line in broken([*sound(), event])


def test_another_loader_or_kernel_is_of_no_release() -> None:
    assert broken(sound(loader="99" * 32)) == {"boot loader"}
    assert {"kernel image", "PCR 11, parts of the kernel image"} <= broken(sound(kernel_image="99" * 32))
    assert broken(sound(sections=(b".linux\0", b"another kernel"))) == {"PCR 11, parts of the kernel image"}
    without = [one for one in sound() if one.type != APPLICATION]
    assert {"boot loader", "kernel image"} <= broken(without)


def test_without_secure_boot_nothing_was_verified() -> None:
    assert "Secure Boot" in broken([one for one in sound() if one.register != 7])
    assert broken([one for one in sound() if one.type != AUTHORITY]) == {"Secure Boot"}
