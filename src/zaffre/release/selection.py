# SPDX-License-Identifier: Apache-2.0
"""Which release is meant, and who has no way to a good one."""

from __future__ import annotations

from collections.abc import Iterable

from zaffre.errors import DefinitionError
from zaffre.follow.layout import release_path
from zaffre.offer import Record, stranded, version_key
from zaffre.release.change import Change
from zaffre.release.state import State, records_of


def choose(state: State, channel: str, image: str | None, architecture: str | None, version: str | None) -> Record:
    """The release that is meant: of the only image and architecture if none is named, the newest good one without a
    version.

    Raises DefinitionError when nothing fits, or several images or architectures do.
    """
    fits = offers(state, channel, image, architecture)
    wanted = [one for one in fits if one.version == version or (version is None and one.revoked is None)]
    if not wanted:
        what = " ".join(word for word in (image, architecture, version) if word) or "release that is not revoked"
        raise DefinitionError(
            f"the channel '{channel}' has no {what}",
            where=state.where,
            resolution=f"'zaffre release list {state.where}' shows what is there",
        )
    return max(wanted, key=lambda one: version_key(one.version))


def offers(
    state: State, channel: str, image: str | None, architecture: str | None, *, hosts: bool = False
) -> list[Record]:
    """All that a channel tells the nodes of one image, of the only one if none is named; empty if it has none yet. With
    `hosts`, extensions are left out.

    Raises DefinitionError when several images or architectures fit, or those that are named do not.
    """
    fits = [
        one
        for one in state.records(channel).values()
        if image in (None, one.image)
        and architecture in (None, one.architecture)
        and not (hosts and one.kind != "host")
    ]
    products = sorted({one.product for one in fits})
    if len(products) > 1:
        raise DefinitionError(
            f"the channel '{channel}' has several: {', '.join(products)}",
            where=state.where,
            resolution="say which, with --image and --arch",
        )
    if not fits and (image or architecture):
        raise DefinitionError(
            f"the channel '{channel}' has no release of {' '.join(word for word in (image, architecture) if word)}",
            where=state.where,
            resolution=f"'zaffre release list {state.where}' shows what is there",
        )
    return fits


def pick(state: State, image: str | None, architecture: str | None, version: str) -> str:
    """The product of which some channel has that version. Raises as `choose` does."""
    found = {
        record.product
        for channel in state.channels
        for record in state.records(channel).values()
        if record.version == version and image in (None, record.image) and architecture in (None, record.architecture)
    }
    if len(found) != 1:
        raise DefinitionError(
            f"several have a version {version}: {', '.join(sorted(found))}" if found else f"there is no {version} here",
            where=state.where,
            resolution="say which, with --image and --arch"
            if found
            else f"'zaffre release list {state.where}' shows what is there",
        )
    return found.pop()


def find(state: State, channel: str, product: str, version: str) -> Record:
    """Raises DefinitionError for a release that the channel does not have."""
    record = state.records(channel).get(release_path(channel, product, version))
    if record is None:
        raise DefinitionError(
            f"the channel '{channel}' has no {product} {version}",
            where=state.where,
            resolution=f"'zaffre release list {state.where}' shows what is there",
        )
    return record


def of_product(records: Iterable[Record], product: str) -> list[Record]:
    """The records of one product, the oldest first."""
    return sorted((one for one in records if one.product == product), key=lambda one: version_key(one.version))


def cut_off(state: State, change: Change, product: str) -> dict[str, tuple[str, ...]]:
    """By channel: versions of it from which no way leads to its newest good one, once the change is published."""
    found = {}
    for channel, metadata in {**state.channels, **change.channels}.items():
        records = of_product(records_of(channel, metadata.signed, state.where).values(), product)
        if left := stranded(records, [record.version for record in records]):
            found[channel] = left
    return found
