# SPDX-License-Identifier: Apache-2.0
"""Deltas: what is written gives back its target, what another program wrote does, and what is damaged never passes."""

from __future__ import annotations

import base64
import hashlib
import lzma
import os
import random
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zaffre.delta import MAX_WINDOW, apply_delta
from zaffre.delta.packed import DICTIONARY
from zaffre.delta.vcdiff import HEADER, TABLE, Do, Instruction, Reader, integer
from zaffre.errors import IntegrityError
from zaffre.release.encode import WINDOW, write_delta
from zaffre.release.matching import pieces


def applied(delta: bytes, source: Path, length: int) -> bytes:
    made: list[bytes] = []
    descriptor = os.open(source, os.O_RDONLY)
    try:
        apply_delta(BytesIO(delta), descriptor, source.stat().st_size, length, made.append)
    finally:
        os.close(descriptor)
    return b"".join(made)


def delta_of(folder: Path, source: bytes, target: bytes) -> bytes:
    """What is written for these; `source` stays in the folder under that name."""
    for name, data in {"source": source, "target": target}.items():
        (folder / name).write_bytes(data)
    write_delta(folder / "source", folder / "target", folder / "delta")
    return (folder / "delta").read_bytes()


CUT = st.tuples(st.integers(0, 6000), st.integers(0, 3000))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 5), cuts=st.lists(st.one_of(CUT, st.binary(max_size=200)), max_size=12))
def test_a_delta_gives_back_its_target(tmp_path: Path, seed: int, cuts: list[tuple[int, int] | bytes]) -> None:
    """Whatever was taken out of the source, moved, doubled, and put between."""
    source = random.Random(seed).randbytes(6000)
    target = b"".join(one if isinstance(one, bytes) else source[one[0] : one[0] + one[1]] for one in cuts)
    delta = delta_of(tmp_path, source, target)
    assert applied(delta, tmp_path / "source", len(target)) == target


@pytest.mark.parametrize(
    ("source", "target"),
    [(b"", b""), (b"", b"new"), (b"old", b""), (bytes(3_000_000), bytes(2_500_000)), (b"same" * 999, b"same" * 999)],
    ids=["empty", "from nothing", "to nothing", "zeros", "the same"],
)
def test_files_of_odd_kinds(tmp_path: Path, source: bytes, target: bytes) -> None:
    assert applied(delta_of(tmp_path, source, target), tmp_path / "source", len(target)) == target


def test_what_is_shared_is_copied_at_any_place_and_over_windows(tmp_path: Path) -> None:
    rng = random.Random("shared")
    source = rng.randbytes(3 * WINDOW)
    target = rng.randbytes(1001) + source[WINDOW // 2 :] + rng.randbytes(77) + source[: WINDOW // 2]
    delta = delta_of(tmp_path, source, target)
    assert applied(delta, tmp_path / "source", len(target)) == target
    assert len(delta) < 1001 + 77 + 500
    assert delta_of(tmp_path, source, target) == delta


def test_pieces_are_the_target_and_say_where_they_are() -> None:
    rng = random.Random("pieces")
    source = rng.randbytes(20_000)
    target = source[5000:9000] + b"new" + source[:5000]
    found = list(pieces(source, target))
    assert [(one.at, one.length, one.source) for one in found] == [(0, 4000, 5000), (4000, 3, None), (4003, 5000, 0)]


FROM_XDELTA3 = base64.b85decode(
    b"*2BaA00EL#0D}vgHUL3^O?D6m2`3L0EEFI(A2%^C0VN$S92+VIGXw%MBqj?f7dtHuC;&MK83Pjq3LXtK7z{8PBNZz)H4z~?A`*IU"
    b"VPazw9s&~{0z)1GGadp{9s)BS0%INmGadp%9s(mC0%INmBOU@X9s*My0uvqrBOU@%9s*+?0#hCW6CMIH9s&~{0y7>06CMH+9s(mC"
    b"0%INmQyu~{9s*+?0y7>0LmmP{9s&~{0#hCW6CMIH9s&~{0z)1G6CMIX9s*+?0z)1GGadp{9s*+?0y7>06CMIn9s*My0z)1GV;%xi"
    b"9s)BS0y7>06CMI%9s)xi0y7>0V;%wkf-Dmh6BH8^6BI)fGZZrv0wahc1S5eHg#dyWP=^?SaDo_tNP$R$5Q8m)ID`|0D1`thieHFe"
    b"f@p|1h&Y4@fpCIofgn(c4T=Czf@pYyV1-bDAcQc5C;)?Cf<T2Rc!M}lfk=Zmc!qF;ID=q^Kv05cf@p$3gE)f_g(!spfgmU-1ua#5"
    b"cqmYT3<C"
)
"""By xdelta3 3.0.11, `-e -9 -S none -A -n`, from and to what `ends` gives."""


def ends() -> tuple[bytes, bytes]:
    """Two files whose delta has copies near to others, repeats, and copies of what it made itself."""
    words = [random.Random(number).randbytes(40) for number in range(60)]
    order = list(range(60))
    random.Random("order").shuffle(order)
    target = b"".join(words[number][:30] + bytes([number]) for number in order)
    target += b"z" * 300 + b"".join(words[number % 7][5:25] for number in range(60)) + b"abc" * 50
    return b"".join(words), target


def test_a_delta_of_xdelta3_is_applied(tmp_path: Path) -> None:
    source, target = ends()
    (tmp_path / "source").write_bytes(source)
    assert applied(lzma.compress(FROM_XDELTA3), tmp_path / "source", len(target)) == target


def test_xdelta3_applies_ours(tmp_path: Path, unmet: Callable[[str], NoReturn]) -> None:
    if shutil.which("xdelta3") is None:
        unmet("xdelta3 is not installed")
    source, target = ends()
    plain = lzma.decompress(delta_of(tmp_path, source, target))
    done = subprocess.run(
        ["xdelta3", "-d", "-c", "-s", tmp_path / "source"], input=plain, capture_output=True, check=True
    )
    assert done.stdout == target


def test_the_default_table_is_that_of_the_specification() -> None:
    """RFC 3284, section 5.6: some of its lines."""
    assert len(TABLE) == 256
    assert TABLE[0] == (Instruction(Do.RUN),)
    assert TABLE[18] == (Instruction(Do.ADD, 17),)
    assert TABLE[34] == (Instruction(Do.COPY, 18),)
    assert TABLE[162] == (Instruction(Do.COPY, 18, 8),)
    assert TABLE[163] == (Instruction(Do.ADD, 1), Instruction(Do.COPY, 4))
    assert TABLE[234] == (Instruction(Do.ADD, 4), Instruction(Do.COPY, 6, 5))
    assert TABLE[246] == (Instruction(Do.ADD, 4), Instruction(Do.COPY, 4, 8))
    assert TABLE[255] == (Instruction(Do.COPY, 4, 8), Instruction(Do.ADD, 1))


@given(st.integers(0, 2**63 - 1))
def test_integers(value: int) -> None:
    assert Reader(integer(value)).integer() == value


def test_the_example_of_the_specification() -> None:
    assert integer(123456789) == bytes([58 + 128, 111 + 128, 26 + 128, 21])  # section 2


def every(data: bytes) -> Iterable[bytes]:
    """Each byte in turn with one bit the other way, and each shorter one."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        yield data[:at]


def test_what_is_damaged_is_refused_or_makes_a_file_of_that_length(tmp_path: Path) -> None:
    """Nothing but an IntegrityError ends it. (An address that points to the same bytes elsewhere does no harm.)"""
    source, target = ends()
    (tmp_path / "source").write_bytes(source)
    refused = 0
    for damaged in every(FROM_XDELTA3):
        try:
            made = applied(lzma.compress(damaged, preset=0), tmp_path / "source", len(target))
        except IntegrityError:
            refused += 1
        else:
            assert len(made) == len(target)
    assert refused > len(FROM_XDELTA3)
    packed = lzma.compress(FROM_XDELTA3)
    for damaged in every(packed):
        with pytest.raises(IntegrityError):
            applied(damaged, tmp_path / "source", len(target))


def window(*, length: int, data: bytes = b"", codes: bytes = b"", addresses: bytes = b"", head: bytes = b"\0") -> bytes:
    sizes = b"".join(integer(len(part)) for part in (data, codes, addresses))
    body = integer(length) + b"\0" + sizes + data + codes + addresses
    return head + integer(len(body)) + body


RUN_OF = b"\0" + integer(9)
COPY_4 = bytes([20])
REFUSED = {
    "another version": b"\xd6\xc3\xc4S\0",
    "a compressor of its own": b"\xd6\xc3\xc4\0\1\2",
    "a window out of the target": HEADER + b"\2\1\0" + bytes(9),
    "a checksum": HEADER + b"\4" + bytes(9),
    "a window that is compressed": HEADER + b"\0\6\1\1\0\0\0",
    "an empty window": HEADER + window(length=0),
    "a large window": HEADER + window(length=MAX_WINDOW + 1),
    "a part that is longer than any": HEADER + b"\0\x7f" + integer(9) + b"\0" + integer(MAX_WINDOW + 1) + b"\0\0",
    "a number without an end": HEADER + b"\0" + b"\xff" * 20,
    "a segment behind the source": HEADER + window(length=4, codes=COPY_4, addresses=b"\0", head=b"\1\4" + integer(97)),
    "an address behind what is there": HEADER + window(length=4, codes=COPY_4, addresses=b"\5", head=b"\1\4\0"),
    "data that is not there": HEADER + window(length=9, codes=b"\1" + integer(9)),
    "data that is left": HEADER + window(length=9, data=b"ab", codes=RUN_OF),
    "more than it says": HEADER + window(length=8, data=b"a", codes=RUN_OF),
    "less than it says": HEADER + window(length=10, data=b"a", codes=RUN_OF),
    "windows without end": HEADER + window(length=9, data=b"a", codes=RUN_OF) * 50,
    "too few windows": HEADER,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "source").write_bytes(bytes(100))
    good = HEADER + window(length=9, data=b"a", codes=RUN_OF)
    assert applied(lzma.compress(good), tmp_path / "source", 9) == b"a" * 9
    with pytest.raises(IntegrityError):
        applied(lzma.compress(REFUSED[kind]), tmp_path / "source", 9)


def test_a_bomb_and_a_dictionary_that_takes_too_much_are_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(100))
    with pytest.raises(IntegrityError):
        applied(lzma.compress(HEADER + window(length=9, data=bytes(4_000_000), codes=RUN_OF)), tmp_path / "source", 9)
    large = [{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}]
    with pytest.raises(IntegrityError):
        applied(lzma.compress(HEADER, filters=large), tmp_path / "source", 9)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Thirty-two windows, in the room of a few and of what xz looks back."""
    source = random.Random("memory").randbytes(4 * WINDOW)
    target = b"".join(source[WINDOW * (3 - n % 4) :][:WINDOW] for n in range(32)) + b"end"
    delta = delta_of(tmp_path, source, target)
    descriptor = os.open(tmp_path / "source", os.O_RDONLY)
    digest = hashlib.sha256()
    tracemalloc.start()
    apply_delta(BytesIO(delta), descriptor, len(source), len(target), digest.update)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    os.close(descriptor)
    assert digest.digest() == hashlib.sha256(target).digest()
    assert peak < DICTIONARY + 6 * WINDOW < len(target) / 3
