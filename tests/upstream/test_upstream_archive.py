# SPDX-License-Identifier: Apache-2.0
"""The real thing: the reference distribution's upstream, from whatever mirror this machine has."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zaffre.definition import load_distribution
from zaffre.store import Store
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.download import Limits
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.requests import archives_of

ROOT = Path(__file__).parents[2] / "distro"
pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def mirrors() -> Mirrors:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    found = find_mirrors(archives_of(load_distribution(ROOT)), environ=os.environ, config_home=home)
    if not found.entries and "CI" not in os.environ:
        pytest.skip("this machine knows no mirror")
    return found


def test_all_suites_verify_and_the_seed_resolves(mirrors: Mirrors, tmp_path: Path) -> None:
    distribution = load_distribution(ROOT)
    upstream = distribution.upstream()
    indexes = refresh(
        upstream,
        mirrors,
        Store(tmp_path / "store"),
        architectures=["amd64"],
        now=datetime.now(UTC),
        limits=Limits(attempts=2),
    )
    assert [one.suite for one in indexes.suites] == [one.suite for one in upstream.suites]
    universe = indexes.universe("amd64")
    assert len(universe.names) > 60_000
    assert {"dpkg", "base-files", "libc-bin"} <= set(universe.essential)
    packages = bootstrap_resolve(distribution.seed.packages, indexes, "amd64")
    names = {one.name for one in packages}
    assert {"apt", "dpkg", "libc6", "mawk"} <= names
    assert 50 < len(names) < 120
    newest = {one.name: one.version for one in packages}
    for package in packages:
        assert universe.candidates(package.name)[0].version == newest[package.name]
