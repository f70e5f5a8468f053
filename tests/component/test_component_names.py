# SPDX-License-Identifier: Apache-2.0
"""Who gives which package: a name has one giver within a component, and within an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from definition.workshop import Workshop
from support.upstreams import said
from zaffre.component.names import names_given
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import COMPONENTS, BuiltPackage, LockedComponent, LockedPackage, LockedSource, Outcome
from zaffre.upstream.shelf import require_ours
from zaffre.upstream.solving import SetRequest

EXPAT = 'description = "x"\n[source]\nkind = "deb-source"\npackage = "expat"\n'
HEAD = """\
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = "2.7.2"
[[operations]]
"""
AT = "components/expat/overlays/"
SPLIT = 'op = "package-split"\npackage = "expat"\nname = "expat-tools"\ndescription = "x"\npaths = ["usr/bin/*"]'


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.write("components/expat/component.toml", EXPAT)
    made.write(AT + "0001-x.toml", HEAD + SPLIT)
    return made


def test_names_after_a_split(workshop: Workshop) -> None:
    component = workshop.load().component("expat")
    assert names_given(component, ["expat", "libexpat1"]) == ("expat", "expat-tools", "libexpat1")
    with pytest.raises(DefinitionError) as caught:
        names_given(component, ["expat", "expat-tools"])
    assert "'expat' gives a package 'expat-tools' already" in said(caught.value)
    assert caught.value.where == f"{AT}0001-x.toml: operations[0]"


def package(name: str, archive: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version="2.7-1",
        architecture="amd64",
        sha256="0" * 64,
        size=1,
        path=f"{name}.deb",
        suite="trixie",
        archive=archive,
        source="expat",
        source_version="2.7-1",
    )


def component(outcome: Outcome, *names: str) -> LockedComponent:
    return LockedComponent(
        name="expat",
        architecture="amd64",
        upstream="debian",
        key="0" * 64,
        outcome=outcome,
        gives=("expat", "libexpat1"),
        source=LockedSource(name="expat", version="2.7-1"),
        packages=tuple(BuiltPackage(package=package(name, COMPONENTS), control="") for name in names),
    )


def test_an_image_takes_all_that_a_component_gives_from_it() -> None:
    request = SetRequest("host", ("expat",), "amd64")
    ours, theirs = package("expat", COMPONENTS), package("libexpat1", "debian")
    require_ours([component(Outcome.BUILT, "expat")], "debian", request, [ours, package("other", "debian")])
    require_ours([component(Outcome.UPSTREAM_BINARY)], "debian", request, [theirs])
    require_ours([component(Outcome.BUILT, "expat")], "another", request, [theirs])
    for given in (("expat",), ("expat", "libexpat1")):
        with pytest.raises(DefinitionError) as caught:
            require_ours([component(Outcome.BUILT, *given)], "debian", request, [ours, theirs])
        assert (
            "'host' takes 'libexpat1' 2.7-1 of the upstream's, and the component 'expat' gives it" in caught.value.brief
        )
