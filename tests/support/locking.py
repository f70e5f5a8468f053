# SPDX-License-Identifier: Apache-2.0
"""A small distribution, a simulated archive, and the host's apt in the place of the tools tree's: for `zaffre lock`.

with workshop(folder, key, store) as shop:
    shop.archive.add(package("app", "1.1-1"))
    shop.publish()
    lock = shop.lock().lock
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, Archive, Deb, Mirror, keyring
from support.upstreams import QUICK, mirrors
from zaffre.definition import load_distribution
from zaffre.repository.control import control_of
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream import Lock, LockedSet, User, Users
from zaffre.upstream.locking import Locking, lock_distribution
from zaffre.upstream.missing import missing
from zaffre.upstream.requests import check_lock
from zaffre.upstream.world import World

NEEDS = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not (shutil.which("apt-get") and shutil.which("bwrap")),
        reason="needs apt and bubblewrap",
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulated tools are for amd64"),
]
"""Marks of a module that uses it."""

HOST = """
kind = "host"
packages = ["app"]
provides = ["initramfs-tool"]
[kernel]
package = "kernel-{arch}"
"""
SYSEXT = """
kind = "sysext"
base = "host"
packages = ["extra"]
[[extract]]
package = "app"
paths = ["/usr/bin/app"]
"""
DISTRIBUTION = """
[distribution]
id = "test"
name = "Test Linux"
version = "1"
[defaults]
upstream = "stable"
[tools]
packages = ["mkfs"]
"""
UPSTREAM = """
family = "deb"
keyring = "archive.asc"
architectures = ["amd64", "arm64"]
[[suites]]
archive = "debian"
suite = "stable"
components = ["main"]
"""


def package(name: str, version: str = "1.0-1", architecture: str = "all", **fields: str) -> Deb:
    return Deb(name, version, architecture, fields=fields)


@dataclass
class Workshop:
    """A distribution's directory, its archive, and a world that records what locking asks of it."""

    root: Path
    archive: Archive
    mirror: Mirror
    key: Tsk
    store: Store
    asked: list[LockedSet] = field(default_factory=list)
    learned: list[LockedSet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def publish(self, **more: object) -> None:
        self.archive.publish([self.key], architectures=("amd64", "arm64"), **more)  # type: ignore[arg-type]

    @contextmanager
    def tools(self, one: LockedSet) -> Iterator[Sandbox]:
        assert not missing(one.packages, self.store)
        self.asked.append(one)
        yield Sandbox(ToolsTree(Path("/"), "host"))

    def learn(self, one: LockedSet, sandbox: Sandbox, epoch: int) -> Users:
        assert not missing(one.packages, self.store)
        assert sandbox.tools
        self.learned.append(one)
        return Users(users=one.users.users or (User(name="daemon", uid=100, gid=100),))

    @property
    def world(self) -> World:
        return World(
            mirrors=mirrors(self.mirror.url),
            store=self.store,
            tools=self.tools,
            learn_users=self.learn,
            control=lambda one: control_of(one, self.store),
            limits=QUICK,
        )

    def lock(self, old: Lock | None = None, **more: object) -> Locking:
        more.setdefault("now", NOW + timedelta(minutes=1))
        return lock_distribution(load_distribution(self.root), old, self.world, **more)  # type: ignore[arg-type]

    def stale(self, lock: Lock | None) -> list[str]:
        return [str(one) for one in check_lock(load_distribution(self.root), lock)]


@contextmanager
def workshop(folder: Path, key: Tsk, store: Store) -> Iterator[Workshop]:
    root = folder / "distro"
    for name in ("images", "upstreams"):
        (root / name).mkdir(parents=True)
    (root / "upstreams" / "archive.asc").write_bytes(keyring(key))
    archive = Archive()
    for deb in (
        package("base", architecture="amd64", Essential="yes"),
        package("base", architecture="arm64", Essential="yes"),
        package("apt", architecture="amd64"),
        package("mkfs"),
        package("app", Depends="libapp"),
        package("libapp", Source="app"),
        package("extra", Depends="libextra"),
        package("libextra"),
        package("kernel-amd64", architecture="amd64", Depends="initramfs-tool"),
        package("kernel-arm64", architecture="arm64", Depends="initramfs-tool"),
    ):
        archive.add(deb)
    with Mirror({"debian": archive}) as mirror:
        shop = Workshop(root, archive, mirror, key, store)
        shop.write("zaffre.toml", DISTRIBUTION)
        shop.write("upstreams/stable.toml", UPSTREAM)
        shop.write("images/host.toml", HOST)
        shop.write("images/check.toml", SYSEXT)
        shop.publish()
        yield shop


def content(lock: Lock, name: str, architecture: str = "amd64") -> dict[str, str]:
    return {one.name: one.version for one in lock.set(name, architecture).packages}
