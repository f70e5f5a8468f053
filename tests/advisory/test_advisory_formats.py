# SPDX-License-Identifier: Apache-2.0
"""What all feeds of other publishers have in common: words, signatures, addresses; and CISA's catalogue."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from documents import csaf, kev, openvex, osv, oval, read, refused
from pysequoia import SignatureMode, sign
from records import AZURE, NOW

from support.repository import Archive, Fault, Mirror, keyring, signing_key
from support.upstreams import QUICK, said
from zaffre.advisory.formats.document import text
from zaffre.advisory.formats.purl import Named, named
from zaffre.advisory.model import Exploited, Feed
from zaffre.advisory.place import Place, bytes_at
from zaffre.advisory.statements import Claims
from zaffre.errors import DefinitionError, FindingError, IntegrityError, WorldError, ZaffreError
from zaffre.store import Store


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("a\x1b[2Jb\x9b31m\x7f\x00", "a\ufffd[2Jb\ufffd31m\ufffd\ufffd"),
        ("a\r\nno findings\u2028b\tc", "a no findings b c"),
        ("\u202eb", "\ufffdb"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_what_a_feed_says_is_told_in_one_line_that_no_terminal_obeys(words: str, told: str) -> None:
    (feed,) = read(osv(summary=words))
    assert feed.advisories[0].summary == told
    assert text({"key": words}, "key") == told


def test_what_oval_and_purls_say_is_as_plain() -> None:
    (feed,) = read(oval().replace(b"<title>CVE", b"<title>a\n\xc2\x9bCVE"), AZURE)
    assert feed.advisories[0].summary == "a \ufffdCVE-2024-47191 in oath"
    assert named("pkg:deb/debian/a%1b@1%0a2?arch=%9b&distro=%1b") == Named(
        "debian", "a\ufffd", "1 2", "\ufffd", "\ufffd"
    )


def test_the_place_of_a_fault_is_plain_too() -> None:
    wrong = refused(osv(id="X\x1b[2J\n", ranges=[]))
    assert "X\ufffd[2J" in wrong
    assert "\x1b" not in wrong


def test_cisas_catalogue_says_until_when() -> None:
    (found,) = read(kev())
    assert isinstance(found, Exploited)
    assert found.due == {"CVE-2026-1000": dt.date(2026, 12, 1)}


@pytest.mark.parametrize(
    ("data", "error", "wrong"),
    [
        (kev(count=2), DefinitionError, "says that it has 2 vulnerabilities, and has 1"),
        (kev(vulnerabilities=[], count=0), FindingError, "has no vulnerabilities"),
        (kev(vulnerabilities=[{"cveID": "hole", "dueDate": "2026-12-01"}]), DefinitionError, "is not a CVE"),
        (kev(vulnerabilities=[{"cveID": "CVE-2026-1000", "dueDate": "soon"}]), DefinitionError, "Invalid isoformat"),
        ({"catalogVersion": "1"}, DefinitionError, "a dateReleased"),
    ],
)
def test_a_catalogue_that_is_wrong(data: object, error: type[ZaffreError], wrong: str) -> None:
    assert wrong in refused(data, error)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_file_that_must_be_signed_is_held_against_its_signature(tmp_path: Path, store: Store) -> None:
    key, other = signing_key(), signing_key()
    ring = tmp_path / "ring.asc"
    ring.write_bytes(keyring(key))
    path = tmp_path / "feed.json"
    path.write_bytes(b"{}")
    place = Place(str(path), ring)
    with pytest.raises(IntegrityError, match="the feed is not signed, and must be"):
        bytes_at(place, store=store, now=NOW, offline=False)
    now = dt.datetime.now(dt.UTC)
    beside = tmp_path / "feed.json.asc"
    beside.write_bytes(sign(other.signer(), b"{}", mode=SignatureMode.DETACHED))
    with pytest.raises(IntegrityError):
        bytes_at(place, store=store, now=now, offline=False)
    beside.write_bytes(sign(key.signer(), b"{}", mode=SignatureMode.DETACHED))
    assert bytes_at(place, store=store, now=now, offline=False) == b"{}"
    path.write_bytes(b"[]")
    with pytest.raises(IntegrityError):
        bytes_at(place, store=store, now=now, offline=False)


def test_an_address_without_tls_and_without_a_signature_is_refused(store: Store) -> None:
    archive = Archive()
    archive.files["feed.json"] = b"{}"
    with Mirror({"debian": archive}) as mirror, pytest.raises(WorldError, match="cannot be fetched") as caught:
        bytes_at(Place(f"{mirror.url}/debian/feed.json"), store=store, now=NOW, offline=False, limits=QUICK)
    assert "TLS all the way" in said(caught.value)


def test_a_signed_address_is_kept_for_days_without_a_network(tmp_path: Path, store: Store) -> None:
    key = signing_key()
    ring = tmp_path / "ring.asc"
    ring.write_bytes(keyring(key))
    archive = Archive()
    archive.files["feed.json"] = b"{}"
    now = dt.datetime.now(dt.UTC)
    with Mirror({"debian": archive}) as mirror:
        place = Place(f"{mirror.url}/debian/feed.json", ring)
        with pytest.raises(WorldError, match="does not have the feed"):
            bytes_at(place, store=store, now=now, offline=True)
        with pytest.raises(IntegrityError, match="must be signed"):
            bytes_at(place, store=store, now=now, offline=False, limits=QUICK)
        archive.files["feed.json.asc"] = sign(key.signer(), b"{}", mode=SignatureMode.DETACHED)
        assert bytes_at(place, store=store, now=now, offline=False, limits=QUICK) == b"{}"
        mirror.fault("debian/*", Fault(status=503))
        with pytest.raises(WorldError):
            bytes_at(place, store=store, now=now, offline=False, limits=QUICK)
        assert bytes_at(place, store=store, now=now, offline=True) == b"{}"


def test_an_empty_or_absent_file_is_no_feed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(IntegrityError, match="the feed is empty"):
        bytes_at(Place(str(tmp_path / "empty")), store=store, now=NOW, offline=False)
    with pytest.raises(DefinitionError, match="can not be read"):
        bytes_at(Place(str(tmp_path / "gone")), store=store, now=NOW, offline=False)


def test_every_reader_gives_what_it_says() -> None:
    kinds = [type(one) for data in (osv(), kev(), openvex(), csaf()) for one in read(data)]
    assert kinds == [Feed, Exploited, Claims, Claims]
