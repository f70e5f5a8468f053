# SPDX-License-Identifier: Apache-2.0
"""What publishing a snapshot costs when 5 of 1,000 packages have changed, beside publishing all of them.

The packages are made here, the same each time: small, and each needs the one before it, so that apt has to follow them
all before anything is published.
"""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from figures import Figure, Limit, Unit
from lab import Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm

from zaffre.definition import load_distribution
from zaffre.place.folder import Folder
from zaffre.progress import SILENT
from zaffre.repository.build import Order, Workshop
from zaffre.repository.channel import Hand
from zaffre.repository.publish import Published
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.trust import load_archive_key
from zaffre.trust.archive import make_archive_key
from zaffre.trust.generate import LIFETIME
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.lock import Lock, LockedPackage, LockedSet

PACKAGES = 1_000
CHANGED = 5
_BYTES = 60_000
_DEFINITION = {
    "zaffre.toml": """\
distribution = { id = "bench", name = "Bench", version = "1" }
defaults = { upstream = "debian" }
tools = { packages = ["apt"] }
repository = { url = "https://packages.example/bench" }
""",
    "upstreams/debian.toml": """\
family = "deb"
keyring = "debian.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "stable", components = ["main"] }]
""",
    "upstreams/debian.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
    "images/host.toml": """\
kind = "host"
packages = ["package-0000"]
kernel = { package = "linux-image-{arch}" }
disk = { root = "96M" }
""",
}


@dataclass
class Publishings:
    """Seconds and bytes of each round. `others`: the share of the machine that other programs used."""

    all_seconds: list[float] = field(default_factory=list)
    all_bytes: list[float] = field(default_factory=list)
    some_seconds: list[float] = field(default_factory=list)
    some_bytes: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def measure_publishing(lab: Lab, *, rounds: int, say: Say) -> Publishings:
    """Publish all packages to a new folder, then the same with a few changed."""
    found = Publishings()
    for number in range(1, rounds + 1):
        folder = lab.folder / "publishing"
        folder.mkdir()
        shop = Shop(folder, lab.sandbox, PACKAGES)
        wait_for_calm()
        noise = Noise()
        first, first_seconds = shop.publish(0)
        second, second_seconds = shop.publish(CHANGED)
        if (first.pool_files, second.pool_files) != (PACKAGES, CHANGED):
            raise BenchError(f"{first.pool_files} and {second.pool_files} packages were published")
        found.all_seconds.append(first_seconds)
        found.all_bytes.append(first.bytes)
        found.some_seconds.append(second_seconds)
        found.some_bytes.append(second.bytes)
        found.others.append(noise.share())
        shutil.rmtree(folder)
        say(
            f"round {number} of {rounds}: publishing {PACKAGES} packages {first_seconds:.2f} s, "
            f"{CHANGED} changed {second_seconds:.2f} s"
        )
    return found


def publishing_figures(found: Publishings) -> list[Figure]:
    """The lines of the table that are about publishing."""
    title, peer = f"publish a snapshot, {CHANGED} of {PACKAGES:,} packages changed", f"all {PACKAGES:,}"
    some, every = tuple(found.some_bytes), tuple(found.all_bytes)
    return [
        Figure(f"{title}: bytes written", Unit.BYTES, some, peer, every, Limit(ratio=0.02)),
        Figure(f"{title}: wall time", Unit.SECONDS, tuple(found.some_seconds), peer, tuple(found.all_seconds)),
    ]


class Shop:
    """A distribution of `count` packages with a repository in a folder beside it."""

    def __init__(self, folder: Path, sandbox: Sandbox, count: int) -> None:
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._count = count
        self._snapshots = 0
        for name, text in _DEFINITION.items():
            path = folder / "distro" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        keys = folder / "keys"
        keys.mkdir(mode=0o700)
        make_archive_key(keys, owner="Bench", now=self._now, lifetime=LIFETIME)
        self._distribution = load_distribution(folder / "distro")
        self._store = Store(folder / "store")
        self._sandbox = sandbox
        self._target = Folder(folder / "repository")
        key = load_archive_key(keys, now=self._now)
        self._hand = Hand(self._distribution, key, Keyring(key.certificate.keyring, where="bench"), self._now)

    def publish(self, changed: int) -> tuple[Published, float]:
        """Publish a newer lock in which so many packages have another content; what it wrote, and its seconds."""
        self._snapshots += 1
        steps = set(range(0, self._count, self._count // changed)) if changed else set()
        version = f"1.{self._snapshots}"
        packages = [self._locked(number, version if number in steps else "1.0") for number in range(self._count)]
        workshop = Workshop(
            self._distribution, self._lock(packages), self._store, self._sandbox, lambda _: None, lambda _: None, SILENT
        )
        begun = time.perf_counter()
        done = workshop.publish(Order(), self._target, self._hand)
        return done, time.perf_counter() - begun

    def _lock(self, packages: Sequence[LockedPackage]) -> Lock:
        created = self._now - timedelta(days=1) + timedelta(hours=self._snapshots)
        host = LockedSet(
            name="host", architecture="amd64", upstream="debian", request="0" * 64, packages=tuple(packages)
        )
        return Lock(distribution="bench", created=created, serial=1, suites=(), sets=(host,))

    def _locked(self, number: int, version: str) -> LockedPackage:
        name, data = f"package-{number:04}", make_deb(number, version)
        return LockedPackage(
            name=name,
            version=version,
            architecture="amd64",
            sha256=self._store.add_bytes(data),
            size=len(data),
            path=f"pool/{name}_{version}_amd64.deb",
            suite="stable",
            archive="debian",
            source=name,
            source_version=version,
        )


def make_deb(number: int, version: str) -> bytes:
    """A package as deb(5) has it, uncompressed; the same bytes each time."""
    name = f"package-{number:04}"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Bench <bench@build.example>\n"
        + (f"Depends: package-{number - 1:04}\n" if number else "")
        + f"Description: package {number} of a thousand\n It holds noise.\n"
    )
    noise = random.Random(f"{name} {version}").randbytes(_BYTES)
    members = {
        "debian-binary": b"2.0\n",
        "control.tar": _tar("./control", control.encode()),
        "data.tar": _tar(f"./usr/share/{name}", noise),
    }
    return b"!<arch>\n" + b"".join(
        f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for member, data in members.items()
    )


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()
