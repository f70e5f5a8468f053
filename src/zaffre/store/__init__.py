# SPDX-License-Identifier: Apache-2.0
"""The content-addressed cache: blobs, trees, action results, garbage collection. See `Store` for what it guarantees."""

from zaffre.store.action import Action, ActionKey, ActionResult, Performed, explain_difference
from zaffre.store.check import VerifyReport
from zaffre.store.collect import GcReport, Kind, Removal, StoreSize
from zaffre.store.errors import CorruptBlobError, MissingBlobError, disk_full_error, disk_full_guard, require_room
from zaffre.store.files import allocated_size, copy_sparse, hash_file, remove_tree, write_atomic
from zaffre.store.stopwatch import Stopwatch
from zaffre.store.store import Store

__all__ = [
    "Action",
    "ActionKey",
    "ActionResult",
    "CorruptBlobError",
    "GcReport",
    "Kind",
    "MissingBlobError",
    "Performed",
    "Removal",
    "Stopwatch",
    "Store",
    "StoreSize",
    "VerifyReport",
    "allocated_size",
    "copy_sparse",
    "disk_full_error",
    "disk_full_guard",
    "explain_difference",
    "hash_file",
    "remove_tree",
    "require_room",
    "write_atomic",
]
