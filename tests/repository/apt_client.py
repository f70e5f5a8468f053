# SPDX-License-Identifier: Apache-2.0
"""A machine with apt and nothing else: a root made of locked packages, with our key as the only one it trusts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.definition import Distribution
from zaffre.progress import SILENT
from zaffre.repository.control import control_of
from zaffre.repository.index import packages_text
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.tree.tools import tools_tree
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.index import Index, Indexes
from zaffre.upstream.lock import LockedPackage, LockedSuite

_TIMEOUT = 120.0
_CLEAN = "Dir::Cache::archives"


@dataclass(frozen=True)
class Answer:
    code: int
    text: str


@dataclass
class AptClient:
    """`root` is writable; programs run in it as on a machine, with the loopback as their network."""

    root: Path

    def run(self, *argv: str) -> Answer:
        done = Sandbox(None).run(
            argv,
            root=self.root,
            network=True,
            env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            timeout=_TIMEOUT,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(errors="replace") + done.stderr_tail)

    def follow(self, distribution: Distribution, keyring: bytes, url: str, suite: str | None = None) -> None:
        """Trust that key, and have that repository as the only source; nothing else of apt's is left."""
        for folder in ("var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        for name in ("etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d"):
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        sources = distribution.apt_sources("dev").replace(distribution.own_repository.url, url)
        if suite is not None:
            sources = sources.replace("Suites: dev", f"Suites: {suite}")
        self._write("etc/apt/sources.list.d/own.sources", sources.encode())
        self._write(distribution.archive_keyring.lstrip("/"), keyring)
        for folder in ("etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def update(self) -> Answer:
        return self.run("apt-get", "-o", "Acquire::Retries=0", "update")

    def install(self, *names: str) -> Answer:
        return self.run("apt-get", "-y", "--no-install-recommends", "install", *names)

    def upgrade(self) -> Answer:
        return self.run("apt-get", "-y", "upgrade")

    def purge(self, *names: str) -> None:
        self.run("dpkg", "--purge", *names)

    def candidate(self, name: str) -> str:
        """The version that apt would install; "" for none."""
        text = self.run("apt-cache", "policy", name).text
        line = next((line for line in text.splitlines() if line.strip().startswith("Candidate:")), "")
        return line.partition(":")[2].strip().replace("(none)", "")

    def file(self, path: str) -> str | None:
        place = self.root / path
        return place.read_text() if place.exists() else None

    def _write(self, path: str, data: bytes) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


@contextmanager
def apt_client(lab: Lab, folder: Path) -> Iterator[AptClient]:
    """A root of apt and what it needs, from the lab's locked tools."""
    root = folder / "client"
    with lab.workspace() as work:
        making = Making(work)
        making.fetch(making.tools_set.packages)
        packages = _apt_alone(making.tools_set.packages, work.store)
        with tools_tree(
            packages, architecture="amd64", epoch=0, store=work.store, sandbox=Sandbox(None), progress=SILENT
        ) as tree:
            subprocess.run(["cp", "--archive", str(tree.root), str(root)], check=True)
    yield AptClient(root)
    shutil.rmtree(root)


def _apt_alone(packages: tuple[LockedPackage, ...], store: Store) -> list[LockedPackage]:
    text = packages_text((one, control_of(one, store)) for one in packages)
    digest = store.add_bytes(text)
    suite = LockedSuite(
        upstream="tools", archive="tools", suite="tools", release_sha256=digest, date=datetime.fromtimestamp(0, UTC)
    )
    indexes = Indexes("tools", (suite,), (Index(suite, "main", "amd64", digest, store.path(digest)),))
    chosen = {one.sha256 for one in bootstrap_resolve(["apt", "dpkg"], indexes, "amd64")}
    return [one for one in packages if one.sha256 in chosen]
