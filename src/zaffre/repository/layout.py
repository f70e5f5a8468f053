# SPDX-License-Identifier: Apache-2.0
"""Where things lie below a repository's root, and the names of snapshots. Pure.

Format: "DebianRepository/Format" in Debian's wiki.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from zaffre.errors import DefinitionError

DISTS = "dists"
SNAPSHOTS = "snapshots"
INRELEASE = "InRelease"
_NAME = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}Z)(?:\.(?P<revision>[2-9]|[1-9][0-9]+))?")


def snapshot_name(created: datetime, revision: int = 1) -> str:
    """The name of a lock's snapshot. Further revisions hold something else that was made from the same lock."""
    return f"{created:%Y%m%dT%H%M%SZ}" + (f".{revision}" if revision > 1 else "")


def snapshot_key(name: str) -> tuple[datetime, int]:
    """By which snapshots are ordered. Raises DefinitionError for what is no snapshot's name."""
    found = _key(name)
    if found is None:
        raise DefinitionError(
            f"{name!r} is not the name of a snapshot",
            resolution="`zaffre repo list` lists them: a time such as 20260504T120000Z",
        )
    return found


def is_snapshot(name: str) -> bool:
    return _key(name) is not None


def _key(name: str) -> tuple[datetime, int] | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        time = datetime.strptime(match["time"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # a day that no month has
        return None
    return time, int(match["revision"] or 1)


def snapshot_suite(name: str) -> str:
    """What apt is given as the suite of a snapshot."""
    return f"{SNAPSHOTS}/{name}"


def below(suite: str, path: str) -> str:
    """A file of a suite, by the path that its Release has for it."""
    return f"{DISTS}/{suite}/{path}"


def by_hash(suite: str, path: str, digest: str) -> str:
    """The name of an index that never means another one."""
    return f"{DISTS}/{suite}/{path.rpartition('/')[0]}/by-hash/SHA256/{digest}"


SOURCES = "source/Sources"
"""Below a component, the uncompressed index of source packages, as a Release names it."""


def index_path(component: str, architecture: str) -> str:
    """The uncompressed index of packages, as a Release names it."""
    return f"{component}/binary-{architecture}/Packages"
