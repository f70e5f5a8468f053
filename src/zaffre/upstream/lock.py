# SPDX-License-Identifier: Apache-2.0
"""`zaffre.lock`: the exact packages, hashes, suites and ids that every later step works from.

The text is canonical JSON with one package a line, sorted, so that a change of one package is a change of
one line in `git diff`, and equal locks are equal bytes. `format` rises when an old reader could be misled.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from zaffre.definition import TOOLS
from zaffre.digest import JSON, Sha256, sha256_bytes, sha256_json
from zaffre.errors import DefinitionError, FindingError

LOCK_NAME = "zaffre.lock"
COMPONENTS = "components"
"""The archive of what is built here: a package of it comes from the store, or is built again from the lock."""
BUILD_PREFIX = "component:"
"""Before a component's name, the name of the set that it is built with."""
CROSS_PREFIX = "tools:"
"""Before an architecture, the name of what is added to the tools to make images for it on a machine of another."""
MAX_LOCK_BYTES = 64 * 1024 * 1024


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone")
    return value.astimezone(UTC)


def _below(path: str) -> str:
    if path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")):
        raise ValueError("a path below the root of the archive, without '..'")
    return path


def is_package_name(text: str) -> bool:
    """Whether it has the form that the lock knows: no part of a path but a name."""
    return re.fullmatch(_NAME, text) is not None


UtcTime = Annotated[
    datetime,
    AfterValidator(_in_utc),
    PlainSerializer(lambda value: value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str),
]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_NAME = r"[A-Za-z0-9][A-Za-z0-9+._-]*"
_Name = Annotated[str, Field(pattern=f"^{_NAME}$")]
_Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+:~^_-]*$")]
_RelativePath = Annotated[str, Field(pattern=r"^[!-~]+$"), AfterValidator(_below)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LockedPackage(_Model):
    """One package file. `size` in bytes; `path` below the root of the archive; `archive` names it, never a host."""

    name: _Name
    version: _Version
    architecture: _Name
    sha256: _Digest
    size: Annotated[int, Field(ge=0)]
    path: _RelativePath
    suite: str
    archive: str
    source: _Name
    source_version: _Version

    @property
    def digest(self) -> Sha256:
        return Sha256(self.sha256)

    @property
    def key(self) -> tuple[str, str]:
        """What is unique within a set."""
        return self.name, self.architecture


class LockedSuite(_Model):
    """A suite as it was verified: the digest of its signed Release text, and the times that the text states."""

    upstream: str
    archive: str
    suite: str
    release_sha256: _Digest
    date: UtcTime
    valid_until: UtcTime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.upstream, self.archive, self.suite


class User(_Model):
    """A line of passwd(5) without its password."""

    name: str
    uid: Annotated[int, Field(ge=0)]
    gid: Annotated[int, Field(ge=0)]
    gecos: str = ""
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"


class Group(_Model):
    """A line of group(5) without its password."""

    name: str
    gid: Annotated[int, Field(ge=0)]
    members: tuple[str, ...] = ()


class Users(_Model):
    """The ids that maintainer scripts gave, so that the next version of an image gives the same (trap 22)."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups)


class LockedSet(_Model):
    """The packages of one image (or of the `tools`) on one architecture; `request` is what was asked to be solved."""

    name: str
    architecture: str
    upstream: str
    request: _Digest
    users: Users = Users()
    packages: tuple[LockedPackage, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.architecture

    @property
    def size(self) -> int:
        """Bytes to download for the set."""
        return sum(package.size for package in self.packages)

    @property
    def digest(self) -> Sha256:
        """Identity of what is locked: the packages and ids, not the words in which they were asked for."""
        return sha256_json(self.model_dump(mode="json", exclude={"request"}))


class Outcome(StrEnum):
    """What became of a component. `locked`: its inputs are chosen, and no image has needed it built yet."""

    LOCKED = "locked"
    BUILT = "built"
    UPSTREAM_BINARY = "upstream-binary"


class LockedFile(_Model):
    """One file of a source. `archive` names where `path` lies; "go" is whatever proxy Go is set to."""

    path: _RelativePath
    sha256: _Digest
    size: Annotated[int, Field(ge=0)]
    archive: str

    @property
    def digest(self) -> Sha256:
        return Sha256(self.sha256)


class LockedSource(_Model):
    """What a component is made from. `epoch`: SOURCE_DATE_EPOCH where the source itself states no time.

    `modules` is the digest of a Go module cache: of the paths and digests of all that the module and what it
    needs consist of.
    """

    name: str
    version: str
    files: tuple[LockedFile, ...] = ()
    modules: _Digest | None = None
    epoch: Annotated[int, Field(ge=0)] | None = None


class ArchivedSource(_Model):
    """A source package of an archive, which the repository of one's own gives on with what was made of it."""

    upstream: str
    name: _Name
    version: _Version
    files: Annotated[tuple[LockedFile, ...], Field(min_length=1)]

    @property
    def key(self) -> tuple[str, str, str]:
        """What is unique within a lock."""
        return self.upstream, self.name, self.version

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)


class BuiltPackage(_Model):
    """A package that was built, and its control file, so that images are solved without building it again.

    For an RPM, `control` is its element of primary.xml.
    """

    package: LockedPackage
    control: str


class LockedComponent(_Model):
    """One component on one architecture; `key` is the digest of its definition, overlays and files included.

    `gives` are the names of its packages, known before it is built. `note` says in words why the upstream's binary
    was taken.
    """

    name: str
    architecture: str
    upstream: str
    key: _Digest
    outcome: Outcome
    note: str | None = None
    gives: tuple[str, ...]
    source: LockedSource
    packages: tuple[BuiltPackage, ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """What is unique within a lock."""
        return self.name, self.architecture

    @property
    def build_set(self) -> str:
        """Name of the set that it is built with, if it needs one."""
        return f"{BUILD_PREFIX}{self.name}"


class Lock(_Model):
    """The whole lock. `created` is the time of the snapshot; `serial` counts the locks of one day, from 1."""

    format: Literal[1] = 1
    distribution: str
    created: UtcTime
    serial: Annotated[int, Field(ge=1)]
    suites: tuple[LockedSuite, ...]
    sets: tuple[LockedSet, ...]
    components: tuple[LockedComponent, ...] = ()
    sources: tuple[ArchivedSource, ...] = ()

    def component(self, name: str, architecture: str) -> LockedComponent | None:
        return next((one for one in self.components if one.identity == (name, architecture)), None)

    def find(self, name: str, architecture: str) -> LockedSet | None:
        return next((one for one in self.sets if one.key == (name, architecture)), None)

    def set(self, name: str, architecture: str) -> LockedSet:
        """The set of that image. Raises FindingError when the lock has none."""
        found = self.find(name, architecture)
        if found is None:
            raise FindingError(
                f"the lock has no packages for '{name}' on {architecture}",
                where=LOCK_NAME,
                resolution="run `zaffre lock`"
                if name == TOOLS or name.startswith(CROSS_PREFIX)
                else f'say in images/{name}.toml that it is for it, architectures = ["{architecture}"], and run '
                f"`zaffre lock`; or run `zaffre lock --arch {architecture}`",
            )
        return found

    def suite(self, upstream: str, archive: str, suite: str) -> LockedSuite | None:
        return next((one for one in self.suites if one.key == (upstream, archive, suite)), None)

    @property
    def version(self) -> str:
        """`<date>.<n>`: the part of an image's version that the lock gives."""
        return f"{self.created:%Y%m%d}.{self.serial}"

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of everything made from the lock, in seconds."""
        return int(self.created.timestamp())

    @property
    def digest(self) -> Sha256:
        return sha256_bytes(lock_text(self).encode())


def lock_text(lock: Lock) -> str:
    """The canonical text. Order: suites by name, `tools` before the images, packages by name and architecture.

    Without components or sources there is no word of them, and an older program reads the lock.
    """
    suites = [_line(suite) for suite in sorted(lock.suites, key=lambda suite: suite.key)]
    sets = [
        _set_text(one) for one in sorted(lock.sets, key=lambda one: (one.name != TOOLS, one.name, one.architecture))
    ]
    return (
        "{\n"
        f' "format": {lock.format},\n'
        f' "distribution": {_word(lock.distribution)},\n'
        f' "created": "{lock.created:%Y-%m-%dT%H:%M:%SZ}",\n'
        f' "serial": {lock.serial},\n'
        f' "suites": {_block(suites, " ")},\n'
        f' "sets": {_block(sets, " ")}'
        f"{_components_text(lock)}{_sources_text(lock)}\n"
        "}\n"
    )


def _components_text(lock: Lock) -> str:
    if not lock.components:
        return ""
    components = [_component_text(one) for one in sorted(lock.components, key=lambda one: one.identity)]
    return f',\n "components": {_block(components, " ")}'


def _sources_text(lock: Lock) -> str:
    if not lock.sources:
        return ""
    return f',\n "sources": {_block(map(_line, sorted(lock.sources, key=lambda one: one.key)), " ")}'


def _component_text(one: LockedComponent) -> str:
    packages = [_line(built) for built in sorted(one.packages, key=lambda built: built.package.key)]
    files = [_line(file) for file in sorted(one.source.files, key=lambda file: file.path)]
    head = json.dumps(
        one.model_dump(mode="json", exclude_none=True, exclude={"source", "packages"}), ensure_ascii=False
    )
    source = json.dumps(one.source.model_dump(mode="json", exclude_none=True, exclude={"files"}), ensure_ascii=False)
    return (
        f"{head[:-1]},\n"
        f'   "source": {source[:-1]}, "files": {_block(files, "   ")}}},\n'
        f'   "packages": {_block(packages, "   ")}}}'
    )


def _set_text(one: LockedSet) -> str:
    users = [_line(user) for user in sorted(one.users.users, key=lambda user: (user.uid, user.name))]
    groups = [_line(group) for group in sorted(one.users.groups, key=lambda group: (group.gid, group.name))]
    packages = [_line(package) for package in sorted(one.packages, key=lambda package: package.key)]
    return (
        f'{{"name": {_word(one.name)}, "architecture": {_word(one.architecture)}, '
        f'"upstream": {_word(one.upstream)},\n'
        f'   "request": {_word(one.request)},\n'
        f'   "users": {{"users": {_block(users, "   ")}, "groups": {_block(groups, "   ")}}},\n'
        f'   "packages": {_block(packages, "   ")}}}'
    )


def _block(lines: Iterable[str], indent: str) -> str:
    body = ",\n".join(f"{indent} {line}" for line in lines)
    return f"[\n{body}\n{indent}]" if body else "[]"


def _line(model: BaseModel) -> str:
    return json.dumps(model.model_dump(mode="json", exclude_none=True), ensure_ascii=False)


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def parse_lock(text: str | bytes, *, where: str = LOCK_NAME) -> Lock:
    """Read a lock. Raises DefinitionError with line or key path; a lock is never guessed at."""
    mend = "restore it from version control, or delete it and run `zaffre lock`"
    try:
        raw: JSON = json.loads(text)
    except (ValueError, RecursionError) as error:
        brief = "the lock file is not JSON"
        if isinstance(text, str) and "<<<<<<<" in text:
            brief = "the lock file holds an unfinished merge"
        raise DefinitionError(brief, where=where, details=str(error), resolution=mend) from error
    if isinstance(raw, Mapping) and isinstance(raw.get("format"), int) and raw["format"] != 1:
        raise DefinitionError(
            f"the lock file has format {raw['format']}, this program reads format 1",
            where=where,
            resolution="use the version of zaffre that wrote it, or delete it and run `zaffre lock`",
        )
    try:
        lock = Lock.model_validate(raw)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()[:10]]
        raise DefinitionError(
            "the lock file does not have the form of a lock", where=where, details="\n".join(lines), resolution=mend
        ) from error
    for one in lock.sets:
        keys = [package.key for package in one.packages]
        if len(set(keys)) != len(keys):
            twice = sorted({name for name, _ in keys if sum(key[0] == name for key in keys) > 1})
            raise DefinitionError(
                f"the lock names a package of '{one.name}' twice: {', '.join(twice)}", where=where, resolution=mend
            )
    return lock


def load_lock(path: Path) -> Lock | None:
    """The lock at `path`, None when there is none yet. Raises DefinitionError for a file that is not a lock."""
    try:
        if path.stat().st_size > MAX_LOCK_BYTES:
            raise DefinitionError("the lock file is too large to be one", where=str(path))
        return parse_lock(path.read_text(encoding="utf-8"), where=str(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DefinitionError("the lock file is not UTF-8 text", where=str(path), details=str(error)) from error


def save_lock(lock: Lock, path: Path) -> None:
    """Write the canonical text in one rename: a reader sees the old lock or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(lock_text(lock))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
