# SPDX-License-Identifier: Apache-2.0
"""Whose word counts: signatures, keys and dates of a Release."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, Archive, keyring, revoked, sign_clear, signing_key
from support.upstreams import Refresh, make_upstream, said
from zaffre.errors import DefinitionError, ExitCode, IntegrityError
from zaffre.upstream.keyring import Keyring

LATER = NOW + timedelta(minutes=1)


def test_a_good_release_is_taken(look: Refresh) -> None:
    indexes = look()
    (suite,) = indexes.suites
    assert (suite.upstream, suite.archive, suite.suite, suite.date) == ("test", "debian", "stable", NOW)
    assert indexes.universe("amd64").names == {"base-files", "libgreet", "hello"}


def test_one_good_signature_among_unknown_ones_suffices(look: Refresh, archive: Archive, key: Tsk) -> None:
    archive.publish([signing_key("a"), key, signing_key("b")])
    assert look().suites


def test_every_block_of_the_keyring_counts(look: Refresh, archive: Archive, key: Tsk, tmp_path: Path) -> None:
    other = signing_key("other")
    both = make_upstream(tmp_path, keyring(other, key))
    for signer in (key, other):
        archive.publish([signer])
        assert look(upstream=both).suites


def test_unsigned(look: Refresh, archive: Archive) -> None:
    archive.publish([])
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "/debian dists/stable/InRelease: the file is not signed" in text
    assert "an unsigned repository is never used" in text
    assert caught.value.exit_code == ExitCode.WORLD


def test_signed_by_a_stranger(look: Refresh, archive: Archive) -> None:
    stranger = signing_key("Mallory <m@evil.example>")
    archive.publish([stranger])
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "the file is signed only by keys that are not in the keyring" in text
    assert "verify it and add it to" in text
    assert "keyring.asc" in text


def test_text_changed_after_signing(look: Refresh, archive: Archive) -> None:
    path = "dists/stable/InRelease"
    archive.files[path] = archive.files[path].replace(b"Origin: Test", b"Origin: Evil")
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "the signature is wrong: the file was changed or damaged" in text
    assert "does not fit the text" in text


def test_only_the_signed_part_is_read(look: Refresh, archive: Archive) -> None:
    path = "dists/stable/InRelease"
    archive.files[path] += b"\nSuite: evil\n"
    assert look().suites[0].suite == "stable"
    archive.files[path] = archive.files[path].replace(b"Hash: SHA512\n", b"Hash: SHA512\nSuite: evil\n")
    assert look().suites[0].suite == "stable"


def test_truncated_signature(look: Refresh, archive: Archive) -> None:
    path = "dists/stable/InRelease"
    archive.files[path] = archive.files[path][:-80]
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "holds no signature that can be read" in said(caught.value)


def test_expired_key(look: Refresh, archive: Archive, tmp_path: Path) -> None:
    """Sequoia judges a key at the time that the signature claims; ours must be good now."""
    short = signing_key("Old Archive <old@test.example>", valid=timedelta(days=2))
    archive.publish([short], date=NOW)
    upstream = make_upstream(tmp_path, keyring(short))
    assert look(upstream=upstream).suites
    with pytest.raises(IntegrityError) as caught:
        look(upstream=upstream, now=NOW + timedelta(days=3))
    text = said(caught.value)
    assert "the only signatures are by expired or revoked keys" in text
    assert "(Old Archive <old@test.example>) expired on" in text
    assert "bring the keyring" in text


def test_revoked_key(look: Refresh, archive: Archive, key: Tsk, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        look(upstream=make_upstream(tmp_path, keyring(revoked(key))))
    text = said(caught.value)
    assert "the only signatures are by expired or revoked keys" in text
    assert "is revoked" in text


def test_an_expired_key_beside_a_good_one_does_no_harm(look: Refresh, archive: Archive, tmp_path: Path) -> None:
    short, good = signing_key("short", valid=timedelta(days=2)), signing_key("good")
    archive.publish([short, good])
    assert look(upstream=make_upstream(tmp_path, keyring(short, good)), now=NOW + timedelta(days=3)).suites


def test_a_keyring_that_is_none(look: Refresh, tmp_path: Path) -> None:
    for content in (
        b"",
        b"hello",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxxxx\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ):
        with pytest.raises(DefinitionError) as caught:
            look(upstream=make_upstream(tmp_path, content))
        assert "keyring.asc: the keyring " in said(caught.value)


def test_a_missing_keyring(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        Keyring.load(tmp_path / "none.asc")
    assert "name an existing file as `keyring`" in said(caught.value)


def test_valid_until_passed(look: Refresh, archive: Archive, key: Tsk) -> None:
    archive.publish([key], date=NOW - timedelta(days=9), valid_until=NOW - timedelta(days=2))
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "the Release has been out of date since" in text
    assert "(Valid-Until)" in text
    assert "the mirror is stale, or somebody replays old files" in text


def test_too_old_by_the_definition_where_the_suite_says_nothing(
    look: Refresh, archive: Archive, key: Tsk, tmp_path: Path
) -> None:
    archive.publish([key], date=NOW - timedelta(days=9))
    assert look().suites
    with pytest.raises(IntegrityError) as caught:
        look(upstream=make_upstream(tmp_path, keyring(key), max_age_days=7))
    assert "(max_age_days of the definition)" in said(caught.value)


def test_dated_in_the_future(look: Refresh, archive: Archive, key: Tsk) -> None:
    archive.publish([key], date=NOW + timedelta(hours=5))
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "which is in the future" in text
    assert "set this machine's clock" in text


def test_a_clock_that_is_a_little_slow_is_no_reason(look: Refresh, archive: Archive, key: Tsk) -> None:
    archive.publish([key], date=LATER + timedelta(minutes=3))
    assert look().suites


def test_older_than_the_lock(look: Refresh, archive: Archive, key: Tsk) -> None:
    locked = NOW - timedelta(days=1)
    archive.publish([key], date=locked)
    assert look(not_before=locked).suites
    archive.publish([key], date=NOW - timedelta(days=3))
    with pytest.raises(IntegrityError) as caught:
        look(not_before=locked)
    text = said(caught.value)
    assert "the Release is older than the one that is locked" in text
    assert "replays old files" in text


def test_another_suite_under_this_name(look: Refresh, archive: Archive, key: Tsk) -> None:
    archive.publish([key], suite="oldstable")
    archive.files["dists/stable/InRelease"] = archive.files["dists/oldstable/InRelease"]
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "the Release is of the suite 'oldstable', not of 'stable'" in said(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"Suite: stable\n", "the Release has no field Date"),
        (b"Suite: stable\nDate: yesterday\nSHA256:\n", "'yesterday' is not a date"),
        (b"Suite: stable\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n aa 1 x\n", "is not a SHA-256"),
        (b"Suite: stable\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n " + b"a" * 64 + b" -1 x\n", "below zero"),
    ],
)
def test_malformed_though_signed(look: Refresh, archive: Archive, key: Tsk, text: bytes, message: str) -> None:
    archive.files["dists/stable/InRelease"] = sign_clear(text, [key])
    with pytest.raises(IntegrityError) as caught:
        look()
    assert message in said(caught.value)
