# SPDX-License-Identifier: Apache-2.0
"""Source packages in a repository of ours: `[repository] sources = true`, real apt as their client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apt_client import AptClient

from support.repository import NOW, Deb, DebSource, native_source
from support.shop import NEWER, OLDER, Shop, greeting, served
from zaffre.definition import load_distribution
from zaffre.errors import FindingError, IntegrityError
from zaffre.place.folder import Folder
from zaffre.progress import SILENT
from zaffre.repository.build import Order
from zaffre.repository.collect import Rule, collect
from zaffre.repository.overview import overview
from zaffre.repository.reproduce import Recipe, reproduce_repository
from zaffre.repository.verify import verify_repository
from zaffre.upstream.lock import ArchivedSource, Lock, LockedFile

pytestmark = pytest.mark.tools

GREET = native_source("greet", "2.0", {"hello.c": "int main;\n", "debian/control": "Source: greet\n"})
KERNEL = native_source("kernel", "6.1", {"init/main.c": "start_kernel\n"})
SIGNED = Deb("hello", "1.0", "amd64", fields={"Source": "greet (2.0)", "Built-Using": "kernel (= 6.1)"})


@pytest.fixture
def giving(shop: Shop) -> Shop:
    """A shop whose repository has sources."""
    main = shop.root / "distro/zaffre.toml"
    main.write_text(main.read_text() + "sources = true\n")
    shop.distribution = load_distribution(main.parent)
    return shop


@pytest.fixture
def url(repo: Path) -> Iterator[str]:
    repo.mkdir()
    with served(repo) as url:
        yield url


def archived(shop: Shop, source: DebSource) -> ArchivedSource:
    """As the lock has it; its files are in the store."""
    files = tuple(
        LockedFile(path=f"{source.folder}/{name}", sha256=shop.store.add_bytes(data), size=len(data), archive="debian")
        for name, data in source.files.items()
    )
    return ArchivedSource(upstream="debian", name=source.name, version=source.version, files=files)


def sourced(shop: Shop, *sources: DebSource, **options: object) -> Lock:
    lock = shop.lock(SIGNED, **options)  # type: ignore[arg-type]
    (package,) = lock.sets[0].packages
    package = package.model_copy(update={"source": "greet", "source_version": "2.0"})
    own = lock.sets[0].model_copy(update={"packages": (package,)})
    found = tuple(archived(shop, one) for one in sources)
    return lock.model_copy(update={"sets": (own, *lock.sets[1:]), "sources": found})


def test_real_apt_gets_the_source_with_our_key_alone(
    machine: AptClient, giving: Shop, target: Folder, url: str
) -> None:
    done = giving.publish(sourced(giving, GREET, KERNEL), target)
    assert (done.packages, done.sources, done.pool_files) == (1, 2, 5)
    machine.follow(giving.distribution, giving.key.certificate.keyring, url)
    said = machine.update()
    assert said.code == 0, said.text
    assert "W:" not in said.text, said.text
    try:
        for name, source in (("hello", GREET), ("kernel", KERNEL)):  # by the package, and by the source's own name
            said = machine.run("apt-get", "source", "--download-only", name)
            assert said.code == 0, said.text
            for file, data in source.files.items():
                assert (machine.root / file).read_bytes() == data
    finally:
        for source in (GREET, KERNEL):
            for file in source.files:
                (machine.root / file).unlink(missing_ok=True)


def test_a_tampered_source_is_refused_by_apt_and_seen_by_verify(
    machine: AptClient, giving: Shop, target: Folder, repo: Path, url: str
) -> None:
    giving.publish(sourced(giving, GREET, KERNEL), target)
    assert verified(giving, target)
    (tarball,) = repo.rglob("greet_2.0.tar.xz")
    tarball.write_bytes(bytes(len(tarball.read_bytes())))
    machine.follow(giving.distribution, giving.key.certificate.keyring, url)
    machine.update()
    said = machine.run("apt-get", "source", "--download-only", "greet")
    assert said.code != 0, said.text
    assert "Hash Sum mismatch" in said.text, said.text
    assert not (machine.root / tarball.name).exists()
    assert not verified(giving, target)


def verified(shop: Shop, target: Folder) -> bool:
    return verify_repository(target, shop.keyring, channels=("dev",), now=NOW, quick=False, progress=SILENT).ok


def test_without_the_setting_there_are_none(shop: Shop, target: Folder, repo: Path) -> None:
    assert shop.publish(sourced(shop, GREET, KERNEL), target).sources == 0
    assert not list(repo.rglob("Sources*"))


def test_a_lock_that_lacks_one_is_refused_built_using_included(giving: Shop, target: Folder, repo: Path) -> None:
    with pytest.raises(FindingError, match="does not have the source of hello") as caught:
        giving.publish(sourced(giving, GREET), target)
    assert caught.value.where == "kernel 6.1"
    assert not (repo / "dists").exists()


def test_a_description_of_other_files_is_refused(giving: Shop, target: Folder) -> None:
    other = {name: data + b"x" if name.endswith(".tar.xz") else data for name, data in GREET.files.items()}
    with pytest.raises(IntegrityError, match="another one than the lock says"):
        giving.publish(sourced(giving, DebSource("greet", "2.0", other), KERNEL), target)


def test_what_is_built_with_is_in_the_other_component_and_an_image_brings_its_own(
    giving: Shop, target: Folder, repo: Path
) -> None:
    tool = native_source("tool", "1.0", {"tool.c": "x\n"})
    lock = sourced(giving, GREET, KERNEL, tool, tools=[Deb("tool", architecture="amd64")])
    giving.publish(lock, target)
    indexes = {path.relative_to(repo).parts[3] for path in repo.rglob("Sources.xz")}
    assert indexes == {"main", "build"}
    found = overview(target, giving.keyring, now=NOW)
    assert [(one.packages, one.sources) for one in found.snapshots] == [(2, 6)]


def test_sources_go_with_the_last_snapshot_that_has_them(giving: Shop, target: Folder, repo: Path) -> None:
    giving.publish(sourced(giving, GREET, KERNEL, at=OLDER), target)
    newer = giving.lock(greeting(), at=NEWER)
    again = native_source("greeting", "1.0", {"x": "y\n"})
    giving.publish(newer.model_copy(update={"sources": (archived(giving, again),)}), target)
    done = collect(target, giving.keyring, Rule(keep=1), now=NOW, dry_run=False)
    assert (len(done.snapshots), done.packages) == (1, 5)
    assert {path.name for path in (repo / "pool").rglob("*.dsc")} == {"greeting_1.0.dsc"}
    assert verified(giving, target)


def test_made_twice_it_is_the_same(giving: Shop) -> None:
    recipe = Recipe(
        distribution=giving.distribution.root,
        lock=sourced(giving, GREET, KERNEL),
        order=Order(),
        key=giving.key,
        tools=giving.sandbox.tools,
        packages=giving.store.root,
    )
    found = reproduce_repository(recipe, progress=SILENT)
    assert not found.differences
    assert sum(path.endswith(".dsc") for path in found.files) == 2
