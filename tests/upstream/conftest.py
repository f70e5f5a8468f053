# SPDX-License-Identifier: Apache-2.0
"""One small archive, its mirror, and an upstream that trusts it. Nothing here reaches beyond the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.lab import Lab
from support.repository import NOW, Archive, Deb, Mirror, keyring, signing_key
from support.rpm_shop import RpmShop, catalogue, rpm_shop
from support.upstreams import QUICK, Refresh, make_upstream, mirrors
from zaffre.definition import DebUpstream
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb import Indexes, refresh


@pytest.fixture(scope="session")
def key() -> Tsk:
    return signing_key()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def archive(key: Tsk) -> Archive:
    archive = Archive()
    archive.add(Deb("base-files", architecture="amd64", fields={"Essential": "yes"}))
    archive.add(Deb("libgreet", "2.1-1", fields={"Source": "greet"}, files={"usr/lib/greet": "x" * 300_000}))
    archive.add(Deb("hello", "1:2.0-1", fields={"Depends": "libgreet (>= 2)"}, files={"usr/bin/hello": "#!/bin/sh\n"}))
    archive.publish([key])
    return archive


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    with Mirror({"debian": archive}) as mirror:
        yield mirror


@pytest.fixture
def upstream(tmp_path: Path, key: Tsk) -> DebUpstream:
    return make_upstream(tmp_path, keyring(key))


@pytest.fixture
def look(upstream: DebUpstream, mirror: Mirror, store: Store) -> Refresh:
    """Refresh from the mirror, quickly."""

    def run(
        *urls: str,
        upstream: DebUpstream = upstream,
        now: datetime = NOW + timedelta(minutes=1),
        architectures: tuple[str, ...] = ("amd64",),
        not_before: datetime | None = None,
    ) -> Indexes:
        oldest = {("debian", "stable"): not_before} if not_before else {}
        return refresh(
            upstream,
            mirrors(*(urls or (mirror.url,))),
            store,
            architectures=architectures,
            now=now,
            not_before=oldest,
            limits=QUICK,
        )

    return run


@pytest.fixture(scope="session")
def rpms(lab: Lab, tools_sandbox: Sandbox) -> dict[str, bytes]:
    """The unsigned packages of the tests' RPM repository."""
    with lab.workspace() as work:
        return catalogue(tools_sandbox, work.store)


@pytest.fixture
def rpm_place(tmp_path: Path, key: Tsk, rpms: dict[str, bytes]) -> Iterator[RpmShop]:
    """A repository of RPM packages, and an upstream that trusts it."""
    with rpm_shop(tmp_path, key, rpms) as shop:
        yield shop
