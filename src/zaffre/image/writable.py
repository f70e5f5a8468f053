# SPDX-License-Identifier: Apache-2.0
"""The root of a system that its package manager goes on changing: configured packages, and ours installed upon them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from zaffre.definition import Image
from zaffre.digest import JSON, Sha256
from zaffre.image.greeting import REPLACED
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan
from zaffre.store import Action, ActionResult
from zaffre.tree import extract_root, inventory_of, inventory_text, pack, scan, scratch_for
from zaffre.tree.cleanup import clean
from zaffre.tree.customise import prune_files
from zaffre.tree.own import install_own_packages, mark_dependencies
from zaffre.tree.rootfs import inside, remove, write_text
from zaffre.tree.times import Moments
from zaffre.tree.units import apply_units


def fill_root(root: Path, archive: Path, plan: SystemPlan, ours: tuple[Sha256, ...], shop: Workshop) -> None:
    """Make the tree at `root`, which is absent, of the configured root's `archive` and the packages `ours`."""
    image: Image = plan.image
    upstream = plan.distribution.upstream_of(image)
    pruned = prune_files(archive, image)
    extract_root(archive, root, skip=lambda path: path in REPLACED or pruned(path))
    install_own_packages(
        root,
        [shop.store.verified(one) for one in ours],
        upstream=upstream,
        epoch=shop.epoch,
        sandbox=shop.sandbox,
    )
    apply_units(root, image.units, sandbox=shop.sandbox)
    mark_dependencies(root, wanted={plan.slug}, upstream=upstream)
    clean(root)
    Moments.of_archive(archive).settle(root, epoch=shop.epoch)
    mark_updated(root)


def mark_updated(root: Path) -> None:
    """Say that what follows from /usr (library cache, catalogue, users, hardware database) is up to date, as it is when
    all packages are configured: else the first boot makes it again (systemd-update-done.service(8)).
    """
    moment = int((root / "usr").stat().st_mtime)
    for folder in ("etc", "var"):
        place = root / folder
        before = place.stat()
        write_text(root, f"{folder}/.updated", f"TIMESTAMP_NSEC={moment * 10**9}\n")
        os.utime(place / ".updated", (moment, moment))
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def root_inputs(plan: SystemPlan, ours: tuple[Sha256, ...], shop: Workshop) -> dict[str, JSON]:
    """All that such a tree depends on."""
    return {
        "root": plan.root,
        "packages": list(ours),
        "units": plan.image.units.model_dump(mode="json"),
        "prune": plan.image.prune.model_dump(mode="json"),
        "epoch": shop.epoch,
        "tools": shop.sandbox.tools.key,
        "code": code_digest(),
    }


def tree_action(
    plan: SystemPlan, ours: tuple[Sha256, ...], shop: Workshop, *, absent: tuple[str, ...] = ()
) -> tuple[Action, Callable[[Path], ActionResult]]:
    """The step that makes the `tree`, a canonical archive of the root, and its `inventory`.

    What is at the relative paths `absent` is left out.
    """
    action = Action(
        kind="writable-tree",
        label=f"tree {plan.image.name}",
        inputs={**root_inputs(plan, ours, shop), "absent": list(absent)},
        reason="the locked packages with the definition's own, as an archive of files",
    )

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.verified(plan.root)
        with scratch_for(shop.store, "tree", expected=archive.stat().st_size) as folder:
            root = folder / "root"
            fill_root(root, archive, plan, ours, shop)
            for path in absent:
                remove(inside(root, path, follow=False))
            Moments.of_archive(archive).settle(root, epoch=shop.epoch)
            nodes = scan(root)
            listing = inventory_text(inventory_of(root, nodes=nodes))
            packed = scratch / "tree.tar"
            with packed.open("wb", buffering=1 << 20) as out:
                pack(root, nodes, out, mtime=lambda node: int(node.status.st_mtime))
        return ActionResult(
            {
                "tree": shop.store.add_file(packed, move=True),
                "inventory": shop.store.add_bytes(listing.encode()),
            },
            {},
        )

    return action, produce
