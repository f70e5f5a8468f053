# SPDX-License-Identifier: Apache-2.0
"""Compiled Python that need not be held against its source at each start.

With SOURCE_DATE_EPOCH set, Python makes `.pyc` files that are valid by a hash of the source (PEP 552, py_compile): it
reads and hashes every module that it imports. That is there because times of sources are not the same in every build.
In our roots they are, so such files are made valid by the source's time and size, as everywhere else.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from zaffre.tree.root import Times
from zaffre.tree.tarball import Node

_CACHED = re.compile(r"(?P<folder>(?:.*/)?)__pycache__/(?P<module>[^/]+)\.cpython-\d+(?:\.opt-\d)?\.pyc")
_FLAGS = struct.Struct("<I")
_FLAGS_AT = 4
_CHECKED_HASH = 0b11
_VALIDITY = struct.Struct("<III")
"""Flags 0, the source's time in seconds and its size, both modulo 2**32 (importlib's `_code_to_timestamp_pyc`)."""


def settle_bytecode(root: Path, nodes: Sequence[Node], times: Times) -> None:
    """Give the compiled files of `root` the times that their sources will have. Sizes stay as they are."""
    sources = {node.path: node for node in nodes if stat.S_ISREG(node.status.st_mode) and node.path.endswith(".py")}
    for node in nodes:
        match = _CACHED.fullmatch(node.path) if stat.S_ISREG(node.status.st_mode) else None
        source = sources.get(f"{match['folder']}{match['module']}.py") if match else None
        if source is not None:
            _settle(root / node.path, times(source), source.status.st_size)


def _settle(compiled: Path, moment: int, size: int) -> None:
    file = os.open(compiled, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.pread(file, _FLAGS.size, _FLAGS_AT)
        if len(flags) == _FLAGS.size and _FLAGS.unpack(flags)[0] == _CHECKED_HASH:
            os.pwrite(file, _VALIDITY.pack(0, moment & 0xFFFFFFFF, size & 0xFFFFFFFF), _FLAGS_AT)
    finally:
        os.close(file)
