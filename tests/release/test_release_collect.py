# SPDX-License-Identifier: Apache-2.0
"""Making room: what goes, what stays since nodes need it, and that no node misses a file in the middle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from support.releases import Yard
from zaffre.errors import FindingError, IntegrityError
from zaffre.release.collect import Collected, Rule, collect
from zaffre.release.pending import read_pending


def run(yard: Yard, rule: Rule, *, dry_run: bool = False) -> Collected:
    return collect(yard.desk(), rule, dry_run=dry_run)


def test_old_releases_go_first_and_their_files_one_run_later(yard: Yard) -> None:
    for version in ("1", "2", "3"):
        yard.publish(version)
        yard.later(days=1)
    files = len(list((yard.repo / "targets").rglob("*.root.erofs")))
    assert files == 3
    dry = run(yard, Rule(keep=1), dry_run=True)
    assert [path.split("/")[2] for path in dry.dropped["dev"]] == ["1", "2"]
    assert yard.sees() == ["1", "2", "3"]
    run(yard, Rule(keep=1))
    assert yard.sees() == ["3"]
    assert len(list((yard.repo / "targets").rglob("*.root.erofs"))) == files
    assert yard.verify().ok
    done = run(yard, Rule())
    assert done.removed
    assert len(list((yard.repo / "targets").rglob("*.root.erofs"))) == 1
    assert yard.verify().ok


def test_what_a_second_channel_offers_stays(yard: Yard) -> None:
    yard.publish("1")
    yard.promote("1")
    yard.publish("2")
    run(yard, Rule(keep=1))
    run(yard, Rule(keep=1))
    assert (yard.sees(), yard.sees("other", "stable")) == (["2"], ["1"])
    assert yard.verify().ok


def test_a_release_over_which_others_come_stays(yard: Yard) -> None:
    yard.publish("1")
    yard.publish("2")
    yard.publish("3", floor="2")
    yard.publish("4", floor="3")
    run(yard, Rule(keep=1))
    assert yard.sees() == ["2", "3", "4"]


def test_both_rules_must_agree_and_none_drops_nothing(yard: Yard) -> None:
    yard.publish("1")
    yard.later(days=10)
    yard.publish("2")
    assert run(yard, Rule(keep=1, age=timedelta(days=20))).dropped == {}
    assert run(yard, Rule()).dropped == {}
    assert list(run(yard, Rule(keep=1, age=timedelta(days=5))).dropped) == ["dev"]


def test_a_revoked_newest_release_is_none_to_keep(yard: Yard) -> None:
    yard.publish("1")
    yard.publish("2")
    yard.revoke("2")
    run(yard, Rule(keep=1))
    assert yard.sees() == ["1", "2"]


def test_roots_stay_for_ever_and_old_metadata_go(yard: Yard) -> None:
    for number in (4, 5):
        yard.rotate("root", [f"root-{number - 3}"], [f"root-{number}"])
    for version in ("1", "2", "3"):
        yard.publish(version)
    run(yard, Rule())
    names = {path.name for path in (yard.repo / "metadata").iterdir()}
    assert {"1.root.json", "2.root.json", "3.root.json", "timestamp.json"} <= names
    assert "1.dev.json" not in names
    assert yard.verify().ok
    (yard.repo / "metadata/2.root.json").unlink()
    report = yard.verify(trusted=yard.trusted)
    assert [(one.name, one.detail) for one in report.checks if not one.ok] == [("roots", "missing: 2")]


def test_files_of_a_change_that_waits_go_and_it_is_said_when_it_is_submitted(yard: Yard) -> None:
    yard.publish("1")
    (yard.signers[0] / "dev.key").rename(yard.root / "dev.key")
    assert yard.publish("2").pending is not None
    run(yard, Rule())
    (yard.root / "dev.key").rename(yard.signers[0] / "dev.key")
    read_pending(yard.pending).sign(yard.desk().ring)
    with pytest.raises(FindingError, match="a file of the release is not there yet"):
        yard.desk().submit()
    assert yard.verify().ok


def test_an_older_state_is_not_built_upon(yard: Yard) -> None:
    yard.publish("1")
    shutil.copytree(yard.repo, yard.root / "old")
    yard.revoke("1")
    desk = replace(yard.desk(), seen=yard.state().timestamp.signed.version)
    shutil.rmtree(yard.repo)
    shutil.copytree(yard.root / "old", yard.repo)
    with pytest.raises(IntegrityError, match="the place shows state 2, and 3 was published from here"):
        desk.renew(None)
