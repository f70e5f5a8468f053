# SPDX-License-Identifier: Apache-2.0
"""The source package of a component with overlays: what dpkg-source unpacks of it is what was built."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from support.repository import keyring, signing_key
from support.sources import CHANGELOG, CONTROL, LIMIT, UPSTREAM_PATCH, write
from zaffre.component.overlay import apply_overlays
from zaffre.component.pristine import unpack_deb_source
from zaffre.component.sourcepackage import own_source, source_inputs
from zaffre.definition import Distribution, load_distribution
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.lock import LockedComponent, LockedFile, LockedSource, Outcome

pytestmark = pytest.mark.tools

MAIN = """
[distribution]
id = "acme"
name = "Acme Linux"
version = "1"
[defaults]
upstream = "debian"
[tools]
packages = ["apt"]
"""
UPSTREAM = """
family = "deb"
keyring = "debian.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "stable", components = ["main"] }]
"""
OVERLAY = """
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-01
until = 2027-01-01
[[operations]]
op = "patch-add"
file = "limit.patch"
[[operations]]
op = "search-replace"
path = "README"
search = "expat"
replace = "expat, ours"
"""
SOURCE = {"lib/parse.c": "int depth;\nint parse(void) {\nreturn 0;\n}\nint last;\n", "README": "expat\n"}
DEBIAN = {
    "debian/control": CONTROL.replace("# What is built\n", "").replace("# for the manual\n", ""),
    "debian/changelog": CHANGELOG,
    "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/source/format": "3.0 (quilt)\n",
    "debian/patches/series": "fixed.patch\n",
    "debian/patches/fixed.patch": UPSTREAM_PATCH,
}


def distribution_at(root: Path, overlay: str | None) -> Distribution:
    files = {
        "zaffre.toml": MAIN,
        "upstreams/debian.toml": UPSTREAM,
        "upstreams/debian.asc": keyring(signing_key()).decode(),
        "components/expat/component.toml": 'description = "XML"\n[source]\nkind = "deb-source"\npackage = "expat"\n',
        "components/expat/limit.patch": LIMIT,
    }
    if overlay is not None:
        files["components/expat/overlays/0001-limit.toml"] = overlay
    return load_distribution(write(root, files))


@pytest.fixture(scope="module")
def upstreams(tools_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the upstream's source package, as its dpkg-source made it."""
    place = tmp_path_factory.mktemp("source")
    write(place / "expat-2.7.1", {**SOURCE, **DEBIAN})
    with tarfile.open(place / "expat_2.7.1.orig.tar.gz", "w:gz") as archive:
        for name, text in SOURCE.items():
            info = tarfile.TarInfo(f"expat-2.7.1/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    tools_sandbox.run(
        ["dpkg-source", "--build", "expat-2.7.1"],
        mounts=[Mount(place, "/run/place", writable=True)],
        cwd="/run/place",
        timeout=120,
    )
    return place


def locked(upstreams: Path, store: Store) -> LockedComponent:
    files = tuple(
        LockedFile(path=f"pool/{path.name}", sha256=store.add_file(path), size=path.stat().st_size, archive="debian")
        for path in sorted(upstreams.iterdir())
        if path.is_file()
    )
    return LockedComponent(
        name="expat",
        architecture="amd64",
        upstream="debian",
        key="0" * 64,
        outcome=Outcome.BUILT,
        gives=("expat",),
        source=LockedSource(name="expat", version="2.7.1-2+deb13u1", files=files),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".pc" not in path.parts
    }


def unpacked(files: dict[str, FileFact], store: Store, sandbox: Sandbox, folder: Path) -> dict[str, bytes]:
    source = LockedSource(
        name="expat",
        version="1",
        files=tuple(
            LockedFile(path=f"x/{name}", sha256=fact.sha256, size=fact.size, archive="debian")
            for name, fact in files.items()
        ),
    )
    folder.mkdir()
    unpack_deb_source(source, folder / "tree", store=store, sandbox=sandbox)
    return contents(folder / "tree")


def test_what_is_packed_is_what_was_built_and_the_upstreams_archive_stays(
    upstreams: Path, tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    distribution = distribution_at(tmp_path / "distro", OVERLAY)
    store = Store(tmp_path / "store")
    one = locked(upstreams, store)
    assert source_inputs(distribution, one) == one.source.files
    made = own_source(distribution, one, store=store, sandbox=tools_sandbox)
    assert made is not None
    original = next(file for file in one.source.files if ".orig" in file.path)
    assert made["expat_2.7.1.orig.tar.gz"] == FileFact(original.digest, original.size)
    assert made.keys() == {
        "expat_2.7.1-2+deb13u1+z1.dsc",
        "expat_2.7.1-2+deb13u1+z1.debian.tar.xz",
        "expat_2.7.1.orig.tar.gz",
    }
    (tmp_path / "built").mkdir()
    unpack_deb_source(one.source, tmp_path / "built/upstream", store=store, sandbox=tools_sandbox)
    apply_overlays(
        distribution.component("expat"),
        folder=tmp_path / "distro/components/expat",
        source=tmp_path / "built/upstream",
        target=tmp_path / "built/tree",
        maintainer=distribution.identity.maintainer,
    )
    built, given = contents(tmp_path / "built/tree"), unpacked(dict(made), store, tools_sandbox, tmp_path / "given")
    series = "debian/patches/series"
    assert given["README"] == b"expat, ours\n"
    assert b"int limit = 100;" in given["lib/parse.c"]
    assert given[series].startswith(built[series])
    added = {path for path in given if path not in built}
    assert len(added) == 1  # what was changed outside of patches is one now
    assert added.pop().startswith("debian/patches/")
    assert {path: data for path, data in built.items() if path != series} == {
        path: data for path, data in given.items() if path in built and path != series
    }


def test_it_is_the_same_whenever_and_wherever_it_is_made(
    upstreams: Path, tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    made = []
    for name, offset, jobs in (("a", 0, 1), ("b", 40_000_000, 4)):
        distribution = distribution_at(tmp_path / name / "distro", OVERLAY)
        store = Store(tmp_path / name / "store")
        sandbox = Sandbox(tools_sandbox.tools, clock_offset_seconds=offset, jobs=jobs)
        made.append(own_source(distribution, locked(upstreams, store), store=store, sandbox=sandbox))
    assert made[0] == made[1]


def test_without_overlays_it_is_the_upstreams(upstreams: Path, tools_sandbox: Sandbox, tmp_path: Path) -> None:
    distribution = distribution_at(tmp_path / "distro", None)
    store = Store(tmp_path / "store")
    one = locked(upstreams, store)
    made = own_source(distribution, one, store=store, sandbox=tools_sandbox)
    assert made == {Path(file.path).name: FileFact(file.digest, file.size) for file in one.source.files}
