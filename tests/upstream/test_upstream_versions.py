# SPDX-License-Identifier: Apache-2.0
"""Our order of versions against dpkg's, and the reading of relations."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zaffre.upstream.deb.control import Relation, parse_relations, parse_stanza, parse_stanzas, source_of
from zaffre.upstream.deb.version import satisfies, version_key

upstream = st.from_regex(r"[0-9][0-9A-Za-z.+~]{0,6}", fullmatch=True)
epoch = st.sampled_from(["", "0:", "1:", "12:"])
revision = st.one_of(st.just(""), st.from_regex(r"-[0-9A-Za-z.+~]{1,4}", fullmatch=True))
versions = st.builds(lambda e, u, r: f"{e}{u}{r}", epoch, upstream, revision)


def test_the_classics() -> None:
    ordered = "1.0~~ 1.0~~a 1.0~ 1.0 1.0-0.1 1.0-1~bpo1 1.0-1 1.0-1+b1 1.0a 1.0+ 1.0. 1.0.1 1.2 1.10 1.10-10 2 1:0.1"
    assert sorted(set(ordered.split()), key=version_key) == ordered.split()
    assert version_key("1.0") == version_key("1.0-0") == version_key("0:1.0") == version_key("01.00")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is the oracle")
@settings(max_examples=150, deadline=None)
@given(versions, versions)
def test_against_dpkg(one: str, two: str) -> None:
    ours = (version_key(one) > version_key(two)) - (version_key(one) < version_key(two))
    for relation, expected in (("lt", -1), ("eq", 0), ("gt", 1)):
        done = subprocess.run(
            ["dpkg", "--compare-versions", one, relation, two], check=False, stderr=subprocess.DEVNULL
        )
        assert (done.returncode == 0) == (ours == expected), f"{one} {relation} {two}"


@pytest.mark.parametrize("text", ["", "1 2", "a:1", "1_2", "-1", "1:"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Debian version"):
        version_key(text)


@pytest.mark.parametrize(
    ("relation", "holds"),
    [("<<", "1"), ("<=", "12"), ("=", "2"), (">=", "23"), (">>", "3"), ("<", "12"), (">", "23")],
)
def test_relations(relation: str, holds: str) -> None:
    assert "".join(version for version in "123" if satisfies(version, relation, "2")) == holds


def test_relations_are_read() -> None:
    assert parse_relations("a:any (>= 1:2~) | b, c [amd64],\n d (= ${x})".replace("(= ${x})", "(= 3)")) == (
        (Relation("a", ">=", "1:2~"), Relation("b")),
        (Relation("c"),),
        (Relation("d", "=", "3"),),
    )
    with pytest.raises(ValueError, match="is not a relation"):
        parse_relations("a (?? 1)")


def test_a_versioned_relation_needs_a_versioned_provider() -> None:
    assert Relation("mta").provided_by(None)
    assert not Relation("mta", ">=", "1").provided_by(None)
    assert Relation("mta", ">=", "1").provided_by("2")


def test_stanzas() -> None:
    text = "A: 1\nB:\n x\n .\n y\n\n \nC: 2\n# note\nD: 3\n"
    assert list(parse_stanzas(text)) == [{"A": "1", "B": "\nx\n.\ny"}, {"C": "2", "D": "3"}]
    for wrong in (" x\n", "nonsense\n", "a b : c\n :\n"):
        with pytest.raises(ValueError, match="field"):
            parse_stanza(wrong)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(None, ("p", "1")), ("s", ("s", "1")), ("s (2)", ("s", "2"))],
)
def test_the_source_of_a_package(source: str | None, expected: tuple[str, str]) -> None:
    stanza = {"Package": "p", "Version": "1"} | ({"Source": source} if source else {})
    assert source_of(stanza) == expected
