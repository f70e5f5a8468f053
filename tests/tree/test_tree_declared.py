# SPDX-License-Identifier: Apache-2.0
"""What packages say of themselves: licences by whatever way their documentation goes, and the system they make."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from debs import deb, entry, locked
from rpm_headers import stored

from zaffre.bill import BillSystem
from zaffre.definition import load_distribution, reference_root
from zaffre.errors import IntegrityError
from zaffre.progress import SILENT
from zaffre.store import Store
from zaffre.tree.configure import declared_by
from zaffre.tree.declared import Declared
from zaffre.tree.rpm.declared import declared as rpm_declared
from zaffre.upstream import LockedPackage
from zaffre.upstream.rpm.header import Tag

COPYRIGHT = (
    b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
    b"Files: *\nCopyright: x\nLicense: Expat\n"
)
OS_RELEASE = b'ID=tiny\nNAME="Tiny Linux"\nVERSION_ID="7"\n'


def package(store: Store, name: str, *entries: tuple[tarfile.TarInfo, bytes]) -> LockedPackage:
    data = deb([entry("./"), *entries], name=name)
    store.add_bytes(data)
    return locked(data, name=name)


def folders(*paths: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [entry(f"./{path}/") for path in paths]


def said(store: Store, *packages: LockedPackage) -> Declared:
    upstream = load_distribution(reference_root()).upstreams["debian"]
    return declared_by(packages, upstream=upstream, store=store, progress=SILENT, label="test")


DOC = ("usr", "usr/share", "usr/share/doc")


def test_a_copyright_file_is_read_and_the_system_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    app = package(
        store,
        "app",
        *folders(*DOC, "usr/share/doc/app"),
        entry("./usr/share/doc/app/copyright", COPYRIGHT),
    )
    base = package(store, "base-files", *folders("usr", "usr/lib"), entry("./usr/lib/os-release", OS_RELEASE))
    found = said(store, app, base)
    assert found.licences["app", "amd64"].expression == "MIT"
    assert found.licences["base-files", "amd64"].expression is None
    assert found.system == BillSystem("tiny", "7", "Tiny Linux")
    assert said(store, app).system is None


@pytest.mark.parametrize("whole", [True, False])
def test_documentation_that_is_another_packages_is_followed(tmp_path: Path, whole: bool) -> None:  # noqa: FBT001
    store = Store(tmp_path / "store")
    app = package(
        store,
        "app",
        *folders(*DOC, "usr/share/doc/app"),
        entry("./usr/share/doc/app/copyright", COPYRIGHT),
    )
    link = (
        [entry("./usr/share/doc/tool", type=tarfile.SYMTYPE, linkname="app")]
        if whole
        else [
            *folders("usr/share/doc/tool"),
            entry("./usr/share/doc/tool/copyright", type=tarfile.SYMTYPE, linkname="../app/copyright"),
        ]
    )
    tool = package(store, "tool", *folders(*DOC), *link)
    assert said(store, app, tool).licences["tool", "amd64"].expression == "MIT"
    assert said(store, tool).licences["tool", "amd64"].expression is None, "who has it is not there"


def test_a_link_within_the_package_is_followed_and_a_ring_ends(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    app = package(
        store,
        "app",
        *folders(*DOC, "usr/share/doc/app", "usr/share/doc/app-common"),
        entry("./usr/share/doc/app-common/copyright", COPYRIGHT),
        entry("./usr/share/doc/app/copyright", type=tarfile.SYMTYPE, linkname="../app-common/copyright"),
    )
    one, other = (
        package(store, name, *folders(*DOC), entry(f"./usr/share/doc/{name}", type=tarfile.SYMTYPE, linkname=target))
        for name, target in (("one", "other"), ("other", "one"))
    )
    found = said(store, app, one, other)
    assert found.licences["app", "amd64"].expression == "MIT"
    assert found.licences["one", "amd64"].expression is None


def rpm(path: Path, entries: list[tuple[Tag, str, object]]) -> Path:
    magic = b"\x8e\xad\xe8\x01\0\0\0\0"
    lead = b"\xed\xab\xee\xdb\x03\0\0\0".ljust(96, b"\0")
    signature = magic + stored([(Tag.SHA256_HEADER, "s", "0" * 64)])
    path.write_bytes(lead + signature + bytes(-len(signature) % 8) + magic + stored(entries))
    return path


def test_an_rpm_says_it_in_its_header(tmp_path: Path) -> None:
    plain = [(Tag.NAME, "s", "app"), (Tag.VERSION, "s", "1"), (Tag.LICENSE, "s", "MIT AND Zlib")]
    found = rpm_declared(rpm(tmp_path / "a.rpm", plain))
    assert (found.licence.expression, found.system) == ("MIT AND Zlib", None)
    release = [
        (Tag.NAME, "s", "fedora-release-common"),
        (Tag.VERSION, "s", "43"),
        (Tag.BASENAMES, "t", ["os-release", "issue"]),
        (Tag.DIRNAMES, "t", ["/usr/lib/", "/etc/"]),
        (Tag.DIRINDEXES, "i", [0, 1]),
    ]
    assert rpm_declared(rpm(tmp_path / "b.rpm", release)).system == BillSystem("fedora", "43", "fedora")
    other = [(Tag.NAME, "s", "base-files"), *release[1:]]
    assert rpm_declared(rpm(tmp_path / "e.rpm", other)).system is None
    astray = [*release[:-1], (Tag.DIRINDEXES, "i", [7, 1])]
    with pytest.raises(IntegrityError, match="malformed"):
        rpm_declared(rpm(tmp_path / "d.rpm", astray))
    (tmp_path / "c.rpm").write_bytes(b"no package")
    with pytest.raises(IntegrityError, match="malformed"):
        rpm_declared(tmp_path / "c.rpm")
