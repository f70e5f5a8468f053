# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

from zaffre.tree.bytecode import settle_bytecode
from zaffre.tree.root import Times
from zaffre.tree.tarball import scan

EPOCH = 1_700_000_000
SHIPPED = 1_600_000_000


def module(root: Path, text: str) -> Path:
    """A module of a root, compiled as it is when SOURCE_DATE_EPOCH is set."""
    source = root / "usr/lib/python3/dist-packages/module.py"
    source.parent.mkdir(parents=True)
    source.write_text(text)
    os.utime(source, (SHIPPED, SHIPPED))
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return source


def settle(root: Path, source: Path) -> None:
    name = str(source.relative_to(root))
    settle_bytecode(root, scan(root), Times({name: (SHIPPED, source.stat().st_size)}, EPOCH))


def imported(folder: Path) -> str:
    words = [sys.executable, "-I", "-B", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import module"]
    return subprocess.run([*words, str(folder)], check=True, capture_output=True, text=True).stdout.strip()


def test_python_takes_it_without_a_look_at_the_source(tmp_path: Path) -> None:
    source = module(tmp_path, "print('one')\n")
    settle(tmp_path, source)
    source.write_text("print('two')\n")
    os.utime(source, (SHIPPED, SHIPPED))
    assert imported(source.parent) == "one"


def test_a_source_that_was_changed_later_counts(tmp_path: Path) -> None:
    source = module(tmp_path, "print('one')\n")
    settle(tmp_path, source)
    source.write_text("print('two')\n")
    assert imported(source.parent) == "two"


def test_a_source_that_no_package_has_gets_the_time_of_the_build(tmp_path: Path) -> None:
    source = module(tmp_path, "print('one')\n")
    settle_bytecode(tmp_path, scan(tmp_path), Times({}, EPOCH))
    os.utime(source, (EPOCH, EPOCH))
    (compiled,) = (source.parent / "__pycache__").iterdir()
    assert compiled.read_bytes()[4:16] == b"".join(
        number.to_bytes(4, "little") for number in (0, EPOCH, source.stat().st_size)
    )
    assert imported(source.parent) == "one"


def test_what_is_valid_in_another_way_or_is_no_bytecode_stays(tmp_path: Path) -> None:
    source = module(tmp_path, "pass\n")
    (compiled,) = (source.parent / "__pycache__").iterdir()
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    outside = tmp_path.parent / "outside"
    outside.write_bytes(compiled.read_bytes()[:4] + b"\3\0\0\0" + bytes(8))
    others = {compiled: compiled.read_bytes(), outside: outside.read_bytes()}
    (compiled.parent / "module.cpython-999.pyc").symlink_to(outside)
    short = compiled.parent / "module.cpython-998.pyc"
    short.write_bytes(b"\3")
    settle(tmp_path, source)
    assert {path: path.read_bytes() for path in others} == others
    assert short.read_bytes() == b"\3"
