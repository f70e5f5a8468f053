# SPDX-License-Identifier: Apache-2.0
"""A package in two halves: every file is in one of them as it was, and so is what the control files say of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from support.upstreams import said
from zaffre.component.halves import NewHalf, read_control, split
from zaffre.component.repack import apply_operation
from zaffre.definition.operations import PackageSplit
from zaffre.errors import DefinitionError
from zaffre.tree.deb.package import installed_size, write_control
from zaffre.tree.rootfs import walk
from zaffre.upstream.deb.control import parse_stanza

FILES = {
    "usr/bin/daemon": b"daemon" * 1000,
    "usr/bin/client": b"client" * 500,
    "etc/daemon/client.conf": b"a = 1\n",
    "etc/daemon/daemon.conf": b"b = 1\n",
    "usr/lib/systemd/system/daemon.service": b"[Unit]\n",
    "usr/lib/x86_64-linux-gnu/libdaemon.so.1": b"\x7fELF",
    "usr/share/doc/daemon/copyright": b"free\n",
    "usr/share/man/man1/client.1.gz": b"man",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    for path, content in FILES.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, (1_600_000_000, 1_600_000_000))
    (folder / "usr/bin/client").chmod(0o4755)
    (folder / "usr/bin/also").hardlink_to(folder / "usr/bin/client")
    control = folder / "DEBIAN"
    control.mkdir()
    sums = "".join(
        f"{hashlib.md5(content).hexdigest()}  {path}\n"
        for path, content in FILES.items()
        if not path.startswith("etc/")
    )
    (control / "md5sums").write_text(sums)
    (control / "conffiles").write_text("/etc/daemon/client.conf\n/etc/daemon/daemon.conf\n")
    (control / "triggers").write_text("# made\nactivate-noawait ldconfig\ninterest /etc/daemon\n")
    (control / "postinst").write_text("#!/bin/sh\nset -e\ndeb-systemd-helper enable daemon.service\n")
    write_control(
        folder,
        {
            "Package": "daemon",
            "Source": "suite (1:1.0-1)",
            "Version": "1:1.0-1+b2",
            "Architecture": "amd64",
            "Maintainer": "Somebody <x@y.example>",
            "Depends": "libc6 (>= 2.38)",
            "Description": "a daemon\nwith\n.\nmore to say",
        },
    )
    for path, status in sorted(walk(folder), reverse=True):
        if (folder / path).is_dir() and status:
            os.utime(folder / path, (1_500_000_000, 1_500_000_000))
    return folder


CLIENT = NewHalf(
    "daemon-client", ("usr/bin/client", "usr/bin/also", "etc/daemon/client.conf", "usr/share/man/**"), "its client"
)


def content(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path, _ in walk(folder) if (folder / path).is_file()}


def test_every_file_is_in_one_half(package: Path, tmp_path: Path) -> None:
    mode = (package / "usr/bin/client").stat().st_mode
    split(package, tmp_path / "client", CLIENT, where="here")
    old, new = content(package), content(tmp_path / "client")
    files = {**old, **new}
    assert {path: files[path] for path in FILES} == FILES
    assert {path for path in new if not path.startswith("DEBIAN/")} == {
        "etc/daemon/client.conf",
        "usr/bin/also",
        "usr/bin/client",
        "usr/share/doc/daemon-client/copyright",
        "usr/share/man/man1/client.1.gz",
    }
    status = (tmp_path / "client/usr/bin/client").stat()
    assert (status.st_mode, status.st_nlink, int(status.st_mtime)) == (mode, 2, 1_600_000_000)
    assert not (package / "usr/share/man").exists()
    for folder in (package / "usr/bin", tmp_path / "client/usr/bin", tmp_path / "client/usr/share/man"):
        assert int(folder.stat().st_mtime) == 1_500_000_000


def test_control_files_go_with_their_files(package: Path, tmp_path: Path) -> None:
    split(package, tmp_path / "client", CLIENT, where="here")
    for folder in (package, tmp_path / "client"):
        sums = dict(reversed(line.split("  ")) for line in (folder / "DEBIAN/md5sums").read_text().splitlines())
        conffiles = (folder / "DEBIAN/conffiles").read_text().splitlines()
        held = {path for path in content(folder) if not path.startswith("DEBIAN/")} - {"usr/bin/also"}
        assert set(sums) | {path.lstrip("/") for path in conffiles} == held
        assert all(hashlib.md5((folder / path).read_bytes()).hexdigest() == digest for path, digest in sums.items())
    assert (package / "DEBIAN/postinst").exists()
    assert not (tmp_path / "client/DEBIAN/postinst").exists()
    assert not (tmp_path / "client/DEBIAN/triggers").exists()


def test_what_the_new_half_says_of_itself(package: Path, tmp_path: Path) -> None:
    before = read_control(package)
    split(package, tmp_path / "client", CLIENT, where="here")
    fields = read_control(tmp_path / "client")
    assert fields["Source"] == "suite (1:1.0-1)"
    assert (fields["Version"], fields["Depends"]) == ("1:1.0-1+b2", "libc6 (>= 2.38)")
    assert fields["Replaces"] == fields["Breaks"] == "daemon (<< 1:1.0-1+b2)"
    after = read_control(package)
    assert {**before, "Installed-Size": ""} == {**after, "Installed-Size": ""}
    assert after["Installed-Size"] == str(installed_size(package))
    assert after["Description"] == "a daemon\nwith\n.\nmore to say"
    assert parse_stanza((package / "DEBIAN/control").read_text()) == after


def test_a_library_that_moves_activates_ldconfig(package: Path, tmp_path: Path) -> None:
    half = NewHalf("libdaemon1", ("usr/lib/*/lib*.so.*",), "its library")
    split(package, tmp_path / "library", half, where="here")
    assert (tmp_path / "library/DEBIAN/triggers").read_text() == "activate-noawait ldconfig\n"
    assert "interest /etc/daemon" in (package / "DEBIAN/triggers").read_text()


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("usr/bin/client", "usr/bin/nothing"), "no file that matches usr/bin/nothing"),
        (("**",), "nothing would be left in the package 'daemon'"),
        (("usr/lib/systemd/**",), "the postinst of 'daemon' speaks of /usr/lib/systemd/system/daemon.service"),
    ],
)
def test_halves_that_cannot_be(package: Path, tmp_path: Path, paths: tuple[str, ...], words: str) -> None:
    before = content(package)
    with pytest.raises(DefinitionError) as caught:
        split(package, tmp_path / "other", NewHalf("other", paths, "other"), where="0001-x.toml: operations[0]")
    assert words in said(caught.value)
    assert caught.value.where == "0001-x.toml: operations[0]"
    assert content(package) == before
    assert not (tmp_path / "other").exists()


def test_a_split_does_not_overwrite_a_package(package: Path, tmp_path: Path) -> None:
    operation = PackageSplit(
        op="package-split", package="daemon", name="client", description="x", paths=("usr/bin/client",)
    )
    folders = {"daemon": package, "client": tmp_path / "the upstream's"}
    before = content(package)
    with pytest.raises(DefinitionError, match="there is a package 'client' already"):
        apply_operation(operation, folders, tmp_path, where="here")
    assert folders["client"] == tmp_path / "the upstream's"
    assert content(package) == before
