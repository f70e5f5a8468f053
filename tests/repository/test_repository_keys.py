# SPDX-License-Identifier: Apache-2.0
"""The repository key: made with the others or added to older ones, and signatures that can be made again."""

from __future__ import annotations

import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pysequoia import Cert

from support.repository import NOW, keyring, signing_key
from support.upstreams import said
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.trust import has_archive_key, load_archive_certificate, load_archive_key, load_keys
from zaffre.trust.generate import LIFETIME, add_keys, init_keys
from zaffre.upstream.keyring import Keyring

TEXT = b"Origin: Acme\nSuite: dev\nSHA256:\n 00 1 main/binary-amd64/Packages\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("owner") / "keys"
    init_keys(folder, owner="Acme", now=NOW)
    return folder


@pytest.fixture
def keys(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "keys"))


def test_it_is_made_with_the_others_and_its_private_half_is_closed(made: Path) -> None:
    assert stat.S_IMODE((made / "repository.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((made / "repository.asc").stat().st_mode) == 0o644
    certificate = load_archive_key(made, now=NOW).certificate
    assert certificate.owner == "Acme Repository Signing Key"
    assert certificate.not_after is not None
    assert abs(certificate.not_after - NOW - LIFETIME) < timedelta(days=2)


def test_sequoia_finds_one_key_that_certifies_and_signs(made: Path) -> None:
    certificate = load_archive_certificate(made)
    found = Cert.from_bytes(certificate.keyring)
    assert found.fingerprint == certificate.fingerprint
    assert [str(one) for one in found.user_ids] == [certificate.owner]
    (key,) = Keyring(certificate.armoured.encode(), where="keyring").keys
    assert key.objection(NOW) is None
    assert key.objection(NOW + LIFETIME) is not None


def test_the_same_text_and_time_give_the_same_bytes_and_sequoia_believes_them(made: Path) -> None:
    key = load_archive_key(made, now=NOW)
    message = key.sign(TEXT, time=NOW)
    assert message == key.sign(TEXT, time=NOW)
    assert message != key.sign(TEXT, time=NOW + timedelta(seconds=1))
    ours = Keyring(key.certificate.keyring, where="keyring")
    assert ours.verify(message, now=NOW, where="InRelease").text.rstrip() == TEXT.rstrip()
    with pytest.raises(IntegrityError, match="was changed or damaged"):
        ours.verify(message.replace(b"dev", b"del"), now=NOW, where="InRelease")
    with pytest.raises(IntegrityError, match="keys that are not in the keyring"):
        Keyring(keyring(signing_key()), where="other").verify(message, now=NOW, where="InRelease")


def test_gnupg_reads_certificate_and_signature(made: Path, tmp_path: Path) -> None:
    """The oracle of the other family of OpenPGP programs: apt of Debian 12 asks gpgv."""
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        pytest.skip("no gpgv here")
    key = load_archive_key(made, now=NOW)
    (tmp_path / "keyring.gpg").write_bytes(key.certificate.keyring)
    (tmp_path / "InRelease").write_bytes(key.sign(TEXT, time=NOW))
    command = [gpgv, "--keyring", str(tmp_path / "keyring.gpg"), str(tmp_path / "InRelease")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert key.certificate.fingerprint.upper() in done.stderr
    (tmp_path / "InRelease").write_bytes(key.sign(TEXT, time=NOW).replace(b"dev", b"del"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_signature_of_an_older_lock_is_no_older_than_the_key(made: Path) -> None:
    key = load_archive_key(made, now=NOW)
    old = NOW - timedelta(days=900)
    message = key.sign(TEXT, time=old)
    assert message == key.sign(TEXT, time=old + timedelta(days=1))
    assert Keyring(key.certificate.keyring, where="keyring").verify(message, now=NOW, where="InRelease")


@pytest.mark.parametrize("text", [b"no end of line", b"Origin: Acme \n", b"- dash\n", b"Origin: Acme\r\n"])
def test_a_text_that_would_be_read_otherwise_than_signed_is_refused(made: Path, text: bytes) -> None:
    with pytest.raises(ValueError, match="can be signed"):
        load_archive_key(made, now=NOW).sign(text, time=NOW)


def test_an_older_folder_works_without_it_and_gets_it_by_a_command_of_its_own(keys: Path) -> None:
    others = {path.name: path.read_bytes() for path in keys.iterdir() if not path.name.startswith("repository.")}
    (keys / "repository.key").unlink()
    (keys / "repository.asc").unlink()
    load_keys(keys, now=NOW)
    assert not has_archive_key(keys)
    with pytest.raises(DefinitionError, match="the repository key is missing") as caught:
        load_archive_key(keys, now=NOW)
    assert "zaffre keys add" in said(caught.value)
    add_keys(keys, owner="Acme", now=NOW)
    load_archive_key(keys, now=NOW)
    assert {name: (keys / name).read_bytes() for name in others} == others
    with pytest.raises(DefinitionError, match="never overwritten"):
        add_keys(keys, owner="Acme", now=NOW)


def test_a_half_that_is_lost_is_not_made_anew(keys: Path) -> None:
    (keys / "repository.key").unlink()
    with pytest.raises(DefinitionError, match="never overwritten"):
        add_keys(keys, owner="Acme", now=NOW)
    with pytest.raises(DefinitionError, match="the repository key is missing") as caught:
        load_archive_key(keys, now=NOW)
    assert "restore the file" in said(caught.value)


def test_halves_that_do_not_belong_together_are_refused(keys: Path) -> None:
    other = Ed25519PrivateKey.generate()
    (keys / "repository.key").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(IntegrityError, match="does not belong to"):
        load_archive_key(keys, now=NOW)
    shutil.copy(keys / "db.key", keys / "repository.key")
    with pytest.raises(IntegrityError, match="must be Ed25519"):
        load_archive_key(keys, now=NOW)


def test_a_private_half_that_others_can_read_is_refused(keys: Path) -> None:
    (keys / "repository.key").chmod(0o640)
    with pytest.raises(WorldError, match="open to other users"):
        load_archive_key(keys, now=NOW)


def test_an_expired_key_signs_nothing_more(keys: Path) -> None:
    with pytest.raises(WorldError, match="the key expired"):
        load_archive_key(keys, now=NOW + LIFETIME)


@pytest.mark.parametrize("content", [b"nothing", keyring(signing_key())])
def test_what_is_no_certificate_of_ours_is_refused(keys: Path, content: bytes) -> None:
    (keys / "repository.asc").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"not an OpenPGP certificate|not one that Zaffre has made"):
        load_archive_certificate(keys)
