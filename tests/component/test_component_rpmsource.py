# SPDX-License-Identifier: Apache-2.0
"""Overlays on a spec: each operation as text, what is refused, and what does not touch its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sources import LIMIT, SPEC, component, operation, write
from zaffre.component.overlay import apply_overlays
from zaffre.errors import DefinitionError

MAINTAINER = "Acme Linux <acme@distribution.invalid>"


class Bench:
    def __init__(self, root: Path) -> None:
        files = {"expat.spec": SPEC, "fixed.patch": LIMIT, "expat-docs.patch": LIMIT, "expat-2.7.1.tar.gz": "packed"}
        self.source = write(root / "source", files)
        self.folder = write(root / "component", {"patches/limit.patch": LIMIT, "files/extra.conf": "x = 1\n"})
        self.target = root / "result"

    def apply(self, *overlays: str, spec: str | None = None) -> str:
        if spec is not None:
            write(self.source, {"expat.spec": spec})
        made = component(*map(operation, overlays), source='kind = "rpm"\npackage = "expat"')
        apply_overlays(made, folder=self.folder, source=self.source, target=self.target, maintainer=MAINTAINER)
        return (self.target / "expat.spec").read_text("utf-8")

    def refused(self, *overlays: str, spec: str | None = None) -> DefinitionError:
        with pytest.raises(DefinitionError) as caught:
            self.apply(*overlays, spec=spec)
        assert not self.target.exists()
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


ADD_PATCH = 'op = "patch-add"\nfile = "patches/limit.patch"'
ENTRY = f"""* Thu Jan 01 2026 {MAINTAINER}
- the parser must not be driven out of memory (CVE-2026-1234)

"""


def changed(text: str) -> list[str]:
    """Lines that are not in the spec as it was, but for what every overlay changes."""
    known = {*SPEC.splitlines(), *ENTRY.splitlines(), "Release: 3%{?dist}.z1"}
    return [line for line in text.splitlines() if line not in known]


def gone(text: str) -> list[str]:
    lines = text.splitlines()
    return [line for line in SPEC.splitlines() if line not in lines and not line.startswith("Release")]


def test_release_and_changelog(bench: Bench) -> None:
    text = bench.apply(ADD_PATCH)
    assert "Release: 3%{?dist}.z1\n" in text
    assert f"%changelog\n{ENTRY}* Thu Jan 02 2025" in text


def test_a_release_that_is_counted_elsewhere_and_no_changelog(bench: Bench) -> None:
    spec = SPEC.replace("Release: 3%{?dist}", "Release: %autorelease").partition("%changelog")[0]
    text = bench.apply(ADD_PATCH, 'op = "version"\nrevision = 2\nahead = true', spec=spec)
    assert "Release: %{autorelease}^0z2\n" in text
    assert f"\n%changelog\n* Fri Jan 02 2026 {MAINTAINER}\n- the parser" in text


def test_a_patch_that_autosetup_applies(bench: Bench) -> None:
    text = bench.apply(ADD_PATCH)
    assert changed(text) == ["Patch2: limit.patch"]
    assert text.index("Patch1:") < text.index("Patch2:") < text.index("BuildRequires")
    assert (bench.target / "limit.patch").read_text() == LIMIT


def test_a_patch_that_is_applied_by_a_line_of_its_own(bench: Bench) -> None:
    spec = SPEC.replace("%autosetup -p1", "%setup -q\n%patch -P 0 -p1\n%if 1\n%patch1 -p1\n%endif\nautoreconf")
    text = bench.apply(ADD_PATCH, spec=spec)
    assert "%if 1\n%patch1 -p1\n%endif\n%patch -P 2 -p1\nautoreconf\n" in text


def test_patches_without_numbers(bench: Bench) -> None:
    spec = SPEC.replace("Patch0:", "Patch:").replace("Patch1:", "Patch:")
    text = bench.apply(ADD_PATCH, 'op = "patch-remove"\npatch = "fixed.patch"', spec=spec)
    assert [line for line in text.splitlines() if line.startswith("Patch")] == [
        "Patch: https://expat.example/%{name}-docs.patch",
        "Patch: limit.patch",
    ]


def test_a_patch_is_removed_by_the_name_that_its_macros_give(bench: Bench) -> None:
    spec = SPEC.replace("%autosetup -p1", "%setup -q\n%patch -P0 -p1\n%patch 1 -p1 -b .docs")
    text = bench.apply('op = "patch-remove"\npatch = "expat-docs.patch"', spec=spec)
    assert "Patch1" not in text
    assert "%patch 1" not in text
    assert "%patch -P0 -p1" in text
    assert not (bench.target / "expat-docs.patch").exists()


def test_files_are_sources(bench: Bench) -> None:
    text = bench.apply('op = "file-add"\npath = "extra.conf"\nfile = "files/extra.conf"')
    assert changed(text) == ["Source1: extra.conf"]
    assert (bench.target / "extra.conf").read_text() == "x = 1\n"


def test_a_source_is_renamed_and_removed(bench: Bench) -> None:
    spec = SPEC.replace("Patch0:", "Source1: extra.conf\nSource2: more.conf\nPatch0:")
    write(bench.source, {"extra.conf": "a\n", "more.conf": "b\n"})
    text = bench.apply(
        'op = "file-rename"\npath = "extra.conf"\nto = "expat.conf"',
        'op = "file-remove"\npath = "more.conf"',
        spec=spec,
    )
    assert "Source1: expat.conf\n" in text
    assert "Source2" not in text


def test_definitions(bench: Bench) -> None:
    text = bench.apply(
        'op = "define"\nname = "so_version"\nvalue = "2"',
        'op = "define"\nname = "with_long"\nvalue = "short"',
        'op = "define"\nname = "site"\nvalue = "acme"\nnew = true',
        'op = "build-option"\noption = "gui"',
        'op = "build-option"\noption = "tests"\nenabled = false',
        'op = "build-flag"\nflag = "CFLAGS"\nappend = "-O3"',
    )
    assert changed(text)[:6] == [
        "%global build_cflags %{?build_cflags} -O3",
        "%global site acme",
        "%global so_version 2",
        "%define with_long short",
        "%bcond_with tests",
        "%bcond_without gui",
    ]
    assert gone(text) == [
        "%global so_version 1",
        "%define with_long \\",
        "  one \\",
        "  two",
        "%bcond_without tests",
        "%bcond_with gui",
    ]


def test_the_environment_and_the_tests(bench: Bench) -> None:
    text = bench.apply(
        """op = "build-environment"\nname = "WORDS"\nvalue = "it's 100%" """,
        'op = "tests-skip"\nreason = "90% need a network"',
    )
    assert "%build\nexport WORDS='it'\\''s 100%%'\n%configure" in text
    assert "%check\n# 90%% need a network\nexit 0\nmake check\n" in text


def test_dependencies(bench: Bench) -> None:
    text = bench.apply(
        'op = "depends-add"\nfield = "build-depends"\nrelation = "cmake >= 3"',
        'op = "depends-remove"\nfield = "build-depends"\nname = "make"',
        'op = "depends-change"\nfield = "build-depends"\nname = "pkgconfig(gtk4)"\nrelation = "pkgconfig(gtk4) >= 4.9"',
        'op = "depends-remove"\nfield = "depends"\npackage = "expat"\nname = "(foo if bar)"',
        'op = "depends-add"\nfield = "depends"\npackage = "libexpat"\nrelation = "glibc"',
        'op = "depends-change"\nfield = "depends"\npackage = "expat-gui"\nname = "expat%{?_isa}"\nrelation = "expat"',
        'op = "depends-add"\nfield = "pre-depends"\npackage = "expat"\nrelation = "shadow-utils"',
        'op = "depends-add"\nfield = "replaces"\npackage = "expat"\nrelation = "xmlwf < 2"',
    )
    gui = "%if %{with gui}\nBuildRequires: pkgconfig(gtk4) >= 4.9\n%endif\n"
    assert f"BuildRequires: gcc-c++\n{gui}BuildRequires: cmake >= 3\n" in text
    assert "Requires: libsomething%{?_isa} >= 1\n" in text
    assert "%package -n libexpat\nSummary: Library\nRequires: glibc\n%description -n libexpat" in text
    assert "%package gui\nSummary: Windows\nRequires: expat\n" in text
    assert "Requires(pre): shadow-utils\n" in text
    assert "Obsoletes: xmlwf < 2\n" in text


def split(*paths: str) -> str:
    named = ", ".join(f'"{path}"' for path in paths)
    return (
        'op = "package-split"\npackage = "expat"\nname = "xmlwf"\ndescription = "check XML"\n'
        f'paths = [{named}]\ndepends = ["libexpat"]'
    )


def test_a_package_is_split_off(bench: Bench) -> None:
    text = bench.apply(split("usr/bin/xmlwf", "usr/share/expat/schemas"))
    assert (
        "%package -n xmlwf\nSummary: check XML\nRequires: libexpat\n"
        "Conflicts: expat < %{?epoch:%{epoch}:}%{version}-%{release}\n\n%description -n xmlwf\ncheck XML.\n\n%prep\n"
    ) in text
    assert "%files -n xmlwf\n%{_bindir}/xmlwf\n/usr/share/expat/schemas\n\n%changelog\n" in text
    main = text.partition("\n%files\n")[2].partition("%files")[0]
    assert "%exclude /usr/share/expat/schemas\n" in main
    assert "%{_bindir}/xmlwf" not in main
    assert "%{_datadir}/expat/" in main


def test_a_package_is_dropped_and_what_it_installed_too(bench: Bench) -> None:
    text = bench.apply('op = "package-drop"\npackage = "expat-gui"')
    assert changed(text) == [
        "# expat-gui is not built",
        "rm -rf %{buildroot}/usr/bin/xmlgui",
        "rm -rf %{buildroot}/etc/xmlgui.conf",
    ]
    assert [line for line in gone(text) if line] == [
        "%package gui",
        "Summary: Windows",
        "Requires: %{name}%{?_isa} = %{version}-%{release}",
        "%description gui",
        "Windows.",
        "%files gui",
        "%{_bindir}/xmlgui",
        "%config(noreplace) %{_sysconfdir}/xmlgui.conf",
    ]
    assert (
        "%install\n%make_install\n# expat-gui is not built\n"
        "rm -rf %{buildroot}/usr/bin/xmlgui\nrm -rf %{buildroot}/etc/xmlgui.conf\n"
    ) in text
    assert text.count("%if ") == text.count("%endif") == 3


REFUSED = [
    ('op = "patch-remove"\npatch = "fixd.patch"', "patch: no Patch line of the spec is 'fixd.patch'", "fixed.patch"),
    ('op = "define"\nname = "so_versio"\nvalue = "2"', "name: the spec defines no macro 'so_versio'", "so_version"),
    (
        'op = "define"\nname = "so_version"\nvalue = "2"\nnew = true',
        "new: the spec defines 'so_version' already, in line 1",
        None,
    ),
    ('op = "build-option"\noption = "guy"', "option: the spec has no %bcond 'guy'", "gui"),
    ('op = "build-option"\noption = "tests"', "enabled: %bcond 'tests' is on in the spec", None),
    ('op = "package-drop"\npackage = "expat"', "package: 'expat' is the main package of the spec", None),
    ('op = "package-drop"\npackage = "libexpt"', "package: the spec has no package 'libexpt'", "libexpat"),
    (split("usr/bin/xmlwg"), "paths: %files of 'expat' has no /usr/bin/xmlwg", "/usr/bin/xmlwf"),
    (
        'op = "depends-remove"\nfield = "build-depends"\nname = "gcc"',
        "name: no BuildRequires of the source is on 'gcc'",
        "gcc-c++",
    ),
    ('op = "depends-add"\nfield = "breaks"\npackage = "expat"\nrelation = "xx"', "field: RPM has no breaks", None),
    (
        'op = "depends-add"\nfield = "build-depends"\nrelation = "make >= 4"',
        "relation: BuildRequires: make >= 4 is there already",
        None,
    ),
]


@pytest.mark.parametrize(("words", "said", "near"), REFUSED)
def test_what_matches_nothing(bench: Bench, words: str, said: str, near: str | None) -> None:
    error = bench.refused(words)
    assert str(error) == f"components/expat/overlays/0001-x.toml: operations[0].{said}"
    if near:
        assert str(error.resolution).startswith("near: ")
        assert near in str(error.resolution)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nothing\n", "the spec is malformed: it has no Name"),
        (SPEC.replace("%endif", "", 1), "the spec is malformed: an %if has no %endif"),
        (SPEC.replace("%if ", "# if ", 1), "an %endif without its %if"),
        (SPEC.replace("Release", "Relase"), "the spec is malformed: it has no Release"),
        (SPEC.replace("  two", "  %{two \\"), "the macro of line 2 does not end"),
        (SPEC.replace("%check\nmake check\n", ""), "the spec has no %check, so there are no tests to skip"),
    ],
)
def test_a_malformed_spec(bench: Bench, spec: str, said: str) -> None:
    assert said in str(bench.refused('op = "tests-skip"\nreason = "none"', spec=spec))


@pytest.mark.parametrize(
    ("prep", "said"),
    [
        ("%autosetup", "the spec applies its patches with no -p1, and this patch is for -p1"),
        ("%autosetup -p0 -n x", "the spec applies its patches with -p0, and this patch is for -p1"),
        ("tar x", "the spec has neither %setup nor %patch in %prep"),
    ],
)
def test_a_patch_that_would_not_be_applied(bench: Bench, prep: str, said: str) -> None:
    assert said in str(bench.refused(ADD_PATCH, spec=SPEC.replace("%autosetup -p1", prep)))


def test_a_folder_with_two_specs(bench: Bench) -> None:
    write(bench.source, {"other.spec": SPEC})
    assert "an RPM source has one spec file, and this has expat.spec, other.spec" in str(bench.refused(ADD_PATCH))


def test_a_section_within_a_macro_is_no_section(bench: Bench) -> None:
    spec = SPEC.replace("%bcond_with gui", "%bcond_with gui\n%global extra %{expand:\n%package extra\nSummary: x\n}")
    text = bench.apply('op = "depends-add"\nfield = "depends"\npackage = "expat"\nrelation = "glibc"', spec=spec)
    assert text.index("Requires: glibc") > text.index("Name: expat")
