# SPDX-License-Identifier: Apache-2.0
"""Many packages become one tree by dpkg's rules; what dpkg would refuse is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from debs import index, member
from hypothesis import given
from hypothesis import strategies as st

from zaffre.errors import DefinitionError, IntegrityError
from zaffre.tree.deb.merge import Entry, Plan, merge
from zaffre.tree.deb.model import Kind, PackageIndex
from zaffre.tree.deb.ordering import dependency_order
from zaffre.tree.policy import STRIP_ALL, SetuidPolicy


def plan(*packages: PackageIndex, setuid: SetuidPolicy = STRIP_ALL) -> Plan:
    return merge(packages, architecture="amd64", setuid=setuid)


def entries(*packages: PackageIndex, setuid: SetuidPolicy = STRIP_ALL) -> dict[str, Entry]:
    return {entry.path: entry for entry in plan(*packages, setuid=setuid).entries}


def directory(path: str, mode: int = 0o755) -> object:
    return member(path, Kind.DIRECTORY, mode)


def link(path: str, target: str) -> object:
    return member(path, Kind.SYMLINK, 0o777, target=target)


def test_the_merged_usr_links_come_first_and_files_go_through_them() -> None:
    found = entries(index("a", directory("lib"), directory("lib/x"), member("lib/x/y"), member("sbin/z")))
    assert found["lib"].kind is Kind.SYMLINK
    assert found["usr/lib/x/y"].kind is Kind.FILE
    assert found["usr/sbin/z"].kind is Kind.FILE
    assert found["usr/bin"].kind is Kind.DIRECTORY


def test_lists_name_paths_as_shipped() -> None:
    made = plan(index("a", directory("lib"), member("lib/y")))
    assert made.lists == (("/.", "/lib", "/lib/y"),)


def test_a_path_through_both_names_of_a_merged_folder_is_one_path() -> None:
    with pytest.raises(IntegrityError, match=r"a 1\.0 and b 1\.0") as caught:
        plan(index("a", member("lib/y")), index("b", member("usr/lib/y")))
    assert caught.value.where == "/usr/lib/y"


def test_a_parent_is_resolved_through_planned_links_below_the_root() -> None:
    found = entries(
        index("a", directory("srv"), link("srv/www", "/var/../../../var/www"), directory("var/www")),
        index("b", member("srv/www/page")),
    )
    assert found["var/www/page"].kind is Kind.FILE
    assert "srv/www/page" not in found


def test_links_in_a_circle_are_refused() -> None:
    with pytest.raises(IntegrityError, match="circle"):
        plan(index("a", link("x", "y"), link("y", "x"), member("x/f")))


def test_replaces_lets_the_replacer_win_in_either_order() -> None:
    old = index("old", member("f", mode=0o600), version="1.0")
    new = index("new", member("f", mode=0o640), Replaces="old (<< 1.5)")
    for packages in ((old, new), (new, old)):
        made = plan(*packages)
        assert {entry.path: entry for entry in made.entries}["f"].mode == 0o640
        lists = dict(zip([one.name for one in packages], made.lists, strict=True))
        assert "/f" in lists["new"]
        assert "/f" not in lists["old"]


def test_replaces_of_another_version_does_not_count() -> None:
    with pytest.raises(IntegrityError) as caught:
        plan(index("old", member("f"), version="2.0"), index("new", member("f"), Replaces="old (<< 1.5)"))
    assert caught.value.details == "neither Replaces the other"


def test_equal_files_of_two_architectures_of_a_package_are_shared() -> None:
    def arch(name: str, digest: str) -> PackageIndex:
        return index("lib", member("usr/share/doc/lib", sha256=digest), Architecture=name, Multi_Arch="same")

    assert "usr/share/doc/lib" in entries(arch("amd64", "aa"), arch("i386", "aa"))
    with pytest.raises(IntegrityError):
        plan(arch("amd64", "aa"), arch("i386", "bb"))


@pytest.mark.parametrize("other", [member("p"), link("p", "q")])
def test_a_directory_and_something_else_at_one_path_are_refused(other) -> None:
    with pytest.raises(IntegrityError):
        plan(index("a", directory("p")), index("b", other))


def test_a_file_as_a_parent_is_refused() -> None:
    with pytest.raises(IntegrityError) as caught:
        plan(index("a", member("p")), index("b", member("p/q")))
    assert caught.value.details == "/p is not a directory"


def test_a_merged_folder_cannot_be_replaced() -> None:
    with pytest.raises(IntegrityError):
        plan(index("a", member("bin")))


def test_the_first_package_decides_a_directory() -> None:
    first, second = index("a", directory("d", 0o700)), index("b", directory("d", 0o755))
    assert entries(first, second)["d"].mode == 0o700


def test_setuid_files_are_allowed_stripped_or_refused() -> None:
    package = index("a", member("usr/bin/su", mode=0o4755), member("usr/bin/wall", mode=0o2755))
    found = entries(package, setuid=SetuidPolicy(allow=("/usr/bin/su",), strip=("/usr/bin/w*",)))
    assert found["usr/bin/su"].mode == 0o4755
    assert found["usr/bin/wall"].mode == 0o755
    with pytest.raises(DefinitionError) as caught:
        entries(package, setuid=SetuidPolicy(allow=("/usr/bin/su",)))
    assert caught.value.where == "setuid"
    assert caught.value.details == "/usr/bin/wall (a)"
    assert 'strip = ["/usr/bin/wall"]' in (caught.value.resolution or "")


def test_a_file_capability_needs_a_declaration_too() -> None:
    with pytest.raises(DefinitionError):
        entries(index("a", member("usr/bin/ping", capability="01")), setuid=SetuidPolicy())


@given(st.permutations(["a", "b", "c", "base-files"]))
def test_the_order_depends_on_the_set_alone(names: list[str]) -> None:
    needs = {"a": {"Depends": "b"}, "b": {"Depends": "c | x"}, "c": {"Pre_Depends": "a"}, "base-files": {}}
    made = dependency_order([(index(name, **needs[name]), Path(name)) for name in names])
    assert [one.name for one, _ in made] == ["base-files", "c", "b", "a"]
