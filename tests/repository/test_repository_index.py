# SPDX-License-Identifier: Apache-2.0
"""Indexes and Releases, beside what Debian's own programs make of the same packages."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from support.repository import NOW, Deb
from support.shop import Shop, greeting, hello
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.progress import SILENT
from zaffre.repository.build import Order
from zaffre.repository.control import control_of
from zaffre.repository.index import Heading, packages_text, stanza
from zaffre.repository.layout import is_snapshot, snapshot_key, snapshot_name
from zaffre.repository.reproduce import Recipe, reproduce_repository
from zaffre.sandbox import Mount
from zaffre.upstream.deb.control import parse_stanzas
from zaffre.upstream.deb.release import FileFact, parse_release
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.pool import pool_path

_SUMS = {"MD5sum", "SHA1"}


@pytest.mark.tools
def test_stanzas_are_those_of_dpkg_scanpackages(shop: Shop, tmp_path: Path) -> None:
    description = "a test\n of many lines:\n .\n  * one\n  * two, with ünicode"
    debs = [
        hello("1:2.0-1", Provides="greeter (= 2)", Recommends="a | b (>= 1)"),
        hello("1:2.0~rc1-1"),
        greeting(),
        Deb("many-lines", fields={"Essential": "yes", "Description": description, "Tag": "role::program,\n works::x"}),
    ]
    packages = [shop.locked(deb) for deb in debs]
    for package in packages:
        path = tmp_path / "repo" / pool_path(package)
        path.parent.mkdir(parents=True)
        path.write_bytes(shop.store.path(package.digest).read_bytes())
    done = shop.sandbox.run(
        ["dpkg-scanpackages", "--multiversion", "pool"],
        mounts=[Mount(tmp_path / "repo", "/run/repo")],
        cwd="/run/repo",
        timeout=60,
    )
    theirs = {one["Filename"]: one for one in parse_stanzas(done.stdout.decode())}
    text = packages_text((one, control_of(one, shop.store)) for one in packages)
    ours = {one["Filename"]: one for one in parse_stanzas(text.decode())}
    assert len(ours) == len(debs)
    assert ours == {
        path: {name: value for name, value in fields.items() if name not in _SUMS} for path, fields in theirs.items()
    }


def test_an_index_does_not_depend_on_the_order_of_the_lock(tmp_path: Path) -> None:
    locked = [_locked(deb) for deb in (hello("2.0"), hello("10.0"), greeting())]
    assert packages_text(locked) == packages_text(reversed(locked))
    versions = [fields["Version"] for fields in parse_stanzas(packages_text(locked).decode())]
    assert versions == ["1.0", "2.0", "10.0"]


def test_what_a_control_file_says_of_its_own_file_is_not_believed() -> None:
    package, control = _locked(greeting())
    forged = control + "Filename: ../../etc/passwd\nSHA256: 00\nSize: 1\nMD5sum: 00\n"
    (fields,) = parse_stanzas(stanza(package, forged))
    assert (fields["Filename"], fields["SHA256"], fields["Size"]) == (
        pool_path(package),
        package.sha256,
        str(package.size),
    )
    assert "MD5sum" not in fields


def test_a_package_that_is_another_one_than_locked_is_refused() -> None:
    package, control = _locked(greeting())
    with pytest.raises(IntegrityError, match="another one than the lock says"):
        stanza(package, control.replace("1.0", "6.6"))


def test_a_release_says_what_it_was_told() -> None:
    heading = Heading(
        origin="Acme",
        label="Acme",
        suite="dev",
        codename="acme",
        snapshot="20260504T120000Z",
        date=NOW,
        architectures=("amd64", "arm64"),
        components=("main", "build"),
        valid_until=NOW + timedelta(days=14),
        by_hash=True,
    )
    files = {"main/binary-amd64/Packages": FileFact(Sha256("0" * 64), 7)}
    release = parse_release(heading.text(files), where="Release")
    assert (release.suite, release.codename, release.by_hash) == ("dev", "acme", True)
    assert (release.date, release.valid_until) == (NOW, NOW + timedelta(days=14))
    assert dict(release.files) == files
    assert not release.separate_all


def test_names_of_snapshots() -> None:
    assert snapshot_name(NOW) == f"{NOW:%Y%m%dT%H%M%SZ}"
    names = [snapshot_name(NOW, 10), snapshot_name(NOW), snapshot_name(NOW + timedelta(days=1)), snapshot_name(NOW, 2)]
    assert sorted(names, key=snapshot_key) == [names[1], names[3], names[0], names[2]]
    for odd in ("", "20260504", "20260504T120000Z.1", "20260504T120000Z.02", "20261304T120000Z", "../20260504T120000Z"):
        assert not is_snapshot(odd)


@pytest.mark.tools
def test_a_repository_made_twice_is_the_same_to_the_bit_signatures_included(shop: Shop) -> None:
    lock = shop.lock(hello("1.0"), greeting(), tools=[Deb("tool", architecture="amd64")])
    recipe = Recipe(
        distribution=shop.distribution.root,
        lock=lock,
        order=Order(),
        key=shop.key,
        tools=shop.sandbox.tools,
        packages=shop.store.root,
    )
    found = reproduce_repository(recipe, progress=SILENT)
    assert not found.differences
    assert sum(path.startswith("pool/") for path in found.files) == 3
    assert sum(path.endswith("InRelease") for path in found.files) == 2


def _locked(deb: Deb) -> tuple[LockedPackage, str]:
    data = deb.build()
    package = LockedPackage(
        name=deb.name,
        version=deb.version,
        architecture=deb.architecture,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        path=deb.path,
        suite="stable",
        archive="debian",
        source=deb.name,
        source_version=deb.version,
    )
    return package, "".join(f"{name}: {value}\n" for name, value in deb.control().items())
