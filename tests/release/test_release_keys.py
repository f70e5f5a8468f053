# SPDX-License-Identifier: Apache-2.0
"""Keys: thresholds, rotations that nodes follow, signatures that are made elsewhere, and keys that are lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from support.mortal import DiesError, Mortal
from support.releases import CHANNELS, KEY_NAMES, SECRET, Yard, make_keys, open_ring
from support.upstreams import said
from zaffre.errors import DefinitionError, FindingError, IntegrityError, WorldError
from zaffre.follow.layout import require_channel
from zaffre.place.folder import Folder
from zaffre.release.keys import Ring, make_key
from zaffre.release.pending import read_pending
from zaffre.release.rehearse import rehearse
from zaffre.release.rotate import parse_days, rotate, turns_by_name
from zaffre.trust import Keys


@pytest.fixture
def apart(tmp_path: Path, owner: Keys) -> Yard:
    """A repository whose root keys lie on three sticks, and the rest on the machine that publishes."""
    sticks = [make_keys(tmp_path / f"stick-{number}", [f"root-{number}"]) for number in (1, 2, 3)]
    machine = make_keys(tmp_path / "machine", [name for name in KEY_NAMES if not name.startswith("root")])
    yard = Yard(tmp_path, owner, signers=[machine, *sticks])
    yard.found()
    # What stays on the machine of the root keys is their public halves.
    for number, stick in enumerate(sticks, start=1):
        shutil.copy(stick / f"root-{number}.pub", machine)
    yard.signers = [machine]
    return yard


def test_private_keys_are_encrypted_and_closed_to_others(tmp_path: Path) -> None:
    folder = make_keys(tmp_path / "keys", ["one"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "one.key").stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in (folder / "one.key").read_bytes()
    (keyid,) = open_ring(folder).files
    assert open_ring(folder).signer(keyid).public_key.keyid == keyid
    with pytest.raises(WorldError, match="'one' does not open"):
        Ring([folder], lambda _: "something else").signer(keyid)
    with pytest.raises(DefinitionError, match="never overwritten"):
        make_key(folder, "one", SECRET)
    with pytest.raises(DefinitionError, match="shorter than 8"):
        make_key(folder, "two", "short")
    with pytest.raises(DefinitionError, match="cannot be the name"):
        make_key(folder, "../two", SECRET)
    (folder / "one.key").chmod(0o644)
    with pytest.raises(WorldError, match="open to other users"):
        open_ring(folder).signer(keyid)


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = make_keys(tmp_path / "keys", ["one", "two"])
    shutil.copy(folder / "two.key", folder / "one.key")
    ring = open_ring(folder)
    with pytest.raises(IntegrityError, match=r"does not belong to one\.pub"):
        ring.signer(ring.named("one").key.keyid)


@pytest.mark.parametrize("threshold", [4, 5])
def test_a_threshold_that_cannot_be_reached_is_refused(tmp_path: Path, owner: Keys, threshold: int) -> None:
    with pytest.raises(DefinitionError, match=f"can't be reached: {threshold} signatures, keys: 3"):
        Yard(tmp_path, owner).found(threshold=threshold)


def test_a_rotation_that_leaves_too_few_keys_is_refused(yard: Yard) -> None:
    with pytest.raises(DefinitionError, match="can't be reached: 2 signatures, keys: 1"):
        yard.rotate("root", ["root-1", "root-2"], [])
    with pytest.raises(DefinitionError, match="can't be reached: 2 signatures, keys: 1"):
        yard.rotate("stable", [], [], threshold=2)
    with pytest.raises(DefinitionError, match="has no key 'root-9'"):
        yard.rotate("root", ["root-9"], [])
    with pytest.raises(DefinitionError, match="there is no role 'beta'"):
        yard.rotate("beta", [], ["beta"])
    with pytest.raises(DefinitionError, match="nothing would change"):
        yard.rotate("root", [], [])


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", *CHANNELS])
def test_whenever_a_rotation_stops_nodes_believe_what_they_see_and_it_can_be_completed(yard: Yard, role: str) -> None:
    yard.publish("1.1")
    yard.promote("1.1")
    old = f"{role}-1" if role == "root" else role
    shutil.copytree(yard.repo, yard.root / "before")
    trusted = yard.trusted
    for writes in range(20):
        for name in ("repo", "pending"):
            shutil.rmtree(yard.root / name, ignore_errors=True)
        shutil.copytree(yard.root / "before", yard.repo)
        yard.trusted = trusted
        try:
            yard.rotate(role, [old], [f"{role}-9"], place=Mortal(Folder(yard.repo), writes))
        except DiesError:
            assert yard.sees(f"node-{writes}") == ["1.1"]
            assert yard.verify().ok
            if (yard.pending / "pending.json").exists():
                yard._keep(yard.desk().submit())
                assert not yard.pending.exists()
            else:
                yard.rotate(role, [old], [f"{role}-9"])
            assert yard.sees(f"node-{writes}") == ["1.1"]
            assert yard.verify().ok
        else:
            break
    assert writes > 2
    assert not yard.pending.exists()
    yard.publish("1.2")
    assert yard.sees("node-0") == ["1.1", "1.2"]
    assert yard.verify().ok


def test_a_node_that_was_off_while_the_root_rotated_five_times_catches_up(yard: Yard) -> None:
    yard.publish("1.1")
    assert yard.sees("sleeper") == ["1.1"]
    yard.rotate_root(5)
    yard.rotate("timestamp", ["timestamp"], ["timestamp-2"])
    yard.publish("1.2")
    assert yard.state().root.signed.version == 7
    assert yard.sees("sleeper") == ["1.1", "1.2"]
    node = yard.node("sleeper")
    node.refresh()
    assert node.root.version == 7
    assert yard.verify(trusted=yard.first).ok


def test_root_keys_that_are_elsewhere_sign_there(apart: Yard, tmp_path: Path) -> None:
    outcome = apart.rotate("timestamp", ["timestamp"], ["timestamp-2"])
    assert outcome.done is None
    (missing,) = outcome.missing
    assert (missing.role, missing.count) == ("root", 2)
    assert apart.sees() == []
    with pytest.raises(FindingError, match="signatures are missing") as caught:
        apart.desk().submit()
    assert "2 more of root-1" in said(caught.value)
    pending = read_pending(apart.pending)
    with pytest.raises(FindingError, match="none of the keys at hand"):
        pending.sign(open_ring(make_keys(tmp_path / "stranger", ["root-1"])))
    assert pending.sign(open_ring(tmp_path / "stick-2")) == {"root": ["root-2"]}
    with pytest.raises(FindingError, match="signatures are missing"):
        apart.desk().submit()
    read_pending(apart.pending).sign(open_ring(tmp_path / "stick-3"))
    apart._keep(apart.desk().submit())
    assert apart.state().root.signed.version == 2
    assert apart.verify().ok


def test_another_program_can_sign_the_bytes(apart: Yard, tmp_path: Path) -> None:
    """Here openssl(1), with the key of its holder."""
    apart.rotate("timestamp", ["timestamp"], ["timestamp-2"])
    for number in (1, 3):
        key = load_pem_private_key((tmp_path / f"stick-{number}/root-{number}.key").read_bytes(), SECRET.encode())
        plain = tmp_path / "plain.pem"
        plain.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(plain)]
        files = ["-in", str(apart.pending / "2.root.bytes"), "-out", str(tmp_path / "sig")]
        subprocess.run([*command, *files], check=True)
        signature = (tmp_path / "sig").read_bytes()
        waiting = read_pending(apart.pending)
        with pytest.raises(FindingError, match="is not one by 'root-2'"):
            waiting.take("root", "root-2", signature)
        with pytest.raises(DefinitionError, match="no key 'root-9'"):
            waiting.take("root", "root-9", signature)
        with pytest.raises(DefinitionError, match="no role 'stable'"):
            waiting.take("stable", "root-1", signature)
        assert waiting.take("root", f"root-{number}", signature) == f"root-{number}"
    apart._keep(apart.desk().submit())
    assert apart.verify().ok


def test_a_channel_of_two_signatures_waits_for_the_second_one(yard: Yard, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other", ["stable-2"])
    shutil.copy(other / "stable-2.pub", yard.signers[0])
    outcome = yard.rotate("stable", [], ["stable-2"], threshold=2)
    assert [one.role for one in outcome.missing] == ["stable"]
    read_pending(yard.pending).sign(open_ring(other))
    yard._keep(yard.desk().submit())
    yard.publish("1.1")
    assert yard.promote("1.1").pending == yard.pending
    assert yard.sees("node", "stable") == []
    read_pending(yard.pending).sign(open_ring(other))
    yard._keep(yard.desk().submit())
    assert yard.sees("node", "stable") == ["1.1"]


def test_what_waited_too_long_is_not_published_over_what_came_meanwhile(yard: Yard, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other", ["dev-2"])
    shutil.copy(other / "dev-2.pub", yard.signers[0])
    yard.rotate("dev", [], ["dev-2"], threshold=2)
    read_pending(yard.pending).sign(open_ring(other))
    yard._keep(yard.desk().submit())
    yard.publish("1.1")
    read_pending(yard.pending).sign(open_ring(other))
    shutil.move(yard.pending, tmp_path / "first")
    yard.signers.append(other)
    yard.publish("1.2")
    shutil.move(tmp_path / "first", yard.pending)
    with pytest.raises(FindingError, match="'dev' is at version 3, and this change would make it 3") as caught:
        yard.desk().submit()
    assert "somebody has published since" in said(caught.value)


def test_a_second_change_does_not_push_away_the_first(apart: Yard) -> None:
    apart.rotate("timestamp", ["timestamp"], ["timestamp-2"])
    with pytest.raises(DefinitionError, match="a change waits here for signatures already"):
        apart.rotate("snapshot", ["snapshot"], ["snapshot-2"])


def test_a_lost_timestamp_key_is_replaced(yard: Yard) -> None:
    yard.publish("1.1")
    assert yard.sees() == ["1.1"]
    (yard.signers[0] / "timestamp.key").unlink()
    with pytest.raises(FindingError, match="keys of 'timestamp' are not at hand"):
        yard.publish("1.2")
    yard.rotate("timestamp", ["timestamp"], ["timestamp-2"])
    yard.publish("1.2")
    assert yard.sees() == ["1.1", "1.2"]


def test_a_rotation_away_from_a_lost_key_that_stopped_half_way_is_completed(yard: Yard) -> None:
    """Those that have the old root believe nothing meanwhile, as nobody can sign for them; but it goes on."""
    yard.publish("1.1")
    (yard.signers[0] / "timestamp.key").unlink()
    shutil.copytree(yard.repo, yard.root / "before")
    for writes in range(20):
        for name in ("repo", "pending"):
            shutil.rmtree(yard.root / name, ignore_errors=True)
        shutil.copytree(yard.root / "before", yard.repo)
        yard.trusted = yard.first
        try:
            yard.rotate("timestamp", ["timestamp"], ["timestamp-2"], place=Mortal(Folder(yard.repo), writes))
        except DiesError:
            if writes == 2:
                with pytest.raises(IntegrityError, match="not enough of the role's keys") as caught:
                    yard.publish("1.2")
                assert "zaffre release submit" in said(caught.value)
            yard._keep(yard.desk().submit())
            assert yard.sees(f"node-{writes}") == ["1.1"]
            assert yard.verify().ok
        else:
            break
    assert writes == 3


def tried(yard: Yard, *lost: str, signers: list[Path] | None = None) -> dict[str, bool | None]:
    acts = rehearse(yard.state(), open_ring(*(signers or yard.signers)), lost, now=yard.clock)
    return {act.name.split(" (")[0]: act.ok for act in acts}


def test_a_rehearsal_says_what_could_be_done_without_some_keys_and_publishes_nothing(yard: Yard) -> None:
    before = {path: path.read_bytes() for path in yard.repo.rglob("*") if path.is_file()}
    assert set(tried(yard).values()) == {True}
    one = tried(yard, "root-1", "stable", "timestamp", "snapshot")
    assert (one["root-1"], one["root-2"]) == (None, True)
    assert [name for name, ok in one.items() if ok is False] == []
    two = tried(yard, "root-1", "root-2")
    assert [name for name, ok in two.items() if ok is False] == [
        "other keys for all that is lost or elsewhere, at once",
        *(f"other keys for '{role}'" for role in ("root", "targets", "snapshot", "timestamp")),
    ]
    assert two["other keys for 'stable'"] is True
    assert two["a node that was off meanwhile"] is True
    assert {path: path.read_bytes() for path in yard.repo.rglob("*") if path.is_file()} == before


def test_a_rehearsal_finds_a_key_that_does_not_open_and_those_that_are_elsewhere(apart: Yard, tmp_path: Path) -> None:
    found = tried(apart)
    assert (found["root-1"], found["targets"], found["other keys for 'root'"]) == (None, True, False)
    sticks = [tmp_path / f"stick-{number}" for number in (1, 2)]
    assert tried(apart, signers=[*apart.signers, *sticks])["other keys for 'root'"] is True
    shutil.copy(apart.signers[0] / "dev.key", apart.signers[0] / "stable.key")
    assert tried(apart, signers=[*apart.signers, *sticks])["stable"] is False


def test_who_has_lost_the_whole_machine_that_publishes_gets_new_keys_in_one_go(apart: Yard, tmp_path: Path) -> None:
    apart.publish("1.1")
    roles = ["targets", "snapshot", "timestamp", *CHANNELS]
    new = make_keys(tmp_path / "new-machine", [f"{role}-2" for role in roles])
    apart.signers = [new, tmp_path / "stick-1", tmp_path / "stick-3"]
    desk = apart.desk()
    fresh = [one for one in desk.ring.files.values() if one.name.endswith("-2")]
    apart._keep(
        desk.carry_out(lambda state: rotate(state, turns_by_name(state, roles, roles, fresh, None), now=apart.clock))
    )
    assert apart.sees() == ["1.1"]
    apart.publish("1.2")
    assert apart.sees() == ["1.1", "1.2"]
    assert apart.verify().ok
    with pytest.raises(DefinitionError, match="has, or is named in, the key 'root-1'"):
        turns_by_name(apart.state(), roles, ["root-1"], [], None)


@pytest.mark.parametrize("name", ["root", "pool", "Dev", "a/b", "", "x" * 40, "1st"])
def test_names_that_no_channel_can_have(name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be a channel"):
        require_channel(name)


@pytest.mark.parametrize("word", ["timestamp", "timestamp=0", "timestamp=x", "beta=3", "root=99999"])
def test_days_that_cannot_be(word: str) -> None:
    with pytest.raises(DefinitionError, match="does not say for how long"):
        parse_days([word])
    assert parse_days(["timestamp=3", "channel=30"]) == {"timestamp": 3, "channel": 30}
