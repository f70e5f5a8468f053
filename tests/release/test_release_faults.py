# SPDX-License-Identifier: Apache-2.0
"""What a node believes of a mirror that is old, mixed, forged, slow or endless: nothing, and it keeps what it has.

The node is python-tuf's own client; the mirror is on the loopback where it takes a server to misbehave.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Timestamp

from support.mirror import serving
from support.releases import Yard, open_ring
from zaffre.errors import IntegrityError, WorldError
from zaffre.place import web
from zaffre.place.web import Web
from zaffre.progress import SILENT
from zaffre.release.state import load_state
from zaffre.release.verify import verify_releases

TIMESTAMP = "metadata/timestamp.json"


def keep(yard: Yard, name: str) -> Path:
    """A copy of what is published at this moment."""
    return Path(shutil.copytree(yard.repo, yard.root / name))


def show(yard: Yard, copy: Path) -> None:
    """The mirror shows an older copy from now on."""
    shutil.rmtree(yard.repo)
    shutil.copytree(copy, yard.repo)


def refused(yard: Yard, name: str, kind: type[Exception]) -> None:
    """The node believes nothing, and `verify` with the same memory says that it does not hold."""
    with pytest.raises(kind):
        yard.sees(name)
    assert not yard.verify(memory=yard.root / name).ok


def key_id(yard: Yard, name: str) -> str:
    return open_ring(*yard.signers).named(name).key.keyid


def test_metadata_that_expired_are_refused_and_a_refresh_mends_it(yard: Yard) -> None:
    yard.publish("1.1")
    assert yard.sees() == ["1.1"]
    yard.later(days=-30)
    yard._keep(yard.desk().renew(None))
    yard.later(days=30)
    refused(yard, "node", exceptions.ExpiredMetadataError)
    yard._keep(yard.desk().renew(None))
    assert yard.sees() == ["1.1"]


@pytest.mark.parametrize(("role", "fresh"), [("root", "targets"), ("targets", "root"), ("dev", None)])
def test_each_role_that_expired_is_refused_whatever_is_fresh(yard: Yard, role: str, fresh: str | None) -> None:
    yard.publish("1.1")
    yard.later(days=-500)
    yard._keep(yard.desk().renew(role))
    yard.later(days=500)
    yard._keep(yard.desk().renew(fresh))
    refused(yard, "node", exceptions.ExpiredMetadataError)
    yard._keep(yard.desk().renew(role))
    assert yard.sees() == ["1.1"]


def test_an_older_state_is_not_believed_by_who_has_seen_the_newer_one(yard: Yard) -> None:
    yard.publish("1.1")
    old = keep(yard, "old")
    yard.publish("1.2")
    assert yard.sees() == ["1.1", "1.2"]
    show(yard, old)
    refused(yard, "node", exceptions.BadVersionNumberError)
    assert yard.sees("stranger") == ["1.1"]  # until it expires: why a timestamp lasts two days


def test_an_older_snapshot_below_a_new_timestamp_is_not_believed(yard: Yard) -> None:
    """Whoever has the timestamp key alone can't take anything back."""
    yard.publish("1.1")
    before = yard.state()
    yard.publish("1.2")
    assert yard.sees() == ["1.1", "1.2"]
    forged: Metadata[Timestamp] = Metadata(yard.state().timestamp.signed)
    forged.signed.version += 1
    forged.signed.snapshot_meta = before.timestamp.signed.snapshot_meta
    forged.sign(open_ring(*yard.signers).signer(key_id(yard, "timestamp")))
    (yard.repo / TIMESTAMP).write_bytes(forged.to_bytes())
    refused(yard, "node", exceptions.BadVersionNumberError)


def test_parts_of_two_states_are_not_believed(yard: Yard) -> None:
    yard.publish("1.1")
    old = keep(yard, "old")
    yard.publish("1.2")
    version = yard.state().channels["dev"].signed.version
    shutil.copy(old / f"metadata/{version - 1}.dev.json", yard.repo / f"metadata/{version}.dev.json")
    refused(yard, "node", exceptions.LengthOrHashMismatchError)


def test_a_future_that_was_signed_with_stolen_keys_is_taken_back_by_new_ones(yard: Yard) -> None:
    yard.publish("1.1")
    honest = (yard.repo / TIMESTAMP).read_bytes()
    yard.sign_a_wild_future()
    assert yard.sees() == ["1.1"]
    (yard.repo / TIMESTAMP).write_bytes(honest)
    yard.publish("1.2")
    with pytest.raises(exceptions.BadVersionNumberError):
        yard.sees()
    yard.replace_online_keys()
    yard.publish("1.3")
    assert yard.sees() == ["1.1", "1.2", "1.3"]
    assert yard.state().timestamp.signed.version < 20


def test_too_few_signatures_and_those_of_revoked_keys_do_not_count(yard: Yard) -> None:
    yard.publish("1.1")
    before = keep(yard, "before")
    yard.rotate("dev", ["dev"], ["dev-2"])
    yard.rotate("root", ["root-1"], ["root-4"])
    ring = open_ring(*yard.signers)
    state = yard.state()
    # The old key of the channel, and a root by one key that counts and one that does not any more.
    channel = Metadata(state.channels["dev"].signed)
    channel.sign(ring.signer(ring.named("dev").key.keyid))
    assert not state.targets.signed.get_verification_result("dev", channel.signed_bytes, channel.signatures)
    root = Metadata(state.root.signed)
    root.signed.version += 1
    for name in ("root-1", "root-2"):
        root.sign(ring.signer(ring.named(name).key.keyid), append=True)
    (yard.repo / f"metadata/{root.signed.version}.root.json").write_bytes(root.to_bytes())
    refused(yard, "node", exceptions.UnsignedMetadataError)
    show(yard, before)
    assert yard.sees("another") == ["1.1"]


def test_a_stranger_s_root_leads_nowhere(yard: Yard, tmp_path: Path) -> None:
    other = Yard(tmp_path / "other", yard.owner)
    other.found()
    other.publish("6.6.6")
    shutil.copy(other.repo / "metadata/1.root.json", yard.repo / "metadata/2.root.json")
    with pytest.raises(exceptions.RepositoryError):
        yard.sees()
    show(yard, other.repo)
    refused(yard, "node", exceptions.UnsignedMetadataError)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _other(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (_truncated, exceptions.LengthOrHashMismatchError, "bytes and not"),
        (_longer, exceptions.DownloadLengthMismatchError, "bytes and not"),
        (_other, exceptions.LengthOrHashMismatchError, "it has another content"),
        (_gone, exceptions.DownloadHTTPError, "it is missing"),
    ],
)
def test_a_file_that_is_not_the_one_that_is_listed(
    yard: Yard, spoil: Callable[[Path], None], kind: type[Exception], said: str
) -> None:
    yard.publish("1.1")
    node = yard.node()
    listed = node.channel("dev").targets
    target = next(one for path, one in listed.items() if path.endswith("/root.erofs"))
    (place,) = (yard.repo / "targets/pool").rglob("*.root.erofs")
    spoil(place)
    into = yard.root / "fetched"
    with pytest.raises(kind):
        node.fetch(target, into)
    assert not into.exists()
    report = yard.verify()
    assert [check.name for check in report.checks if not check.ok] == ["targets"]
    assert said in report.checks[-1].detail


def test_files_of_two_releases_that_were_swapped_are_found(yard: Yard) -> None:
    yard.publish("1.1")
    yard.publish("1.2")
    one, other = sorted((yard.repo / "targets/pool").rglob("*.uki.efi"))
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    assert "2 files" not in yard.verify().checks[-1].detail
    assert yard.verify().checks[-1].detail.count("another content") == 2
    assert yard.verify(quick=True).ok


METADATA = ("timestamp.json", "2.snapshot.json", "1.targets.json", "2.dev.json", "1.root.json", "2.root.json")


@given(
    st.sampled_from(METADATA),
    st.one_of(
        st.binary(max_size=40).map(lambda data: lambda _: data),
        st.integers(0, 10_000).map(lambda end: lambda data: data[: end % (len(data) or 1)]),
        st.tuples(st.integers(0, 10_000), st.integers(1, 255)).map(
            lambda flip: (
                lambda data: bytes(
                    byte ^ flip[1] if place == flip[0] % len(data) else byte for place, byte in enumerate(data)
                )
            )
        ),
        st.sampled_from([b"{}", b"[]", b"[" * 100_000, b'{"signed": {"_type": "root"}}', b"\xff\xfe"]).map(
            lambda data: lambda _: data
        ),
    ),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_there_is_a_finding_and_no_accident(
    yard: Yard, name: str, change: Callable[[bytes], bytes]
) -> None:
    path = yard.repo / "metadata" / name
    if not (yard.repo / "metadata/2.dev.json").exists():
        yard.publish("1.1")
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(change(before or b""))
    try:
        report = yard.verify()
        changed = path.read_bytes() != (before or b"")
        assert all(check.detail for check in report.checks)
        with suppress(IntegrityError):
            state = yard.state()
            assert state.timestamp.signed.version == 2
        if changed and before is not None and not before.startswith(path.read_bytes().rstrip()):
            assert not report.ok or Metadata.from_bytes(path.read_bytes()).signed_bytes == signed_of(before)
    finally:
        path.write_bytes(before) if before is not None else path.unlink()


def signed_of(data: bytes) -> bytes:
    signed: bytes = Metadata.from_bytes(data).signed_bytes
    return signed


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("timestamp.json", lambda data: data.replace(b'"version":2', b'"version":9'), "not enough of the role's keys"),
        ("2.snapshot.json", lambda data: data + b" ", "not the one that is listed"),
        ("2.dev.json", lambda _: None, "the metadata are incomplete"),
        ("timestamp.json", lambda _: b"{}", "no TUF metadata"),
    ],
)
def test_nobody_publishes_upon_what_does_not_verify(
    yard: Yard, name: str, change: Callable[[bytes], bytes | None], said: str
) -> None:
    yard.publish("1.1")
    path = yard.repo / "metadata" / name
    data = change(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(IntegrityError, match=said):
        yard.publish("1.2")
    assert not yard.verify().ok


def test_who_only_looks_waits_no_longer_for_a_slow_mirror(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_SECONDS", 0.3)
    with serving(yard.repo, "timestamp", "slow") as url, pytest.raises(WorldError, match="does not answer") as caught:
        load_state(Web(url), yard.first)
    assert "did not arrive within" in str(caught.value.details)


@pytest.mark.parametrize(
    ("word", "way", "said"),
    [
        ("", "honest", None),
        ("timestamp", "endless", "larger than it may be"),
        ("timestamp", "slow", "too slowly"),
        ("timestamp", "cut", "does not answer as it should"),
        ("snapshot", "endless", "larger than it may be"),
        (".dev.json", "slow", "too slowly"),
        ("root.erofs", "endless", "it goes on after its 3000 bytes"),
        ("root.erofs", "slow", "it comes too slowly"),
        ("root.erofs", "cut", "received 10 bytes, expected 3000"),
    ],
)
def test_a_mirror_that_misbehaves_is_left_in_time(yard: Yard, word: str, way: str, said: str | None) -> None:
    yard.publish("1.1")
    with serving(yard.repo, word, way) as url:
        report = verify_releases(
            Web(url), yard.first, memory=None, now=yard.clock, quick=False, progress=SILENT, seconds=0.5
        )
    if said is None:
        assert report.ok, report
    else:
        assert said in "\n".join(check.detail for check in report.checks if not check.ok)
