# SPDX-License-Identifier: Apache-2.0
"""What the metadata of a large RPM repository costs: reading, loading and solving, beside libsolv's own programs.

The repository is made here, the same each time, in the size and shape of a real one (17,649 packages, 51 MB of
`primary.xml`; a provide, a dozen requirements and a few files each), since none can be had without a network.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Limit, Unit
from lab import Lab, Say
from measure import BenchError, measure
from noise import Noise, wait_for_calm

from zaffre.progress import SILENT
from zaffre.sandbox import Mount
from zaffre.store import Store
from zaffre.upstream.rpm.index import Metadata, RpmIndex, RpmIndexes
from zaffre.upstream.rpm.repomd import parse_repomd
from zaffre.upstream.rpm.solve import RpmSolver
from zaffre.upstream.solving import SetRequest

PACKAGES = 17_649
SET = 150
_SECONDS = 120.0
_NAME = "primary.xml.gz"
_READ = f"repomdxml2solv < /job/repomd.xml > /dev/null && zcat /job/{_NAME} | rpmmd2solv > /dev/null"
_SPACES = 'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
_PACKAGE = """\
<package type="rpm">
  <name>{name}</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="{version}" rel="{release}.el9"/>
  <checksum type="sha256" pkgid="YES">{digest}</checksum>
  <summary>The {name} package of a large repository</summary>
  <description>{description}</description>
  <packager>builder@build.example</packager>
  <url>https://project.example/{name}</url>
  <time file="1700000000" build="1700000000"/>
  <size package="{size}" installed="{size}" archive="{size}"/>
  <location href="Packages/{name}-{version}-{release}.el9.x86_64.rpm"/>
  <format>
    <rpm:license>GPL-2.0-or-later AND MIT</rpm:license>
    <rpm:vendor>Example</rpm:vendor>
    <rpm:group>Unspecified</rpm:group>
    <rpm:buildhost>build.example</rpm:buildhost>
    <rpm:sourcerpm>{name}-{version}-{release}.el9.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="4504" end="{size}"/>
    <rpm:provides>
{provides}    </rpm:provides>
    <rpm:requires>
{requires}    </rpm:requires>
{files}  </format>
</package>
"""
_REPOMD = """\
<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <data type="primary">
    <checksum type="sha256">{digest}</checksum>
    <open-checksum type="sha256">{open_digest}</open-checksum>
    <location href="repodata/{name}"/>
    <timestamp>1700000000</timestamp>
    <size>{size}</size>
    <open-size>{open_size}</open-size>
  </data>
</repomd>
"""


@dataclass
class Readings:
    """Seconds of each round, in order. `others`: the share of the machine that other programs used."""

    peer: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    solved: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def measure_metadata(lab: Lab, *, rounds: int, say: Say) -> Readings:
    """Read the made repository as libsolv's programs do, as we do, and again from the store."""
    repodata = lab.folder / "repodata"
    make_repodata(repodata, PACKAGES)
    found = Readings()
    for number in range(1, rounds + 1):
        root = lab.folder / "metadata-store"
        wait_for_calm()
        mounts = [Mount(repodata, "/job")]
        cost = measure(
            lab.boxed(["/bin/sh", "-euc", _READ], mounts=mounts), log=lab.log("rpmmd2solv"), timeout=_SECONDS
        )
        noise = Noise()
        store = Store(root)
        indexes = RpmIndexes("bench", (index_of(repodata, store),))
        found.peer.append(cost.wall)
        found.cold.append(loaded_from(indexes, store).seconds)
        warm = loaded_from(indexes, store)
        found.warm.append(warm.seconds)
        found.solved.append(_solved(warm.solver))
        found.others += [cost.others, noise.share()]
        shutil.rmtree(root)
        say(
            f"round {number} of {rounds}: RPM metadata: rpmmd2solv {cost.wall:.2f} s, Zaffre {found.cold[-1]:.2f} s, "
            f"from the store {found.warm[-1]:.2f} s, a set of it {found.solved[-1]:.2f} s"
        )
    return found


def metadata_figures(found: Readings) -> list[Figure]:
    """The lines of the table that are about large RPM repositories."""
    title = f"RPM metadata of {PACKAGES:,} packages"
    cold, peer = tuple(found.cold), tuple(found.peer)
    return [
        Figure(f"{title}: read, load", Unit.SECONDS, cold, "rpmmd2solv", peer, Limit(ratio=1.2)),
        Figure(f"{title}: from the store", Unit.SECONDS, tuple(found.warm), limit=Limit(value=0.2, strict=True)),
        Figure(f"solve {SET} of them", Unit.SECONDS, tuple(found.solved), limit=Limit(value=1.0, strict=True)),
    ]


@dataclass(frozen=True)
class _Loaded:
    solver: RpmSolver
    seconds: float


def loaded_from(indexes: RpmIndexes, store: Store) -> _Loaded:
    """A solver that has its packages in memory: asked once for a package that needs no other."""
    begun = time.perf_counter()
    solver = RpmSolver(indexes, Metadata(store, SILENT))
    solver.solve(SetRequest("one", ("package-00000",), "amd64"))
    return _Loaded(solver, time.perf_counter() - begun)


def _solved(solver: RpmSolver) -> float:
    begun = time.perf_counter()
    solution = solver.solve(SetRequest("image", tuple(_name(number) for number in range(SET)), "amd64"))
    seconds = time.perf_counter() - begun
    if len(solution.packages) < SET:
        raise BenchError(f"only {len(solution.packages)} of {SET} packages were solved")
    return seconds


def index_of(repodata: Path, store: Store) -> RpmIndex:
    """The repository as it stands after its repomd.xml was verified and its primary.xml.gz was fetched."""
    repomd = parse_repomd((repodata / "repomd.xml").read_bytes(), where="bench")
    store.add_file(repodata / _NAME, expected=repomd.files["primary"].sha256)
    return RpmIndex(repomd.locked(upstream="bench", archive="bench", suite="x86_64"), "amd64", repomd, ())


def make_repodata(folder: Path, count: int) -> None:
    """repomd.xml and primary.xml.gz of `count` packages, the same bytes each time."""
    folder.mkdir()
    chance = random.Random(count)
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<metadata {_SPACES} packages="{count}">\n'
    plain = "".join([head, *(_package(number, chance) for number in range(count)), "</metadata>\n"]).encode()
    packed = gzip.compress(plain, compresslevel=6, mtime=0)
    (folder / _NAME).write_bytes(packed)
    (folder / "repomd.xml").write_text(
        _REPOMD.format(
            name=_NAME,
            digest=hashlib.sha256(packed).hexdigest(),
            open_digest=hashlib.sha256(plain).hexdigest(),
            size=len(packed),
            open_size=len(plain),
        )
    )


def _name(number: int) -> str:
    return f"package-{number:05}"


def _package(number: int, chance: random.Random) -> str:
    """One package. It needs libraries of packages before it, so that every one can be installed."""
    name = _name(number)
    version = f"{chance.randrange(9)}.{chance.randrange(30)}.{chance.randrange(9)}"
    release = chance.randrange(1, 40)
    return _PACKAGE.format(
        name=name,
        version=version,
        release=release,
        digest=hashlib.sha256(name.encode()).hexdigest(),
        description=" ".join(chance.choice(("server", "library", "for", "and", "data")) for _ in range(60)),
        size=chance.randrange(10_000, 9_000_000),
        provides="".join(_entry(word, f'flags="EQ" epoch="0" ver="{version}"') for word in _provides(name)),
        requires="".join(_entry(word, "") for word in _requires(number, chance)),
        files="".join(f"    <file>/usr/bin/{name}-{place}</file>\n" for place in range(2)),
    )


def _entry(name: str, more: str) -> str:
    return f'      <rpm:entry name="{name}" {more}/>\n'


def _provides(name: str) -> Iterator[str]:
    yield name
    yield f"{name}(x86-64)"
    for place in range(4):
        yield f"lib{name}-{place}.so.1()(64bit)"


def _requires(number: int, chance: random.Random) -> Iterator[str]:
    for _ in range(min(number, 14)):
        yield f"lib{_name(chance.randrange(number))}-{chance.randrange(4)}.so.1()(64bit)"
