# SPDX-License-Identifier: Apache-2.0
"""What is scanned: roots, locks and builds; and what gives nothing to other scanners, an error here."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from subjects import OS_RELEASE, STATUS, locked, package, refused, root, stanza

from zaffre.advisory.subject import telling
from zaffre.advisory.subjects import Reader
from zaffre.definition import Distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.upstream import LockedPackage, save_lock
from zaffre.upstream.rpm.header import Tag


def test_a_root_says_what_is_installed_and_of_which_source(tmp_path: Path, distribution: Distribution) -> None:
    """What was removed and left its configuration is not installed; a rebuild is of its source's version."""
    (one,) = Reader(distribution).read(str(root(tmp_path / "root")))
    assert [(each.name, each.source, each.source_version) for each in one.packages] == [
        ("half", "half", "1-1"),
        ("libssl3t64", "openssl", "3.5.0-1"),
        ("zlib1g", "zlib", "1:1.3-1"),
    ]
    assert (one.platform.upstream, one.platform.ecosystem, one.architecture) == ("debian", "Debian:13", "amd64")


def test_the_files_behind_a_package_are_those_that_are_there(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root")
    (folder / "var/lib/dpkg/info/half.list").write_text(
        "/.\n/usr\n/usr/bin\n/usr/bin/half\n/usr/bin/gone\n/usr/share/x\n"
    )
    for path in ("usr/bin/half", "usr/share/x"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    (one,) = Reader(distribution).read(str(folder))
    assert one.files(one.packages[0]) == ("/usr/bin/half", "/usr/share/x")
    assert one.files(one.packages[1]) == ()


def test_a_root_s_odd_names_can_be_written(tmp_path: Path, distribution: Distribution) -> None:
    release = OS_RELEASE.encode().replace(b"VERSION_ID", b"X").replace(b"ID=debian", b"ID=debian\nVERSION_ID=12")
    folder = root(tmp_path / "root", stanza("a", "1-1"), release=None)
    (folder / "etc/os-release").write_bytes(release.replace(b"trixie", b"").replace(b"GNU", b"\xff"))
    (folder / "var/lib/dpkg/info/a.list").write_bytes(b"/a\xff\n")
    Path(os.fsdecode(bytes(folder) + b"/a\xff")).write_text("")
    (one,) = Reader(distribution).read(str(folder))
    assert one.files(one.packages[0]) == ("/a\ufffd",)
    assert one.platform.title == "Debian \ufffd/Linux 13 ()"


def test_a_list_of_files_that_is_none_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root", stanza("a", "1-1"))
    (folder / "var/lib/dpkg/info/a.list").write_bytes(b"/a\0b\n")
    (one,) = Reader(distribution).read(str(folder))
    with pytest.raises(IntegrityError, match="list of files is malformed"):
        one.files(one.packages[0])


def test_programs_and_libraries_tell_more_than_documentation() -> None:
    paths = ["/usr/share/doc/a/copyright", "/etc/a.conf", "/usr/lib/liba.so.1", "/usr/sbin/ad", "/usr/bin/a"]
    assert telling(paths) == ("/usr/bin/a", "/usr/sbin/ad", "/usr/lib/liba.so.1")


def test_a_root_of_ours_is_known_though_it_does_not_call_itself_debian(
    tmp_path: Path, distribution: Distribution
) -> None:
    """With os-release changed and debian_version gone, public scanners find nothing at all."""
    ours = "ID=zaffre\nID_LIKE=debian\nVERSION_ID=1\nVARIANT_ID=container-host\nDEBIAN_CODENAME=trixie\n"
    (one,) = Reader(distribution).read(str(root(tmp_path / "a", release=ours)))
    assert (one.platform.upstream, one.packages[0].within) == ("debian", ("container-host",))
    elsewhere = ours.replace("ID=zaffre", "ID=acme").replace("VARIANT_ID=container-host\n", "")
    (one,) = Reader(distribution).read(str(root(tmp_path / "b", release=elsewhere)))
    assert (one.platform.upstream, one.packages[0].within) == ("debian", ())


def test_a_root_that_does_not_say_what_it_is_or_is_unknown_is_an_error(
    tmp_path: Path, distribution: Distribution
) -> None:
    assert "no os-release" in refused(root(tmp_path / "a", release=None), distribution)
    assert "does not say which distribution" in refused(root(tmp_path / "b", release="NAME=x\n"), distribution)
    assert "the distribution 'plan9' is unknown" in refused(root(tmp_path / "c", release="ID=plan9\n"), distribution)
    (older,) = Reader(distribution).read(str(root(tmp_path / "d", release="ID=debian\nVERSION_ID=12\n")))
    assert (older.platform.upstream, older.platform.ecosystem) == (None, "Debian:12")


def test_a_root_without_packages_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    assert "no package to be scanned" in refused(root(tmp_path / "a", status=None), distribution)
    assert "no package to be scanned" in refused(root(tmp_path / "b", status=""), distribution)
    assert "no package to be scanned" in refused(
        root(tmp_path / "c", status=stanza("gone", "1-1", "deinstall ok config-files")), distribution
    )


def test_a_database_that_is_none_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    assert "malformed" in refused(root(tmp_path / "a", status="rubbish"), distribution, IntegrityError)
    assert "malformed" in refused(root(tmp_path / "b", status="Package: x\n\n"), distribution, IntegrityError)
    strange = root(tmp_path / "d", status=None)
    (strange / "var/lib/dpkg/status").write_bytes(stanza("lib", "1-1").encode().replace(b"lib", b"li\xff"))
    assert "is no package" in refused(strange, distribution, IntegrityError)
    folder = root(tmp_path / "c", status=None)
    (folder / "var/lib/dpkg/status").mkdir()
    assert refused(folder, distribution, IntegrityError)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (STATUS.replace("\n", "\r\n"), "the field Package comes twice"),
        (STATUS.replace("\n\n", "\n"), "the field Package comes twice"),
        (stanza("lib", "1-1", "install ok Installed"), "in no state that dpkg knows: 'Installed'"),
        (stanza("lib", "1-1", ""), "in no state that dpkg knows: ''"),
    ],
)
def test_a_status_that_dpkg_refuses_hides_no_package(
    tmp_path: Path, distribution: Distribution, status: str, words: str
) -> None:
    folder = root(tmp_path / "root", status=None)
    (folder / "var/lib/dpkg/status").write_bytes(status.encode())
    assert words in refused(folder, distribution, IntegrityError)


def test_a_derivative_that_has_its_releases_name_of_debian_is_not_debian(
    tmp_path: Path, distribution: Distribution
) -> None:
    """Raspbian builds Debian's packages anew, as `+rpi1`: later than Debian's fix, and without it."""
    release = "ID=raspbian\nID_LIKE=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n"
    assert "the distribution 'raspbian' is unknown" in refused(root(tmp_path / "a", release=release), distribution)


def test_links_of_a_root_do_not_lead_out_of_it(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root", status=None)
    outside = tmp_path / "outside"
    outside.write_text(STATUS)
    (folder / "var/lib/dpkg/status").symlink_to(outside)
    assert "no package to be scanned" in refused(folder, distribution)


def test_a_container_without_dpkg_has_fragments(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root", status=None)
    place = folder / "var/lib/dpkg/status.d"
    place.mkdir()
    (place / "libc6").write_text("Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\nSource: glibc\n")
    (place / "libc6.md5sums").write_text("0 a\n")
    (one,) = Reader(distribution).read(str(folder))
    assert [(each.name, each.source) for each in one.packages] == [("libc6", "glibc")]


def test_fragments_beside_a_status_file_count_too(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root", stanza("a", "1-1"))
    place = folder / "var/lib/dpkg/status.d"
    place.mkdir()
    (place / "libc6").write_text("Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\nSource: glibc\n")
    (one,) = Reader(distribution).read(str(folder))
    assert [each.name for each in one.packages] == ["a", "libc6"]


def test_a_root_of_an_image_that_was_of_another_release_then_is_an_error(
    tmp_path: Path, distribution: Distribution
) -> None:
    said = "ID=zaffre\nVARIANT_ID=container-host\nVERSION_ID=1\nDEBIAN_CODENAME={}\n"
    (one,) = Reader(distribution).read(str(root(tmp_path / "now", release=said.format("trixie"))))
    assert one.platform.ecosystem == "Debian:13"
    wrong = refused(root(tmp_path / "later", release=said.format("forky")), distribution)
    assert "it is of 'forky', and image 'container-host' of the definition of 'trixie'" in wrong


def test_a_lock_is_scanned_with_the_images_that_have_each_package(tmp_path: Path, distribution: Distribution) -> None:
    """Not the tools, nor what components are built with: they are in no image."""
    ssl, zlib = package("libssl3t64", "3-1+b1", "openssl", "3-1"), package("zlib1g", "1-1", "zlib", "1-1")
    tool = package("gcc", "1-1", "gcc", "1-1")
    path = tmp_path / "zaffre.lock"
    sets = [("server", (ssl, zlib)), ("container-host", (ssl,)), ("tools", (tool,)), ("component:x", (tool,))]
    save_lock(locked(*((name, "debian", packages) for name, packages in sets)), path)
    (one,) = Reader(distribution).read(str(tmp_path))
    assert [(each.name, each.within) for each in one.packages] == [
        ("libssl3t64", ("container-host", "server")),
        ("zlib1g", ("server",)),
    ]
    assert (one.whole, one.images) == (True, ("container-host", "server"))
    (part,) = Reader(distribution, image="container-host").read(str(path))
    assert (part.whole, [each.name for each in part.packages]) == (False, ["libssl3t64"])


def test_each_upstream_of_a_lock_is_a_subject_of_its_own(tmp_path: Path, distribution: Distribution) -> None:
    """An RPM's source has no epoch in the lock, and gets its binary's."""
    path = tmp_path / "zaffre.lock"
    rpm = package("bind-libs", "32:9.20-1.azl3", "bind", "9.20-1.azl3", archive="azurelinux")
    save_lock(locked(("a", "debian", (package("x", "1-1", "x", "1-1"),)), ("b", "azurelinux", (rpm,))), path)
    azure, debian = Reader(distribution).read(str(path))
    assert (azure.platform.family, debian.platform.family) == ("rpm", "deb")
    assert azure.packages[0].source_version == "32:9.20-1.azl3"


def test_a_lock_that_can_not_be_scanned_truthfully_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    path = tmp_path / "zaffre.lock"
    save_lock(locked(("a", "gentoo", (package("x", "1-1", "x", "1-1"),))), path)
    assert "no upstream 'gentoo'" in refused(path, distribution, DefinitionError)
    assert "there is no distribution here" in refused(path, None, DefinitionError)
    save_lock(locked(("a", "debian", ())), path)
    assert "no package to be scanned" in refused(path, distribution)
    save_lock(locked(("tools", "debian", (package("x", "1-1", "x", "1-1"),))), path)
    assert "has no packages of 'any image'" in refused(path, distribution, DefinitionError)


def test_what_is_nothing_at_all_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    assert "did you mean 'server'?" in refused("sever", distribution, DefinitionError)
    assert "is no build, no distribution and no root" in refused(tmp_path, distribution, DefinitionError)


def build(folder: Path, image: str, *packages: LockedPackage, paths: dict[str, str] | None = None) -> Path:
    """What a build leaves that a scan reads: a manifest, and the inventory that it names."""
    folder.mkdir()
    content = [
        {"path": path, "mode": "0755", "sha256": "0" * 64, "package": name} for path, name in (paths or {}).items()
    ]
    empty = {"path": "", "files": 0, "bytes": 0}
    inventory = {
        **{key: [] for key in ("packages", "folders", "privileged", "listening", "command_line", "kernels")},
        **dict.fromkeys(("files", "directories", "links", "bytes"), 0),
        "units": {},
        "sysctl": {},
        "accounts": {},
        "unpackaged": empty,
        "content": content,
    }
    text = json.dumps(inventory)
    (folder / "inventory.json").write_text(text)
    facts = [one.model_dump(mode="json", exclude={"size", "path", "archive", "suite"}) for one in packages]
    report = {"key": "k", "steps": [], "wall_seconds": 0, "cpu_seconds": 0, "peak_memory_bytes": 0}
    manifest = {
        "image": image,
        "kind": "host",
        "version": "1.1",
        "architecture": "amd64",
        "profile": "dev",
        "debug": False,
        "definition": "d",
        "lock": "l",
        "tools": "t",
        "epoch": 0,
        "packages": facts,
        "build": report,
        "artifacts": {"inventory.json": {"sha256": sha256_bytes(text.encode()), "size": len(text)}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "root.erofs").write_text("")
    return folder


def test_a_build_is_scanned_with_the_files_that_are_left_of_a_package(
    tmp_path: Path, distribution: Distribution
) -> None:
    paths = {"/usr/bin/openssl": "openssl", "/usr/lib/libssl.so.3": "libssl3t64"}
    ssl = (package("openssl", "3-1", "openssl", "3-1"), package("libssl3t64", "3-1+b1", "openssl", "3-1"))
    folder = build(tmp_path / "out", "container-host", *ssl, paths=paths)
    for given in (folder, folder / "root.erofs"):
        (one,) = Reader(distribution).read(str(given))
        assert (one.kind, one.platform.upstream, one.images) == ("build", "debian", ("container-host",))
        assert [one.files(each) for each in one.packages] == [("/usr/lib/libssl.so.3",), ("/usr/bin/openssl",)]


def test_a_build_that_can_not_be_scanned_truthfully_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    ssl = package("openssl", "3-1", "openssl", "3-1")
    assert "no package to be scanned" in refused(build(tmp_path / "a", "container-host"), distribution)
    assert "has no image 'other'" in refused(build(tmp_path / "b", "other", ssl), distribution, DefinitionError)
    folder = build(tmp_path / "c", "container-host", ssl)
    (folder / "inventory.json").write_text("{}")
    (one,) = Reader(distribution).read(str(folder))
    with pytest.raises(IntegrityError, match="not the one that the manifest names"):
        one.files(one.packages[0])
    (folder / "manifest.json").write_text("{}")
    assert "is not one that this program reads" in refused(folder, distribution, DefinitionError)


def rpm_header(entries: dict[Tag, str | int]) -> bytes:
    """As rpm's database has it (rpm's format_header.md)."""
    index, store = b"", b""
    for tag, value in sorted(entries.items()):
        number, data = (6, value.encode() + b"\0") if isinstance(value, str) else (4, struct.pack(">I", value))
        store += b"\0" * (-len(store) % 4 if number == 4 else 0)
        index += struct.pack(">IIiI", tag, number, len(store), 1)
        store += data
    return struct.pack(">II", len(entries), len(store)) + index + store


def test_a_root_with_rpms_database(tmp_path: Path, distribution: Distribution) -> None:
    folder = root(tmp_path / "root", None, "ID=azurelinux\nVERSION_ID=3.0\n")
    place = folder / "var/lib/rpm"
    place.mkdir(parents=True)
    bind = {Tag.NAME: "bind-libs", Tag.VERSION: "9.20.0", Tag.RELEASE: "1.azl3", Tag.EPOCH: 32}
    bind |= {Tag.ARCHITECTURE: "x86_64", Tag.SOURCE_RPM: "bind-9.20.0-1.azl3.src.rpm"}
    lone = {Tag.NAME: "lone", Tag.VERSION: "1", Tag.RELEASE: "2", Tag.ARCHITECTURE: "noarch"}
    with closing(sqlite3.connect(place / "rpmdb.sqlite")) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        rows = [(rpm_header(one),) for one in (bind, lone)]
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", rows)
        connection.commit()
    (one,) = Reader(distribution).read(str(folder))
    assert [(each.name, each.version, each.source, each.source_version) for each in one.packages] == [
        ("bind-libs", "32:9.20.0-1.azl3", "bind", "32:9.20.0-1.azl3"),
        ("lone", "1-2", "lone", "1-2"),
    ]
    assert (one.platform.upstream, one.architecture) == ("azurelinux", "amd64")
