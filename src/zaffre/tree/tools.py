# SPDX-License-Identifier: Apache-2.0
"""The tools tree: the programs that build images, from a locked set, unpacked and configured like any image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zaffre.digest import source_digest
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Action, ActionKey, Store
from zaffre.tree.deb.configure import build_root
from zaffre.tree.deb.model import Kind
from zaffre.tree.deb.unpack import unpack_all
from zaffre.tree.policy import STRIP_ALL
from zaffre.tree.root import Settings
from zaffre.tree.rootfs import inside
from zaffre.upstream.lock import LockedPackage, Users


@contextmanager
def tools_tree(
    packages: Sequence[LockedPackage],
    *,
    architecture: str,
    epoch: int,
    store: Store,
    sandbox: Sandbox,
    progress: Progress,
    unpacked: Sequence[LockedPackage] = (),
    emulates: str | None = None,
) -> Iterator[ToolsTree]:
    """A tree of these packages, made once a store and kept from garbage collection until the block ends.

    `sandbox` needs no tools of its own: packages are configured by their own dpkg. Nothing in the tree is
    setuid, and its files may not be changed. The key is that of packages, epoch and this code.

    Files of `unpacked`, of any architecture, are laid beside; none of their scripts is run. `emulates`: see
    `ToolsTree`.
    """
    key = tools_key(packages, architecture=architecture, epoch=epoch, unpacked=unpacked)

    def produce(root: Path) -> None:
        root.chmod(0o755)
        settings = Settings((), Users(), STRIP_ALL, epoch, architecture)
        programs = unpack_all(packages, store=store, progress=progress)
        with progress.step(f"configure {len(packages)} packages as tools"):
            built = build_root(programs, root, settings, sandbox=sandbox)
            for node in reversed(built.nodes):
                time = built.times(node)
                os.utime(root / node.path, (time, time), follow_symlinks=False)
        _lay_files(root, unpacked, store=store, progress=progress)

    held = store.tree(key)
    if held is None:
        store.add_tree(key, produce)
        held = store.tree(key)
    if held is None:
        raise AssertionError("a tree that was just made is gone")
    with held as root:
        yield ToolsTree(root=root, key=key, emulates=emulates)


def _lay_files(root: Path, packages: Sequence[LockedPackage], *, store: Store, progress: Progress) -> None:
    """Regular files of single packages that the tree has not. Links are left out: what is taken are files."""
    for one in unpack_all(packages, store=store, progress=progress):
        content = one.data.read_bytes()
        for member in one.index.members:
            place = inside(root, member.path)
            if member.kind is Kind.FILE and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content[member.offset : member.offset + member.size])
                place.chmod(0o644)
                os.utime(place, (member.mtime, member.mtime))


def tools_key(
    packages: Sequence[LockedPackage], *, architecture: str, epoch: int, unpacked: Sequence[LockedPackage] = ()
) -> ActionKey:
    """What names the tools tree of these packages, whether it is made yet or not."""
    return Action(
        kind="tools",
        label="tools tree",
        inputs={
            "code": source_digest("sandbox", "tree"),
            "packages": {f"{one.name}:{one.architecture}": one.sha256 for one in packages},
            "unpacked": {f"{one.name}:{one.architecture}": one.sha256 for one in unpacked},
            "architecture": architecture,
            "epoch": epoch,
        },
        reason="a build takes its programs from a locked tree, not from the host",
    ).key
