# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.lab import Lab


@pytest.fixture
def tools_lab(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the lab's distribution, to be changed."""
    folder = tmp_path / "distro"
    shutil.copytree(lab.distro, folder, symlinks=True)
    return folder
