# SPDX-License-Identifier: Apache-2.0
"""A tree before and after: which paths have to be written to a file system so that it has what the tree has."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from zaffre.customiser.ext4 import Node, TreeChanges
from zaffre.tree import Inventory, scan
from zaffre.tree.cleanup import REMOVED
from zaffre.tree.globs import alternatives, matcher

_TRACES = matcher(("/var/log/**", "/lost+found", *(one for pattern in REMOVED for one in alternatives(pattern))))
"""Traces of the moment: nothing is made or taken away there. What the image has of them it keeps."""

Snapshot = Mapping[str, tuple[Node, str]]
"""Paths with what is there: a file's SHA-256, a link's target, "" for a folder."""


def snapshot(root: Path, inventory: Inventory, *, latest: int) -> Snapshot:
    """The tree, whose content is told by `inventory`. Times after `latest` are those of this run, and become it."""
    content = {one.path: one.sha256 or one.target or "" for one in inventory.content}
    return {
        node.path: (
            Node(
                path=node.path,
                mode=node.status.st_mode,
                uid=node.status.st_uid,
                gid=node.status.st_gid,
                time=min(int(node.status.st_mtime), latest),
                target=node.target,
                xattrs=node.xattrs,
            ),
            content[f"/{node.path}"],
        )
        for node in scan(root)
        if node.path and not _TRACES(f"/{node.path}")
    }


def differences(old: Snapshot, new: Snapshot) -> TreeChanges:
    """From one to the other. Pure. A path that comes or goes with another kind or content is written anew."""
    replaced = {path for path in old.keys() & new.keys() if _content(old[path]) != _content(new[path])}
    dressed = [
        node
        for path, (node, _) in sorted(new.items())
        if path in old and path not in replaced and _dress(node) != _dress(old[path][0])
    ]
    return TreeChanges(
        gone=tuple(node for path, (node, _) in sorted(old.items()) if path not in new or path in replaced),
        new=tuple(node for path, (node, _) in sorted(new.items()) if path not in old or path in replaced),
        dressed=tuple(dressed),
    )


def without_traces(inventory: Inventory) -> Inventory:
    """For comparing what was meant: an inventory but for the traces of the moment."""
    content = tuple(one for one in inventory.content if not _TRACES(one.path))
    return inventory.model_copy(update={"content": content})


def _content(one: tuple[Node, str]) -> tuple[int, str]:
    return stat.S_IFMT(one[0].mode), one[1]


def _dress(node: Node) -> tuple[int, int, int, tuple[tuple[str, bytes], ...]]:
    return node.mode, node.uid, node.gid, node.xattrs
