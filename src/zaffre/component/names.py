# SPDX-License-Identifier: Apache-2.0
"""Which packages a component gives, after what its overlays split off and drop. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zaffre.definition import Component, dotted
from zaffre.definition.operations import Operation, PackageDrop, PackageSplit
from zaffre.definition.overlay import Overlay
from zaffre.errors import DefinitionError


def operations_of(component: Component) -> Iterator[tuple[Overlay, int, Operation]]:
    """Every operation in order, with the overlay that it is of and its place there."""
    for overlay in component.overlays:
        for index, operation in enumerate(overlay.operations):
            yield overlay, index, operation


def place_of_operation(overlay: Overlay, index: int) -> str:
    return f"{overlay.file}: {dotted(('operations', index))}"


def names_given(component: Component, upstream: Iterable[str]) -> tuple[str, ...]:
    """Names of the packages that come of the upstream's, after splits and drops. Sorted.

    Raises DefinitionError for a split or a drop of a package that is not there, and for a split into one that is.
    """
    names = set(upstream)
    for overlay, index, operation in operations_of(component):
        if not isinstance(operation, PackageSplit | PackageDrop):
            continue
        if operation.package not in names:
            raise DefinitionError(
                f"'{component.name}' gives no package '{operation.package}'",
                where=place_of_operation(overlay, index),
                resolution=f"it gives {', '.join(sorted(names))}",
            )
        if isinstance(operation, PackageSplit):
            if operation.name in names:
                raise DefinitionError(
                    f"'{component.name}' gives a package '{operation.name}' already",
                    where=place_of_operation(overlay, index),
                    resolution="give what is split off another name",
                )
            names.add(operation.name)
        else:
            names.remove(operation.package)
    return tuple(sorted(names))
