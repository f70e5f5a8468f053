# SPDX-License-Identifier: Apache-2.0
"""Holding everything in a store against its name: blobs against their digest, records against theirs, trees too."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from zaffre.digest import Sha256
from zaffre.store.action import ActionKey
from zaffre.store.blobs import Blobs
from zaffre.store.collect import Entry, Kind, entries
from zaffre.store.files import hash_file, remove_tree
from zaffre.store.layout import Layout
from zaffre.store.records import parse_record
from zaffre.store.session import Sessions
from zaffre.store.trees import Trees


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at and what did not hold. With `repaired` the bad ones are out of use and made anew at need."""

    checked_blobs: int
    checked_bytes: int
    checked_actions: int
    checked_trees: int
    corrupt_blobs: tuple[Sha256, ...]
    corrupt_actions: tuple[ActionKey, ...]
    corrupt_trees: tuple[ActionKey, ...]
    repaired: bool

    @property
    def sound(self) -> bool:
        return not (self.corrupt_blobs or self.corrupt_actions or self.corrupt_trees)


class Checker:
    def __init__(self, layout: Layout, sessions: Sessions, blobs: Blobs, trees: Trees) -> None:
        self._layout = layout
        self._sessions = sessions
        self._blobs = blobs
        self._trees = trees

    def verify(self, *, repair: bool) -> VerifyReport:
        found = list(entries(self._layout))
        blobs = [entry for entry in found if entry.kind is Kind.BLOB]
        actions = [entry for entry in found if entry.kind is Kind.ACTION]
        trees = [ActionKey(entry.name) for entry in found if entry.kind is Kind.TREE]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            holds = list(pool.map(_blob_holds, blobs))
        bad_blobs = tuple(Sha256(entry.name) for entry, good in zip(blobs, holds, strict=True) if not good)
        bad_actions = [entry for entry in actions if not _action_holds(entry)]
        bad_trees = tuple(key for key in trees if self._trees.broken(key))
        if repair:
            self._repair(bad_blobs, bad_actions, bad_trees)
        return VerifyReport(
            checked_blobs=len(blobs),
            checked_bytes=sum(entry.size for entry in blobs),
            checked_actions=len(actions),
            checked_trees=len(trees),
            corrupt_blobs=bad_blobs,
            corrupt_actions=tuple(ActionKey(entry.name) for entry in bad_actions),
            corrupt_trees=bad_trees,
            repaired=repair,
        )

    def _repair(self, blobs: tuple[Sha256, ...], actions: list[Entry], trees: tuple[ActionKey, ...]) -> None:
        for digest in blobs:
            self._blobs.quarantine(digest)
        for entry in actions:
            entry.path.unlink(missing_ok=True)
        for key in trees:
            with self._sessions.scratch("broken") as scratch:
                with self._layout.collecting():
                    self._trees.take_out(key, scratch / "tree")
                remove_tree(scratch / "tree")


def _blob_holds(entry: Entry) -> bool:
    try:
        return hash_file(entry.path) == entry.name
    except FileNotFoundError:  # collected meanwhile
        return True
    except OSError:  # the disk cannot read it
        return False


def _action_holds(entry: Entry) -> bool:
    return parse_record(entry.path, ActionKey(entry.name)) is not None or not entry.path.exists()
