# SPDX-License-Identifier: Apache-2.0
"""The keys' directory: what is made, what is refused, what is noticed when it is read again."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from zaffre.errors import DefinitionError, ExitCode, IntegrityError, WorldError
from zaffre.trust import Role, default_directory, load_certificates, load_keys
from zaffre.trust.generate import init_keys

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("owner") / "keys"
    init_keys(directory, owner="Example", now=NOW)
    return directory


@pytest.fixture
def keys(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "keys"))


def test_every_role_has_both_halves_and_only_the_owner_can_read_the_private_one(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
    assert names == {
        **{f"{role.value}.key": 0o600 for role in Role},
        **{f"{role.value}.crt": 0o644 for role in Role if role not in {Role.RELEASE, Role.PCR}},
        "release.pub": 0o644,
        "pcr.pub": 0o644,
        "repository.key": 0o600,
        "repository.asc": 0o644,
    }


def test_a_permissive_umask_opens_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        init_keys(tmp_path / "keys", owner="Example", now=NOW)
    finally:
        os.umask(before)
    load_keys(tmp_path / "keys", now=NOW)


def test_kinds_of_keys(made: Path) -> None:
    for role in Role:
        key = load_pem_private_key((made / role.private_name).read_bytes(), password=None)
        if role is Role.RELEASE:
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            assert key.curve.name == "secp256r1"
        else:
            assert isinstance(key, rsa.RSAPrivateKey)
            assert key.key_size == 2048


def test_certificates_are_self_signed_for_ten_years_and_named_for_their_owner(made: Path) -> None:
    loaded = load_certificates(made)
    for role in Role:
        certificate = loaded[role].certificate
        if certificate is None:
            assert role in {Role.RELEASE, Role.PCR}
            continue
        certificate.verify_directly_issued_by(certificate)
        assert certificate.not_valid_before_utc <= NOW
        years = (certificate.not_valid_after_utc - NOW) / timedelta(days=365.25)
        assert years == pytest.approx(10, abs=0.01)
        assert "Example" in certificate.subject.rfc4514_string()


def test_a_long_owner_name_is_cut_to_what_a_certificate_can_hold(tmp_path: Path) -> None:
    loaded = init_keys(tmp_path / "keys", owner="The Society of Very Long Names and Titles, Incorporated", now=NOW)
    certificate = loaded.certificates[Role.VERITY].certificate
    assert certificate is not None
    (name,) = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    assert len(name.value) <= 64


def test_the_fingerprint_is_the_one_that_openssl_prints(made: Path) -> None:
    line = subprocess.run(
        ["openssl", "x509", "-in", str(made / "db.crt"), "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert line.strip().split("=")[1].replace(":", "").lower() == load_certificates(made)[Role.DB].fingerprint


def test_nothing_is_overwritten(keys: Path) -> None:
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    with pytest.raises(DefinitionError, match="never overwritten") as caught:
        init_keys(keys, owner="Example", now=NOW)
    assert caught.value.exit_code is ExitCode.USAGE
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


@pytest.mark.parametrize("occupant", ["file", "folder with a file", "link"])
def test_whatever_is_in_the_way_stays(tmp_path: Path, occupant: str) -> None:
    target = tmp_path / "keys"
    if occupant == "file":
        target.write_text("mine")
    elif occupant == "link":
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    else:
        target.mkdir()
        (target / "notes").write_text("mine")
    with pytest.raises(DefinitionError):
        init_keys(target, owner="Example", now=NOW)


def test_an_empty_directory_is_taken_and_closed(tmp_path: Path) -> None:
    target = tmp_path / "keys"
    target.mkdir(mode=0o755)
    init_keys(target, owner="Example", now=NOW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_the_distribution_is_no_place_for_keys(tmp_path: Path) -> None:
    distro = tmp_path / "distro"
    distro.mkdir()
    link = tmp_path / "link"
    link.symlink_to(distro)
    for place in (distro / "keys", link / "secrets" / "keys"):
        with pytest.raises(DefinitionError, match="distribution's own tree"):
            init_keys(place, owner="Example", now=NOW, outside=[distro])
    assert list(distro.iterdir()) == []


def test_a_git_work_tree_is_refused_unless_it_ignores_the_directory(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(DefinitionError, match="git work tree") as caught:
        init_keys(tmp_path / "keys", owner="Example", now=NOW)
    assert caught.value.resolution is not None
    assert ".gitignore" in caught.value.resolution
    assert not (tmp_path / "keys").exists()

    (tmp_path / ".gitignore").write_text("/keys/\n")
    init_keys(tmp_path / "keys", owner="Example", now=NOW)
    assert load_keys(tmp_path / "keys", now=NOW).directory == tmp_path / "keys"


def test_no_directory_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no keys") as caught:
        load_keys(tmp_path / "nowhere", now=NOW)
    assert caught.value.resolution is not None
    assert "zaffre keys init" in caught.value.resolution


@pytest.mark.parametrize(("name", "mode"), [("", 0o750), ("db.key", 0o640), ("release.key", 0o604)])
def test_keys_that_others_can_read_are_refused(keys: Path, name: str, mode: int) -> None:
    (keys / name).chmod(mode)
    with pytest.raises(WorldError, match=f"{mode:04o}") as caught:
        load_keys(keys, now=NOW)
    assert caught.value.resolution is not None
    assert "chmod" in caught.value.resolution


@pytest.mark.parametrize("name", ["PK.key", "KEK.crt", "release.pub"])
def test_a_missing_half_is_named(keys: Path, name: str) -> None:
    (keys / name).unlink()
    with pytest.raises(DefinitionError, match="missing") as caught:
        load_keys(keys, now=NOW)
    assert caught.value.where == str(keys / name)


def test_halves_that_do_not_belong_together_are_noticed(keys: Path) -> None:
    (keys / "db.key").write_bytes((keys / "KEK.key").read_bytes())
    with pytest.raises(IntegrityError, match=r"does not belong to db\.crt"):
        load_keys(keys, now=NOW)


@pytest.mark.parametrize("name", ["db.key", "db.crt", "release.pub"])
def test_a_file_that_is_no_key_is_noticed(keys: Path, name: str) -> None:
    (keys / name).write_text("-----BEGIN NONSENSE-----\n")
    with pytest.raises(IntegrityError) as caught:
        load_keys(keys, now=NOW)
    assert caught.value.where == str(keys / name)


def test_a_certificate_of_the_wrong_kind_is_noticed(keys: Path) -> None:
    (keys / "release.pub").write_bytes((keys / "db.crt").read_bytes())
    with pytest.raises(IntegrityError):
        load_certificates(keys)


def test_a_huge_file_is_not_read(keys: Path) -> None:
    with (keys / "db.crt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(IntegrityError, match="larger than any key"):
        load_certificates(keys)


def test_an_expired_certificate_and_a_clock_of_the_past_are_told_apart(keys: Path) -> None:
    with pytest.raises(WorldError, match=r"expired on 2036-05-0\d"):
        load_keys(keys, now=NOW + timedelta(days=3653))
    with pytest.raises(WorldError, match="valid from") as caught:
        load_keys(keys, now=NOW - timedelta(days=400))
    assert caught.value.resolution is not None
    assert "clock" in caught.value.resolution


def test_verification_needs_the_public_halves_only(keys: Path) -> None:
    for path in keys.glob("*.key"):
        path.unlink()
    assert load_certificates(keys)[Role.DB].certificate is not None


def test_where_keys_lie_unless_told(tmp_path: Path) -> None:
    assert default_directory({"ZAFFRE_KEYS": "/vault"}) == Path("/vault")
    assert default_directory({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "zaffre" / "keys"
    assert default_directory({"XDG_DATA_HOME": "relative"}) == Path.home() / ".local/share/zaffre/keys"
