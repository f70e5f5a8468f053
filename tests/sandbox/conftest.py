# SPDX-License-Identifier: Apache-2.0
"""Real sandboxes, with the host's own root as the tools tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from support.trouble import small_disk, unmet
from zaffre.sandbox import Sandbox, ToolsTree

__all__ = ["small_disk", "unmet"]


@pytest.fixture
def tools(unmet: Callable[[str], NoReturn]) -> ToolsTree:
    if shutil.which("bwrap") is None:
        unmet("bubblewrap is not installed")
    return ToolsTree(Path("/"), "host")


@pytest.fixture
def sandbox(tools: ToolsTree) -> Sandbox:
    return Sandbox(tools)
