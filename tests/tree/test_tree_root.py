# SPDX-License-Identifier: Apache-2.0
"""Work on a tree from outside never leaves it, whatever links are in it; patterns and clean-up do what they say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from debs import index, member
from hypothesis import given
from hypothesis import strategies as st

from zaffre.errors import DefinitionError, IntegrityError
from zaffre.tree.cleanup import clean
from zaffre.tree.deb.configure import refuse_diversions
from zaffre.tree.deb.model import Kind
from zaffre.tree.globs import matcher
from zaffre.tree.overlay import give_owners, lay_files, lay_tree
from zaffre.tree.policy import SetuidPolicy
from zaffre.tree.prune import pruned_paths
from zaffre.tree.rootfs import inside, make_folder, read_text, write_text

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc", "/usr/../../etc"])
def test_links_of_the_tree_stay_in_the_tree(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "conf").symlink_to(target)
    write_text(root, "conf/passwd", "inside")
    assert (root / "etc/passwd").read_text() == "inside"
    assert read_text(root, "/conf/passwd") == "inside"
    assert inside(root, "../../conf", follow=False) == root / "conf"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(IntegrityError, match="circle"):
        inside(tmp_path, "a/x")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(IntegrityError):
        make_folder(tmp_path, "a/b")


@given(st.text(alphabet="ab/.-", min_size=1))
def test_a_pattern_without_signs_matches_itself_alone(text: str) -> None:
    assert matcher([text])(text)
    assert not matcher([text])(text + "x")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/usr/*/x", "/usr/a/x", True),
        ("/usr/*/x", "/usr/a/b/x", False),
        ("/usr/**/x", "/usr/x", True),
        ("/usr/**/x", "/usr/a/b/x", True),
        ("/usr/**", "/usr/a/b", True),
        ("/usr/**", "/usr", False),
        ("/a?[0-9][!x]", "/ab1y", True),
        ("/a?[0-9][!x]", "/ab1x", False),
        ("/a.b", "/axb", False),
    ],
)
def test_patterns(pattern: str, path: str, *, matches: bool) -> None:
    assert matcher([pattern])(path) is matches


def test_pruning_takes_folders_whole_but_for_what_is_kept() -> None:
    paths = [
        "/usr",
        "/usr/doc",
        "/usr/doc/a",
        "/usr/doc/a/copyright",
        "/usr/doc/a/news",
        "/usr/doc/b",
        "/usr/doc/b/news",
    ]
    gone = pruned_paths(paths, prune=["/usr/doc/**"], keep=["/usr/doc/*/copyright"])
    assert gone == {"/usr/doc/a/news", "/usr/doc/b", "/usr/doc/b/news"}
    assert pruned_paths(paths, prune=["/usr/doc/b"], keep=[]) == {"/usr/doc/b", "/usr/doc/b/news"}


def test_what_belongs_to_one_machine_is_cleaned(tmp_path: Path) -> None:
    gone = [
        "etc/passwd-",
        "etc/.pwd.lock",
        "etc/ssh/ssh_host_rsa_key",
        "var/lib/dpkg/status-old",
        "var/lib/dpkg/lock-frontend",
        "var/log/dpkg.log",
        "var/log/apt/history.log",
        "var/cache/ldconfig/aux-cache",
        "var/lib/systemd/random-seed",
        "var/lib/apt/lists/x_InRelease",
        "etc/a/b.conf.dpkg-old",
        "tmp/x",
        "root/.cache/y",
    ]
    kept = ["etc/passwd", "var/lib/dpkg/status", "etc/ssh/sshd_config", "etc/machine-id"]
    for path in (*gone, *kept):
        write_text(tmp_path, path, "x")
    (tmp_path / "var/log/wtmp").touch()
    clean(tmp_path)
    assert [path for path in gone if (tmp_path / path).exists()] == []
    assert [path for path in kept if not (tmp_path / path).exists()] == []
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert (tmp_path / "var/log/wtmp").exists()


@needs_root
def test_a_tree_is_laid_over_with_modes_of_its_own(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    write_text(source, "etc/a.conf", "new", mode=0o600)
    write_text(source, "usr/bin/tool", "#!", mode=0o700)
    (source / "etc/link").symlink_to("a.conf")
    (source / "etc/a.conf").chmod(0o640)
    write_text(root, "etc/target", "untouched")
    (root / "etc/a.conf").symlink_to("target")
    lay_tree(root, source)
    lay_files(root, {"etc/made": "1\n", "etc/link2": "->a.conf"})
    assert (root / "etc/a.conf").read_text() == "new"
    assert not (root / "etc/a.conf").is_symlink()
    assert (root / "etc/target").read_text() == "untouched"
    assert (root / "etc/a.conf").stat().st_mode & 0o7777 == 0o644
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755
    assert (root / "etc/link").readlink() == (root / "etc/link2").readlink() == Path("a.conf")


def test_a_tree_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="does not exist"):
        lay_tree(tmp_path, tmp_path / "missing")


@needs_root
def test_an_owner_line_makes_no_undeclared_setuid_file(tmp_path: Path) -> None:
    write_text(tmp_path, "etc/passwd", "root:x:0:0::/:/bin/sh\n")
    write_text(tmp_path, "etc/group", "root:x:0:\n")
    write_text(tmp_path, "usr/bin/tool", "x")
    owners = {"/usr/bin/tool": "root:root:4755"}
    with pytest.raises(DefinitionError, match="not declared") as caught:
        give_owners(tmp_path, owners, setuid=SetuidPolicy())
    assert "setuid.allow" in (caught.value.resolution or "")
    give_owners(tmp_path, owners, setuid=SetuidPolicy(allow=("/usr/bin/tool",)))
    assert (tmp_path / "usr/bin/tool").stat().st_mode & 0o7777 == 0o4755


def test_owners_are_those_of_the_tree(tmp_path: Path) -> None:
    write_text(tmp_path, "etc/passwd", "svc:x:501:502::/:/bin/false\n")
    write_text(tmp_path, "etc/group", "svc:x:502:\n")
    write_text(tmp_path, "etc/key", "x")
    give_owners(tmp_path, {"/etc/key": "svc:svc:0640"}, setuid=SetuidPolicy())
    status = (tmp_path / "etc/key").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (501, 502, 0o640)
    for owners, why in (
        ({"/etc/none": "svc:svc:0640"}, "no /etc/none"),
        ({"/etc/key": "other:svc:0640"}, "no user other"),
        ({"/etc/key": "svc:svc"}, "not user:group:mode"),
    ):
        with pytest.raises(DefinitionError, match=why):
            give_owners(tmp_path, owners, setuid=SetuidPolicy())


def test_only_diversions_that_move_nothing_are_taken() -> None:
    dash = index("dash", member("bin/sh", Kind.SYMLINK), member("bin/dash"))
    packages = [dash, index("bash", member("bin/bash")), index("base-files", member("lib32", Kind.SYMLINK))]
    guard = "/lib32\n/.lib32.usr-is-merged\nusr-is-merged\n"
    own = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/share/nobody\n/usr/share/nobody.distrib\nbash\n"
    refuse_diversions("", packages)
    refuse_diversions(guard + own, packages)
    with pytest.raises(DefinitionError) as caught:
        refuse_diversions(guard + own + "/usr/bin/sh\n/usr/bin/sh.distrib\nbash\n", packages)
    assert caught.value.details == "bash diverts /usr/bin/sh to /usr/bin/sh.distrib"


def test_the_hosts_own_root_is_a_tree_too() -> None:
    assert inside(Path("/"), "usr/../etc/passwd") == Path("/etc/passwd")
    assert inside(Path("/"), "") == Path("/")


def test_a_path_below_a_file_or_nothing_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "away").symlink_to("nowhere/at/all")
    assert inside(tmp_path, "file/below") == tmp_path / "file/below"
    assert inside(tmp_path, "away/x") == tmp_path / "nowhere/at/all/x"
