# SPDX-License-Identifier: Apache-2.0
"""The firmware's log of what it measured: `/sys/kernel/security/tpm0/binary_bios_measurements`.

Source of the format: TCG PC Client Platform Firmware Profile, "Event Logging" (crypto-agile form). Read by hand, since
tpm2_eventlog(1) neither gives an event's bytes nor holds them against its digest, and a log says of an event what it
likes: only digests are in the TPM. Whoever reads an event's data here gets what its digest vouches for.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zaffre.digest import Sha256
from zaffre.errors import IntegrityError

MAX_LOG: Final = 1 << 20
"""Bytes. Logs of machines are 20 to 100 kB."""
_MAX_EVENTS = 4096
_MAX_DIGESTS = 8

NO_ACTION: Final = 0x00000003
SEPARATOR: Final = 0x00000004
IPL: Final = 0x0000000D
VARIABLE: Final = 0x80000001
APPLICATION: Final = 0x80000003
ACTION: Final = 0x80000007
AUTHORITY: Final = 0x800000E0

_SHA256 = 0x000B
_SPECIFICATION = b"Spec ID Event03\0"
ZERO: Final = Sha256("0" * 64)
"""A register into which nothing was measured."""


@dataclass(frozen=True)
class Event:
    """`digest` is what was measured; `data` is what the log says of it, `vouched` only if that is what was hashed."""

    register: int
    type: int
    digest: Sha256
    data: bytes

    @property
    def vouched(self) -> bool:
        return hashlib.sha256(self.data).hexdigest() == self.digest


def read_log(data: bytes) -> tuple[Event, ...]:
    """The events that were measured, in order. Raises IntegrityError for what is no whole log with SHA-256 digests."""
    if len(data) > MAX_LOG:
        raise _damaged(f"it is larger than {MAX_LOG} bytes")
    try:
        return tuple(_events(data))
    except struct.error as error:
        raise _damaged("it ends in the middle of an event") from error


def replay(events: tuple[Event, ...]) -> dict[int, Sha256]:
    """The registers after all events, those alone into which something was measured."""
    registers: dict[int, bytes] = {}
    for event in events:
        before = registers.get(event.register, bytes(32))
        registers[event.register] = hashlib.sha256(before + bytes.fromhex(event.digest)).digest()
    return {register: Sha256(value.hex()) for register, value in sorted(registers.items())}


def _events(data: bytes) -> Iterator[Event]:
    sizes, at = _header(data)
    for _ in range(_MAX_EVENTS):
        if at == len(data):
            return
        register, kind, count = struct.unpack_from("<III", data, at)
        at += 12
        if count > _MAX_DIGESTS:
            raise _damaged("an event has too many digests")
        digests = {}
        for _ in range(count):
            (algorithm,) = struct.unpack_from("<H", data, at)
            if algorithm not in sizes:
                raise _damaged(f"a digest is of the unknown algorithm {algorithm:#06x}")
            digests[algorithm] = _slice(data, at + 2, sizes[algorithm])
            at += 2 + sizes[algorithm]
        (size,) = struct.unpack_from("<I", data, at)
        content = _slice(data, at + 4, size)
        at += 4 + size
        if kind == NO_ACTION:
            continue
        if _SHA256 not in digests:
            raise _damaged("an event has no SHA-256 digest")
        yield Event(register, kind, Sha256(digests[_SHA256].hex()), content)
    raise _damaged(f"it has more than {_MAX_EVENTS} events")


def _header(data: bytes) -> tuple[dict[int, int], int]:
    """Sizes of digests by algorithm, and where the events begin."""
    _, kind, _, size = struct.unpack_from("<II20sI", data)
    content = _slice(data, 32, size)
    if kind != NO_ACTION or content[:16] != _SPECIFICATION:
        raise _damaged("it is not in the form of TPM 2.0")
    (count,) = struct.unpack_from("<I", content, 24)
    if not 0 < count <= _MAX_DIGESTS:
        raise _damaged("its header does not name its algorithms")
    return dict(struct.unpack_from("<HH", content, 28 + 4 * number) for number in range(count)), 32 + size


def _slice(data: bytes, at: int, size: int) -> bytes:
    if size > len(data) - at:
        raise _damaged("it ends in the middle of an event")
    return data[at : at + size]


def _damaged(details: str) -> IntegrityError:
    return IntegrityError("the log of the boot cannot be read", details=details)
