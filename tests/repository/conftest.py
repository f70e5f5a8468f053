# SPDX-License-Identifier: Apache-2.0
"""A shop whose packages are published, and a machine that installs from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apt_client import AptClient, apt_client

from support.lab import Lab
from support.shop import Shop
from zaffre.place.folder import Folder
from zaffre.sandbox import Sandbox


@pytest.fixture
def shop(tmp_path: Path, tools_sandbox: Sandbox) -> Shop:
    return Shop(tmp_path / "shop", tools_sandbox)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


@pytest.fixture
def target(repo: Path) -> Folder:
    return Folder(repo)


@pytest.fixture(scope="module")
def machine(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AptClient]:
    with apt_client(lab, tmp_path_factory.mktemp("machine")) as client:
        yield client
