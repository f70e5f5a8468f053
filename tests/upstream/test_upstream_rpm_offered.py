# SPDX-License-Identifier: Apache-2.0
"""Packages that were built here beside those of repositories, relations of a source, and questions without a solver."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import createrepo_c
import pytest
import solv

from support.rpm_shop import RpmShop
from support.rpms import Rpm, build_rpms
from support.upstreams import said
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream import COMPONENTS, BuiltPackage, LockedPackage
from zaffre.upstream.rpm.entry import entry_of, metadata_of
from zaffre.upstream.rpm.header import read_head
from zaffre.upstream.rpm.package import identity
from zaffre.upstream.solving import SetRequest, Solution

pytestmark = pytest.mark.tools

OURS = (
    Rpm("libgreet", "1.0", "1.z1", epoch=1, source="greet", noarch=True),
    Rpm("tool", "1.0", "1.z1", files={"/usr/bin/tool": "#!/bin/sh", "/usr/share/nowhere": "here"}),
    Rpm(
        "many",
        requires=("(plugin if app)", "tool >= 1:0.9", "libgreet < 7-3"),
        provides=("many(thing) = 3", "quoted(a&b)"),
        conflicts=("mail-server",),
        obsoletes=("former <= 2",),
        recommends=("nice",),
        files={"/usr/share/many/words": "x", "/etc/many.conf": "x"},
        scriptlets="%pre\ntrue\n",
    ),
)
_KINDS = (
    solv.SOLVABLE_PROVIDES,
    solv.SOLVABLE_REQUIRES,
    solv.SOLVABLE_CONFLICTS,
    solv.SOLVABLE_OBSOLETES,
    solv.SOLVABLE_RECOMMENDS,
)


@pytest.fixture(scope="module")
def ours(tools_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """By name; each is there once."""
    store = Store(tmp_path_factory.mktemp("ours"))
    built = build_rpms(OURS, sandbox=tools_sandbox, store=store)
    return {one.name: built[one.key] for one in OURS}


def built(data: bytes) -> BuiltPackage:
    header = read_head(io.BytesIO(data)).header
    name, version, architecture = identity(header)
    package = LockedPackage(
        name=name,
        version=version,
        architecture=architecture,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        path=f"{name}/{name}.rpm",
        suite=COMPONENTS,
        archive=COMPONENTS,
        source=name,
        source_version=version,
    )
    return BuiltPackage(package=package, control=entry_of(header))


def solved(shop: RpmShop, offered: list[BuiltPackage], *packages: str, **more: object) -> Solution:
    keep = more.pop("keep", None)
    request = SetRequest(**{"name": "test", "packages": packages, "architecture": "amd64", **more})  # type: ignore[arg-type]
    with shop.look().offering(offered, "amd64").solver(Sandbox(None), shop.store) as solver:
        return solver.solve(request, keep=keep)  # type: ignore[arg-type]


def versions(solution: Solution) -> dict[str, str]:
    return {one.name: one.version for one in solution.packages}


# What is said of a package


def described(folder: Path, text: str) -> dict[str, object]:
    """A primary.xml as libsolv understands it."""
    path = folder / "primary.xml"
    path.write_text(text)
    pool = solv.Pool()
    repository = pool.add_repo("x")
    file = solv.xfopen(str(path))
    assert repository.add_rpmmd(file, None, 0)
    file.close()
    (one,) = repository.solvables
    relations = {kind: sorted(map(str, one.lookup_deparray(kind))) for kind in _KINDS}
    before = sorted(map(str, one.lookup_deparray(solv.SOLVABLE_REQUIRES, solv.SOLVABLE_PREREQMARKER)))
    return {"name": str(one), "relations": relations, "before": before, "source": one.lookup_sourcepkg()}


@pytest.mark.parametrize("name", [one.name for one in OURS])
def test_a_header_is_said_as_createrepo_says_it(ours: dict[str, bytes], tmp_path: Path, name: str) -> None:
    path = tmp_path / "package.rpm"
    path.write_bytes(ours[name])
    theirs = createrepo_c.xml_dump_primary(createrepo_c.package_from_rpm(str(path)))
    mine = entry_of(read_head(io.BytesIO(ours[name])).header)
    found = described(tmp_path, metadata_of([mine]))
    expected = described(tmp_path, metadata_of([theirs]))
    # Files that only this form has are provided too, but not before all files are asked for.
    assert found == expected


def test_all_files_are_said(ours: dict[str, bytes]) -> None:
    assert "<file>/usr/share/many/words</file>" in built(ours["many"]).control


# Which is taken


def test_what_is_offered_is_taken_though_it_is_older(rpm_place: RpmShop, ours: dict[str, bytes]) -> None:
    offered = [built(ours["libgreet"]), built(ours["tool"])]
    with pytest.raises(DefinitionError):
        solved(rpm_place, offered, "strict", "tool", "needy")
    solution = solved(rpm_place, offered, "tool", "libgreet", keep={"tool": "1.0-1", "libgreet": "1:2.1-1"})
    assert versions(solution) == {"tool": "1.0-1.z1", "libgreet": "1:1.0-1.z1"}
    assert solution.released == ()
    assert {one.archive for one in solution.packages} == {COMPONENTS}
    assert next(one for one in solution.packages if one.name == "tool") == built(ours["tool"]).package


def test_what_others_need_is_not_denied_to_them(rpm_place: RpmShop, ours: dict[str, bytes]) -> None:
    """A version that somebody asks for is taken from the upstream; who locks refuses it then, with a word."""
    assert versions(solved(rpm_place, [built(ours["libgreet"])], "strict"))["libgreet"] == "1:2.2-1"


def test_a_file_anywhere_is_found_in_what_is_offered(rpm_place: RpmShop, ours: dict[str, bytes]) -> None:
    offered = [built(ours["tool"])]
    assert versions(solved(rpm_place, offered, "needs-nowhere")) == {"needs-nowhere": "1.0-1", "tool": "1.0-1.z1"}


def test_what_is_for_another_architecture_is_not_offered(rpm_place: RpmShop, ours: dict[str, bytes]) -> None:
    repositories = rpm_place.look().offering([built(one) for one in ours.values()], "arm64")
    assert [one.package.name for one in repositories.built] == ["libgreet"]


@pytest.mark.parametrize(
    "control",
    [
        "<package",
        '<package type="rpm"><name>tool</name><arch>x86_64</arch><version epoch="0" ver="9" rel="9"/></package>',
        "<!DOCTYPE x>",
    ],
)
def test_a_lock_that_says_something_else_of_them(rpm_place: RpmShop, ours: dict[str, bytes], control: str) -> None:
    wrong = built(ours["tool"]).model_copy(update={"control": control})
    with pytest.raises(IntegrityError) as caught:
        solved(rpm_place, [wrong], "tool")
    assert "what the lock says of packages that were built here is malformed" in said(caught.value)


# What a source is built with


def test_relations_of_every_kind(rpm_place: RpmShop) -> None:
    relations = ("libgreet < 1:2.2-1", "(one-way or other-way)", "/usr/bin/tool", "only-one", "Conflicts: mail-b")
    solution = solved(rpm_place, [], "mail-a", relations=relations)
    assert versions(solution) == {
        "libgreet": "1:2.1-1",
        "lone": "1.0-1",
        "mail-a": "1.0-1",
        "other-way": "1.0-1",
        "tool": "1.0-1",
    }


def test_a_file_that_primary_leaves_out(rpm_place: RpmShop) -> None:
    assert versions(solved(rpm_place, [], relations=("/usr/share/deep/file",))) == {"deep": "1.0-1"}
    assert len(rpm_place.mirror.served("*filelists*")) == 1


@pytest.mark.parametrize(
    ("relations", "words"),
    [
        (("tool >= 2",), "component:x needs tool >= 2, which no repository has"),
        (("mail-a", "Conflicts: mail-server"), "component:x"),
        (("(tool if",), "'(tool if' is not a relation of packages"),
        (("tool => 2",), "'tool => 2' is not a relation of packages"),
    ],
)
def test_relations_that_cannot_be_met(rpm_place: RpmShop, relations: tuple[str, ...], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        solved(rpm_place, [], name="component:x", relations=relations)
    assert words in said(caught.value)


# Questions without a solver


def test_what_is_listed(rpm_place: RpmShop) -> None:
    repositories = rpm_place.look()
    newest = repositories.newest("libgreet", "amd64")
    assert newest is not None
    assert (newest.version, newest.architecture) == ("1:2.2-1", "all")
    assert repositories.newest("nobody", "amd64") is None
    assert repositories.newest("tool", "arm64") is None
    assert repositories.binaries_of("greet", "amd64") == ("libgreet",)
    assert repositories.binaries_of("libgreet", "amd64") == ()
    assert repositories.source("greet") is None
