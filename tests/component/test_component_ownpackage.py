# SPDX-License-Identifier: Apache-2.0
"""Packages of our own: what is installed comes from where the definition says, and goes nowhere else."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from definition.workshop import Workshop
from support.upstreams import said
from zaffre.component.debfile import unpack_deb
from zaffre.component.model import Bench
from zaffre.component.ownpackage import Origin, pack_own
from zaffre.errors import DefinitionError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream.mirrors import Mirrors

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not all(map(shutil.which, ("dpkg-deb", "bwrap"))), reason="needs dpkg and bubblewrap"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="packages have owners"),
]

FILES = 'kind = "files"\ntree = "tree"\nversion = "1"\n'
GO = """\
kind = "go-module"
module = "go.example/tool"
version = "v1.0.0"
sum = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
packages = ["./cmd/tool"]
"""
SANDBOX = Sandbox(ToolsTree(Path("/"), "host"))


def packed(tmp_path: Path, source: str, install: dict[str, str], programs: dict[str, Path] | None = None) -> Path:
    """The component's one package, unpacked again. Its tree is that of the test."""
    workshop = Workshop(tmp_path / "distro")
    lines = "".join(f'"{path}" = "{place}"\n' for path, place in install.items())
    workshop.write(
        "components/site/component.toml",
        f'description = "x"\n[source]\n{source}[[packages]]\nname = "site"\ndescription = "x"\n'
        f"[packages.install]\n{lines}",
    )
    distribution = workshop.load()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store, now = Store(tmp_path / "store"), datetime.now(UTC)
    bench = Bench(distribution, distribution.component("site"), "amd64", store, SANDBOX, Mirrors(()), SILENT, time=now)
    folder = bench.folder / "tree"
    (deb,) = pack_own(bench, Origin(folder, "site", "1", 1_600_000_000, programs or {}), scratch)
    unpack_deb(deb, tmp_path / "unpacked", sandbox=SANDBOX)
    return tmp_path / "unpacked"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "distro/components/site/tree"
    (folder / "bin").mkdir(parents=True)
    return folder


def test_bin_is_a_folder_like_others_in_a_tree_of_ours(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "bin/tool").write_text("ours")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("of the folder that somebody happened to be in")
    monkeypatch.chdir(tmp_path)
    found = packed(tmp_path, FILES, {"bin/tool": "/usr/bin/tool"})
    assert (found / "usr/bin/tool").read_text() == "ours"


def test_a_program_is_what_the_build_gave_or_an_error(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("of the folder that somebody happened to be in")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DefinitionError) as caught:
        packed(tmp_path, GO, {"bin/tool": "/usr/bin/tool"}, {"other": tmp_path / "bin/tool"})
    assert "the build gave no program 'bin/tool'" in said(caught.value)
    assert "it gave bin/other" in said(caught.value)


def test_a_link_that_is_installed_leads_nothing_out_of_the_package(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / "etc").mkdir()
    (tree / "etc/site").symlink_to(outside)
    (tree / "more/sub").mkdir(parents=True)
    (tree / "more/sub/file").write_text("x")
    (tree / "file").write_text("x")
    install = {"etc": "/etc", "file": "/etc/site/file", "more": "/etc/site"}
    found = packed(tmp_path, FILES, install)
    assert not [*outside.iterdir()]
    assert (found / "etc/site").readlink() == outside
    inner = found / str(outside).lstrip("/")
    assert [path.name for path in sorted(inner.iterdir())] == ["file", "sub"]


def test_folders_are_laid_over_one_another_and_files_are_not(tree: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tree / folder / "d").mkdir(parents=True)
        (tree / folder / "d" / folder).write_text(folder)
    found = packed(tmp_path, FILES, {"one": "/usr/share/x", "two/d": "/usr/share/x/d"})
    assert sorted(path.name for path in (found / "usr/share/x/d").iterdir()) == ["one", "two"]
    (tree / "two/d/one").write_text("again")
    shutil.rmtree(tmp_path / "scratch")
    with pytest.raises(DefinitionError, match="two files are installed as /one"):
        packed(tmp_path, FILES, {"one": "/usr/share/x", "two/d": "/usr/share/x/d"})
