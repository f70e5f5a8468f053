# SPDX-License-Identifier: Apache-2.0
"""The bench's neighbours: a lock in which one thing is another version, as another image of it has it."""

from __future__ import annotations

import json

from deltas import LIMITS, Delivered, delta_figures
from neighbours import CHANGES, IMAGE, swapped

from zaffre.definition import reference_root


def package(name: str, version: str, source: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "source": source or name}


def lock(*sets: tuple[str, list[dict[str, str]]]) -> dict[str, object]:
    return {"sets": [{"name": name, "architecture": "amd64", "packages": packages} for name, packages in sets]}


HOST = [
    package("init", "1"),
    package("libssl3t64", "3.5.7", "openssl"),
    package("linux-image-6.12.1-cloud-amd64", "6.12.1"),
    package("linux-image-cloud-amd64", "6.12.1"),
]
NEWER = [
    package("init", "2"),
    package("libssl3t64", "3.5.9", "openssl"),
    package("linux-image-6.12.2-cloud-amd64", "6.12.2"),
    package("linux-image-cloud-amd64", "6.12.2"),
]


def test_only_what_is_to_change_changes() -> None:
    openssl, kernel = CHANGES.values()
    both = lock((IMAGE, HOST), ("server", NEWER))
    assert swapped(both, openssl) == [HOST[0], NEWER[1], *HOST[2:]]
    assert swapped(both, kernel) == [*HOST[:2], *NEWER[2:]]


def test_without_another_version_there_is_no_neighbour() -> None:
    openssl, kernel = CHANGES.values()
    assert swapped(lock((IMAGE, HOST), ("server", HOST)), openssl) is None
    assert swapped(lock((IMAGE, HOST), ("base", NEWER[:2])), kernel) is None
    assert swapped(lock((IMAGE, HOST[:1]), ("server", NEWER)), openssl) is None


def test_the_projects_lock_has_packages_of_these_kinds() -> None:
    host = next(
        one
        for one in json.loads((reference_root() / "zaffre.lock").read_text())["sets"]
        if (one["name"], one["architecture"]) == (IMAGE, "amd64")
    )
    for like in CHANGES.values():
        assert [like(one) for one in host["packages"] if like(one) is not None]


def test_figures_are_held_to_their_limits() -> None:
    fix = Delivered("a fix", delta=9, whole=100, seconds=1.0, memory=50_000_000)
    kernel = Delivered("a kernel", delta=46, whole=100, seconds=2.0, memory=61_000_000)
    assert [one.held for one in delta_figures([fix, kernel])] == [True, False, False, None]
    assert len(LIMITS) == len(CHANGES)
