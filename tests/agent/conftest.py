# SPDX-License-Identifier: Apache-2.0
"""A repository of releases with two of them in a channel, made once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.releases import Yard, now
from support.trouble import small_disk, unmet
from zaffre.trust import Certificates, Keys, Role
from zaffre.trust.generate import _make
from zaffre.trust.keys import _load_public

__all__ = ["small_disk", "unmet"]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """1.1, and 1.2 after it, in `dev`. Not to be changed: `yard` is a copy."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "owner").mkdir()
    _make(folder / "owner", Role.RELEASE, "Tiny", now())
    public = {Role.RELEASE: _load_public(folder / "owner" / Role.RELEASE.public_name, Role.RELEASE)}
    made = Yard(folder / "yard", Keys(Certificates(folder / "owner", public)), [])
    made.found()
    made.publish("1.1")
    made.publish("1.2")
    return made


@pytest.fixture
def yard(published: Yard, tmp_path: Path) -> Yard:
    return published.copy(tmp_path / "yard")
