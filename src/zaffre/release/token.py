# SPDX-License-Identifier: Apache-2.0
"""Keys that do not leave their token: a smart card, a hardware security module, or SoftHSM to try it.

`<name>.token` is one line, a PKCS #11 URI (RFC 7512) that says which key it is and by which library it is reached:

    pkcs11:token=Acme;object=stable?module-path=/usr/lib/softhsm/libsofthsm2.so

`id=%01` says the same of a key without a label. The key is an ECDSA one on the curve P-256 or P-384. What signs is the
token, by CKM_ECDSA over a digest that is made here; its PIN is asked for once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from zaffre.errors import DefinitionError, IntegrityError, WorldError

SCHEMES = {"ecdsa-sha2-nistp256": "sha256", "ecdsa-sha2-nistp384": "sha384"}


@dataclass(frozen=True)
class Uri:
    """Which key of which token, and the library."""

    token: str
    label: str | None
    number: bytes | None
    module: Path


def parse_uri(text: str, where: str) -> Uri:
    """Raises DefinitionError for what does not say token, key and library."""
    path, _, query = text.strip().removeprefix("pkcs11:").partition("?")
    parts = dict(one.partition("=")[::2] for one in path.split(";") if one)
    options = dict(one.partition("=")[::2] for one in query.split("&") if one)
    module = Path(unquote(options.get("module-path", "")))
    label, number = parts.get("object"), parts.get("id")
    if not text.startswith("pkcs11:") or "token" not in parts or (label is None and number is None):
        module = Path()
    if not module.is_absolute():
        raise DefinitionError(
            "this is no PKCS #11 URI that says token, key and library",
            where=where,
            resolution="write it like pkcs11:token=Acme;object=stable?module-path=/usr/lib/softhsm/libsofthsm2.so",
        )
    return Uri(
        token=unquote(parts["token"]),
        label=None if label is None else unquote(label),
        number=None if number is None else unquote_to_bytes(number),
        module=module,
    )


class TokenSigner(Signer):
    """Signs with a key of a token. Methods raise WorldError for a token that does not do what it is asked to."""

    def __init__(self, uri: Uri, public_key: SSlibKey, pin: Callable[[], str]) -> None:
        if public_key.scheme not in SCHEMES:
            raise DefinitionError(f"a key of a token can't sign by {public_key.scheme}", where=uri.token)
        self._uri = uri
        self._public_key = public_key
        self._pin = pin

    @property
    def public_key(self) -> SSlibKey:
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> TokenSigner:
        """Securesystemslib's way to make one."""
        if not isinstance(public_key, SSlibKey) or secrets_handler is None:
            raise DefinitionError("a token takes a public key and a PIN", where=priv_key_uri)
        return cls(parse_uri(priv_key_uri, priv_key_uri), public_key, lambda: secrets_handler("PIN"))

    def sign(self, payload: bytes) -> Signature:
        digest = hashlib.new(SCHEMES[self._public_key.scheme], payload).digest()
        driver = _driver(self._uri)
        with _failing(self._uri), _session(driver, self._uri, self._pin()) as session:
            key = _key(driver, session, self._uri, driver.ObjectClass.PRIVATE_KEY)
            raw = key.sign(digest, mechanism=driver.Mechanism.ECDSA)
            signature = Signature(self._public_key.keyid, driver.util.ec.encode_ecdsa_signature(raw).hex())
        try:
            self._public_key.verify_signature(signature, payload)
        except UnverifiedSignatureError as error:
            raise IntegrityError("the token's key does not belong to the public half", where=self._uri.token) from error
        return signature


def public_half(uri: Uri, pin: Callable[[], str]) -> bytes:
    """The key's public half, DER of SubjectPublicKeyInfo."""
    driver = _driver(uri)
    with _failing(uri), _session(driver, uri, pin()) as session:
        der: bytes = driver.util.ec.encode_ec_public_key(_key(driver, session, uri, driver.ObjectClass.PUBLIC_KEY))
    load_der_public_key(der)
    return der


def _driver(uri: Uri) -> Any:
    """python-pkcs11, which few have use for."""
    try:
        import pkcs11.util.ec  # noqa: PLC0415 - it is not installed everywhere
    except ImportError as error:
        raise DefinitionError(
            "a token needs a driver that is not installed",
            where=str(uri.module),
            details=str(error),
            resolution="install it beside Zaffre: pip install 'zaffre[token]'",
        ) from error
    return pkcs11


@contextmanager
def _session(driver: Any, uri: Uri, pin: str) -> Iterator[Any]:
    flag = driver.TokenFlag.TOKEN_INITIALIZED
    token = driver.lib(str(uri.module)).get_token(token_label=uri.token, token_flags=flag)
    with token.open(user_pin=pin) as session:
        yield session


def _key(driver: Any, session: Any, uri: Uri, kind: Any) -> Any:
    return session.get_key(kind, driver.KeyType.EC, label=uri.label, id=uri.number)


@contextmanager
def _failing(uri: Uri) -> Iterator[None]:
    """What a token's library says becomes a WorldError."""
    try:
        yield
    except Exception as error:  # each library has errors of its own
        raise WorldError(
            "the token did not do what it was asked to",
            where=f"{uri.token}: {uri.label or (uri.number or b'').hex()}",
            details=type(error).__name__ + (f": {error}" if str(error) else ""),
            resolution="check that it is plugged in, its label, the key's label, and the PIN",
        ) from error
