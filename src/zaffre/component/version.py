# SPDX-License-Identifier: Apache-2.0
"""Versions and changelogs of what differs from its upstream. Pure.

Debian: `+zN` is appended to the version that was changed, and `+0zN` for a fix ahead of Debian, so that
-8 < -8+0z1 < -8+deb12u1 < -8+deb12u1+z1 < -8+deb12u2: whatever the upstream publishes next is newer. (A plain -8+z1
would mask every later fix of a stable release, which is why a fix ahead of one has the other suffix.) RPM: `.zN` is
appended to the release, and `^0zN`: 8 < 8^0z1 < 8.z1 < 8.1 < 9 by rpmvercmp.
"""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import format_datetime, parsedate_to_datetime

from zaffre.component.faults import OperationError
from zaffre.definition.operations import ChangelogEntry, VersionChange
from zaffre.definition.overlay import Overlay
from zaffre.definition.values import is_file_link

_HEAD = re.compile(r"(?P<source>[a-z0-9][a-z0-9+.-]+) \((?P<version>[^()\s]+)\) (?P<suites>[^;]+);", re.IGNORECASE)
_TRAILER = re.compile(r"^ -- .*?>  (?P<date>.+)$", re.MULTILINE)
_WIDTH = 76


@dataclass(frozen=True)
class Mark:
    """How the version of a changed source differs from its upstream's."""

    revision: int = 1
    ahead: bool = False

    @property
    def deb(self) -> str:
        return f"+0z{self.revision}" if self.ahead else f"+z{self.revision}"

    @property
    def rpm(self) -> str:
        return f"^0z{self.revision}" if self.ahead else f".z{self.revision}"


def mark_of(overlays: Sequence[Overlay]) -> Mark:
    for overlay in overlays:
        for operation in overlay.operations:
            if isinstance(operation, VersionChange):
                return Mark(operation.revision, operation.ahead)
    return Mark()


def said(overlays: Sequence[Overlay]) -> tuple[str, ...]:
    """Lines for the changelog: what overlays say there, else their reasons; with the holes and bugs they are about.

    A feed of fixed holes can be read from changelogs alone, as Debian's own can.
    """
    return tuple(line for overlay in overlays for line in _said_by(overlay))


def _said_by(overlay: Overlay) -> Iterator[str]:
    known = [link for link in overlay.links if "://" not in link and not is_file_link(link)]
    texts = [one.text for one in overlay.operations if isinstance(one, ChangelogEntry)] or [overlay.reason]
    for text in texts:
        named = [link for link in known if link not in text]
        yield f"{text} ({', '.join(named)})" if named else text


def newest(overlays: Sequence[Overlay]) -> dt.date:
    return max(overlay.since for overlay in overlays)


@dataclass(frozen=True)
class DebChange:
    """The changelog with an entry for the new version."""

    version: str
    changelog: str


def deb_change(changelog: str, overlays: Sequence[Overlay], *, maintainer: str) -> DebChange:
    """debian/changelog with an entry of ours on top (deb-changelog(5)).

    Its time is that of the newest overlay, never before the entry below: SOURCE_DATE_EPOCH of the build follows.
    """
    head = _HEAD.match(changelog.lstrip("\n"))
    trailer = _TRAILER.search(changelog)
    if head is None or trailer is None:
        raise OperationError("", "debian/changelog has no entry that could be read")
    try:
        before = parsedate_to_datetime(trailer["date"].strip())
    except ValueError as error:
        raise OperationError("", f"debian/changelog has no date but {trailer['date']!r}") from error
    made = dt.datetime.combine(newest(overlays), dt.time(), dt.UTC)
    version = head["version"] + mark_of(overlays).deb
    items = "".join(
        textwrap.fill(line, _WIDTH, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False) + "\n"
        for line in said(overlays)
    )
    entry = (
        f"{head['source']} ({version}) {head['suites'].strip()}; urgency=medium\n\n{items}\n"
        f" -- {maintainer}  {format_datetime(max(made, before))}\n\n"
    )
    return DebChange(version, entry + changelog.lstrip("\n"))
