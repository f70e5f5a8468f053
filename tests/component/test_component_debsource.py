# SPDX-License-Identifier: Apache-2.0
"""Overlays on a Debian source: what each operation does, what is said when it can not, and all or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.sources import CONTROL, LIMIT, UPSTREAM_PATCH, component, deb_source, operation, write
from zaffre.component.overlay import apply_overlays
from zaffre.component.settings import settings_of
from zaffre.errors import DefinitionError

MAINTAINER = "Acme Linux <acme@distribution.invalid>"


class Bench:
    """A source, a component's folder, and where the result goes."""

    def __init__(self, root: Path) -> None:
        self.source = deb_source(root / "source")
        self.folder = write(root / "component", {"patches/limit.patch": LIMIT, "files/new.c": "int new;\n"})
        self.target = root / "result" / "expat"

    def apply(self, *overlays: str) -> str | None:
        made = component(*(operation(one) if one.startswith("op") else one for one in overlays))
        return apply_overlays(made, folder=self.folder, source=self.source, target=self.target, maintainer=MAINTAINER)

    def text(self, path: str) -> str:
        return (self.target / path).read_text("utf-8")

    def refused(self, *overlays: str) -> DefinitionError:
        before = snapshot(self.source)
        with pytest.raises(DefinitionError) as caught:
            self.apply(*overlays)
        assert snapshot(self.source) == before
        assert not self.target.exists()
        assert [*self.target.parent.iterdir()] == []
        return caught.value


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


ADD_PATCH = 'op = "patch-add"\nfile = "patches/limit.patch"'


def test_without_overlays_the_source_is_the_upstreams(bench: Bench) -> None:
    assert bench.apply() is None
    assert snapshot(bench.target) == snapshot(bench.source)


def test_a_patch_is_applied_and_told_of_as_quilt_does(bench: Bench) -> None:
    bench.apply(ADD_PATCH)
    assert "int limit = 100;" in bench.text("lib/parse.c")
    assert bench.text("debian/patches/series") == "# one\nfixed.patch\nlimit.patch\n"
    assert bench.text(".pc/applied-patches") == "fixed.patch\nlimit.patch\n"
    assert bench.text("debian/patches/limit.patch") == LIMIT
    assert bench.text(".pc/limit.patch/lib/parse.c") == (bench.source / "lib/parse.c").read_text()


def test_a_patch_of_the_packaging_is_no_part_of_the_series(bench: Bench) -> None:
    write(
        bench.folder,
        {"patches/limit.patch": "--- a/debian/rules\n+++ b/debian/rules\n@@ -3 +3 @@\n-\tdh $@\n+\tdh $@ -v\n"},
    )
    bench.apply(ADD_PATCH)
    assert "dh $@ -v" in bench.text("debian/rules")
    assert "limit" not in bench.text("debian/patches/series")


def test_a_source_without_a_series_is_changed_directly(bench: Bench) -> None:
    write(bench.source, {"debian/source/format": "3.0 (native)\n"})
    bench.apply(ADD_PATCH)
    assert "int limit = 100;" in bench.text("lib/parse.c")
    assert "limit" not in bench.text("debian/patches/series")


def test_a_patch_of_the_upstream_is_taken_back(bench: Bench) -> None:
    bench.apply('op = "patch-remove"\npatch = "fixed.patch"')
    assert bench.text("lib/parse.c").endswith("int last;\n")
    assert bench.text("debian/patches/series") == "# one\n"
    assert bench.text(".pc/applied-patches") == ""
    assert not (bench.target / ".pc/fixed.patch").exists()
    assert not (bench.target / "debian/patches/fixed.patch").exists()


def test_overlays_see_what_those_before_did(bench: Bench) -> None:
    edit = 'op = "search-replace"\npath = "lib/parse.c"\nsearch = "limit = 100"\nreplace = "limit = 200"'
    bench.apply(ADD_PATCH, edit)
    assert "int limit = 200;" in bench.text("lib/parse.c")


def test_files(bench: Bench) -> None:
    (bench.folder / "files/new.c").chmod(0o755)
    bench.apply(
        'op = "file-add"\npath = "lib/deep/new.c"\nfile = "files/new.c"',
        'op = "file-rename"\npath = "README"\nto = "docs/README"',
        'op = "file-remove"\npath = "debian/libexpat1.symbols"',
        'op = "file-replace"\npath = "debian/expat.install"\nfile = "files/new.c"',
    )
    assert bench.text("lib/deep/new.c") == bench.text("debian/expat.install") == "int new;\n"
    assert (bench.target / "lib/deep/new.c").stat().st_mode & 0o777 == 0o755
    assert bench.text("docs/README") == "expat\n"
    assert not (bench.target / "README").exists()
    assert not (bench.target / "debian/libexpat1.symbols").exists()


def test_search_and_replace_by_expression(bench: Bench) -> None:
    bench.apply(
        'op = "search-replace"\npath = "lib/parse.c"\nregex = true\ncount = 3\n'
        "search = '^int (depth|last|fixed);$'\nreplace = 'long \\1;'"
    )
    assert [line for line in bench.text("lib/parse.c").splitlines() if line.startswith("long")] == [
        "long depth;",
        "long last;",
        "long fixed;",
    ]


def test_dependencies_keep_the_layout_around_them(bench: Bench) -> None:
    bench.apply(
        'op = "depends-add"\nfield = "build-depends"\nrelation = "zlib1g-dev (>= 1:1.2)"',
        'op = "depends-remove"\nfield = "build-depends"\nname = "dh-other"',
        'op = "depends-change"\nfield = "depends"\npackage = "expat"\nname = "libexpat1"\nrelation = "libexpat1"',
        'op = "depends-add"\nfield = "suggests"\npackage = "expat"\nrelation = "libxml2 | libexpat1"',
    )
    text = bench.text("debian/control")
    assert text.startswith("# What is built\nSource: expat\n")
    assert "# for the manual\n               docbook-to-man <!nodoc>,\n" in text
    assert "dh-exec,zlib1g-dev (>= 1:1.2)" in text.replace(", ", ",").replace("\n               ", "")
    assert "dh-other" not in text
    assert "Depends: libexpat1, ${misc:Depends}\nSuggests: libxml2 | libexpat1\nDescription" in text


def test_a_package_is_dropped_with_its_files(bench: Bench) -> None:
    bench.apply('op = "package-drop"\npackage = "expat"')
    assert "Package: expat" not in bench.text("debian/control")
    assert "Package: libexpat1\n" in bench.text("debian/control")
    assert not (bench.target / "debian/expat.install").exists()
    # debhelper would put everything into the only package that is left
    assert "override_dh_auto_install:\n\tdh_auto_install --destdir=debian/tmp\n" in bench.text("debian/rules")


def split(path: str) -> str:
    return (
        f'op = "package-split"\npackage = "expat"\nname = "expat-extra"\ndescription = "more"\npaths = ["{path}"]\n'
        'depends = ["libexpat1 (>= 2)"]'
    )


def test_a_line_of_an_install_file_moves_to_the_new_package(bench: Bench) -> None:
    bench.apply(split("usr/bin/xmlwf"))
    assert bench.text("debian/expat-extra.install") == "usr/bin/xmlwf\n"
    assert "xmlwf" not in bench.text("debian/expat.install")
    assert "dh_install" not in bench.text("debian/rules")
    stanza = bench.text("debian/control").partition("Package: expat-extra\n")[2]
    assert stanza.startswith(
        "Architecture: any\n"
        "Depends: ${misc:Depends}, ${shlibs:Depends}, libexpat1 (>= 2)\n"
        "Breaks: expat (<< ${binary:Version})\n"
        "Replaces: expat (<< ${binary:Version})\n"
        "Description: more\n"
    )


def test_what_a_pattern_covers_is_moved_by_the_build(bench: Bench) -> None:
    bench.apply(split("usr/share/man/man1"))
    assert bench.text("debian/rules").endswith(
        "execute_after_dh_install:\n"
        "\tmkdir -p debian/expat-extra/usr/share/man\n"
        "\tmv debian/expat/usr/share/man/man1 debian/expat-extra/usr/share/man/\n"
    )
    assert (bench.target / "debian/rules").stat().st_mode & 0o111


def test_what_overlays_say_of_the_build() -> None:
    made = component(
        operation('op = "build-option"\noption = "parallel=4"'),
        operation('op = "build-profile"\nprofile = "nodoc"'),
        operation('op = "build-flag"\nflag = "CFLAGS"\nappend = "-O3"'),
        operation('op = "build-flag"\nflag = "CFLAGS"\nappend = "-g1"'),
        operation('op = "build-environment"\nname = "X"\nvalue = "a b"'),
        operation('op = "tests-skip"\nreason = "they need a network"'),
    )
    found = settings_of(made)
    assert found.options == ("parallel=4", "nocheck")
    assert found.profiles == ("nodoc", "nocheck")
    assert found.environment == {"DEB_CFLAGS_APPEND": "-O3 -g1", "X": "a b"}
    assert not found.tests
    assert settings_of(component()).tests


class TestVersion:
    def test_the_changelog_says_why_and_names_the_hole(self, bench: Bench) -> None:
        version = bench.apply(ADD_PATCH)
        assert version == "2.7.1-2+deb13u1+z1"
        assert bench.text("debian/changelog").startswith(
            "expat (2.7.1-2+deb13u1+z1) trixie-security; urgency=medium\n\n"
            "  * the parser must not be driven out of memory (CVE-2026-1234)\n\n"
            f" -- {MAINTAINER}  Thu, 01 Jan 2026 00:00:00 +0000\n\n"
            "expat (2.7.1-2+deb13u1) trixie-security;"
        )

    def test_a_fix_ahead_and_words_of_its_own(self, bench: Bench) -> None:
        version = bench.apply(
            operation('op = "version"\nrevision = 3\nahead = true')
            + operation('op = "changelog"\ntext = "CVE-2026-1234"')
        )
        assert version == "2.7.1-2+deb13u1+0z3"
        assert "  * CVE-2026-1234\n" in bench.text("debian/changelog")

    def test_time_does_not_run_backwards(self, bench: Bench) -> None:
        changelog = (bench.source / "debian/changelog").read_text().replace("2025", "2030")
        write(bench.source, {"debian/changelog": changelog.replace("Thu, ", "Wed, ")})
        bench.apply(ADD_PATCH)
        assert f"{MAINTAINER}  Wed, 02 Jan 2030 10:00:00 +0100" in bench.text("debian/changelog")


NEAR = [
    (
        'op = "file-remove"\npath = "lib/parze.c"',
        "operations[0].path: there is no file 'lib/parze.c' in the source",
        "near: lib/parse.c",
    ),
    (
        'op = "file-remove"\npath = "parse.c"',
        "operations[0].path: there is no file 'parse.c' in the source",
        "near: lib/parse.c",
    ),
    (
        'op = "search-replace"\npath = "lib/parse.c"\nsearch = "int depht;"\nreplace = "x"',
        "operations[0].search: 'int depht;' is not found in lib/parse.c",
        "near: int depth;",
    ),
    (
        'op = "search-replace"\npath = "lib/parse.c"\nsearch = "int"\nreplace = "x"\ncount = 9',
        "operations[0].count: 'int' is found 5 times, not 9",
        None,
    ),
    (
        'op = "patch-remove"\npatch = "fixd.patch"',
        "operations[0].patch: debian/patches/series has no patch 'fixd.patch'",
        "near: fixed.patch",
    ),
    (
        'op = "depends-remove"\nfield = "build-depends"\nname = "dh-exce"',
        "operations[0].name: nothing in Build-Depends of the source is on 'dh-exce'",
        "near: dh-exec, dh-other",
    ),
    (
        'op = "depends-remove"\nfield = "recommends"\npackage = "expat"\nname = "x1"',
        "operations[0].field: expat has no Recommends",
        "near: ",
    ),
    (
        'op = "depends-add"\nfield = "depends"\npackage = "libexpat"\nrelation = "libc6"',
        "operations[0].package: debian/control has no package 'libexpat'",
        "near: libexpat1",
    ),
    (
        'op = "depends-add"\nfield = "depends"\npackage = "expat"\nrelation = "libc6 >= 2"',
        "operations[0].relation: 'libc6 >= 2' is no dependency of a Debian package, such as 'libc6 (>= 2.36)'",
        None,
    ),
    (
        'op = "package-drop"\npackage = "libexpat1"',
        "operations[0].package: 'libexpat1' is needed by expat of this source",
        None,
    ),
    (
        split("usr/bin/xmlwff"),
        "operations[0].paths: debian/expat.install installs nothing as 'usr/bin/xmlwff'",
        "near: usr/bin/xmlwf",
    ),
    (
        'op = "file-add"\npath = "README"\nfile = "files/new.c"',
        "operations[0].path: the source has 'README' already",
        None,
    ),
    (
        'op = "file-replace"\npath = "lib"\nfile = "files/new.c"',
        "operations[0].path: 'lib' is a folder in the source",
        None,
    ),
]


@pytest.mark.parametrize(("words", "said", "near"), NEAR)
def test_what_matches_nothing_is_named_with_what_is_near(bench: Bench, words: str, said: str, near: str | None) -> None:
    error = bench.refused(ADD_PATCH, words)
    assert str(error) == f"components/expat/overlays/0002-x.toml: {said}"
    if near:
        assert error.resolution is not None
        assert error.resolution.startswith(near)


def test_a_patch_that_does_not_apply_says_where(bench: Bench) -> None:
    write(bench.folder, {"patches/limit.patch": LIMIT.replace("int parse(void) {", "int parse(int x) {")})
    error = bench.refused(ADD_PATCH)
    assert str(error) == "components/expat/overlays/0001-x.toml: operations[0].file: the patch does not apply"
    assert error.details == (
        "lib/parse.c, hunk 1: line 2 is 'int parse(void) {', and the patch expects 'int parse(int x) {'"
    )


def test_a_patch_that_the_upstream_has_is_said_to_be_there(bench: Bench) -> None:
    write(bench.folder, {"patches/limit.patch": UPSTREAM_PATCH})
    error = bench.refused(ADD_PATCH)
    assert "the source contains this patch: it applies in reverse" in str(error)
    assert "component update" in str(error.resolution)


def test_a_malformed_patch_is_named_with_its_line(bench: Bench) -> None:
    write(bench.folder, {"patches/limit.patch": LIMIT[: LIMIT.index(" int parse")]})
    assert "operations[0].file: limit.patch, line 8: the patch ends within a hunk" in str(bench.refused(ADD_PATCH))


def test_a_patch_under_another_one_can_not_be_taken_back(bench: Bench) -> None:
    over = (
        UPSTREAM_PATCH.replace("@@ -4,2 +4,3 @@", "@@ -5,2 +5,3 @@")
        .replace(" }\n", "")
        .replace("+int fixed;", " int fixed;\n+int over;")
    )
    write(
        bench.source,
        {
            "debian/patches/series": "fixed.patch\nover.patch\n",
            ".pc/applied-patches": "fixed.patch\nover.patch\n",
            "debian/patches/over.patch": over,
            "lib/parse.c": "int depth;\nint parse(void) {\nreturn 0;\n}\nint last;\nchanged\nint over;\n",
        },
    )
    error = bench.refused('op = "patch-remove"\npatch = "fixed.patch"')
    assert "fixed.patch can not be taken back from the source: over.patch after it changes the same files" in str(error)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"debian/control": "nonsense\n"}, "debian/control is malformed"),
        ({"debian/control": CONTROL.partition("\n\n")[2]}, "debian/control does not begin with a Source"),
    ],
)
def test_a_malformed_source(bench: Bench, files: dict[str, str], said: str) -> None:
    write(bench.source, files)
    assert said in str(bench.refused('op = "package-drop"\npackage = "expat"'))


def test_no_debian_source_and_no_patches_applied(bench: Bench) -> None:
    (bench.source / ".pc/applied-patches").unlink()
    assert "unpacked without its patches" in str(bench.refused(ADD_PATCH))
    (bench.source / "debian/control").unlink()
    assert "this is no Debian source: it has no debian/control" in str(bench.refused(ADD_PATCH))


def test_a_changelog_that_can_not_be_read(bench: Bench) -> None:
    write(bench.source, {"debian/changelog": "what is new\n"})
    assert "debian/changelog has no entry that could be read" in str(bench.refused(ADD_PATCH))


class TestHostileSources:
    def test_a_link_out_of_the_source_is_not_followed(self, bench: Bench, tmp_path: Path) -> None:
        outside = write(tmp_path / "outside", {"parse.c": "int depth;\nint parse(void) {\nreturn 0;\n"})
        (bench.source / "lib/parse.c").unlink()
        (bench.source / "lib").rmdir()
        (bench.source / "lib").symlink_to(outside)
        assert "goes through a link: lib" in str(bench.refused(ADD_PATCH))
        assert "limit" not in (outside / "parse.c").read_text()

    def test_a_file_that_is_a_link_is_neither_read_nor_written(self, bench: Bench, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("int depth;\n")
        (bench.source / "lib/parse.c").unlink()
        (bench.source / "lib/parse.c").symlink_to(secret)
        edit = 'op = "search-replace"\npath = "lib/parse.c"\nsearch = "int"\nreplace = "long"'
        assert "'lib/parse.c' is no plain file in the source" in str(bench.refused(edit))
        assert secret.read_text() == "int depth;\n"

    def test_a_patch_that_leads_out(self, bench: Bench) -> None:
        write(bench.folder, {"patches/limit.patch": LIMIT.replace("lib/parse.c", "../../escape")})
        assert "'a/../../escape' leads out of the source" in str(bench.refused(ADD_PATCH))

    def test_what_is_no_file(self, bench: Bench) -> None:
        os.mkfifo(bench.source / "pipe")
        with pytest.raises(DefinitionError, match="neither a file, a folder nor a link"):
            bench.apply(ADD_PATCH)
        assert not bench.target.exists()
