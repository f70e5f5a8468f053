# SPDX-License-Identifier: Apache-2.0
"""What an upstream's package says of itself when it was packed anew: its version, and why, in a changelog."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from component.test_component_hostile import COMPONENT, OVERLAY
from definition.workshop import Workshop
from support.repository import Deb
from zaffre.component.debfile import unpack_deb
from zaffre.component.engine import ComponentEngine
from zaffre.component.halves import read_control
from zaffre.errors import ToolError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream.lock import LockedComponent, LockedFile, LockedSource, Outcome
from zaffre.upstream.mirrors import Mirrors

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not all(map(shutil.which, ("dpkg-deb", "bwrap", "gzip"))),
        reason="needs dpkg, gzip and bubblewrap",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="packages have owners"),
]

CHANGELOG = "usr/share/doc/daemon/changelog.Debian.gz"


def packed_anew(tmp_path: Path, changelog: bytes) -> Path:
    """The package 'daemon' with that changelog, changed by one overlay, unpacked."""
    workshop = Workshop(tmp_path / "distro")
    workshop.write("components/daemon/component.toml", COMPONENT)
    workshop.write("components/daemon/overlays/0001-x.toml", OVERLAY)
    store, sandbox = Store(tmp_path / "store"), Sandbox(ToolsTree(Path("/"), "host"))
    files = {"usr/bin/daemon": "d", CHANGELOG: changelog}
    deb = Deb("daemon", "1.0-1", "amd64", files=files, scripts={"md5sums": f"{'0' * 32}  {CHANGELOG}\n"})
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
    engine = ComponentEngine(workshop.load(), store, Mirrors(()), SILENT)
    (built,) = engine.build(locked, None, sandbox, created=datetime(2026, 1, 1, tzinfo=UTC))
    unpack_deb(store.path(built.package.digest), tmp_path / "unpacked", sandbox=sandbox)
    return tmp_path / "unpacked"


def test_its_changelog_begins_with_ours_and_is_packed_by_gzip_of_the_tools(tmp_path: Path) -> None:
    before = "daemon (1.0-1) stable; urgency=low\n\n  * First.\n" * 50
    folder = packed_anew(tmp_path, gzip.compress(before.encode(), mtime=1))
    assert read_control(folder)["Version"] == "1.0-1+z1"
    packed = (folder / CHANGELOG).read_bytes()
    text = gzip.decompress(packed).decode()
    assert text.startswith("daemon (1.0-1+z1) ")
    assert "it runs nothing" in text
    assert text.endswith(before)
    # In this sandbox the tools are the host's.
    assert packed == subprocess.run(["gzip", "-9n"], input=text.encode(), capture_output=True, check=True).stdout
    subprocess.run(["md5sum", "--check", "--quiet", "DEBIAN/md5sums"], cwd=folder, check=True)


def test_a_changelog_that_is_no_gzip(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="gzip failed"):
        packed_anew(tmp_path, b"not packed")
