# SPDX-License-Identifier: Apache-2.0
"""The icon of the WSL image is what its script draws."""

from __future__ import annotations

import runpy
import struct
from pathlib import Path

from zaffre.definition import reference_root

SCRIPT = Path(__file__).parents[2] / "scripts" / "wsl-icon"
ICON = reference_root() / "files/wsl/usr/lib/wsl/zaffre.ico"


def test_the_icon_is_what_the_script_draws() -> None:
    drawn: bytes = runpy.run_path(str(SCRIPT))["icon"]()
    assert ICON.read_bytes() == drawn
    kind, count = struct.unpack_from("<HH", drawn, 2)
    assert (kind, count) == (1, 5)
    for number in range(count):
        width, *_, size, offset = struct.unpack_from("<BBBBHHII", drawn, 6 + 16 * number)
        assert struct.unpack_from("<Iii", drawn, offset) == (40, width, 2 * width)
        assert offset + size <= len(drawn)
