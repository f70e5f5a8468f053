# SPDX-License-Identifier: Apache-2.0
"""An upstream of RPM packages: one small signed repository, its mirror, and an eye on what is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pysequoia import Tsk

from support.repository import NOW, Mirror, keyring
from support.rpms import Rpm, RpmRepository, build_rpms, signed
from support.upstreams import QUICK
from zaffre.definition import RpmUpstream
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.rpm.family import RpmFamily, RpmRepositories
from zaffre.upstream.solving import SetRequest, Solution

PLACE = "main/x86_64"
CATALOGUE = (
    Rpm("app", "1.0", "1", requires=("libgreet >= 1:2", "/usr/bin/tool"), recommends=("nice",)),
    Rpm("app", "1.1", "1", requires=("libgreet >= 1:2", "/usr/bin/tool"), recommends=("nice",)),
    Rpm("libgreet", "1.9", source="greet", noarch=True),
    Rpm("libgreet", "2.1", epoch=1, source="greet", noarch=True),
    Rpm("libgreet", "2.2", epoch=1, source="greet", noarch=True),
    Rpm("tool", files={"/usr/bin/tool": "#!/bin/sh"}),
    Rpm("nice", noarch=True),
    Rpm("deep", files={"/usr/share/deep/file": "x"}),
    Rpm("needs-deep", requires=("/usr/share/deep/file",)),
    Rpm("needs-nowhere", requires=("/usr/share/nowhere",)),
    Rpm("needy", requires=("unobtainium >= 3",)),
    Rpm("rich", requires=("(plugin if app)", "(one-way or other-way)")),
    Rpm("plugin", noarch=True),
    Rpm("other-way", noarch=True),
    Rpm("former", "1.0"),
    Rpm("successor", "3.0", obsoletes=("former < 2",)),
    Rpm("mail-a", provides=("mail-server",), conflicts=("mail-server",)),
    Rpm("mail-b", provides=("mail-server",), conflicts=("mail-server",)),
    Rpm("lone", provides=("only-one",)),
    Rpm("runs", requires=("runtime = 1.3",)),
    Rpm("against", conflicts=("runtime",)),
    Rpm("strict", requires=("libgreet = 1:2.2",)),
)
"""What the tests' repository has."""


class Notes:
    """A progress that keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.step = SILENT.step
        self.transfer = SILENT.transfer

    def note(self, message: str) -> None:
        self.said.append(message)


@dataclass
class RpmShop:
    """The repository at `main/x86_64` of the archive `rpms`, its mirror, and a store for one test."""

    root: Path
    repository: RpmRepository
    mirror: Mirror
    key: Tsk
    store: Store
    built: dict[str, bytes]
    progress: Notes = field(default_factory=Notes)

    def upstream(self, *, certificates: bytes | None = None, **repository: object) -> RpmUpstream:
        path = self.root / "rpms.asc"
        path.write_bytes(keyring(self.key) if certificates is None else certificates)
        return RpmUpstream.model_validate(
            {
                "name": "test",
                "family": "rpm",
                "keyring": "rpms.asc",
                "keyring_file": path,
                "architectures": ["amd64", "arm64"],
                "repositories": [
                    {"archive": "rpms", "path": "main/{basearch}", "verify": "signature", **repository},
                ],
            }
        )

    def mirrors(self, *urls: str) -> Mirrors:
        where = urls or (f"rpms={self.mirror.url}/rpms",)
        none = Path("/nonexistent")
        return find_mirrors({"rpms": "rpms"}, explicit=where, environ={}, config_home=none, apt=none)

    def look(
        self,
        *urls: str,
        upstream: RpmUpstream | None = None,
        now: datetime = NOW + timedelta(minutes=1),
        not_before: datetime | None = None,
        architectures: Sequence[str] = ("amd64",),
    ) -> RpmRepositories:
        return RpmFamily(upstream or self.upstream()).refresh(
            self.mirrors(*urls),
            self.store,
            architectures=architectures,
            now=now,
            not_before={("rpms", PLACE): not_before} if not_before else {},
            progress=self.progress,
            limits=QUICK,
        )

    def solve(self, *packages: str, keep: dict[str, str] | None = None, **more: object) -> Solution:
        request = SetRequest(**{"name": "test", "packages": packages, "architecture": "amd64", **more})  # type: ignore[arg-type]
        with self.look().solver(Sandbox(None), self.store) as solver:
            return solver.solve(request, keep=keep)


@contextmanager
def rpm_shop(
    root: Path, key: Tsk, built: dict[str, bytes], *, adjust: Callable[[RpmRepository], None] | None = None
) -> Iterator[RpmShop]:
    repository = RpmRepository(PLACE)
    for data in built.values():
        repository.add(signed(data, key))
    (adjust or (lambda one: one.publish([key])))(repository)
    with Mirror({"rpms": repository.archive}) as mirror:
        yield RpmShop(root, repository, mirror, key, Store(root / "store"), built)


def catalogue(sandbox: Sandbox, store: Store) -> dict[str, bytes]:
    return build_rpms(CATALOGUE, sandbox=sandbox, store=store)
