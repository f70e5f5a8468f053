# SPDX-License-Identifier: Apache-2.0
"""What can be released, and which files of a build that takes: a host's slot is written from three, an extension is
one.

An extension carries its signature in itself, so it is held against the verity key before it is released: what a host
would refuse is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol, cast

from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.manifest import Manifest
from zaffre.measured.prediction import ATTESTATION_NAME

ReleasedKind = Literal["host", "sysext", "confext"]

UPDATE_FILES: Final = ("root.erofs", "root.verity", "uki.efi")
"""What a node's second slot is written from."""
EXTENSION_FILE: Final = "extension.raw"

ALWAYS: Final[Mapping[ReleasedKind, tuple[str, ...]]] = {
    "host": (*UPDATE_FILES, "inventory.json", ATTESTATION_NAME),
    "sysext": (EXTENSION_FILE,),
    "confext": (EXTENSION_FILE,),
}
"""The files of a build that its release has in any case."""


class Found(Protocol):
    """What a look at a seal found: `zaffre.trust` says it."""

    @property
    def ok(self) -> bool: ...

    @property
    def detail(self) -> str: ...


class Seal(Protocol):
    def __call__(self, extension: Path) -> Found:
        """Whether the extension is whole and signed by the verity key. Raises IntegrityError for what is none."""
        ...


def kind_of(build: Path, manifest: Manifest) -> ReleasedKind:
    """Raises DefinitionError for what is not released, FindingError for a debug image."""
    if manifest.kind not in ALWAYS:
        raise DefinitionError(
            f"'{manifest.image}' is of the kind {manifest.kind}; immutable hosts and their extensions are released",
            where=str(build),
            resolution="a server follows your repository ('zaffre repo'), containers a registry ('zaffre push')",
        )
    if manifest.debug:
        raise FindingError(
            "a debug image is not released: whoever comes to its console is root",
            where=str(build),
            resolution="release the image that it was made from",
        )
    return cast("ReleasedKind", manifest.kind)


def require_files(build: Path, kind: ReleasedKind, names: list[str]) -> None:
    """Raises DefinitionError for a build that lacks what nodes need of it."""
    missing = [name for name in (UPDATE_FILES if kind == "host" else ALWAYS[kind]) if name not in names]
    if missing:
        raise DefinitionError(f"the build lacks {', '.join(missing)}", where=str(build))


def require_sealed(build: Path, kind: ReleasedKind, seal: Seal) -> None:
    """Raises IntegrityError for an extension that no host with your certificate would take."""
    if kind == "host":
        return
    path = build / EXTENSION_FILE
    found = seal(path)
    if not found.ok:
        raise IntegrityError(
            "the extension is not sealed by your verity key, and no host of yours would take it",
            where=str(path),
            details=found.detail,
            resolution="build it with the keys that your hosts were built with (--keys DIR), and check it again",
        )
