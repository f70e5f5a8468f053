# SPDX-License-Identifier: Apache-2.0
"""What a log says of a boot: what firmware started, whether Secure Boot was on, and whose certificate let it start.

Nothing is taken from an event's data but what its digest vouches for; of programs, the digest is all. What is not
understood in the registers of programs and of Secure Boot is kept as odd, for whoever judges: a boot with something odd
in it is none that was foreseen. Sources: TCG PC Client Platform Firmware Profile, "PCR
Usage"; UEFI specification, 32.4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zaffre.digest import Sha256, sha256_bytes
from zaffre.measured.eventlog import (
    ACTION,
    APPLICATION,
    AUTHORITY,
    SEPARATOR,
    VARIABLE,
    Event,
    read_log,
    replay,
)

PROGRAMS: Final = 4
SECURE_BOOT: Final = 7
_UNEVENTFUL = bytes(4)
"""What a separator has that marks no failure of the firmware's."""

_GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
_SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
_STATES: Mapping[tuple[bytes, str], bool] = {
    **{(_GLOBAL, name): False for name in ("PK", "KEK", "AuditMode", "DeployedMode")},
    **{(_SECURITY, name): False for name in ("db", "dbx", "dbt", "dbr")},
    (_GLOBAL, "SecureBoot"): True,
}
"""Variables that firmware measures, and whether it is the one that says that Secure Boot is on."""
_VARIABLE = struct.Struct("<16sQQ")
_OWNER_BYTES = 16
_MOST_TOLD = 60
"""Characters of an event that go into a message."""


@dataclass(frozen=True)
class MeasuredBoot:
    """`programs` are the Authenticode digests of what was started, in order; `authorities` the digests of certificates
    by which it was; `registers` what the log comes to; `odd` says what was not foreseen.
    """

    programs: tuple[Sha256, ...]
    enforced: bool
    authorities: tuple[Sha256, ...]
    registers: Mapping[int, Sha256]
    odd: tuple[str, ...]


def read_boot(log: bytes) -> MeasuredBoot:
    """Raises IntegrityError for what is no log."""
    events = read_log(log)
    programs = [event for event in events if event.register == PROGRAMS]
    states = [event for event in events if event.register == SECURE_BOOT]
    told = [_variable(event) for event in states if event.type == VARIABLE]
    says = [data for known, data in told if _STATES.get(known)]
    odd = [event for event in programs if not _is_foreseen_program(event)]
    odd += [event for event in states if not _is_foreseen_state(event)]
    return MeasuredBoot(
        programs=tuple(event.digest for event in programs if event.type == APPLICATION),
        enforced=bool(says) and all(data == b"\x01" for data in says),
        authorities=tuple(_certificate(event) for event in states if event.type == AUTHORITY),
        registers=replay(events),
        odd=tuple(_words(event) for event in odd),
    )


def _is_foreseen_program(event: Event) -> bool:
    if event.type == SEPARATOR:
        return event.vouched and event.data == _UNEVENTFUL
    return event.type == APPLICATION or (event.type == ACTION and event.vouched)


def _is_foreseen_state(event: Event) -> bool:
    """Not an action: those of this register say that a debugger may come, or that devices may read all memory."""
    if event.type == SEPARATOR:
        return event.vouched and event.data == _UNEVENTFUL
    known, _ = _variable(event)
    return (event.type == VARIABLE and known in _STATES) or (event.type == AUTHORITY and known == (_SECURITY, "db"))


def _variable(event: Event) -> tuple[tuple[bytes, str], bytes]:
    """Which variable the event is of, and the variable's data; nothing, if its digest does not vouch for it."""
    nothing = (b"", ""), b""
    if event.type not in {VARIABLE, AUTHORITY} or not event.vouched or len(event.data) < _VARIABLE.size:
        return nothing
    owner, letters, size = _VARIABLE.unpack_from(event.data)
    begin = _VARIABLE.size + 2 * letters
    if begin + size != len(event.data):
        return nothing
    name = event.data[_VARIABLE.size : begin].decode("utf-16-le", "replace")
    return (owner, name), event.data[begin:]


def _certificate(event: Event) -> Sha256:
    """Of EFI_SIGNATURE_DATA: who enrolled it, then the certificate in DER form."""
    _, data = _variable(event)
    return sha256_bytes(data[_OWNER_BYTES:])


def _words(event: Event) -> str:
    text = "".join(letter if letter.isprintable() else "." for letter in event.data.decode("ascii", "replace"))
    return f"PCR {event.register}: event {event.type:#x} {text[:_MOST_TOLD]}".rstrip()
