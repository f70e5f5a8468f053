# SPDX-License-Identifier: Apache-2.0
"""A repository of releases with its two channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.releases import Yard, now
from zaffre.trust import Certificates, Keys, Role
from zaffre.trust.generate import _make
from zaffre.trust.keys import _load_public


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The release key alone: it takes a moment, and those of RSA take seconds."""
    folder = tmp_path_factory.mktemp("owner")
    _make(folder, Role.RELEASE, "Tiny", now())
    return Keys(Certificates(folder, {Role.RELEASE: _load_public(folder / Role.RELEASE.public_name, Role.RELEASE)}))


@pytest.fixture
def yard(tmp_path: Path, owner: Keys) -> Yard:
    made = Yard(tmp_path, owner)
    made.found()
    return made
