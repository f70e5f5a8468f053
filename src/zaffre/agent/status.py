# SPDX-License-Identifier: Apache-2.0
"""What the agent knows of its node, without the network: for people, and as JSON for those who collect it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from zaffre.agent.health import FOLDER as HEALTH
from zaffre.agent.health import Health, health_of
from zaffre.agent.home import Home
from zaffre.agent.host import Host
from zaffre.agent.look import ages, looked, remembered
from zaffre.agent.overlay import Overlay
from zaffre.agent.settings import Settings
from zaffre.agent.standing import Standing, standings
from zaffre.agent.work import node_of
from zaffre.errors import ZaffreError
from zaffre.offer import decide, version_key


@dataclass(frozen=True)
class Status:
    """`previous` are the other versions that are whole in a slot, the newest first; None when that cannot be found out.
    `next` is what the agent would do by what it has seen; `brought`, how the files came that were fetched last; `last`,
    what it did decide, or what kept it from that.
    """

    product: str
    node: str
    running: str
    blessed: bool
    health: Health
    staged: str | None
    writing: str | None
    previous: tuple[str, ...] | None
    failed: tuple[str, ...]
    order: str | None
    channel: str
    place: str
    looked: datetime | None
    good_until: dict[str, datetime]
    expired: tuple[str, ...]
    free_bytes: int
    next: dict[str, str | None] | None
    extensions: tuple[Standing, ...] = ()
    brought: dict[str, object] = field(default_factory=dict)
    last: dict[str, object] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """As JSON has it; times in ISO 8601."""
        return {
            **asdict(self),
            "looked": self.looked.isoformat() if self.looked else None,
            "good_until": {role: until.isoformat() for role, until in self.good_until.items()},
        }

    def lines(self) -> list[str]:
        """As people read it."""
        rows = {
            "runs": f"{self.running}, {'blessed' if self.blessed else 'not blessed yet'}",
            "health": _health(self.health),
            "staged": self.staged or (f"nothing; {self.writing} is half-written" if self.writing else "nothing"),
            "other slot": "not known" if self.previous is None else ", ".join(self.previous) or "nothing else",
            "failed here": ", ".join(self.failed) or "nothing",
            "ordered": self.order or "nothing",
            "follows": f"{self.channel} at {self.place}",
            "has seen": f"{self.looked:%Y-%m-%d %H:%M} UTC" if self.looked else "nothing yet",
            "good until": ", ".join(f"{role} {until:%Y-%m-%d}" for role, until in self.good_until.items()) or "-",
            "expired": ", ".join(self.expired) or "nothing",
            "free in /var": f"{self.free_bytes / 1e6:.0f} MB",
            "would now": f"{self.next['act']}: {self.next['reason']}" if self.next else "look at its channel first",
            "fetched": _brought(self.brought),
            "last": _last(self.last),
        }
        rows |= {f"extension {one.name}": one.words for one in self.extensions}
        width = max(len(name) for name in rows)
        return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def status(
    host: Host, home: Home, settings: Settings, now: datetime, *, overlay: Overlay, health: Path = HEALTH
) -> Status:
    """Raises DefinitionError for a host that does not say what it is. Changes nothing."""
    mine = host.identity()
    node = node_of(host, home, mine)
    seen = remembered(home.metadata, settings.channel, mine.product)
    decision = decide(node, seen.records, settings.policy, now) if seen else None
    good = ages(home.metadata, settings.channel)
    staged = home.staged
    return Status(
        product=mine.product,
        node=mine.node,
        running=mine.version,
        blessed=node.blessed,
        health=health_of(mine.version, health),
        staged=node.staged,
        writing=staged.version if staged is not None and not staged.whole else None,
        previous=_previous(host, {mine.version, node.staged}),
        failed=tuple(sorted(node.failed, key=version_key)),
        order=node.ordered,
        channel=settings.channel,
        place=settings.place,
        looked=looked(home.metadata),
        good_until=good,
        expired=tuple(role for role, until in good.items() if until <= now),
        free_bytes=_free(home.folder),
        next={"act": decision.act.value, "version": decision.version, "reason": decision.reason} if decision else None,
        extensions=standings(home, settings, overlay),
        brought=home.brought,
        last=home.last,
    )


def _previous(host: Host, others: set[str | None]) -> tuple[str, ...] | None:
    try:
        found = [one for one in host.versions() if one not in others and host.installed(one)]
    except ZaffreError:
        return None
    return tuple(sorted(found, key=version_key, reverse=True))


def _free(folder: Path) -> int:
    place = next(one for one in (folder, *folder.parents) if one.exists())
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def _health(health: Health) -> str:
    return f"{health.verdict} ({', '.join(health.failed)})" if health.failed else health.verdict


def _brought(brought: dict[str, object]) -> str:
    fetched, whole = brought.get("fetched"), brought.get("whole")
    if not isinstance(fetched, int) or not isinstance(whole, int):
        return "nothing yet"
    words = f"{brought.get('version')}: {fetched / 1e6:.1f} MB of {whole / 1e6:.1f} MB"
    if by_delta := brought.get("by_delta"):
        words += f", by deltas from {brought.get('from')}" if isinstance(by_delta, list) else ""
    if isinstance(failed := brought.get("fell_back"), dict) and failed:
        words += f"; whole, as their delta failed: {', '.join(failed)}"
    return words


def _last(last: dict[str, object]) -> str:
    if not last:
        return "nothing yet"
    if last.get("problem"):
        return f"{last.get('time')}: {last['problem']}"
    return f"{last.get('time')}: {last.get('act')}: {last.get('reason')}"
