# SPDX-License-Identifier: Apache-2.0
"""What our code takes for true, said by the tools it must agree with: patch, dpkg-source, rpmspec, rpm's own order."""

from __future__ import annotations

import difflib
import random
from pathlib import Path

import pytest

from support.sources import LIMIT, SPEC, component, deb_source, operation, write
from zaffre.component import patch as patches
from zaffre.component.overlay import apply_overlays
from zaffre.component.pristine import held, pristine
from zaffre.component.rpmversion import rpm_version_key
from zaffre.errors import WorldError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.upstream.lock import LockedFile, LockedSource

pytestmark = pytest.mark.tools

MAINTAINER = "Acme Linux <acme@distribution.invalid>"
CASES = 300
_PATCH = """\
cd /run/cases
for case in */; do
  (cd "$case/tree" && patch -s -t -F 0 -N -p1 -u --no-backup-if-mismatch -r - -i ../the.patch >/dev/null 2>&1)
  echo $? >"$case/code"
done
"""


def text(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def some_change(lines: list[str], chance: random.Random) -> list[str]:
    """A few lines more, less or other; words are few, so that context is found in several places."""
    new = list(lines)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(new))
        match chance.randint(0, 2):
            case 0:
                new[at:at] = [chance.choice("abcxyz") for _ in range(chance.randint(1, 3))]
            case 1:
                del new[at : at + chance.randint(1, 2)]
            case _:
                new[at : at + 1] = [chance.choice("mnopq")]
    return new


def test_patches_apply_where_patch_applies_them(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    chance = random.Random(7)
    ours: list[bytes | None] = []
    for number in range(CASES):
        old = [chance.choice("abcdefgh") for _ in range(chance.randint(3, 30))]
        new = some_change(old, chance)
        target = chance.choice([old, new, some_change(old, chance), ["z", "z", *old], old[1:]])
        made = difflib.diff_bytes(
            difflib.unified_diff,
            text(old).splitlines(keepends=True),
            text(new).splitlines(keepends=True),
            b"a/f",
            b"b/f",
        )
        data = b"".join(made)
        if not data or not target or not new:
            data, target = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n", ["a"]
        case = tmp_path / f"{number:03}"
        write(case, {"tree/f": text(target).decode(), "the.patch": data.decode()})
        try:
            ours.append(patches.apply(patches.parse(data), {"f": text(target)})["f"])
        except patches.RejectedError:
            ours.append(None)
    tools_sandbox.run(["bash", "-c", _PATCH], mounts=[Mount(tmp_path, "/run/cases", writable=True)], timeout=300)
    theirs = [
        (case / "tree/f").read_bytes() if (case / "code").read_text().strip() == "0" else None
        for case in sorted(tmp_path.iterdir())
    ]
    assert 60 < sum(one is None for one in theirs) < CASES - 60
    differing = [number for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)) if mine != other]
    assert differing == []


def test_a_changed_debian_source_is_one_to_dpkg(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    folder = write(tmp_path / "component", {"patches/limit.patch": LIMIT})
    made = component(
        operation('op = "patch-add"\nfile = "patches/limit.patch"'),
        operation('op = "depends-add"\nfield = "build-depends"\nrelation = "zlib1g-dev (>= 1:1.2)"')
        + operation('op = "depends-remove"\nfield = "build-depends"\nname = "dh-other"'),
        operation(
            'op = "package-split"\npackage = "expat"\nname = "xmlwf"\ndescription = "x"\npaths = ["usr/bin/xmlwf"]'
        ),
    )
    target = tmp_path / "result"
    source = deb_source(tmp_path / "source")
    version = apply_overlays(made, folder=folder, source=source, target=target, maintainer=MAINTAINER)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}

    def run(*words: str) -> str:
        mounts = [Mount(target, "/run/source", writable=True)]
        return tools_sandbox.run(words, mounts=mounts, cwd="/run/source", timeout=120).stdout.decode()

    run("dpkg-source", "--before-build", ".")
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert run("dpkg-parsechangelog", "-S", "Version").strip() == version == "2.7.1-2+deb13u1+z1"
    names = "print map { $_->{Package}, qq{\\n} } Dpkg::Control::Info->new()->get_packages()"
    assert run("perl", "-MDpkg::Control::Info", "-e", names).split() == ["libexpat1", "expat", "xmlwf"]
    depends = "print deps_parse(Dpkg::Control::Info->new()->get_source()->{'Build-Depends'}, build_dep => 1)"
    assert run("perl", "-MDpkg::Control::Info", "-MDpkg::Deps", "-e", depends) == (
        "debhelper-compat (= 13), docbook-to-man <!nodoc>, dh-exec, zlib1g-dev (>= 1:1.2)"
    )


class TestSpec:
    """Edited specs, as rpmspec reads them."""

    def query(
        self, sandbox: Sandbox, root: Path, *overlays: str, form: str, options: tuple[str, ...] = ()
    ) -> list[str]:
        source = write(root / "source", {"expat.spec": SPEC, "fixed.patch": LIMIT, "expat-docs.patch": LIMIT})
        folder = write(root / "component", {"patches/limit.patch": LIMIT, "files/extra.conf": "x\n"})
        made = component(*map(operation, overlays), source='kind = "rpm"\npackage = "expat"')
        target = root / "result"
        apply_overlays(made, folder=folder, source=source, target=target, maintainer=MAINTAINER)
        words = ["rpmspec", "--query", *options, "--queryformat", form, "/run/source/expat.spec"]
        done = sandbox.run(words, mounts=[Mount(target, "/run/source")], env={"HOME": "/run"}, timeout=120)
        return done.stdout.decode().splitlines()

    def test_packages_and_releases(self, tools_sandbox: Sandbox, tmp_path: Path) -> None:
        split = 'op = "package-split"\npackage = "expat"\nname = "xmlwf"\ndescription = "x"\npaths = ["usr/bin/xmlwf"]'
        found = self.query(
            tools_sandbox,
            tmp_path,
            split,
            'op = "build-option"\noption = "gui"',
            'op = "package-drop"\npackage = "libexpat"',
            form="%{NAME} %{RELEASE}\\n",
        )
        assert sorted(found) == ["expat 3.z1", "expat-gui 3.z1", "xmlwf 3.z1"]

    def test_dependencies(self, tools_sandbox: Sandbox, tmp_path: Path) -> None:
        found = self.query(
            tools_sandbox,
            tmp_path,
            'op = "depends-add"\nfield = "build-depends"\nrelation = "cmake >= 3"',
            'op = "depends-remove"\nfield = "build-depends"\nname = "make"',
            'op = "build-option"\noption = "gui"',
            'op = "depends-change"\nfield = "build-depends"\nname = "pkgconfig(gtk4)"\nrelation = "gtk4-devel"',
            form="[%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\\n]",
            options=("--srpm",),
        )
        assert {" ".join(line.split()) for line in found if not line.startswith("rpmlib")} == {
            "gcc-c++",
            "gtk4-devel",
            "cmake >= 3",
        }

    def test_patches_sources_and_the_changelog(self, tools_sandbox: Sandbox, tmp_path: Path) -> None:
        found = self.query(
            tools_sandbox,
            tmp_path,
            'op = "patch-add"\nfile = "patches/limit.patch"',
            'op = "patch-remove"\npatch = "expat-docs.patch"',
            'op = "file-add"\npath = "extra.conf"\nfile = "files/extra.conf"',
            form="[%{PATCH}\\n][%{SOURCE}\\n][%{CHANGELOGNAME}\\n]",
            options=("--srpm",),
        )
        assert set(found) == {
            "fixed.patch",
            "limit.patch",
            "expat-2.7.1.tar.gz",
            "extra.conf",
            MAINTAINER,
            "Somebody <somebody@expat.example> - 2.7.1-3",
        }

    def test_all_that_touches_the_text_at_once(self, tools_sandbox: Sandbox, tmp_path: Path) -> None:
        found = self.query(
            tools_sandbox,
            tmp_path,
            'op = "define"\nname = "so_version"\nvalue = "2"',
            'op = "define"\nname = "site"\nvalue = "acme"\nnew = true',
            'op = "build-flag"\nflag = "CFLAGS"\nappend = "-O3"',
            """op = "build-environment"\nname = "WORDS"\nvalue = "it's 100%" """,
            'op = "tests-skip"\nreason = "90% need a network"',
            'op = "version"\nrevision = 2\nahead = true',
            form="%{RELEASE}\\n",
            options=("--srpm",),
        )
        assert found == ["3^0z2"]


def test_the_order_of_rpm_versions(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    chance = random.Random(11)
    parts = ["1", "2", "10", "01", "a", "b", "rc", ".", ".", "~", "^", "_", "z1", "0z1"]
    fixed = [("8", "8^0z1"), ("8^0z1", "8.z1"), ("8.z1", "8.1"), ("8.1", "9"), ("8.fc42", "8.fc42.z1")]
    made = [tuple("1" + "".join(chance.choices(parts, k=chance.randint(0, 5))) for _ in range(2)) for _ in range(1500)]
    pairs = [*fixed, *made]
    file = tmp_path / "pairs"
    file.write_text("".join(f"{one} {other}\n" for one, other in pairs))
    script = (
        'for pair in io.lines("/run/pairs") do local at = pair:find(" ", 1, true); '
        "print(rpm.vercmp(pair:sub(1, at - 1), pair:sub(at + 1)) .. ' ') end"
    )
    words = ["rpm", "--eval", f"%{{lua:{script}}}"]
    done = tools_sandbox.run(words, mounts=[Mount(file, "/run/pairs")], env={"HOME": "/run"}, timeout=120)
    theirs = [int(word) for word in done.stdout.decode().split()]
    keys = [(rpm_version_key(one), rpm_version_key(other)) for one, other in pairs]
    assert [(one > other) - (one < other) for one, other in keys] == theirs
    assert theirs[: len(fixed)] == [-1] * len(fixed)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("expat_1.dsc",), "the source 'expat' cannot be unpacked"),
        (("expat_1.tar.xz",), "the source 'expat' has 0 files that describe it, not one"),
        (("expat_1.dsc", "expat_2.dsc"), "the source 'expat' has 2 files that describe it, not one"),
    ],
)
def test_a_source_that_is_none(tools_sandbox: Sandbox, tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    store = Store(tmp_path / "store")
    files = tuple(
        LockedFile(path=f"pool/{name}", sha256=store.add_bytes(name.encode()), size=len(name), archive="debian")
        for name in names
    )
    source = LockedSource(name="expat", version="1", files=files)
    with pytest.raises(WorldError, match=said):
        pristine(component(), source, store, tools_sandbox)
    assert held(component(), source, store) is None
