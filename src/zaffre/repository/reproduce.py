# SPDX-License-Identifier: Apache-2.0
"""The same repository twice, from nothing, under other circumstances; and which files differ."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import load_distribution
from zaffre.digest import Sha256, sha256_file
from zaffre.elsewhere import FIRST, SECOND, Circumstances, elsewhere
from zaffre.place.folder import Folder
from zaffre.progress import SILENT, Progress
from zaffre.repository.build import Order, Workshop
from zaffre.repository.channel import Hand
from zaffre.repository.layout import DISTS
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.trust import ArchiveKey
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.lock import Lock, LockedFile, LockedPackage
from zaffre.upstream.pool import POOL


@dataclass(frozen=True)
class Recipe:
    """All that a repository is made of, in a form that another process can be given.

    `packages` is the root of the store that holds the packages; nothing else is taken from it.
    """

    distribution: Path
    lock: Lock
    order: Order
    key: ArchiveKey
    tools: ToolsTree
    packages: Path


@dataclass(frozen=True)
class Twice:
    """SHA-256 of each file of the first repository, and the files that the second one has not or otherwise."""

    files: dict[str, Sha256]
    differences: tuple[str, ...]


def reproduce_repository(recipe: Recipe, *, progress: Progress) -> Twice:
    """Make it twice, signatures included, each time in a new store and folder. Raises what making it raises.

    A channel is dated when it is moved; here that is the time of the lock.
    """
    with tempfile.TemporaryDirectory(prefix="zaffre-reproduce-", dir=recipe.packages) as scratch:
        made = []
        for number, circumstances in enumerate((FIRST, SECOND)):
            place = Path(scratch, circumstances.name)
            place.mkdir()
            with progress.step(f"repository {number + 1} of 2, from nothing") as remark:
                folder = elsewhere(_make, circumstances, recipe, place)
                made.append(_digests(folder))
                remark(f"as on {circumstances.host_name}, clock {circumstances.clock_offset_seconds:+d} s")
    first, second = made
    return Twice(
        first, tuple(sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path)))
    )


def _make(circumstances: Circumstances, recipe: Recipe, place: Path) -> Path:
    packages = Store(recipe.packages)
    store = Store(place / "store")

    def fetch(wanted: Iterable[LockedPackage]) -> None:
        for package in wanted:
            store.add_file(packages.path(package.digest), expected=package.digest)

    def fetch_files(wanted: Iterable[LockedFile]) -> None:
        for file in wanted:
            store.add_file(packages.path(file.digest), expected=file.digest)

    distribution = load_distribution(recipe.distribution)
    workshop = Workshop(
        distribution=distribution,
        lock=recipe.lock,
        store=store,
        sandbox=Sandbox(recipe.tools, clock_offset_seconds=circumstances.clock_offset_seconds, jobs=circumstances.jobs),
        fetch=fetch,
        fetch_files=fetch_files,
        progress=SILENT,
    )
    keyring = Keyring(recipe.key.certificate.keyring, where=str(recipe.key.certificate.path))
    hand = Hand(distribution, recipe.key, keyring, recipe.lock.created)
    folder = place / "repository"
    workshop.publish(recipe.order, Folder(folder), hand)
    return folder


def _digests(folder: Path) -> dict[str, Sha256]:
    target = Folder(folder)
    paths = [*target.sizes(DISTS), *target.sizes(POOL)]
    return {path: sha256_file(folder / path) for path in sorted(paths)}
