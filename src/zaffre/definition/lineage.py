# SPDX-License-Identifier: Apache-2.0
"""The order in which files are laid over each other: what an image extends, its profiles, then the image.

Each file counts once, where it is named first, so two parents with a common ancestor are no conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from zaffre.definition.check import MISPLACED
from zaffre.definition.merge import Layer
from zaffre.definition.problems import Problem, near
from zaffre.definition.values import KeyPath, Kind


class Lineage:
    """Ancestors of files. A file whose layer is None has faults of its own, which have been reported."""

    def __init__(self, layers: Mapping[str, Layer | None]) -> None:
        self._layers = layers
        self.problems: list[Problem] = []

    def of(self, file: str) -> tuple[Layer, ...] | None:
        """All layers of `file`, the lowest first and its own last; None if one of them is faulty or missing."""
        order: list[str] = []
        if not self._visit(file, order, ()):
            return None
        return self._useful(tuple(layer for name in order if (layer := self._layers[name])))

    def _useful(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """The layers without what images of another kind say that the last one's own kind has no use for.

        What its own profiles say stays, and so does what it says itself: that would be a mistake, to be told.
        """
        *_, own = layers
        kind = own.table.get("kind")
        if not isinstance(kind, str) or {layer.table.get("kind", kind) for layer in layers} == {kind}:
            return layers
        mixed_in: list[str] = []
        for key, target in parents(own):
            if key[0] == "profiles":
                self._visit(target, mixed_in, ())
        foreign = MISPLACED[Kind(kind)]
        return tuple(
            layer
            if layer is own or layer.file in mixed_in
            else Layer(layer.file, {key: value for key, value in layer.table.items() if key not in foreign})
            for layer in layers
        )

    def _visit(self, file: str, order: list[str], open_files: tuple[str, ...]) -> bool:
        layer = self._layers[file]
        if layer is None:
            return False
        sound = True
        for key, target in parents(layer):
            if target not in self._layers:
                self._unknown(file, key, target)
                sound = False
            elif target in (*open_files, file):
                cycle = [*open_files, file]
                chain = " -> ".join([*cycle[cycle.index(target) :], target])
                self.problems.append(Problem(file, key, f"inherits from itself: {chain}", "break the circle"))
                sound = False
            elif target not in order:
                sound = self._visit(target, order, (*open_files, file)) and sound
        order.append(file)
        return sound

    def _unknown(self, file: str, key: KeyPath, target: str) -> None:
        folder = PurePosixPath(target).parent.name
        kind = {"images": "image", "profiles": "profile"}[folder]
        name = PurePosixPath(target).name.removesuffix(".toml")
        known = [PurePosixPath(other).name.removesuffix(".toml") for other in self._layers if other.startswith(folder)]
        self.problems.append(Problem(file, key, f"there is no {kind} {name!r}", near(name, known)))


def parents(layer: Layer) -> list[tuple[KeyPath, str]]:
    """The files that a file names, in the order in which they are laid, with the keys that name them."""
    found: list[tuple[KeyPath, str]] = []
    for key, folder in (("extends", "images"), ("profiles", "profiles")):
        value = layer.table.get(key, [])
        if isinstance(value, str):
            found.append(((key,), f"{folder}/{value}.toml"))
        elif isinstance(value, list):
            found += [((key, index), f"{folder}/{name}.toml") for index, name in enumerate(value)]
    return found
