# SPDX-License-Identifier: Apache-2.0
"""From what was typed to a subject: a lock, a lock of another revision, a build or a file of it, an image's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from zaffre.compare.report import Side, SideKind
from zaffre.compare.revision import lock_at
from zaffre.compare.subject import PackageSet, Subject, built_set, locked_set
from zaffre.definition import Distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.tree import Inventory
from zaffre.upstream import LOCK_NAME, Lock, load_lock, parse_lock

INVENTORY_NAME = "inventory.json"

_MOST_BYTES = 256 << 20
_GIT = "git:"


@dataclass(frozen=True)
class Reader:
    """Reads sides. Without a `distribution`, names of images and revisions mean nothing, files and folders do.

    `image` and `architecture` choose one set of a lock; None takes all.
    """

    distribution: Distribution | None
    image: str | None = None
    architecture: str | None = None

    def read(self, given: str) -> Subject:
        """The side that `given` names: a path before the name of an image.

        Raises DefinitionError for what is none of these, IntegrityError for a build whose inventory is not the one
        that its manifest names.
        """
        if given.startswith(_GIT) or (given.endswith(":") and len(given) > 1):
            return self._revision(given)
        path = Path(given)
        if (path / MANIFEST_NAME).is_file():
            return _build(path, given)
        if path.is_file() and (path.parent / MANIFEST_NAME).is_file():
            return _build(path.parent, given, file=path.name)
        if (path / LOCK_NAME).is_file():
            path /= LOCK_NAME
        if path.is_file():
            return self._lock(_needed(load_lock(path), path), given, f"lock {path}")
        if self.distribution is not None and given in self.distribution.images:
            return self._image(self.distribution, given)
        raise self._unknown(given)

    def _revision(self, given: str) -> Subject:
        if self.distribution is None:
            raise DefinitionError(
                "a revision is one of the distribution's repository, and there is no distribution here",
                where=given,
                resolution="go to one, or name one with --distro DIR",
            )
        revision = given.removeprefix(_GIT) if given.startswith(_GIT) else given.removesuffix(":")
        text = lock_at(self.distribution.lock_file, revision)
        return self._lock(parse_lock(text, where=f"{LOCK_NAME} of {revision}"), given, f"lock of {revision}")

    def _image(self, distribution: Distribution, name: str) -> Subject:
        lock = _needed(load_lock(distribution.lock_file), distribution.lock_file)
        architecture = str(distribution.architecture_for(distribution.image(name), self.architecture))
        chosen = locked_set(lock.set(name, architecture))
        side = Side(
            kind=SideKind.IMAGE, given=name, title=f"image {name} ({architecture}) as it is locked now, {lock.version}"
        )
        return Subject(side, {chosen.key: chosen}, lock=lock, image=name)

    def _lock(self, lock: Lock, given: str, title: str) -> Subject:
        sets = {one.key: locked_set(one) for one in lock.sets}
        side = Side(kind=SideKind.LOCK, given=given, title=f"{title}, {lock.distribution} {lock.version}")
        if self.image is None and self.architecture is None:
            return Subject(side, sets, lock=lock)
        chosen = {
            key: one
            for key, one in sets.items()
            if (self.image is None or key[0] == self.image) and (self.architecture in (None, key[1]))
        }
        if not chosen:
            raise DefinitionError(
                f"the lock has no set of '{self.image or self.architecture}'",
                where=given,
                details="it has " + ", ".join(f"{name} ({machine})" for name, machine in sets),
                resolution="name one of these with --image and --arch",
            )
        return Subject(side, chosen, lock=lock)

    def _unknown(self, given: str) -> DefinitionError:
        images = self.distribution.images if self.distribution else {}
        near = get_close_matches(given, images, n=1)
        if Path(given).is_dir():
            brief = f"the folder has neither a {MANIFEST_NAME} nor a {LOCK_NAME}, so it is no build and no distribution"
        else:
            brief = "there is no such file or folder, and no image of that name"
        return DefinitionError(
            brief,
            where=given,
            resolution=f"did you mean {near[0]!r}?"
            if near
            else "name a lock, the folder of a build (DIR/<image>-<version>-<arch>), an image, or git:REVISION",
        )


def alone(subject: Subject, other: PackageSet) -> Subject:
    """A lock of several sets, reduced to the one that `other` is to be compared with. DefinitionError without it."""
    if subject.single is not None:
        return subject
    chosen = subject.sets.get(other.key)
    if chosen is None:
        raise DefinitionError(
            f"the lock has no set of '{other.name}' on {other.architecture} to compare with",
            where=subject.side.given,
            details="it has " + ", ".join(f"{name} ({machine})" for name, machine in subject.sets),
            resolution="choose one of these with --image and --arch, or name another lock",
        )
    return Subject(subject.side, {chosen.key: chosen}, lock=subject.lock, image=chosen.name)


def _needed(lock: Lock | None, path: Path) -> Lock:
    if lock is None:
        raise DefinitionError("there is no lock yet", where=str(path), resolution="run `zaffre lock`")
    return lock


def _build(folder: Path, given: str, *, file: str | None = None) -> Subject:
    data = _bounded(folder / MANIFEST_NAME)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DefinitionError(
            "the manifest is not one that this program reads",
            where=str(folder / MANIFEST_NAME),
            details=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            resolution="use the version of zaffre that made the build, or build it again",
        ) from error
    if file is not None and file != MANIFEST_NAME and file not in manifest.artifacts:
        raise DefinitionError(
            "the file lies beside a build's manifest, which does not name it",
            where=given,
            resolution="name the folder of the build, or one of its artifacts",
        )
    inventory, why_not = _inventory(folder, manifest.artifacts)
    chosen = built_set(manifest, inventory)
    title = f"build {manifest.image} {manifest.version} ({manifest.architecture}, {manifest.profile})"
    side = Side(kind=SideKind.BUILD, given=given, title=title)
    return Subject(
        side, {chosen.key: chosen}, manifest=manifest, inventory=inventory, why_not=why_not, image=manifest.image
    )


def _inventory(folder: Path, artifacts: Mapping[str, object]) -> tuple[Inventory | None, str | None]:
    """The inventory, or why there is none."""
    named = artifacts.get(INVENTORY_NAME)
    if named is None:
        return None, "has no root of its own, so no inventory"
    try:
        data = _bounded(folder / INVENTORY_NAME)
    except FileNotFoundError:
        return None, f"lacks its {INVENTORY_NAME}"
    if sha256_bytes(data) != getattr(named, "sha256", None):
        raise IntegrityError(
            "the inventory is not the one that the manifest names",
            where=str(folder / INVENTORY_NAME),
            resolution="`zaffre verify` says what else does not hold; remove this folder, and build anew",
        )
    try:
        return Inventory.model_validate_json(data), None
    except ValidationError:
        return None, "was made by another version of zaffre, whose inventory this one does not read"


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"the file is larger than {_MOST_BYTES} bytes", where=str(path))
    return data
