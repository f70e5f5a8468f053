# SPDX-License-Identifier: Apache-2.0
"""Two locks, a lock and a build, a lock and its own past: what is compared, and why a package is another one."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from sides import WHEN, build, lock, package

from zaffre.cli import main
from zaffre.compare import Comparison, Knowledge, Reader, compare
from zaffre.compare.report import ChangeKind, PackageChange
from zaffre.definition import load_distribution, reference_root
from zaffre.errors import DefinitionError, ExitCode, IntegrityError
from zaffre.upstream import (
    COMPONENTS,
    LOCK_NAME,
    BuiltPackage,
    Group,
    Lock,
    LockedComponent,
    LockedSource,
    Outcome,
    User,
    Users,
    lock_text,
)
from zaffre.upstream.requests import image_wanted


def write(folder: Path, name: str, one: Lock) -> str:
    path = folder / name
    path.write_text(lock_text(one))
    return str(path)


def compared(folder: Path, old: Lock, new: Lock, **knowledge: Knowledge) -> Comparison:
    reader = Reader(None)
    one, other = reader.read(write(folder, "old.lock", old)), reader.read(write(folder, "new.lock", new))
    return compare(
        one, other, learn=lambda subject, _: knowledge["a" if subject is one else "b"] if knowledge else Knowledge()
    )


def changes(found: Comparison) -> dict[str, PackageChange]:
    return {one.name: one for one in found.sets[0].packages}


def test_equal_locks_have_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "a.lock", lock(package("a")))
    assert main(["diff", path, path]) == ExitCode.DONE
    assert "There is no difference." in capsys.readouterr().out


def test_a_difference_is_told_with_its_reason_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path, "a.lock", lock(package("a"), package("gone"), package("same", sha256="11" * 32)))
    new = write(tmp_path, "b.lock", lock(package("a", "2.0-1"), package("new"), package("same", sha256="22" * 32)))
    assert main(["diff", old, new]) == ExitCode.FINDING
    shown = capsys.readouterr().out
    for line in ("~ a 1.0-1 -> 2.0-1", "- gone 1.0-1", "+ new 1.0-1", "= same 1.0-1, another file"):
        assert f"  {line}" in shown
    assert "1 added, 1 removed, 1 changed, 1 rebuilt; 3 -> 3, 3.0 kB -> 3.0 kB to download" in shown
    assert "Neither is a build" in shown
    assert main(["diff", old, new, "--json"]) == ExitCode.FINDING
    plain = json.loads(capsys.readouterr().out)
    assert (plain["format"], plain["same"], plain["details"]) == (1, False, None)
    assert (
        Comparison.model_validate({key: value for key, value in plain.items() if key != "same"}).sets[0].name == "host"
    )


def test_the_upstreams_movement_is_named(tmp_path: Path) -> None:
    later = WHEN + timedelta(days=9)
    found = changes(
        compared(
            tmp_path,
            lock(package("plain"), package("fixed"), package("anew", source_version="1")),
            lock(
                package("plain", "2.0-1"),
                package("fixed", "1.0-1+deb13u1", suite="stable-security", archive="debian-security"),
                package("anew", "1.0-1+b2", source_version="1"),
                date=later,
            ),
        )
    )
    assert found["plain"].why == (f"the upstream moved: debian stable, {WHEN:%Y-%m-%d} to {later:%Y-%m-%d}",)
    assert found["fixed"].why == (
        "the upstream's debian-security stable-security has it, before it was debian stable's",
    )
    assert found["anew"].why == ("the upstream built it anew from the same source, anew 1",)


def component(
    version: str, *, key: str = "0", outcome: Outcome = Outcome.BUILT, note: str | None = None
) -> LockedComponent:
    built = package("tool", f"{version}+zaffre1", archive=COMPONENTS, suite=COMPONENTS)
    return LockedComponent(
        name="tool-src",
        architecture="amd64",
        upstream="debian",
        key=key * 64,
        outcome=outcome,
        note=note,
        gives=("tool",),
        source=LockedSource(name="tool-src", version=version),
        packages=(BuiltPackage(package=built, control="Package: tool\n"),) if outcome is Outcome.BUILT else (),
    )


def test_what_is_built_here_says_what_moved_it(tmp_path: Path) -> None:
    def ours(version: str, key: str = "0", digest: str = "11") -> Lock:
        one = component(version, key=key)
        return lock(one.packages[0].package.model_copy(update={"sha256": digest * 32}), components=[one])

    inherited = lock(package("tool"))
    given_up = lock(
        package("tool"), components=[component("1", outcome=Outcome.UPSTREAM_BINARY, note="its source is gone")]
    )

    def why(old: Lock, new: Lock) -> tuple[str, ...]:
        return changes(compared(tmp_path, old, new))["tool"].why

    assert why(inherited, ours("1")) == ("built here now, as component tool-src",)
    assert why(ours("1"), ours("2")) == ("the source of component tool-src moved, 1 to 2",)
    assert why(ours("1"), ours("1", "1", "22")) == (
        "component tool-src changed: its definition, its overlays or their files",
    )
    assert why(ours("1"), ours("1", "0", "22")) == ("component tool-src was built with other packages",)
    assert why(ours("1"), given_up) == ("the upstream's binary is taken: its source is gone",)
    assert why(ours("1"), inherited) == ("inherited from the upstream again, before it was built here",)


def test_who_asks_for_a_package_is_named_as_far_as_it_is_known(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        lock(package("lost"), package("spare"), package("nobodys"), package("old-tool"), package("asked", "0")),
        lock(package("asked", "0"), package("new"), package("needed"), package("unknown")),
        a=Knowledge(None, {"lost": ("old-tool",), "spare": ("asked", "old-tool")}),
        b=Knowledge(
            {"asked": "the definition", "new": "images/host.toml: packages[1]"}, {"needed": ("a", "b", "c", "d")}
        ),
    )
    assert {name: one.why for name, one in changes(found).items()} == {
        "lost": ("was needed by old-tool, which went too",),
        "new": ("asked for by images/host.toml: packages[1]",),
        "needed": ("needed by a, b, c and 1 more",),
        "nobodys": ("the definition does not ask for it",),
        "old-tool": ("the definition does not ask for it",),
        "spare": ("was needed by old-tool, which went too", "was needed by asked, which now does without"),
        "unknown": ("not asked for by name: another package of the set needs it",),
    }


def test_users_of_a_lock_count_and_a_new_one_comes_first(tmp_path: Path) -> None:
    old = Users(users=(User(name="svc", uid=990, gid=990),))
    new = Users(
        users=(User(name="svc", uid=991, gid=990), User(name="adm", uid=0, gid=0, shell="/bin/sh")),
        groups=(Group(name="adm", gid=7, members=("svc",)),),
    )
    found = compared(tmp_path, lock(package("a"), users=old), lock(package("a"), users=new))
    assert not found.same
    assert [one.name for one in found.sets[0].accounts] == ["group adm", "user adm", "user svc"]
    assert [one.text.partition(" (")[0] for one in found.alerts] == ["user adm"]
    opened = old.model_copy(update={"users": (User(name="svc", uid=990, gid=990, shell="/bin/bash"),)})
    found = compared(tmp_path, lock(package("a"), users=old), lock(package("a"), users=opened))
    assert [one.what for one in found.alerts] == ["account"]


def test_whole_locks_are_compared_set_by_set_and_one_can_be_chosen(tmp_path: Path) -> None:
    old = write(tmp_path, "a.lock", lock(package("a"), tools=[package("t")]))
    new = write(tmp_path, "b.lock", lock(package("a"), tools=[package("t", "2")], image="other"))
    found = compare(Reader(None).read(old), Reader(None).read(new))
    assert [(one.name, one.missing) for one in found.sets] == [("tools", None), ("host", "B"), ("other", "A")]
    chosen = Reader(None, image="tools")
    assert [one.name for one in compare(chosen.read(old), chosen.read(new)).sets] == ["tools"]
    with pytest.raises(DefinitionError, match="the lock has no set of 'nobody'") as caught:
        Reader(None, image="nobody").read(old)
    assert caught.value.details == "it has tools (amd64), host (amd64)"


def test_a_lock_and_a_build_have_their_packages_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build(tmp_path / "out", {"a": (), "b": ()})
    path = write(tmp_path, "a.lock", lock(package("a", "1"), package("c", "1"), tools=[package("t")]))
    for sides in ((path, str(folder)), (path, str(folder / "root.erofs"))):
        assert main(["diff", *sides]) == ExitCode.FINDING
        shown = capsys.readouterr().out
        assert "1 added, 1 removed; 2 -> 2\n" in shown
        assert "Not compared: files, rights, units, kernel settings. A is no build" in shown
    other = write(tmp_path, "b.lock", lock(package("a"), image="another"))
    assert main(["diff", other, str(folder)]) == ExitCode.USAGE
    assert "the lock has no set of 'host' on amd64 to compare with" in capsys.readouterr().err


def test_what_is_no_side_is_told_apart(tmp_path: Path) -> None:
    reader = Reader(load_distribution(reference_root()))
    for given, words in (
        ("contaner-host", "there is no such file or folder, and no image of that name"),
        (str(tmp_path), "the folder has neither a manifest.json nor a zaffre.lock"),
        ("git:--output=x", "is no revision"),
    ):
        with pytest.raises(DefinitionError, match=words):
            reader.read(given)
    with pytest.raises(DefinitionError) as caught:
        reader.read("contaner-host")
    assert caught.value.resolution == "did you mean 'container-host'?"
    with pytest.raises(DefinitionError, match="there is no distribution here"):
        Reader(None).read("git:HEAD")
    (tmp_path / "x.lock").write_text("{")
    with pytest.raises(DefinitionError, match="not JSON"):
        reader.read(str(tmp_path / "x.lock"))


def test_a_build_whose_inventory_was_changed_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "out", {"a": ()})
    text = (folder / "inventory.json").read_text()
    (folder / "inventory.json").write_text(text.replace('"name": "a"', '"name": "x"'))
    with pytest.raises(IntegrityError, match="not the one that the manifest names"):
        Reader(None).read(str(folder))
    (folder / "inventory.json").unlink()
    assert Reader(None).read(str(folder)).why_not == "lacks its inventory.json"
    (folder / "stray").write_text("")
    with pytest.raises(DefinitionError, match="which does not name it"):
        Reader(None).read(str(folder / "stray"))


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_lock_of_another_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository/distro"
    shutil.copytree(reference_root(), root, symlinks=True)
    identity = load_distribution(root).identity.id
    git = ["git", "-C", str(root.parent), "-c", "user.name=x", "-c", "user.email=x@test.example"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for version in ("1", "2"):
        one = lock(package("a", version), image="container-host", distribution=identity)
        (root / LOCK_NAME).write_text(lock_text(one))
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", version], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    reader = Reader(load_distribution(root))
    for old, new in (("git:HEAD~1", "container-host"), ("HEAD~1:", str(root)), ("HEAD~1:", "git:HEAD")):
        found = compare(reader.read(old), reader.read(new))
        moved = changes(found)["a"]
        assert (moved.change, moved.old_version, moved.new_version) == (ChangeKind.CHANGED, "1", "2")
    with pytest.raises(DefinitionError, match=r"git has no zaffre\.lock in the revision 'nowhere'"):
        reader.read("git:nowhere")


def test_two_images_of_a_definition_differ_in_what_it_says_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "distro"
    shutil.copytree(reference_root(), root, symlinks=True)
    (root / "images/small.toml").write_text(
        'kind = "host"\nextends = "container-host"\npackages = ["-tzdata"]\n[sysctl]\n"kernel.panic" = 7\n'
    )
    identity = load_distribution(root).identity.id
    one = lock(package("a"), package("tzdata"), image="container-host", distribution=identity)
    two = lock(package("a"), image="small", distribution=identity)
    answering = image_wanted(load_distribution(root), load_distribution(root).image("small"), "amd64").digest
    asked = two.sets[0].model_copy(update={"request": answering})
    both = one.model_copy(update={"sets": (*one.sets, asked)})
    (root / LOCK_NAME).write_text(lock_text(both))
    assert main(["--distro", str(root), "diff", "container-host", "small", "--json"]) == ExitCode.FINDING
    plain = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in plain["sets"]] == ["container-host -> small"]
    settings = {one["name"]: (one["old"], one["new"], one["why"]) for one in plain["settings"]}
    assert settings['sysctl."kernel.panic"'][1:] == ("7", 'images/small.toml: sysctl."kernel.panic"')
    assert settings["packages tzdata"][:2] == ("present", None)
    removed = plain["sets"][0]["packages"]
    assert [(one["name"], one["change"], one["why"]) for one in removed] == [
        ("tzdata", "removed", ["the definition does not ask for it"])
    ]
    assert main(["--distro", str(root), "diff", "small", "container-host", "--json"]) == ExitCode.FINDING
    back = json.loads(capsys.readouterr().out)["sets"][0]["packages"]
    assert [(one["change"], one["why"]) for one in back] == [("added", [])]  # that lock answers another definition
