# SPDX-License-Identifier: Apache-2.0
"""Where what lies in a repository of releases, and who may sign for it.

    metadata/<version>.<role>.json       never changed: root, targets, snapshot, and a role for each channel
    metadata/timestamp.json              written last; who reads it sees a whole state, the old one or the new one
    targets/<channel>/<product>/<version>/<sha256>.manifest.json    a release: its record is in the channel's metadata
    targets/pool/<sha256>/<sha256>.<name>                           its files, once for all channels

The digests before the names are those of TUF's consistent snapshots. A file of the pool is named by its content in its
target's path too, so no channel can mean another file by it than the others do, and promoting copies nothing large.
"""

from __future__ import annotations

import re
from typing import Final

from zaffre.errors import DefinitionError

METADATA: Final = "metadata"
TARGETS: Final = "targets"
POOL: Final = "pool"
RELEASE_FILE: Final = "manifest.json"
"""The file of a release that carries its record: the build's manifest."""

ROOT_ROLE: Final = "root"
TARGETS_ROLE: Final = "targets"
SNAPSHOT_ROLE: Final = "snapshot"
TIMESTAMP_ROLE: Final = "timestamp"
TOP_ROLES: Final = (ROOT_ROLE, TARGETS_ROLE, SNAPSHOT_ROLE, TIMESTAMP_ROLE)
ONLINE: Final = (SNAPSHOT_ROLE, TIMESTAMP_ROLE)

MAX_METADATA: Final = 5_000_000
"""Bytes of one file of metadata: what python-tuf's client takes of a targets role."""
MAX_ROOTS: Final = 256
"""Root rotations that a client follows in one go."""

_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RESERVED = {*TOP_ROLES, POOL, METADATA}


def require_channel(name: str) -> str:
    """Raises DefinitionError for a name that a role or a folder of ours has, or that is none."""
    if not _CHANNEL.fullmatch(name) or name in _RESERVED:
        raise DefinitionError(
            f"{name!r} cannot be a channel",
            where="--channel",
            resolution="use small letters, digits and hyphens, and no name of a role: " + ", ".join(sorted(_RESERVED)),
        )
    return name


def patterns(channel: str) -> list[str]:
    """The paths of targets that a channel may sign for (TUF: PATHPATTERN, one `*` within one folder)."""
    return [f"{channel}/*/*/*", f"{POOL}/*/*"]


def release_path(channel: str, product: str, version: str) -> str:
    return f"{channel}/{product}/{version}/{RELEASE_FILE}"


def pool_path(sha256: str, name: str) -> str:
    return f"{POOL}/{sha256}/{name}"


def metadata_place(role: str, version: int) -> str:
    """Where a role's metadata lie; timestamp's are the only ones without a version in their name."""
    return f"{METADATA}/{role}.json" if role == TIMESTAMP_ROLE else f"{METADATA}/{version}.{role}.json"


def target_place(path: str, sha256: str) -> str:
    """Where a target lies whose path that is."""
    folder, _, name = path.rpartition("/")
    return f"{TARGETS}/{folder}/{sha256}.{name}"
