# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def broken(workshop: Workshop) -> Callable[..., list[str]]:
    """Problems of the workshop's distribution after writing files: broken({"images/a.toml": "..."})."""

    def problems(files: dict[str, str]) -> list[str]:
        for file, text in files.items():
            workshop.write(file, text)
        return workshop.problems()

    return problems
