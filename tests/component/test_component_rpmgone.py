# SPDX-License-Identifier: Apache-2.0
"""Sources of RPM components that cannot be had, or are not what they should be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.repository import NOW, Fault, signing_key
from support.rpm_components import NEEDS, Shop, component, content
from support.rpm_sources import GREETER
from support.rpms import signed
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.upstream import Outcome

pytestmark = NEEDS


def test_a_source_that_no_mirror_has_is_an_outcome(shop: Shop) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    (name,) = [name for name in shop.sources.archive.files if name.endswith(".src.rpm")]
    del shop.sources.archive.files[name]
    lock = shop.lock().lock
    locked = component(lock, "greeter")
    assert locked.outcome == Outcome.UPSTREAM_BINARY
    assert locked.gives == ("greeter", "greeter-words")
    assert "the source greeter 1.0-3 is at no mirror" in (locked.note or "")
    assert content(lock, "host")["greeter"] == "1.1-1"


def test_a_source_that_no_repository_has(shop: Shop) -> None:
    for package in ("forgotten", "nowhere"):
        text = f'description = "x"\n[source]\nkind = "rpm"\npackage = "{package}"\n'
        shop.write(f"components/{package}/component.toml", text)
    locked = component(shop.lock(components=["forgotten"]).lock, "forgotten")
    assert (locked.outcome, locked.gives) == (Outcome.UPSTREAM_BINARY, ("lost",))
    assert "no repository of the upstream has the source 'forgotten'" in (locked.note or "")
    assert "the upstream has no source package 'nowhere'" in shop.refused(DefinitionError, components=["nowhere"])


def test_a_source_with_other_bytes(shop: Shop) -> None:
    key, spec = shop.shared.key, GREETER.replace("first", "another time")
    shop.sources.remove("greeter")
    shop.sources.add(signed(shop.source(spec), key))
    shop.publish()
    shop.mirror.fault("extras/source/*.src.rpm", Fault(flip=True))
    assert "is not the one that is signed for" in shop.refused(IntegrityError, components=["greeter"])


@pytest.mark.parametrize(
    ("other", "words"),
    [(False, "the package is not signed"), (True, "the package's signature does not count")],
)
def test_a_source_that_nobody_signed(shop: Shop, *, other: bool, words: str) -> None:
    data = shop.source(GREETER)
    shop.sources.remove("greeter")
    shop.sources.add(signed(data, signing_key()) if other else data)
    shop.publish()
    assert words in shop.refused(IntegrityError, components=["greeter"])


def test_a_repository_of_sources_that_is_older_than_the_locked_one(shop: Shop) -> None:
    lock = shop.lock(components=["greeter"]).lock
    shop.sources.publish([shop.shared.key], date=NOW - timedelta(days=2))
    words = shop.refused(IntegrityError, old=lock, components=["greeter"], update=["greeter"])
    assert "older" in words
    assert "source" in words
