# SPDX-License-Identifier: Apache-2.0
"""The merged definition of an image, or what `[repository]` says, value by value, with the file that each came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel

from zaffre.definition.check import MISPLACED
from zaffre.definition.distribution import DISTRIBUTION_FILE, Distribution
from zaffre.definition.image import Disk
from zaffre.definition.merge import origin_of
from zaffre.definition.repository import OWN
from zaffre.definition.values import KeyPath, dotted, format_size

DEFAULT = "default"
_FIRST = ("description", "kind", "base", "upstream", "extends", "profiles")


@dataclass(frozen=True)
class Explained:
    """One value: its key path, the value as it would be written, and the file that says it.

    `origin` is relative to the distribution, or "default" if no file says it; `origin_key` is the key path in
    that file, which differs from `key` in lists that several files add to.
    """

    key: str
    value: str | int | bool
    origin: str
    origin_key: str | None


def explain(distribution: Distribution, image_name: str) -> list[Explained]:
    """All values of an image: what it is first, then in the order of the model.

    Empty lists and settings of other kinds of image are left out. DefinitionError if there is no such image.
    """
    image = distribution.image(image_name)
    origins = distribution.provenance[image_name]
    foreign = MISPLACED[image.kind]
    rows = []
    leaves = sorted(_leaves(image, (), said=True), key=lambda leaf: leaf[0][0] not in _FIRST)
    for path, value, said in leaves:
        if path == ("name",) or path[0] in foreign:
            continue
        origin = origin_of(origins, path) if said else None
        rows.append(
            Explained(
                key=dotted(path),
                value=value,
                origin=origin.file if origin else DEFAULT,
                origin_key=dotted(origin.key) if origin else None,
            )
        )
    return rows


def explain_repository(distribution: Distribution) -> list[Explained]:
    """All values of `[repository]`, in the order of the model. DefinitionError where there is no such table."""
    return [
        Explained(
            key=dotted(path),
            value=value,
            origin=DISTRIBUTION_FILE if said else DEFAULT,
            origin_key=dotted((OWN, *path)) if said else None,
        )
        for path, value, said in _leaves(distribution.own_repository, (), said=True)
    ]


def _leaves(value: object, at: KeyPath, *, said: bool) -> Iterator[tuple[KeyPath, str | int | bool, bool]]:
    """Scalars with their key paths, and whether a file says them."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            item = getattr(value, name)
            shown = format_size(item) if isinstance(value, Disk) and isinstance(item, int) else item
            yield from _leaves(shown, (*at, name), said=said and name in value.model_fields_set)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, (*at, name), said=said)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, (*at, index), said=said)
    elif isinstance(value, Enum):
        yield at, str(value.value), said
    elif isinstance(value, str | int):
        yield at, value, said
