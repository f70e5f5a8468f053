# SPDX-License-Identifier: Apache-2.0
"""What is published already: Releases and indexes, read back and believed only as far as they are signed for."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.place.target import Listed, Readable
from zaffre.repository.index import SNAPSHOT_FIELD
from zaffre.repository.layout import (
    DISTS,
    INRELEASE,
    SNAPSHOTS,
    SOURCES,
    below,
    by_hash,
    is_snapshot,
    snapshot_key,
    snapshot_suite,
)
from zaffre.upstream.deb.control import parse_stanza, parse_stanzas
from zaffre.upstream.deb.release import MAX_RELEASE_BYTES, FileFact, Release, parse_release
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.pool import POOL, source_folder

_MAX_INDEX = 256 << 20
_XZ = ".xz"


@dataclass(frozen=True)
class Suite:
    """A snapshot or a channel, as its signed Release says. `message` is the whole InRelease."""

    name: str
    message: bytes
    release: Release
    snapshot: str

    @property
    def is_channel(self) -> bool:
        return not self.name.startswith(f"{SNAPSHOTS}/")

    @property
    def packed(self) -> Mapping[str, FileFact]:
        """The indexes that are there, by the path that the Release has for them."""
        return {path: fact for path, fact in self.release.files.items() if path.endswith(_XZ)}

    def place(self, path: str) -> str:
        """Where an index lies: a channel, which moves, has it by its digest only."""
        if self.is_channel:
            return by_hash(self.name, path, self.release.files[path].sha256)
        return below(self.name, path)


@dataclass(frozen=True)
class PoolFile:
    """A package, or a file of a source package, as an index lists it."""

    path: str
    fact: FileFact
    name: str
    source: bool = False


def read_suite(target: Readable, suite: str, keyring: Keyring, *, now: datetime) -> Suite | None:
    """A suite; None when it isn't there. Raises IntegrityError for one that our key did not sign.

    Whether it is out of date is not judged here: an expired channel can still be moved.
    """
    path = below(suite, INRELEASE)
    where = f"{target.shown}/{path}"
    message = target.read(path, limit=MAX_RELEASE_BYTES)
    if message is None:
        return None
    verified = keyring.verify(message, now=now, where=where)
    release = parse_release(verified.text, signers=verified.signers, where=where)
    snapshot = parse_stanza(release.text.decode()).get(SNAPSHOT_FIELD, "")
    if release.suite != suite or not is_snapshot(snapshot):
        raise IntegrityError(
            f"the Release is of the suite '{release.suite}', not of '{suite}'",
            where=where,
            resolution="somebody put it in the place of another: publish the suite again, and look who can write here",
        )
    for listed in release.files:
        if listed.startswith("/") or any(part in {"", ".", ".."} for part in listed.split("/")):
            raise IntegrityError("the Release names a file outside of its suite", where=where, details=listed)
    return Suite(suite, message, release, snapshot)


def snapshot_names(target: Listed) -> list[str]:
    """The snapshots that are whole, oldest first: those with an InRelease."""
    prefix = f"{DISTS}/{SNAPSHOTS}/"
    found = {
        path.removeprefix(prefix).partition("/")[0]
        for path in target.sizes(prefix.rstrip("/"))
        if path.endswith(f"/{INRELEASE}")
    }
    return sorted((name for name in found if is_snapshot(name)), key=snapshot_key)


def channel_names(target: Listed) -> list[str]:
    """The suites beside the snapshots, sorted."""
    found = {path.split("/")[1] for path in target.sizes(DISTS) if path.endswith(f"/{INRELEASE}")}
    return sorted(found - {SNAPSHOTS})


def no_repository(target: Readable) -> DefinitionError:
    """What is said of a place where nothing is published."""
    return DefinitionError(
        "there is no repository here",
        where=target.shown,
        resolution="give the folder or URL above its dists/ and pool/; `zaffre repo build` makes one",
    )


def require_repository(target: Listed) -> None:
    """Raises DefinitionError for a place without a channel, before anything is made there."""
    if not channel_names(target):
        raise no_repository(target)


def require_snapshot(target: Readable, name: str, keyring: Keyring, *, now: datetime) -> Suite:
    """Raises DefinitionError for one that is not there."""
    snapshot_key(name)
    found = read_suite(target, snapshot_suite(name), keyring, now=now)
    if found is None:
        raise DefinitionError(
            f"there is no snapshot {name}", where=target.shown, resolution="`zaffre repo list` lists them"
        )
    return found


def packed_index(target: Readable, suite: Suite, path: str) -> bytes:
    """An index as it lies there, held against the Release. Raises IntegrityError for another one, or none."""
    place, fact = suite.place(path), suite.release.files[path]
    where = f"{target.shown}/{place}"
    if fact.size > _MAX_INDEX:
        raise IntegrityError("the index is larger than it may be", where=where)
    packed = target.read(place, limit=fact.size)
    if packed is None:
        raise IntegrityError("an index is missing", where=where, resolution="publish the snapshot again")
    if len(packed) != fact.size or sha256_bytes(packed) != fact.sha256:
        raise IntegrityError("an index is not the one that the Release names", where=where)
    return packed


def read_index(target: Readable, suite: Suite, path: str) -> bytes:
    """The text of a packed index. Raises IntegrityError as `packed_index` does, and for another text."""
    packed, where = packed_index(target, suite, path), f"{target.shown}/{suite.place(path)}"
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MAX_INDEX)
        text = unpacker.decompress(packed, max_length=_MAX_INDEX)
    except lzma.LZMAError as error:
        raise IntegrityError("an index is damaged", where=where, details=str(error)) from error
    plain = suite.release.files.get(path.removesuffix(_XZ))
    if not unpacker.eof or plain is None or plain.size != len(text) or sha256_bytes(text) != plain.sha256:
        raise IntegrityError("an index unpacks to something else than the Release names", where=where)
    return text


def pool_files(target: Readable, suite: Suite) -> Iterator[PoolFile]:
    """The packages of a suite and the files of its sources, each as often as it is listed. Raises IntegrityError as
    `read_index` does.
    """
    for path in suite.packed:
        where = f"{target.shown}/{suite.place(path)}"
        listed = _source_files if path.endswith(f"/{SOURCES}{_XZ}") else _package_file
        try:
            for fields in parse_stanzas(read_index(target, suite, path).decode()):
                yield from listed(fields, where)
        except (KeyError, ValueError) as error:
            raise IntegrityError("an index is malformed", where=where, details=str(error)) from error


def _package_file(fields: Mapping[str, str], where: str) -> Iterator[PoolFile]:
    name = fields["Filename"]
    fact = FileFact(Sha256(fields["SHA256"]), int(fields["Size"]))
    expected = f"{POOL}/{fact.sha256[:2]}/{fact.sha256}/"
    if not name.startswith(expected) or "/" in name.removeprefix(expected):
        raise IntegrityError("a package does not lie below its digest", where=where, details=name)
    yield PoolFile(name, fact, f"{fields['Package']} {fields['Version']}")


def _source_files(fields: Mapping[str, str], where: str) -> Iterator[PoolFile]:
    lines = [line.split() for line in fields["Checksums-Sha256"].splitlines() if line.strip()]
    facts = {name: FileFact(Sha256(digest), int(size)) for digest, size, name in lines}
    folders = {source_folder(fact.sha256) for name, fact in facts.items() if name.endswith(".dsc")}
    if folders != {fields["Directory"]} or any("/" in name for name in facts):
        raise IntegrityError("a source does not lie below its digest", where=where, details=fields["Directory"])
    for name, fact in facts.items():
        yield PoolFile(f"{fields['Directory']}/{name}", fact, f"source {fields['Package']} {name}", source=True)
