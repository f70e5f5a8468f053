# SPDX-License-Identifier: Apache-2.0
"""What is published, in which order, what is refused, and what is left when it stops half-way."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from support.mortal import DiesError, Mortal
from support.releases import Yard, check_report, leave_check, make_build, sealed, sign_build
from support.upstreams import said
from zaffre.cli.checking import evidence
from zaffre.cli.context import Workspace
from zaffre.errors import DefinitionError, FindingError, IntegrityError, WorldError, ZaffreError
from zaffre.image import Build
from zaffre.machine.report import Verdict
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.offer import Record
from zaffre.place import lease
from zaffre.place.folder import Folder
from zaffre.place.objects import open_objects
from zaffre.progress import SILENT
from zaffre.release.candidate import read_candidate
from zaffre.release.evidence import check_path, leave_evidence
from zaffre.release.operate import pause, resume, revoke
from zaffre.release.overview import overview
from zaffre.trust import Keys


def test_a_node_learns_all_that_it_decides_by_and_gets_the_very_files(yard: Yard) -> None:
    yard.publish("1.1")
    yard.later(hours=1)
    yard.publish("1.2", floor="1.1")
    node = yard.node()
    signed = node.channel("dev")
    record = next(
        Record.model_validate(one.custom) for path, one in signed.targets.items() if path.endswith("/1.2/manifest.json")
    )
    assert (record.image, record.architecture, record.version, record.floor) == ("host", "amd64", "1.2", "1.1")
    assert record.rollout.begin == yard.clock
    assert record.rollout.has_turn("any node", "1.2", yard.clock + timedelta(days=1))
    assert record.revoked is None
    assert (record.evidence.held, record.evidence.machine) == (1, "tcg")
    assert sorted(record.files) == [
        "check.json",
        "inventory.json",
        "manifest.json.sig",
        "root.erofs",
        "root.verity",
        "uki.efi",
    ]
    for name in ("root.erofs", "root.verity", "uki.efi"):
        into = yard.root / name
        node.fetch(signed.targets[record.files[name]], into)
        assert into.read_bytes() == (yard.root / "out/host-1.2-amd64" / name).read_bytes()
    report = (yard.root / "out/host-1.2-amd64.check.json").read_bytes()
    assert hashlib.sha256(report).hexdigest() == record.evidence.report
    assert yard.verify().ok


def test_promoting_copies_nothing_large_and_has_a_pace_of_its_own(yard: Yard) -> None:
    yard.publish("1.1")
    before = {path: path.stat().st_ino for path in (yard.repo / "targets/pool").rglob("*") if path.is_file()}
    yard.later(days=2)
    yard.promote("1.1")
    after = {path: path.stat().st_ino for path in (yard.repo / "targets/pool").rglob("*") if path.is_file()}
    assert before == after
    dev, stable = yard.records("dev")["1.1"], yard.records("stable")["1.1"]
    assert stable.rollout.begin - dev.rollout.begin == timedelta(days=2)
    assert stable.files == dev.files
    assert yard.sees("stable-node", "stable") == ["1.1"]
    assert yard.verify().ok


def test_a_version_that_is_not_newer_is_refused(yard: Yard) -> None:
    yard.publish("1.10")
    for version in ("1.9", "1.010", "1.10~rc1"):
        with pytest.raises(FindingError, match=r"is not newer than 1\.10"):
            yard.publish(version)
    assert yard.sees() == ["1.10"]


def test_publishing_again_what_is_there_already_changes_nothing_of_it(yard: Yard) -> None:
    yard.publish("1.1")
    yard.promote("1.1")
    before = yard.records()["1.1"], yard.records("stable")["1.1"]
    yard.later(days=1)
    assert yard.publish("1.1").title == "host-amd64 1.1 is in 'dev' already"
    assert yard.promote("1.1").title == "host-amd64 1.1 is in 'stable' already"
    assert (yard.records()["1.1"], yard.records("stable")["1.1"]) == before
    yard.revoke("1.1")
    with pytest.raises(FindingError, match="is not newer"):
        yard.publish("1.1")


def test_words_that_no_record_can_have_are_refused(yard: Yard) -> None:
    yard.publish("1.1")
    with pytest.raises(DefinitionError, match="cannot be the version"):
        yard.publish("1.2", floor="one two")
    yard.build("1_3")
    with pytest.raises(DefinitionError, match="'1_3' cannot be the version"):
        yard.publish("1_3")
    with pytest.raises(DefinitionError, match="give a reason"):
        yard.desk().carry_out(lambda state: revoke(state, "host-amd64", "1.1", "", now=yard.clock))


def test_a_floor_that_nobody_can_meet_is_refused(yard: Yard) -> None:
    with pytest.raises(FindingError, match=r"meets the floor 1\.0: the newest that is not revoked is nothing"):
        yard.publish("1.1", floor="1.0")
    yard.publish("1.1")
    with pytest.raises(FindingError, match=r"meets the floor 1\.2: the newest that is not revoked is 1\.1"):
        yard.publish("1.3", floor="1.2")
    with pytest.raises(FindingError, match=r"no version can meet the floor: 1\.4 is not older than 1\.4 itself"):
        yard.publish("1.4", floor="1.4")
    yard.publish("1.5", floor="1.1")
    yard.revoke("1.5")
    with pytest.raises(FindingError, match=r"meets the floor 1\.5"):
        yard.publish("1.6", floor="1.5")
    assert yard.verify().ok


def test_a_floor_over_which_older_nodes_have_no_way_is_refused(yard: Yard) -> None:
    yard.publish("1")
    yard.publish("2")
    yard.publish("3", floor="2")
    yard.revoke("2")
    with pytest.raises(FindingError, match=r"nodes that run 1 would have no way to 4"):
        yard.publish("4", floor="2")
    yard.publish("4")
    assert yard.sees() == ["1", "2", "3", "4"]


def _unchecked(build: Path, owner: Keys) -> None:
    check_path(build).unlink()


def _failed(build: Path, owner: Keys) -> None:
    leave_check(build, owner, [Verdict.PASSED, Verdict.FAILED])


def _nothing_held(build: Path, owner: Keys) -> None:
    leave_check(build, owner, [Verdict.NOTED])


def _built_again(build: Path, owner: Keys) -> None:
    (build / "uki.efi").write_bytes(b"another one")
    sign_build(build, owner, version="1.1")


def _forged(build: Path, owner: Keys) -> None:
    path = check_path(build)
    path.write_text(path.read_text().replace('"as found"', '"as wished"'))


def _changed(build: Path, owner: Keys) -> None:
    data = (build / "root.erofs").read_bytes()
    (build / "root.erofs").write_bytes(data[:-1] + b"X")


def _debug(build: Path, owner: Keys) -> None:
    sign_build(build, owner, version="1.1", debug=True)


def _server(build: Path, owner: Keys) -> None:
    sign_build(build, owner, version="1.1", kind="server")


def _manifest(build: Path, owner: Keys) -> None:
    path = build / "manifest.json"
    path.write_text(path.read_text().replace('"release"', '"dev"'))


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (_unchecked, FindingError, "was not checked"),
        (_failed, FindingError, "did not pass its check: 1 of 2 lines do not hold"),
        (_nothing_held, FindingError, "did not pass its check"),
        (_built_again, FindingError, "what was checked are not these files"),
        (_forged, IntegrityError, "not the release key's"),
        (_changed, IntegrityError, "not the one that its manifest names"),
        (_debug, FindingError, "a debug image is not released"),
        (_server, DefinitionError, "of the kind server"),
        (_manifest, IntegrityError, "not the release key's"),
    ],
)
def test_only_a_build_that_passed_its_check_becomes_a_release(
    yard: Yard, spoil: object, kind: type[ZaffreError], words: str
) -> None:
    build = yard.build("1.1")
    assert callable(spoil)
    spoil(build, yard.owner)
    with pytest.raises(kind, match=words):
        yard.create(build)


def test_what_changed_after_create_is_not_published(yard: Yard) -> None:
    build = yard.build("1.1")
    yard.create(build)
    _built_again(build, yard.owner)
    leave_check(build, yard.owner)
    with pytest.raises(FindingError, match="the build is another one than when the release was made"):
        read_candidate(build, yard.owner.certificates, SILENT, seal=sealed)


def test_a_disk_image_that_no_check_has_booted_is_not_published(yard: Yard) -> None:
    build = yard.build("1.2")
    manifest = Manifest.model_validate_json((build / MANIFEST_NAME).read_bytes())
    report = check_report([Verdict.PASSED]).model_copy(update={"updated_from": "1.1"})
    leave_evidence(build, manifest, report, yard.owner.release_signer(), now=yard.clock)
    with pytest.raises(FindingError, match=r"the machine of its check began with 1\.1"):
        yard.create(build, whole=True)
    yard.create(build)


def test_with_whole_its_disk_comes_too(yard: Yard) -> None:
    build = make_build(yard.root / "out", yard.owner, "1.1")
    leave_check(build, yard.owner)
    yard.create(build, whole=True)
    _, candidate = read_candidate(build, yard.owner.certificates, SILENT, seal=sealed)
    assert "image.raw" in candidate.files


def test_whenever_it_stops_nodes_see_the_old_state_and_the_next_run_completes_it(yard: Yard) -> None:
    yard.publish("1.1")
    shutil.copytree(yard.repo, yard.root / "before")
    for writes in range(40):
        shutil.rmtree(yard.repo)
        shutil.copytree(yard.root / "before", yard.repo)
        try:
            yard.publish("1.2", place=Mortal(Folder(yard.repo), writes))
        except DiesError:
            assert yard.sees(f"node-{writes}") == ["1.1"]
            assert yard.verify().ok
            yard.publish("1.2")
            assert yard.sees(f"node-{writes}") == ["1.1", "1.2"]
            assert yard.verify().ok
        else:
            break
    # Six files of the pool and the manifest; then channel, snapshot and timestamp.
    assert writes == 10
    assert yard.verify().ok


def test_the_second_of_two_publishers_is_told(yard: Yard) -> None:
    with yard.place.publishing(), pytest.raises(WorldError, match="another is publishing here"):
        yard.publish("1.1")
    yard.publish("1.1")


def test_an_object_store_does_as_well(tmp_path: Path, owner: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_PAUSE", 0.05)
    yard = Yard(tmp_path, owner)
    yard.place = open_objects("memory://releases")
    yard.found()
    yard.publish("1.1")
    yard.promote("1.1")
    assert yard.sees("node", "stable") == ["1.1"]
    assert yard.verify().ok


def test_a_revoked_release_says_so_in_every_channel(yard: Yard) -> None:
    yard.publish("1.1")
    yard.promote("1.1")
    yard.revoke("1.1")
    for channel in ("dev", "stable"):
        revoked = yard.records(channel)["1.1"].revoked
        assert revoked is not None
        assert revoked.reason == "it is bad"
    with pytest.raises(DefinitionError, match="no channel has host-amd64 7"):
        yard.revoke("7")
    yard.publish("1.2")
    yard.revoke("1.2")
    with pytest.raises(FindingError, match="is revoked: it is bad"):
        yard.promote("1.2")


def test_a_paused_rollout_goes_on_where_it_stopped(yard: Yard) -> None:
    yard.publish("1.1")
    yard.later(hours=2)
    yard.desk().carry_out(lambda state: pause(state, "dev", "host-amd64", "1.1", now=yard.clock))
    paused = yard.records()["1.1"].rollout
    assert paused.elapsed(yard.clock + timedelta(days=9)) == 2 * 3600
    yard.later(days=1)
    yard.desk().carry_out(lambda state: resume(state, "dev", "host-amd64", "1.1", now=yard.clock))
    resumed = yard.records()["1.1"].rollout
    assert resumed.elapsed(yard.clock + timedelta(hours=1)) == 3 * 3600
    assert resumed.stopped is None


def test_metadata_that_expired_stop_publishing_until_they_are_signed_anew(yard: Yard) -> None:
    yard.publish("1.1")
    yard.later(days=400)
    with pytest.raises(FindingError, match="'root' expired") as caught:
        yard.publish("1.2")
    assert "--role root" in said(caught.value)
    for role in ("root", "targets", "dev", "stable"):
        yard._keep(yard.desk().renew(role))
    yard.publish("1.2")
    assert [one.expired for one in overview(yard.state(), yard.clock).roles] == [False] * 6
    assert yard.state().root.signed.version == 2


def test_a_place_is_begun_once_and_an_empty_one_says_so(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="published here already"):
        yard.found()
    other = Yard(tmp_path / "other", yard.owner, signers=yard.signers, trusted=yard.trusted)
    with pytest.raises(DefinitionError, match="no releases are published here"):
        other.publish("1.1")


def test_while_a_build_is_checked_nothing_says_that_it_was(yard: Yard) -> None:
    """As `zaffre check` does it: a check that ends early leaves nothing, one that fails what failed."""
    build = yard.build("1.1")
    work = Workspace()
    work.quiet = True
    work.__dict__["keys"] = yard.owner
    manifest = Manifest.model_validate_json((build / "manifest.json").read_bytes())
    built = Build(folder=build, manifest=manifest, fresh=False, why=())
    with suppress(FindingError), evidence(work, built):
        assert not check_path(build).exists()
        raise FindingError("it does not boot")
    with pytest.raises(FindingError, match="was not checked"):
        yard.create(build)
    with evidence(work, built) as leave:
        leave(check_report([Verdict.PASSED]))
    yard.create(build)
