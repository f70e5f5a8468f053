# SPDX-License-Identifier: Apache-2.0
"""Overlays of RPM components against a newer source."""

from __future__ import annotations

from pathlib import Path

from support.rpm_components import NEEDS, Shop, component, soon
from support.rpm_sources import GREETER, GREETER_FILES
from support.rpms import signed
from zaffre.component.engine import maker_of
from zaffre.component.examine import examine
from zaffre.component.newest import newest_source
from zaffre.component.outcome import Fit
from zaffre.component.pristine import pristine
from zaffre.component.update import plan_update

pytestmark = NEEDS


def test_overlays_are_tried_on_the_locked_source_and_moved_to_a_newer_one(shop: Shop, tmp_path: Path) -> None:
    define = '[[operations]]\nop = "build-option"\noption = "tests"\nenabled = false\n'
    words = '[[operations]]\nop = "search-replace"\npath = "words.txt"\nsearch = "hello"\nreplace = "good day"\n'
    shop.overlay(words)
    shop.overlay(define, number=2)
    store, sandbox = shop.shared.store, shop.shared.sandbox
    lock = shop.lock(components=["greeter"]).lock
    one, old = shop.distribution.component("greeter"), component(lock, "greeter").source
    folder = shop.root / "components/greeter"
    with pristine(one, old, store, sandbox) as before:
        assert {path.name for path in before.iterdir()} == {"greeter.spec", *GREETER_FILES}
        outcomes = examine(one, folder=folder, source=before, scratch=tmp_path)
        assert [outcome.fit for outcome in outcomes] == [Fit.CLEAN, Fit.CLEAN]
        newer = GREETER.replace("Release: 3", "Release: 5").replace("%bcond_without", "%bcond_with")
        files = {**GREETER_FILES, "words.txt": b"good morning\n"}
        shop.sources.add(signed(shop.source(newer, files), shop.shared.key))
        shop.publish()
        repositories = shop.refresh()
        found = newest_source(one, repositories, "amd64")
        assert found.version == "1.0-5"
        bench = shop.engine().bench(component(lock, "greeter"), sandbox, created=soon())
        maker_of(one).fetch(bench, found)
        with pristine(one, found, store, sandbox) as after:
            verdicts = plan_update(one, folder=folder, old=before, new=after, scratch=tmp_path)
    assert [verdict.fit for verdict in verdicts] == [Fit.CONFLICT, Fit.OBSOLETE]
    assert "good morning" in "".join(verdicts[0].conflicts["words.txt"])
