# SPDX-License-Identifier: Apache-2.0
"""A small distribution with a repository of its own: locks of small real packages, keys, a store, and a place to
publish to.

    shop = make_shop(folder, sandbox)
    lock = shop.lock(Deb("hello", "1.0"), at=NOW)
    shop.publish(lock, Folder(folder / "repo"))
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.repository import NOW, Deb, keyring, signing_key
from zaffre.definition import Distribution, load_distribution
from zaffre.place.target import Target
from zaffre.progress import SILENT
from zaffre.repository.build import Order, Workshop
from zaffre.repository.channel import Hand
from zaffre.repository.publish import Published
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.trust import ArchiveKey, load_archive_key
from zaffre.trust.archive import make_archive_key
from zaffre.trust.generate import LIFETIME
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.lock import Lock, LockedPackage, LockedSet

_MAIN = """
[distribution]
id = "acme"
name = "Acme Linux"
version = "1"
[defaults]
upstream = "debian"
[tools]
packages = ["apt"]
[repository]
url = "http://127.0.0.1:9/acme"
"""
_UPSTREAM = """
family = "deb"
keyring = "debian.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "stable", components = ["main"] }]
"""
_HOST = """
kind = "host"
packages = ["hello"]
provides = ["runc"]
[kernel]
package = "linux-image-{arch}"
[disk]
root = "96M"
"""

OLDER = NOW - timedelta(days=2)
NEWER = NOW - timedelta(days=1)


@dataclass
class Shop:
    root: Path
    sandbox: Sandbox
    distribution: Distribution = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        files = {
            "zaffre.toml": _MAIN,
            "upstreams/debian.toml": _UPSTREAM,
            "upstreams/debian.asc": keyring(signing_key()).decode(),
            "images/host.toml": _HOST,
        }
        for name, text in files.items():
            path = self.root / "distro" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.distribution = load_distribution(self.root / "distro")
        self.store = Store(self.root / "store")
        (self.root / "keys").mkdir(mode=0o700)
        make_archive_key(self.root / "keys", owner="Acme", now=NOW, lifetime=LIFETIME)

    @property
    def key(self) -> ArchiveKey:
        return load_archive_key(self.root / "keys", now=NOW)

    @property
    def keyring(self) -> Keyring:
        return Keyring(self.key.certificate.keyring, where="keyring")

    def hand(self, now: datetime = NOW) -> Hand:
        return Hand(self.distribution, self.key, self.keyring, now)

    def locked(self, deb: Deb) -> LockedPackage:
        """A package of the upstream, whose file is in the store."""
        data = deb.build()
        return LockedPackage(
            name=deb.name,
            version=deb.version,
            architecture=deb.architecture,
            sha256=self.store.add_bytes(data),
            size=len(data),
            path=deb.path,
            suite="stable",
            archive="debian",
            source=deb.name,
            source_version=deb.version,
        )

    def lock(self, *debs: Deb, at: datetime = OLDER, tools: Sequence[Deb] = ()) -> Lock:
        def one(name: str, packages: Iterable[Deb]) -> LockedSet:
            locked = tuple(map(self.locked, packages))
            return LockedSet(name=name, architecture="amd64", upstream="debian", request="0" * 64, packages=locked)

        sets = (one("host", debs), *([one("tools", tools)] if tools else []))
        return Lock(distribution="acme", created=at, serial=1, suites=(), sets=sets)

    def workshop(self, lock: Lock) -> Workshop:
        return Workshop(self.distribution, lock, self.store, self.sandbox, lambda _: None, lambda _: None, SILENT)

    def publish(
        self, lock: Lock, target: Target, *, now: datetime = NOW, order: Order | None = None, **options: Any
    ) -> Published:
        return self.workshop(lock).publish(order or Order(), target, self.hand(now), **options)


def hello(version: str, **fields: str) -> Deb:
    """A package that says its version, and needs another one."""
    return Deb(
        "hello",
        version,
        "amd64",
        fields={"Depends": "greeting (>= 1)", "Multi-Arch": "foreign", **fields},
        files={"usr/share/hello/version": version},
    )


def greeting(version: str = "1.0") -> Deb:
    return Deb("greeting", version, files={"usr/share/greeting/version": version})


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder served by HTTP, as a repository's owner would; its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
