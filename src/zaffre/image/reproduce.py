# SPDX-License-Identifier: Apache-2.0
"""The same image twice, from nothing, under other circumstances; and where the two differ."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zaffre.definition import load_distribution
from zaffre.elsewhere import FIRST, SECOND, Circumstances, elsewhere
from zaffre.image.bill import Papers
from zaffre.image.builder import Builder, Order
from zaffre.image.differences import Difference, differences
from zaffre.image.output import ManifestSigner
from zaffre.image.uki import SigningKeys
from zaffre.manifest import Manifest
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream import Lock, LockedPackage


@dataclass(frozen=True)
class Recipe:
    """All that a build needs, in a form that another process can be given."""

    distribution: Path
    lock: Lock
    order: Order
    keys: SigningKeys
    signer: ManifestSigner
    papers: Papers
    tools: ToolsTree
    packages: Path
    """Root of the store that holds the packages; nothing else is taken from it."""
    archive_keyring: bytes = b""
    """The public key of the own repository, for a server that follows it."""


@dataclass(frozen=True)
class Comparison:
    """Two builds and their differences; none means bit for bit the same."""

    artifacts: dict[str, str]
    """SHA-256 of each artifact of the first build."""
    differences: tuple[Difference, ...]


def reproduce(recipe: Recipe, *, progress: Progress) -> Comparison:
    """Build twice, each time in a new store, and compare every artifact. Raises what a build raises."""
    with tempfile.TemporaryDirectory(prefix="zaffre-reproduce-", dir=recipe.packages) as scratch:
        folders = []
        for number, circumstances in enumerate((FIRST, SECOND)):
            place = Path(scratch, circumstances.name)
            place.mkdir()
            with progress.step(f"build {number + 1} of 2, from nothing") as remark:
                folders.append(elsewhere(_build, circumstances, recipe, place))
                remark(f"as on {circumstances.host_name}, clock {circumstances.clock_offset_seconds:+d} s")
        with progress.step("compare"):
            found = differences(folders[0], folders[1], sandbox=Sandbox(recipe.tools), scratch=Path(scratch))
        manifest = Manifest.model_validate_json((folders[0] / "manifest.json").read_bytes())
    return Comparison({name: one.sha256 for name, one in manifest.artifacts.items()}, tuple(found))


def _build(circumstances: Circumstances, recipe: Recipe, place: Path) -> Path:
    packages = Store(recipe.packages)
    store = Store(place / "store")

    def fetch(wanted: Iterable[LockedPackage]) -> None:
        for package in wanted:
            store.add_file(packages.path(package.digest), expected=package.digest)

    sandbox = Sandbox(recipe.tools, clock_offset_seconds=circumstances.clock_offset_seconds, jobs=circumstances.jobs)
    builder = Builder(
        distribution=load_distribution(recipe.distribution),
        lock=recipe.lock,
        store=store,
        keys=recipe.keys,
        signer=recipe.signer,
        papers=recipe.papers,
        progress=SILENT,
        tools_key=lambda _: recipe.tools.key,
        sandbox=lambda _: sandbox,
        fetch=fetch,
        archive_keyring=lambda: recipe.archive_keyring,
        accept=lambda image, folder: None,  # noqa: ARG005 - what is compared was asked for
    )
    return builder.build(replace(recipe.order, out=place / "out")).folder
