# SPDX-License-Identifier: Apache-2.0
"""The budget of an image's file."""

from __future__ import annotations

import re
from pathlib import Path


def set_budget(image: Path, lines: str) -> None:
    """Give the image these lines of [surface], whatever it had."""
    text = re.sub(r"(?m)(?:^#.*\n)*^\[surface\]\n(?:(?!\[).*\n)*", "", image.read_text("utf-8"))
    image.write_text(f"{text.rstrip()}\n\n[surface]\n{lines}", "utf-8")
