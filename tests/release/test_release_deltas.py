# SPDX-License-Identifier: Apache-2.0
"""Deltas of releases: from which versions, what becomes of them, and that a mirror is held against them."""

from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from support.releases import Yard, neighbour
from zaffre.delta import apply_delta
from zaffre.errors import IntegrityError
from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import pool_path, target_place
from zaffre.offer import Listed
from zaffre.place.folder import Folder
from zaffre.progress import SILENT
from zaffre.release.collect import Rule, collect
from zaffre.release.deltas import Goal, Workshop, leading_to, wanted
from zaffre.release.describe import describe
from zaffre.release.kinds import UPDATE_FILES
from zaffre.release.operate import renew
from zaffre.release.overview import shown


def listed(yard: Yard, channel: str = "dev") -> tuple[Listed, ...]:
    return deltas_of(yard.state().role(channel).signed.targets)


def ways(yard: Yard, channel: str = "dev") -> set[tuple[str, str]]:
    """Between which versions the deltas of a channel lead."""
    return {(one.delta.source.version, one.delta.target.version) for one in listed(yard, channel)}


def publish(yard: Yard, *versions: str, deltas: int = 2, floor: str | None = None) -> None:
    for version in versions:
        yard.publish(version, contents=neighbour(version), deltas=deltas, floor=floor)


def test_from_each_of_the_last_versions(yard: Yard) -> None:
    publish(yard, "1.1", "1.2", "1.3", "1.4")
    assert ways(yard) == {("1.1", "1.2"), ("1.1", "1.3"), ("1.2", "1.3"), ("1.2", "1.4"), ("1.3", "1.4")}
    assert len(listed(yard)) == 5 * len(UPDATE_FILES)
    report = yard.verify()
    assert report.ok
    assert any("releases: 4, deltas: 15" in check.detail for check in report.checks)
    for one in listed(yard):
        source = yard.repo / target_place(pool_path(one.delta.source.sha256, one.delta.file), one.delta.source.sha256)
        made: list[bytes] = []
        descriptor = os.open(source, os.O_RDONLY)
        apply_delta(
            BytesIO((yard.repo / target_place(one.path, one.sha256)).read_bytes()),
            descriptor,
            one.delta.source.length,
            one.delta.target.length,
            made.append,
        )
        os.close(descriptor)
        assert b"".join(made) == neighbour(one.delta.target.version)[one.delta.file]
        assert one.length < 0.1 * one.delta.target.length


def test_none_from_below_a_floor_and_none_that_saves_next_to_nothing(yard: Yard) -> None:
    publish(yard, "1.1", "1.2")
    publish(yard, "1.3", floor="1.2", deltas=5)
    assert ("1.1", "1.3") not in ways(yard)
    yard.publish("1.4", contents={"root.erofs": os.urandom(200_000), "uki.efi": b"small"}, deltas=1)
    assert ("1.3", "1.4") not in ways(yard)
    yard.publish("1.5", deltas=5)
    assert not any(target == "1.5" for _, target in ways(yard))


def test_who_runs_what_was_revoked_gets_a_delta_away_from_it(yard: Yard) -> None:
    publish(yard, "1.1")
    yard.revoke("1.1")
    publish(yard, "1.2")
    assert ways(yard) == {("1.1", "1.2")}


def test_another_channel_has_deltas_from_its_own_versions(yard: Yard) -> None:
    publish(yard, "1.1", "1.2", "1.3", deltas=1)
    yard.promote("1.1")
    before = len(list((yard.repo / "targets").rglob("*.vcdiff.xz")))
    yard.promote("1.3", deltas=2)
    assert ways(yard, "stable") == {("1.1", "1.3")}
    publish(yard, "1.4", deltas=1)
    yard.promote("1.4", deltas=1)
    assert ("1.3", "1.4") in ways(yard, "stable")
    assert len(list((yard.repo / "targets").rglob("*.vcdiff.xz"))) == before + 2 * len(UPDATE_FILES)
    assert yard.verify().ok


def test_they_go_with_the_release_that_they_begin_or_end_with(yard: Yard) -> None:
    publish(yard, "1.1", "1.2", "1.3")
    assert collect(yard.desk(), Rule(keep=2), dry_run=False).dropped
    assert ways(yard) == {("1.2", "1.3")}
    assert yard.verify().ok
    files = {path.name.split(".")[0] for path in (yard.repo / "targets").rglob("*.vcdiff.xz")}
    collect(yard.desk(), Rule(), dry_run=False)
    left = {path.name.split(".")[0] for path in (yard.repo / "targets").rglob("*.vcdiff.xz")}
    assert left == {one.sha256 for one in listed(yard)}
    assert left < files


def test_they_are_told(yard: Yard) -> None:
    publish(yard, "1.1", "1.2")
    state = yard.state()
    record = yard.records()["1.2"]
    found = shown(state, "dev", record)
    assert [(one.file, one.source) for one in found.deltas] == [(name, "1.1") for name in sorted(UPDATE_FILES)]
    assert found.sizes["root.erofs"] == 305_000
    assert leading_to(yard.records()["1.1"], listed(yard)) == {}
    lines = describe(renew(state, "dev", now=yard.clock), "here")["dev"]
    assert "deltas from 1.1" in next(line for line in lines if "1.2" in line)


def test_a_mirror_without_a_delta_or_with_another_one_is_not_whole(yard: Yard) -> None:
    publish(yard, "1.1", "1.2")
    path = next((yard.repo / "targets").rglob("*.root.erofs.*.vcdiff.xz"))
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"X")
    assert not yard.verify().ok
    path.unlink()
    assert not yard.verify(quick=True).ok


def test_what_is_listed_as_a_delta_and_is_none_is_found(yard: Yard) -> None:
    publish(yard, "1.1", "1.2")
    yard.replace_delta("root.erofs", b"what it is for is not said", dumb=True)
    assert "does not say what it is a delta of" in yard.verify().checks[-3].detail
    other = listed(yard)[0].delta
    wrong = other.model_copy(update={"source": other.source.model_copy(update={"sha256": "0" * 64})})
    yard.replace_delta(other.file, b"of something else", told=wrong)
    assert "a delta of what no release here has" in yard.verify().checks[-3].detail


def test_a_published_file_that_is_another_one_is_no_source(yard: Yard, tmp_path: Path) -> None:
    publish(yard, "1.1")
    path = next((yard.repo / "targets").rglob("*.root.erofs"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="no delta can begin with it"):
        publish(yard, "1.2")
    assert yard.sees() == ["1.1"]
    state = yard.state()
    signed = state.role("dev").signed
    goal = Goal.of_record(yard.records()["1.1"].model_copy(update={"version": "1.9"}), signed)
    assert wanted(state.records("dev").values(), signed, goal, 3) == []  # the very same files
    assert Workshop(Folder(yard.repo), tmp_path, SILENT).make(state, []) == ()


def test_count_is_by_version_and_none_is_none(yard: Yard) -> None:
    publish(yard, "1.1", "1.2")
    state = yard.state()
    records, signed = state.records("dev"), state.role("dev").signed
    newest = Goal.of_record(yard.records()["1.2"], signed)
    assert {one.source.version for one in wanted(records.values(), signed, newest, 9)} == {"1.1"}
    assert wanted(records.values(), signed, newest, 0) == []
    assert wanted(records.values(), signed, replace(newest, product="other-amd64"), 9) == []
