# SPDX-License-Identifier: Apache-2.0
"""A change in a folder, for keys that are elsewhere: the bytes go out, the signatures come back in.

    pending.json              what it does, and by which keys each role can be signed
    <version>.<role>.json     TUF metadata with the signatures so far
    <version>.<role>.bytes    exactly what is signed, for those who sign with another program

Nothing in the folder is believed: what is published is verified against the roots that are published already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature
from tuf.api.metadata import Root, Targets

from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.follow.layout import MAX_METADATA, ROOT_ROLE
from zaffre.release.change import Change
from zaffre.release.keys import NAME_FIELD, Ring
from zaffre.release.metadata import AnyMetadata, parse, sign
from zaffre.release.state import State
from zaffre.store import write_atomic

PENDING_NAME: Final = "pending.json"
_MAX_SIGNATURE = 16384


class _Role(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    version: Annotated[int, Field(ge=1)]
    keys: dict[str, dict[str, Any]]

    @property
    def stem(self) -> str:
        return f"{self.version}.{self.role}"


class _Pending(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    title: str
    roles: tuple[_Role, ...]


@dataclass(frozen=True)
class Pending:
    """A change that was read from a folder."""

    folder: Path
    change: Change
    keys: Mapping[str, Mapping[str, Key]]
    """By role: the keys that can sign for it, by their ids."""

    def sign(self, ring: Ring) -> dict[str, list[str]]:
        """Add signatures of the keys at hand and write them down. By role: the names of the keys that signed.

        Raises FindingError when no key at hand can sign anything.
        """
        done = {role: sign(metadata, self.keys[role], ring) for role, metadata in self.change.roles.items()}
        if not any(done.values()):
            names = {name_of(key) for keys in self.keys.values() for key in keys.values()}
            raise FindingError(
                "none of the keys at hand can sign this",
                where=str(self.folder),
                details=f"it takes {', '.join(sorted(names))}",
                resolution="name the folder that has one of them by --signers",
            )
        self.write()
        return {role: [ring.files[keyid].name for keyid in keyids] for role, keyids in done.items() if keyids}

    def take(self, role: str, name: str, signature: bytes) -> str:
        """Add a signature that was made elsewhere over the role's `.bytes`, by the key of that name or id.

        Raises DefinitionError for a role or key that is not wanted, FindingError for a signature that does not hold.
        """
        if role not in self.change.roles:
            raise DefinitionError(
                f"the change has no role '{role}'",
                where=str(self.folder),
                resolution=f"one of: {', '.join(self.change.roles)}",
            )
        keys = {name_of(key): key for key in self.keys[role].values()} | dict(self.keys[role])
        key = keys.get(name)
        if key is None:
            raise DefinitionError(
                f"no key '{name}' can sign for '{role}'",
                where=str(self.folder),
                resolution=f"one of: {', '.join(sorted(set(map(name_of, self.keys[role].values()))))}",
            )
        metadata = self.change.roles[role]
        found = Signature(key.keyid, signature.hex())
        try:
            key.verify_signature(found, metadata.signed_bytes)
        except UnverifiedSignatureError as error:
            raise FindingError(
                f"the signature is not one by '{name}' over these bytes",
                where=f"{self.folder}: {role}",
                resolution=f"sign {metadata.signed.version}.{role}.bytes, and give the bare signature",
            ) from error
        metadata.signatures[key.keyid] = found
        self.write()
        return name_of(key)

    def write(self) -> None:
        """Write it down as it is now; what others read meanwhile is whole."""
        roles = []
        for role, metadata in self.change.roles.items():
            keys = {keyid: key.to_dict() for keyid, key in self.keys[role].items()}
            one = _Role(role=role, version=metadata.signed.version, keys=keys)
            _put(self.folder / f"{one.stem}.json", metadata.to_bytes())
            _put(self.folder / f"{one.stem}.bytes", metadata.signed_bytes)
            roles.append(one)
        text = _Pending(title=self.change.title, roles=tuple(roles)).model_dump_json(indent=1)
        _put(self.folder / PENDING_NAME, text.encode() + b"\n")

    def remove(self) -> None:
        """Remove what `write` has written, and the folder if nothing else is in it."""
        for role, metadata in self.change.roles.items():
            for suffix in ("json", "bytes"):
                (self.folder / f"{metadata.signed.version}.{role}.{suffix}").unlink(missing_ok=True)
        (self.folder / PENDING_NAME).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def name_of(key: Key) -> str:
    """The name that its owner gave a key, else its id."""
    return str(key.unrecognized_fields.get(NAME_FIELD, key.keyid))


def set_aside(change: Change, state: State | None, folder: Path) -> Pending:
    """Write a change into a folder that has none yet. Raises DefinitionError for one that has."""
    if (folder / PENDING_NAME).exists():
        raise DefinitionError(
            "a change waits here for signatures already",
            where=str(folder),
            resolution="publish it ('zaffre release submit'), remove the folder, or name another one by --pending",
        )
    folder.mkdir(parents=True, exist_ok=True)
    keys = {role: _keys(change.delegators(state, role), role) for role in change.roles}
    pending = Pending(folder, change, keys)
    pending.write()
    return pending


def read_pending(folder: Path) -> Pending:
    """Raises DefinitionError where there is none, IntegrityError for what can't be read."""
    path = folder / PENDING_NAME
    if not path.is_file():
        raise DefinitionError("no change waits for signatures here", where=str(folder))
    try:
        told = _Pending.model_validate_json(_read(path, MAX_METADATA))
        keys = {
            one.role: {keyid: Key.from_dict(keyid, dict(key)) for keyid, key in one.keys.items()} for one in told.roles
        }
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError("the file says nothing of a change", where=str(path), details=str(error)) from error
    roles: dict[str, AnyMetadata] = {}
    for one in told.roles:
        file = folder / f"{one.stem}.json"
        kind: type[Root | Targets] = Root if one.role == ROOT_ROLE else Targets
        roles[one.role] = parse(_read(file, MAX_METADATA), kind, str(file))
    return Pending(folder, Change(told.title, roles), keys)


def read_signature(path: Path) -> bytes:
    """A bare signature from a file. Raises DefinitionError for an empty or a large one."""
    data = _read(path, _MAX_SIGNATURE)
    if not data:
        raise DefinitionError("the file has no signature", where=str(path))
    return data


def _keys(delegators: Iterable[Root | Targets], role: str) -> dict[str, Key]:
    found: dict[str, Key] = {}
    for delegator in delegators:
        try:
            keyids = delegator.get_delegated_role(role).keyids
        except ValueError:
            continue
        found |= {keyid: delegator.get_key(keyid) for keyid in keyids}
    return found


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than it may be ({limit} bytes)", where=str(path))
    return data


def _put(path: Path, data: bytes) -> None:
    write_atomic(path, data, directory=path.parent)
