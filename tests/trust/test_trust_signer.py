# SPDX-License-Identifier: Apache-2.0
"""A manifest's signature is one that others' tools accept."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from zaffre.errors import IntegrityError
from zaffre.trust import FileSigner, Keys, Role, signature_holds
from zaffre.trust.generate import init_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("owner") / "keys", owner="Example", now=datetime.now(UTC))


def public_key(keys: Keys) -> ec.EllipticCurvePublicKey:
    key = keys.certificates[Role.RELEASE].public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def test_openssl_accepts_what_we_sign(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a manifest")
    (tmp_path / "signature").write_bytes(base64.b64decode(keys.release_signer().sign_bytes(b"a manifest")))
    command = ["openssl", "dgst", "-sha256", "-verify", str(keys.public_path(Role.RELEASE)), "-signature"]
    subprocess.run([*command, str(tmp_path / "signature"), str(tmp_path / "data")], check=True, capture_output=True)


def test_we_accept_what_openssl_signs(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a manifest")
    command = ["openssl", "dgst", "-sha256", "-sign", str(keys.private_path(Role.RELEASE)), str(tmp_path / "data")]
    signature = subprocess.run(command, check=True, capture_output=True).stdout
    assert signature_holds(public_key(keys), b"a manifest", base64.b64encode(signature))


def test_other_data_or_a_damaged_signature_does_not_hold(keys: Keys) -> None:
    signature = keys.release_signer().sign_bytes(b"a manifest")
    assert signature_holds(public_key(keys), b"a manifest", signature)
    assert not signature_holds(public_key(keys), b"A manifest", signature)
    for damaged in (b"", b"not base64!", base64.b64encode(b"no DER"), signature[:-9], signature[4:]):
        assert not signature_holds(public_key(keys), b"a manifest", damaged)


def test_a_key_that_cannot_sign_says_so(keys: Keys) -> None:
    with pytest.raises(IntegrityError, match="not ECDSA"):
        FileSigner(keys.private_path(Role.DB)).sign_bytes(b"a manifest")
