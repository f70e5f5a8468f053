# SPDX-License-Identifier: Apache-2.0
"""Signed package repositories: found, verified, solved, locked and fetched.

The lock's own types are exported here, as every later step needs them; `upstream.locking` makes and checks a
lock, `upstream.fetch` brings what is locked, and `upstream.family` is the door to what talks to one kind of
repository. All three load an HTTP client or an OpenPGP library, which a build that finds everything in the
store does without.
"""

from zaffre.upstream.diff import Change, LockDiff, SetDiff, diff_locks
from zaffre.upstream.lock import (
    COMPONENTS,
    LOCK_NAME,
    ArchivedSource,
    BuiltPackage,
    Group,
    Lock,
    LockedComponent,
    LockedFile,
    LockedPackage,
    LockedSet,
    LockedSource,
    LockedSuite,
    Outcome,
    User,
    Users,
    load_lock,
    lock_text,
    parse_lock,
    save_lock,
)

__all__ = [
    "COMPONENTS",
    "LOCK_NAME",
    "ArchivedSource",
    "BuiltPackage",
    "Change",
    "Group",
    "Lock",
    "LockDiff",
    "LockedComponent",
    "LockedFile",
    "LockedPackage",
    "LockedSet",
    "LockedSource",
    "LockedSuite",
    "Outcome",
    "SetDiff",
    "User",
    "Users",
    "diff_locks",
    "load_lock",
    "lock_text",
    "parse_lock",
    "save_lock",
]
