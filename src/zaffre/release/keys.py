# SPDX-License-Identifier: Apache-2.0
"""The keys that sign releases: made, found in folders, and used one signature at a time.

A folder of keys (0700) holds for each key its public half, `<name>.pub` (PEM), and beside it what signs: `<name>.key`,
an Ed25519 key that a passphrase encrypts (PEM, PKCS #8, 0600), or `<name>.token`, which says which key of which token
it is. A public half alone is a key that somebody else has. Folders can be apart: root keys belong on media that are
offline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.trust.files import create, read_bounded, require_directory, require_private

NAME_FIELD: Final = "x-zaffre-name"
"""Where metadata say how a key is called. It is signed, and its owner's choice."""

PUBLIC_SUFFIX, PRIVATE_SUFFIX, TOKEN_SUFFIX = ".pub", ".key", ".token"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MIN_SECRET = 8

Secrets = Callable[[str], str]
"""Gives the passphrase or the PIN for a key, by words that name it."""


@dataclass(frozen=True)
class KeyFile:
    """A public half and where it lies; `signs` is what signs beside it, None for somebody else's key."""

    name: str
    path: Path
    key: SSlibKey
    signs: Path | None


def make_key(folder: Path, name: str, secret: str) -> KeyFile:
    """A new key in an existing folder. Raises DefinitionError for a name that is taken or none, and a short secret."""
    _require_name(folder, name)
    if len(secret) < _MIN_SECRET:
        raise DefinitionError(
            f"the passphrase is shorter than {_MIN_SECRET} characters",
            where=f"{folder}: {name}",
            resolution="choose a longer one; who finds the file has as many tries as they like",
        )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secret.encode()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    create(folder / f"{name}{PRIVATE_SUFFIX}", private, 0o600)
    create(folder / f"{name}{PUBLIC_SUFFIX}", public, 0o644)
    return read_key(folder / f"{name}{PUBLIC_SUFFIX}")


def name_token_key(folder: Path, name: str, text: str, secrets: Secrets) -> KeyFile:
    """A key of a token, by its PKCS #11 URI: its public half, and where it is. The private half stays in the token.

    Raises as `make_key` does, and WorldError when the token does not answer.
    """
    from zaffre.release.token import parse_uri, public_half  # noqa: PLC0415 - few have one

    _require_name(folder, name)
    der = public_half(parse_uri(text, name), lambda: secrets(f"PIN of {name}"))
    public = load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    create(folder / f"{name}{TOKEN_SUFFIX}", f"{text.strip()}\n".encode(), 0o600)
    create(folder / f"{name}{PUBLIC_SUFFIX}", public, 0o644)
    return read_key(folder / f"{name}{PUBLIC_SUFFIX}")


def _require_name(folder: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"{name!r} cannot be the name of a key", resolution="use letters, digits, '.', '_', '-'")
    if any((folder / f"{name}{suffix}").exists() for suffix in (PUBLIC_SUFFIX, PRIVATE_SUFFIX, TOKEN_SUFFIX)):
        raise DefinitionError(
            f"there is a key '{name}' here already, and keys are never overwritten",
            where=str(folder),
            resolution="choose another name, or use the key that is there",
        )


def make_folder(folder: Path) -> None:
    """A folder for keys, closed to others, if there is none yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    require_private(folder, wanted=0o700)


def read_key(path: Path) -> KeyFile:
    """A public half. Raises DefinitionError for one that is not there, IntegrityError for what is none."""
    if not path.is_file():
        raise DefinitionError("there is no such public key", where=str(path), resolution="see what lies in the folder")
    try:
        key = SSlibKey.from_crypto(load_pem_public_key(read_bounded(path)))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError(
            "the file is not a public key that can sign releases", where=str(path), details=str(error)
        ) from error
    name = path.name.removesuffix(PUBLIC_SUFFIX)
    key.unrecognized_fields[NAME_FIELD] = name
    beside = (path.with_name(f"{name}{suffix}") for suffix in (PRIVATE_SUFFIX, TOKEN_SUFFIX))
    return KeyFile(name, path, key, next((one for one in beside if one.is_file()), None))


def key_name(key: Key) -> str:
    """How a key of metadata is called: by its name and the beginning of its id."""
    return f"{key.unrecognized_fields.get(NAME_FIELD, 'key')} ({key.keyid[:8]})"


class Ring:
    """The keys at hand. A private half is opened when it is to sign, and its secret asked for then."""

    def __init__(self, folders: Iterable[Path], secrets: Secrets) -> None:
        self._files: dict[str, KeyFile] = {}
        self._secrets = secrets
        self._open: dict[str, Signer] = {}
        self._pins: dict[str, str] = {}
        for folder in folders:
            require_directory(folder)
            for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
                found = read_key(path)
                known = self._files.get(found.key.keyid)
                if known is None or known.signs is None:
                    self._files[found.key.keyid] = found

    @property
    def files(self) -> Mapping[str, KeyFile]:
        """By the key's id."""
        return self._files

    def has(self, keyid: str) -> bool:
        """Whether it can sign with that key."""
        found = self._files.get(keyid)
        return found is not None and found.signs is not None

    def named(self, name: str) -> KeyFile:
        """Raises DefinitionError for a name that no key has, or two."""
        found = [one for one in self._files.values() if one.name == name]
        if len(found) != 1:
            raise DefinitionError(
                f"there {'is no key' if not found else 'are two keys'} '{name}' in the folders of keys",
                resolution="name the folder by --signers, or make the key with 'zaffre release keys init'",
            )
        return found[0]

    def signer(self, keyid: str) -> Signer:
        """What signs with that key. Raises IntegrityError for a wrong secret or another key than the public half's."""
        if keyid not in self._open:
            self._open[keyid] = self._opened(self._files[keyid])
        return self._open[keyid]

    def _opened(self, file: KeyFile) -> Signer:
        if file.signs is None:
            raise DefinitionError("only the public half of this key is here", where=str(file.path))
        if file.signs.suffix == TOKEN_SUFFIX:
            return self._token(file, file.signs)
        require_private(file.signs.parent, wanted=0o700)
        require_private(file.signs, wanted=0o600)
        secret = self._secrets(f"passphrase of {file.name}")
        try:
            private = load_pem_private_key(read_bounded(file.signs), password=secret.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise WorldError(
                f"the key '{file.name}' does not open",
                where=str(file.signs),
                details=str(error),
                resolution="check the passphrase",
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise IntegrityError("the key is not Ed25519", where=str(file.signs))
        signer = CryptoSigner(private, None)
        if signer.public_key.keyid != file.key.keyid:
            raise IntegrityError(
                f"the private key does not belong to {file.path.name}",
                where=str(file.signs),
                resolution="restore both files from the same backup",
            )
        return signer

    def _token(self, file: KeyFile, path: Path) -> Signer:
        from zaffre.release.token import TokenSigner, parse_uri  # noqa: PLC0415 - few have one

        uri = parse_uri(read_bounded(path).decode("utf-8", "replace"), str(path))
        if file.name not in self._pins:
            self._pins[file.name] = self._secrets(f"PIN of {file.name}")
        return TokenSigner(uri, file.key, lambda: self._pins[file.name])
