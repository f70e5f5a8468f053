# SPDX-License-Identifier: Apache-2.0
"""Packages whose names and links lead out of them: nothing of the host is read or written."""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from definition.workshop import Workshop
from support.repository import Deb
from zaffre.component.debfile import unpack_packages
from zaffre.component.engine import ComponentEngine
from zaffre.component.halves import NewHalf, split
from zaffre.errors import IntegrityError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.tree.rootfs import is_plain, plain_files
from zaffre.upstream.lock import LockedComponent, LockedFile, LockedSource, Outcome
from zaffre.upstream.mirrors import Mirrors

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not all(map(shutil.which, ("dpkg-deb", "bwrap"))), reason="needs dpkg and bubblewrap"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="packages have owners"),
]


COMPONENT = 'description = "x"\n[source]\nkind = "deb-binary"\npackages = ["daemon"]\n'
OVERLAY = """\
category = "size"
reason = "it runs nothing"
upstream_status = "pending"
links = ["https://daemon.example/"]
since = 2026-01-01
until = 2030-01-01
[[operations]]
op = "depends-add"
package = "daemon"
field = "recommends"
relation = "runner"
"""


def unpacked(tmp_path: Path, *debs: Deb, names: tuple[str, ...] = ("daemon",)) -> dict[str, Path]:
    store = Store(tmp_path / "store")
    files = []
    for number, deb in enumerate(debs):
        data = deb.build()
        files.append(
            LockedFile(path=f"pool/{number}.deb", sha256=store.add_bytes(data), size=len(data), archive="debian")
        )
    source = LockedSource(name="daemon", version="1.0", files=tuple(files))
    target = tmp_path / "work"
    target.mkdir(exist_ok=True)
    return unpack_packages(source, target, names=names, store=store, sandbox=Sandbox(ToolsTree(Path("/"), "host")))


def test_packages_are_unpacked_by_their_names(tmp_path: Path) -> None:
    found = unpacked(tmp_path, Deb("daemon"), Deb("client"), names=("daemon", "client"))
    assert found == {name: tmp_path / "work" / name for name in ("daemon", "client")}


@pytest.mark.parametrize(
    ("debs", "words"),
    [
        ([Deb("other")], "calls itself 'other'"),
        ([Deb("daemon"), Deb("daemon")], "calls itself 'daemon'"),
        ([Deb("daemon", fields={"Package": "../../escaped"})], "calls itself"),
        ([Deb("daemon", scripts={"postinst": "->/etc/passwd"})], "control files that are no plain files"),
        ([Deb("daemon", scripts={"md5sums": "->../../x"})], "control files that are no plain files"),
    ],
)
def test_what_a_package_may_not_be(tmp_path: Path, debs: list[Deb], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        unpacked(tmp_path, *debs, names=("daemon", "client"))
    assert not (tmp_path / "escaped").exists()


def test_a_name_of_another_form_is_refused_though_it_is_asked_for(tmp_path: Path) -> None:
    name = "../escaped"
    with pytest.raises(IntegrityError, match="calls itself"):
        unpacked(tmp_path, Deb("daemon", fields={"Package": name}), names=(name,))
    assert not (tmp_path / "escaped").exists()


def test_the_copyright_of_the_host_is_neither_read_nor_written(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "copyright").write_text("the host's")
    half = NewHalf("client", ("usr/bin/client", "usr/share/doc/client"), "its client")
    files = {"usr/bin/daemon": "d", "usr/bin/client": "c"}
    read = {**files, "usr/share/doc/daemon": f"->{host}", "usr/share/doc/client": "x"}
    folder = unpacked(tmp_path, Deb("daemon", files=read))["daemon"]
    split(folder, tmp_path / "first", half, where="here")
    assert not any("copyright" in name for _, _, names in os.walk(tmp_path / "first") for name in names)
    shutil.rmtree(tmp_path / "work")
    written = {**files, "usr/share/doc/daemon/copyright": "free", "usr/share/doc/client": f"->{host}"}
    folder = unpacked(tmp_path, Deb("daemon", files=written))["daemon"]
    split(folder, tmp_path / "second", half, where="here")
    assert (host / "copyright").read_text() == "the host's"
    assert [*host.iterdir()] == [host / "copyright"]


def test_the_changelog_of_the_host_is_not_written(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    changelog = gzip.compress(b"the host's")
    (host / "changelog.Debian.gz").write_bytes(changelog)
    workshop = Workshop(tmp_path / "distro")
    workshop.write("components/daemon/component.toml", COMPONENT)
    workshop.write("components/daemon/overlays/0001-x.toml", OVERLAY)
    distribution = workshop.load()
    store, sandbox = Store(tmp_path / "store"), Sandbox(ToolsTree(Path("/"), "host"))
    deb = Deb("daemon", "1.0-1", "amd64", files={"usr/bin/daemon": "d", "usr/share/doc/daemon": f"->{host}"})
    data = deb.build()
    file = LockedFile(path=deb.path, sha256=store.add_bytes(data), size=len(data), archive="debian")
    locked = LockedComponent(
        name="daemon",
        architecture="amd64",
        upstream="debian",
        key="0" * 64,
        outcome=Outcome.LOCKED,
        gives=("daemon",),
        source=LockedSource(name="daemon", version="1.0-1", files=(file,)),
    )
    engine = ComponentEngine(distribution, store, Mirrors(()), SILENT)
    (built,) = engine.build(locked, None, sandbox, created=datetime(2026, 1, 1, tzinfo=UTC))
    assert built.package.version == "1.0-1+z1"
    assert (host / "changelog.Debian.gz").read_bytes() == changelog


def test_only_plain_files_inside_are_plain(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "a/link").symlink_to("b")
    (tmp_path / "a/b/other").symlink_to("file")
    assert is_plain(tmp_path, "a/b/file")
    for path in ("a/link/file", "a/b/other", "a/b", "a/b/none", "a/none/file", "a/b/../b/file"):
        assert not is_plain(tmp_path, path)


def test_what_a_build_left_is_looked_for_inside_its_root(tmp_path: Path) -> None:
    root, host = tmp_path / "root", tmp_path / "host"
    for folder in (root / "build/out", root / "real", host):
        folder.mkdir(parents=True)
    (host / "secret.deb").write_text("the host's")
    (root / "build/out/bin").symlink_to(host)
    assert plain_files(root, "/build/out/bin") == ()
    (root / "build/out/bin").unlink()
    (root / "build/out/bin").symlink_to("/real")
    (root / "real/tool").write_text("x")
    (root / "real/link").symlink_to(host / "secret.deb")
    (root / "real/folder").mkdir()
    assert plain_files(root, "/build/out/bin") == (root / "real/tool",)
