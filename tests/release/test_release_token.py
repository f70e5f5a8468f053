# SPDX-License-Identifier: Apache-2.0
"""Keys of a PKCS #11 token, here SoftHSM's: they sign a channel, and never leave it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.releases import KEY_NAMES, Yard, make_keys
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.release.keys import Ring, name_token_key
from zaffre.release.token import parse_uri
from zaffre.trust import Keys

PIN = "a passphrase of a test"
LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token with two keys, `stable` and `other`; gives its URI but for the key."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if shutil.which("softhsm2-util") is None or library is None:
        if os.environ.get("CI"):
            pytest.fail("no SoftHSM here: scripts/setup tests")
        pytest.skip("no SoftHSM here: scripts/setup tests")
    pkcs11 = pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        command = ["softhsm2-util", "--init-token", "--free", "--label", "Acme", "--pin", PIN, "--so-pin", "12345678"]
        subprocess.run(command, check=True, capture_output=True)
        with pkcs11.lib(library).get_token(token_label="Acme").open(user_pin=PIN, rw=True) as session:
            curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
            for name in ("stable", "other"):
                parameters = session.create_domain_parameters(
                    pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
                )
                parameters.generate_keypair(store=True, label=name)
        yield f"pkcs11:token=Acme;object={{}}?module-path={library}"


def test_a_channel_is_signed_by_a_token(token: str, tmp_path: Path, owner: Keys) -> None:
    folder = make_keys(tmp_path / "signers", [name for name in KEY_NAMES if name != "stable"])
    made = name_token_key(folder, "stable", token.format("stable"), lambda _: PIN)
    assert made.key.scheme == "ecdsa-sha2-nistp256"
    assert sorted(path.name for path in folder.glob("stable*")) == ["stable.pub", "stable.token"]
    assert b"PRIVATE" not in (folder / "stable.token").read_bytes()
    yard = Yard(tmp_path, owner, signers=[folder])
    yard.found()
    yard.publish("1.1")
    yard.promote("1.1")
    assert yard.sees("node", "stable") == ["1.1"]
    assert yard.verify().ok


def test_what_the_token_refuses_is_said(token: str, tmp_path: Path) -> None:
    folder = make_keys(tmp_path / "signers", [])
    with pytest.raises(WorldError, match="the token did not do") as caught:
        name_token_key(folder, "stable", token.format("stable"), lambda _: "wrong")
    assert "Pin" in str(caught.value.details)
    with pytest.raises(WorldError, match="the token did not do"):
        name_token_key(folder, "stable", token.format("nothing"), lambda _: PIN)
    assert list(folder.iterdir()) == []


def test_another_key_than_the_public_half_s_is_found_out(token: str, tmp_path: Path, owner: Keys) -> None:
    folder = make_keys(tmp_path / "signers", [name for name in KEY_NAMES if name != "stable"])
    name_token_key(folder, "stable", token.format("stable"), lambda _: PIN)
    path = folder / "stable.token"
    path.write_text(path.read_text().replace("object=stable", "object=other"))
    ring = Ring([folder], lambda _: PIN)
    with pytest.raises(IntegrityError, match="does not belong to the public half"):
        ring.signer(ring.named("stable").key.keyid).sign(b"something")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stable",
        "pkcs11:token=a",
        "pkcs11:token=a;object=b",
        "pkcs11:object=b?module-path=/x.so",
        "pkcs11:token=a;object=b?module-path=x.so",
        "hsm:2",
    ],
)
def test_what_names_no_key(text: str) -> None:
    with pytest.raises(DefinitionError, match="no PKCS #11 URI"):
        parse_uri(text, "x")
    found = parse_uri("pkcs11:token=A%20B;id=%01%02?module-path=/x.so", "x")
    assert (found.token, found.number, found.label) == ("A B", b"\x01\x02", None)
