# SPDX-License-Identifier: Apache-2.0
"""Components and overlays: what loads, and each way of writing them wrongly with the message that is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from workshop import MAIN, RPMS, Workshop

from zaffre.definition import Category, DebSource, UpstreamStatus, component_digest
from zaffre.definition.operations import SOURCES, PatchAdd

Broken = Callable[[dict[str, str]], list[str]]

EXPAT = """
description = "XML parser"
[source]
kind = "deb-source"
package = "expat"
"""
KUBELET = """
description = "Node agent of Kubernetes"
[source]
kind = "go-module"
module = "k8s.example/kubernetes"
version = "v1.34.2"
sum = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
packages = ["./cmd/kubelet"]
[[packages]]
name = "kubelet"
description = "node agent of Kubernetes"
[packages.install]
"bin/kubelet" = "/usr/bin/kubelet"
"""
SITE = """
description = "Settings of the site"
[source]
kind = "files"
tree = "tree"
version = "1"
[[packages]]
name = "site"
description = "settings of the site"
architecture = "all"
[packages.install]
"etc" = "/etc"
"""
RPM = """
description = "XML parser"
[source]
kind = "rpm"
spec = "expat.spec"
"""
HEAD = """
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = "2.7.2"
"""
PATCH = '[[operations]]\nop = "patch-add"\nfile = "patches/limit.patch"\n'
AT = "components/expat/overlays/"


def overlay(*operations: str, head: str = HEAD) -> str:
    return head + "".join(f"[[operations]]\n{operation}\n" for operation in operations)


@pytest.fixture
def expat(workshop: Workshop) -> Workshop:
    workshop.write("components/expat/component.toml", EXPAT)
    workshop.write("components/expat/overlays/0001-limit.toml", HEAD + PATCH)
    workshop.write("components/expat/patches/limit.patch", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    return workshop


def test_a_component_and_its_overlay(expat: Workshop) -> None:
    distribution = expat.load()
    component = distribution.component("expat")
    assert component.source == DebSource(kind="deb-source", package="expat")
    assert distribution.upstream_of_component(component).name == "debian"
    assert not component.inherited
    (one,) = component.overlays
    assert (one.number, one.file) == (1, AT + "0001-limit.toml")
    assert (one.category, one.upstream_status) == (Category.SECURITY, UpstreamStatus.SUBMITTED)
    assert (one.since, one.until) == (dt.date(2026, 1, 2), "2.7.2")
    assert one.operations == (PatchAdd(op="patch-add", file="patches/limit.patch"),)
    assert component.named_files() == ("patches/limit.patch",)


def test_overlays_come_in_the_order_of_their_numbers(expat: Workshop) -> None:
    expat.write(AT + "0010-b.toml", overlay('op = "tests-skip"\nreason = "they need a network"'))
    expat.write(AT + "0002-z.toml", overlay('op = "build-profile"\nprofile = "nodoc"'))
    assert [one.number for one in expat.load().component("expat").overlays] == [1, 2, 10]


def test_all_kinds_of_source_load(workshop: Workshop) -> None:
    workshop.write("components/kubelet/component.toml", KUBELET)
    workshop.write("components/site/component.toml", SITE)
    workshop.write("components/site/tree/etc/motd", "hello\n")
    binary = '[source]\nkind = "deb-binary"\npackages = ["containerd"]\n'
    workshop.write("components/containerd/component.toml", f'description = "x"\n{binary}')
    components = workshop.load().components
    assert {name: one.source.kind for name, one in components.items()} == {
        "containerd": "deb-binary",
        "kubelet": "go-module",
        "site": "files",
    }
    assert [name for name, one in components.items() if one.inherited] == ["containerd"]


def without(key: str) -> str:
    return "".join(line + "\n" for line in HEAD.splitlines() if not line.startswith(key)) + PATCH


def changed(key: str, value: str) -> str:
    return "".join(f"{key} = {value}\n" if line.startswith(key) else line + "\n" for line in HEAD.splitlines()) + PATCH


@pytest.mark.parametrize("key", ["category", "reason", "upstream_status", "links", "since", "until"])
def test_an_overlay_that_does_not_explain_itself_is_not_loaded(expat: Workshop, key: str) -> None:
    expat.write(AT + "0001-limit.toml", without(key))
    assert expat.problems() == [f"{AT}0001-limit.toml: {key}: is required"]


OF_AN_OVERLAY = [
    (changed("reason", '""'), "reason: '' is not one argument or line, without white space at its ends"),
    (changed("links", "[]"), "links: must not be empty"),
    (
        changed("links", '["CVE-12"]'),
        "links[0]: there is no file 'CVE-12' in the component's folder",
    ),
    (
        changed("category", '"securty"'),
        (
            'category: must be one of "security", "bug-fix", "hardening", "compliance", "compatibility", "performance",'
            ' "feature", "size", "build", "branding" (did you mean \'security\'?)'
        ),
    ),
    (changed("since", '"2026-01-02"'), "since: must be a date without quotes, such as 2026-11-25"),
    (changed("until", '"2026-01-02"'), "until: '2026-01-02' is a date: write it without quotes"),
    (changed("until", '"next week"'), "until: 'next week' is not a version, such as \"2.1.12-8\""),
    (
        changed("until", "1.2"),
        "until: must be a version of the upstream in quotes, or a date without quotes, such as 2026-11-25",
    ),
    (HEAD + "operations = []", "operations: must not be empty"),
    (
        overlay('op = "patch-ad"\nfile = "patches/limit.patch"'),
        (
            "operations[0].op: must be one of " + ", ".join(f'"{one}"' for one in ["patch-add", "patch-remove"]),
            "(did you mean 'patch-add'?)",
        ),
    ),
    (overlay('file = "patches/limit.patch"'), "operations[0].op: is required"),
    (overlay('op = "patch-add"'), "operations[0].file: is required"),
    (
        overlay('op = "patch-add"\nfile = "patches/limit.patch"\nfle = "x"'),
        "operations[0].fle: unknown key (did you mean 'file'?)",
    ),
    (
        overlay('op = "file-remove"\npath = "../../etc/passwd"'),
        (
            "operations[0].path: '../../etc/passwd' is not a path relative to the definition, without '.' or '..'",
            "",
        ),
    ),
    (
        overlay('op = "search-replace"\npath = "a"\nsearch = "("\nreplace = "x"\nregex = true'),
        "operations[0]: is no regular expression: missing ), unterminated subpattern at position 0",
    ),
    (
        overlay('op = "search-replace"\npath = "a"\nsearch = "a"\nreplace = "\\\\2"\nregex = true'),
        "operations[0]: is no regular expression: invalid group reference 2 at position 1",
    ),
    (
        overlay('op = "depends-add"\nfield = "depends"\nrelation = "libc6"'),
        "operations[0]: depends is of a binary package, so package is required",
    ),
    (
        overlay('op = "depends-remove"\nfield = "build-depends"\npackage = "libexpat1"\nname = "x"'),
        "operations[0]: build-depends is of the source, so no package is named",
    ),
    (
        overlay('op = "patch-add"\nfile = "patches/lmit.patch"'),
        (
            "operations[0].file: there is no file 'patches/lmit.patch' in the component's folder",
            "(did you mean 'limit.patch'?)",
        ),
    ),
    (
        overlay('op = "build-option"\noption = "nocheck"\nenabled = false'),
        (
            "operations[0].enabled: DEB_BUILD_OPTIONS holds what is switched on, and nothing can be switched off there",
            "(name the option that does it, or leave it out)",
        ),
    ),
    (
        overlay('op = "define"\nname = "with_gui"\nvalue = "0"'),
        (
            "operations[0].op: 'define' can not be done to a 'deb-source'",
            f"(it can take {', '.join(sorted(SOURCES['deb-source']))})",
        ),
    ),
]


@pytest.mark.parametrize(("text", "said"), OF_AN_OVERLAY)
def test_a_wrong_overlay(expat: Workshop, text: str, said: str | tuple[str, str]) -> None:
    expat.write(AT + "0001-limit.toml", text)
    (problem,) = expat.problems()
    start, end = (said, said) if isinstance(said, str) else said
    assert problem.startswith(f"{AT}0001-limit.toml: {start}")
    assert problem.endswith(end)


OF_A_COMPONENT = [
    ("[source]\n", "source.kind: is required"),
    (
        '[source]\nkind = "deb"\n',
        'source.kind: must be one of "deb-source", "deb-binary", "rpm", "go-module", "files"',
    ),
    ('[source]\nkind = "deb-source"\n', "source.package: is required"),
    (
        '[source]\nkind = "deb-source"\npackge = "expat"\npackage = "expat"\n',
        "source.packge: unknown key (did you mean 'package'?)",
    ),
    ('[source]\nkind = "deb-binary"\npackages = []\n', "source.packages: must not be empty"),
    ('upstream = "debain"\n' + EXPAT.partition("\n")[2].partition("\n")[2], "upstream: there is no upstream 'debain'"),
    (
        '[source]\nkind = "rpm"\n',
        "source: needs either package (of the upstream) or spec (a file of the component)",
    ),
    (
        '[source]\nkind = "rpm"\npackage = "expat"\n',
        "source.kind: upstream 'debian' has deb packages, and 'rpm' is for rpm",
    ),
    (
        '[build]\noptions = ["nocheck"]\n[source]\nkind = "deb-source"\npackage = "expat"\n',
        "build.options: is for a go-module, not for 'deb-source' (make it an overlay, which says why)",
    ),
    (
        KUBELET.partition("[[packages]]")[0].partition("\n")[2].partition("\n")[2],
        "packages: a 'go-module' needs at least one package",
    ),
    (
        KUBELET.partition("\n")[2].partition("\n")[2].replace("bin/kubelet", "bin/kublet"),
        "packages[0].install.\"bin/kublet\": no package of source.packages gives a program 'bin/kublet' (did you",
    ),
    (
        KUBELET.partition("\n")[2].partition("\n")[2].replace("h1:47", "h1:4"),
        "source.sum: 'h1:4DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' is not a checksum as in go.sum",
    ),
    (SITE.partition("\n")[2].partition("\n")[2], "source.tree: there is no directory components/own/tree"),
]


@pytest.mark.parametrize(("text", "said"), OF_A_COMPONENT)
def test_a_wrong_component(broken: Broken, text: str, said: str) -> None:
    (problem,) = broken({"components/own/component.toml": f'description = "x"\n{text}'})
    assert problem.startswith(f"components/own/component.toml: {said}")


def test_a_split_into_a_package_that_is_there(workshop: Workshop) -> None:
    workshop.write(
        "components/expat/component.toml",
        'description = "x"\n[source]\nkind = "deb-binary"\npackages = ["expat", "libexpat1"]\n',
    )
    split = 'op = "package-split"\npackage = "expat"\nname = "libexpat1"\ndescription = "x"\npaths = ["usr/lib/**"]'
    workshop.write(AT + "0001-x.toml", overlay(split))
    (problem,) = workshop.problems()
    assert problem.startswith(f"{AT}0001-x.toml: operations[0].name: the upstream has a package 'libexpat1' already")


REPLACE = 'op = "file-replace"\npath = "lib/a.c"\nfile = "patches/limit.patch"'
REMOVE = 'op = "file-remove"\npath = "lib/a.c"'
EDIT = 'op = "search-replace"\npath = "lib/a.c"\nsearch = "a"\nreplace = "b"'
DROP = 'op = "package-drop"\npackage = "expat"'
SPLIT = 'op = "package-split"\npackage = "expat"\nname = "xmlwf"\ndescription = "x"\npaths = ["usr/bin/xmlwf"]'
DEPEND = 'op = "depends-add"\nfield = "depends"\npackage = "expat"\nrelation = "libc6 (>= 2)"'
UNDEPEND = 'op = "depends-remove"\nfield = "depends"\npackage = "expat"\nname = "libc6"'
ON_SPLIT = 'op = "depends-add"\nfield = "depends"\npackage = "xmlwf"\nrelation = "libc6"'


@pytest.mark.parametrize(
    ("first", "second", "subject"),
    [
        (REPLACE, REMOVE, "lib/a.c"),
        (REMOVE, REPLACE, "lib/a.c"),
        (EDIT, REMOVE, "lib/a.c"),
        (REPLACE, EDIT, "lib/a.c"),
        (REMOVE, 'op = "file-rename"\npath = "lib/b.c"\nto = "lib/a.c"', "lib/a.c"),
        ('op = "patch-add"\nfile = "patches/limit.patch"', 'op = "patch-remove"\npatch = "limit.patch"', "limit.patch"),
        (DROP, DEPEND, "expat"),
        (SPLIT, DROP, "expat"),
        (ON_SPLIT, SPLIT, "xmlwf"),
        (DEPEND, UNDEPEND, "libc6"),
        ('op = "version"\nrevision = 1', 'op = "version"\nrevision = 2', "version"),
    ],
)
def test_overlays_that_contradict_each_other(expat: Workshop, first: str, second: str, subject: str) -> None:
    expat.write(AT + "0001-limit.toml", overlay(first))
    expat.write(AT + "0002-other.toml", overlay(EDIT.replace("a.c", "z.c"), second))
    done, undone = (text.split('"')[1] for text in (first, second))
    contradicted = f"{done} in {AT}0001-limit.toml: operations[0] (leave one of them)"
    assert expat.problems() == [
        f"{AT}0002-other.toml: operations[1]: {undone} of {subject!r} contradicts {contradicted}"
    ]


@pytest.mark.parametrize(("first", "second"), [(EDIT, EDIT), (SPLIT, ON_SPLIT), (SPLIT, DEPEND)])
def test_overlays_that_build_on_each_other(expat: Workshop, first: str, second: str) -> None:
    expat.write(AT + "0001-limit.toml", overlay(first))
    expat.write(AT + "0002-other.toml", overlay(second))
    assert len(expat.load().component("expat").overlays) == 2


def test_two_overlays_of_one_number(expat: Workshop) -> None:
    expat.write(AT + "0001-again.toml", overlay(EDIT))
    assert expat.problems() == [
        f"{AT}0001-limit.toml: has the number of {AT}0001-again.toml, so their order is not defined"
    ]


def test_nothing_in_the_folder_of_overlays_is_passed_over(expat: Workshop) -> None:
    expat.write(AT + "2-b.toml", HEAD + PATCH)
    expat.write(AT + "0003-c.tml", HEAD + PATCH)
    form = ': the name of an overlay is four digits and words, such as "0001-no-gui.toml"'
    assert expat.problems() == [f"{AT}0003-c.tml{form}", f"{AT}2-b.toml{form}"]


def test_a_folder_without_a_component(broken: Broken) -> None:
    (problem,) = broken({"components/own/README": "nothing"})
    assert problem == "components/own/component.toml: cannot be read: No such file or directory"


def test_a_file_from_outside_the_folder_is_refused(expat: Workshop) -> None:
    patch = expat.root / "components/expat/patches/limit.patch"
    patch.unlink()
    patch.symlink_to("/etc/passwd")
    (problem,) = expat.problems()
    assert problem.endswith(
        "operations[0].file: 'patches/limit.patch' is not a plain file within the component's folder"
    )


def test_a_day_that_has_passed_is_no_fault_of_the_definition(expat: Workshop) -> None:
    expat.write(AT + "0001-limit.toml", changed("until", "2026-01-03"))
    assert expat.load().component("expat").overlays[0].until == dt.date(2026, 1, 3)


def test_a_day_before_the_first_one_is(expat: Workshop) -> None:
    expat.write(AT + "0001-limit.toml", changed("until", "2026-01-01"))
    assert expat.problems() == [f"{AT}0001-limit.toml: until (2026-01-01) is not after since (2026-01-02)"]


def test_all_faults_are_told_at_once(expat: Workshop) -> None:
    expat.write("components/other/component.toml", "descripton = 1")
    expat.write(AT + "0001-limit.toml", without("reason"))
    assert len(expat.problems()) == 4


class TestDigest:
    """What makes another component, and what does not."""

    def digest(self, workshop: Workshop) -> str:
        distribution = workshop.load()
        return component_digest(distribution, distribution.component("expat"))

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("component.toml", EXPAT.replace('"expat"', '"expat2"')),
            ("patches/limit.patch", "another"),
            ("overlays/0001-limit.toml", HEAD.replace("memory", "time") + PATCH),
            ("overlays/0001-limit.toml", changed("links", '["CVE-2026-99999"]')),
            ("overlays/0001-limit.toml", changed("since", "2026-01-03")),
            ("overlays/0001-limit.toml", HEAD + PATCH + '[[operations]]\nop = "build-profile"\nprofile = "nodoc"\n'),
        ],
    )
    def test_another_one(self, expat: Workshop, file: str, text: str) -> None:
        before = self.digest(expat)
        expat.write(f"components/expat/{file}", text)
        assert self.digest(expat) != before

    def test_another_maintainer_of_what_differs(self, expat: Workshop) -> None:
        expat.write("components/zlib/component.toml", EXPAT.replace("expat", "zlib"))

        def both() -> tuple[str, str]:
            distribution = expat.load()
            expats, zlibs = (component_digest(distribution, distribution.component(one)) for one in ("expat", "zlib"))
            return expats, zlibs

        before = both()
        expat.write("zaffre.toml", MAIN.replace("Acme Linux", "Apex Linux"))
        after = both()
        assert after[0] != before[0]
        assert after[1] == before[1], "the upstream's source, unchanged, is the upstream's"

    def test_a_go_module_has_no_changelog_that_a_day_could_be_in(self, workshop: Workshop) -> None:
        workshop.write("components/kubelet/component.toml", KUBELET)
        file = "components/kubelet/overlays/0001-x.toml"
        found = set()
        for head in (HEAD, HEAD.replace("2026-01-02", "2026-01-03")):
            workshop.write(file, head + '[[operations]]\nop = "tests-skip"\nreason = "no network"\n')
            distribution = workshop.load()
            found.add(component_digest(distribution, distribution.component("kubelet")))
        assert len(found) == 1

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("component.toml", EXPAT.replace("XML parser", "Parser of XML")),
            ("component.toml", EXPAT + "[build]\ntime_limit_minutes = 5\n"),
            ("overlays/0001-limit.toml", changed("until", "2027-01-01")),
            ("patches/unused.patch", "nobody names it"),
        ],
    )
    def test_the_same_one(self, expat: Workshop, file: str, text: str) -> None:
        before = self.digest(expat)
        expat.write(f"components/expat/{file}", text)
        assert self.digest(expat) == before


@pytest.mark.parametrize("kind", ["go-module", "files"])
def test_what_becomes_a_debian_package_is_not_for_an_upstream_of_rpms(workshop: Workshop, kind: str) -> None:
    workshop.write("upstreams/rpms.toml", RPMS)
    text = (KUBELET if kind == "go-module" else SITE).replace("[source]", 'upstream = "rpms"\n[source]', 1)
    workshop.write("components/own/component.toml", text)
    workshop.write("components/own/tree/etc/site", "x")
    (problem,) = workshop.problems()
    assert f"source.kind: upstream 'rpms' has rpm packages, and '{kind}' is for deb" in problem
    assert 'a spec of your own (kind = "rpm") can build it' in problem


def test_what_every_rpm_is_built_with_is_part_of_its_key(expat: Workshop) -> None:
    expat.write("upstreams/rpms.toml", RPMS)
    text = 'description = "x"\nupstream = "rpms"\n[source]\nkind = "rpm"\npackage = "expat"\n'
    expat.write("components/expat/component.toml", text)

    def key() -> str:
        distribution = expat.load()
        return component_digest(distribution, distribution.component("expat"))

    before = key()
    expat.write("upstreams/rpms.toml", RPMS.replace("architectures", 'build_packages = ["rpm"]\narchitectures'))
    assert key() != before
