# SPDX-License-Identifier: Apache-2.0
"""What tests of components take of the means to make trouble, and a distribution of RPM packages with components."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lab import Lab
from support.rpm_components import Shared, Shop, make_shared, make_shop
from support.trouble import disk, unmet

__all__ = ["disk", "unmet"]


@pytest.fixture(scope="session")
def rpm_shared(rpm_lab: Lab) -> Iterator[Shared]:
    with make_shared(rpm_lab) as shared:
        yield shared


@pytest.fixture
def shop(tmp_path: Path, rpm_shared: Shared) -> Iterator[Shop]:
    with make_shop(tmp_path, rpm_shared) as shop:
        yield shop
