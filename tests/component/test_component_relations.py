# SPDX-License-Identifier: Apache-2.0
"""Build dependencies as text: what counts on one architecture, with one profile, and what a change leaves."""

from __future__ import annotations

import pytest

from zaffre.component.relations import added, changed, name_of, reduced


@pytest.mark.parametrize(
    ("field", "architecture", "profiles", "wanted"),
    [
        ("a, b (>= 1) | c", "amd64", (), ["a", "b (>= 1) | c"]),
        ("a [amd64 i386], b [!amd64]", "amd64", (), ["a"]),
        ("a [amd64 i386], b [!amd64]", "arm64", (), ["b"]),
        ("a [linux-any], b [any-arm64], c [hurd-any]", "arm64", (), ["a", "b"]),
        ("a <!nocheck>, b <nocheck>", "amd64", (), ["a"]),
        ("a <!nocheck>, b <nocheck>", "amd64", ("nocheck",), ["b"]),
        ("a <!nocheck !nodoc>, b <nodoc> <nocheck>", "amd64", ("nodoc",), ["b"]),
        ("a:native (<< 2~) [amd64] <!stage1>, b", "amd64", (), ["a:native (<< 2~)", "b"]),
        ("a [i386] | b", "amd64", (), ["b"]),
        ("a (>= 1),\n b (<= 2),\n", "amd64", (), ["a (>= 1)", "b (<= 2)"]),
    ],
)
def test_restrictions(field: str, architecture: str, profiles: tuple[str, ...], wanted: list[str]) -> None:
    assert list(reduced(field, architecture=architecture, profiles=profiles)) == wanted


def test_one_alternative_changes_and_the_others_stay() -> None:
    field = "libc6 (>= 2.38), runc (>= 1.0) | crun"
    assert changed(field, "runc", "youki") == "libc6 (>= 2.38), youki | crun"
    assert changed(field, "runc", None) == "libc6 (>= 2.38), crun"
    assert changed(field, "libc6", None) == "runc (>= 1.0) | crun"
    assert changed(field, "run", "x") is None
    assert changed("a", "a", None) == ""
    assert added("", "a") == "a"
    assert added("a,", "b | c") == "a, b | c"


def test_what_is_no_relation() -> None:
    with pytest.raises(ValueError, match="not a relation"):
        name_of("(>= 1)")
