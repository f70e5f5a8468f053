# SPDX-License-Identifier: Apache-2.0
"""Which paths of a tree are left out of an image. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zaffre.tree.globs import matcher


def pruned_paths(paths: Iterable[str], *, prune: Sequence[str], keep: Sequence[str]) -> frozenset[str]:
    """Those of the absolute paths that are to go.

    A path goes when it, or a folder above it, matches `prune`; it stays when it matches `keep`, or when something
    below it does. `paths` in an order that has a folder before what is in it.
    """
    matches, kept = matcher(prune), matcher(keep)
    gone: set[str] = set()
    needed: set[str] = set()
    for path in paths:
        if kept(path):
            parent = path
            while parent:
                needed.add(parent)
                parent = parent.rpartition("/")[0]
        elif path.rpartition("/")[0] in gone or matches(path):
            gone.add(path)
    return frozenset(gone - needed)
