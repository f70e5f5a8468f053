# SPDX-License-Identifier: Apache-2.0
"""ELF hardening, read from what linkers really write: gcc's output with each protection on and off, where there is a
gcc; and from headers that are made here, damaged ones among them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from zaffre.surface import hardening_of
from zaffre.surface.binaries import Binary, read_binary

HARD = (
    "-fPIE",
    "-pie",
    "-Wl,-z,relro,-z,now",
    "-Wl,-z,noexecstack",
    "-O2",
    "-D_FORTIFY_SOURCE=2",
    "-fstack-protector-all",
)
SOFT = ("-no-pie", "-Wl,-z,norelro", "-Wl,-z,execstack", "-U_FORTIFY_SOURCE", "-fno-stack-protector")
SOURCE = (
    "#include <string.h>\nint main(int c, char **v) { char b[64]; memcpy(b, v[0], (unsigned long)c); return b[0]; }\n"
)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
def test_what_gcc_was_told_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(SOURCE)
    for name, flags in (("hard", HARD), ("soft", SOFT)):
        subprocess.run(["gcc", *flags, "-o", tmp_path / name, tmp_path / "a.c"], check=True, capture_output=True)
    (tmp_path / "a.c").unlink()
    hard, soft = (read_binary(tmp_path / name, f"/{name}") for name in ("hard", "soft"))
    assert hard is not None
    assert soft is not None
    assert (hard.program, hard.pie, hard.relro, hard.stack, hard.canary, hard.lacks) == (
        True,
        True,
        "full",
        True,
        True,
        (),
    )
    assert (soft.pie, soft.relro, soft.stack, soft.canary) == (False, "none", False, False)
    assert soft.lacks == ("position independence", "read-only relocations", "a stack that does not execute")
    found = hardening_of(tmp_path)
    assert (found.files, found.pie, [one.path for one in found.lacking]) == (2, 1, ["/soft"])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
@pytest.mark.parametrize(("words", "found"), [("/usr/lib:", ("/usr/lib", "")), ("", ())])
def test_an_empty_part_of_a_search_path_is_kept(tmp_path: Path, words: str, found: tuple[str, ...]) -> None:
    (tmp_path / "a.c").write_text(SOURCE)
    flags = (*HARD, f"-Wl,-rpath,{words}") if words else HARD
    subprocess.run(["gcc", *flags, "-o", tmp_path / "a", tmp_path / "a.c"], check=True, capture_output=True)
    one = read_binary(tmp_path / "a", "/usr/bin/a")
    assert one is not None
    assert one.run_path == found


@pytest.mark.parametrize(
    ("path", "part", "sound"),
    [
        ("/usr/bin/a", "/usr/lib/own", True),
        ("/usr/bin/a", "/lib64", True),
        ("/usr/bin/a", "$ORIGIN/../lib", True),
        ("/usr/lib/own/a.so", "${ORIGIN}/../..", True),
        ("/opt/own/bin/a", "$ORIGIN/../lib", True),
        ("/usr/bin/a", "", False),
        ("/usr/bin/a", "lib", False),
        ("/usr/bin/a", "/usr/../tmp/x", False),
        ("/usr/bin/a", "$ORIGIN/../../tmp", False),
        ("/usr/bin/a", "$ORIGINAL/lib", False),
        ("/opt/own/bin/a", "/opt/own/lib", False),
    ],
)
def test_a_search_path_is_judged_by_where_it_leads(path: str, part: str, *, sound: bool) -> None:
    facts = {"program": True, "pie": True, "relro": "full", "stack": True, "canary": True, "fortified": True}
    one = Binary.model_validate({"path": path, **facts, "run_path": (part,)})
    assert one.lacks == (() if sound else ("a search path that only root can write",))


def test_this_interpreter_is_a_program_that_can_be_read() -> None:
    one = read_binary(Path(sys.executable).resolve(), "/python")
    assert one is not None
    assert one.program
    assert one.stack


def header(kind: int, segments: tuple[tuple[int, int], ...] = ()) -> bytes:
    """An ELF file of 64 bits with program headers alone: (type, flags) of each."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0)
    return head + b"".join(struct.pack("<IIQQQQQQ", one, flags, 0, 0, 0, 0, 0, 0) for one, flags in segments)


def test_headers_alone_tell_of_stack_and_kind(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(header(2, ((0x6474E551, 7), (0x6474E552, 4))))
    one = read_binary(path, "/one")
    assert one is not None
    assert (one.program, one.pie, one.relro, one.stack) == (True, False, "partial", False)
    path.write_bytes(header(1))
    assert read_binary(path, "/one") is None, "an object that is not linked runs nowhere"
    path.write_text("#!/bin/sh\n")
    assert read_binary(path, "/one") is None


@pytest.mark.parametrize("length", [4, 5, 20, 63, 70])
def test_a_damaged_file_is_told_of_and_stops_nothing(tmp_path: Path, length: int) -> None:
    (tmp_path / "bad").write_bytes(header(3, ((2, 4),))[:length])
    (tmp_path / "good").write_bytes(header(2))
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    found = hardening_of(tmp_path)
    assert found.unreadable == ("/bad",)
    assert found.files == 1
