# SPDX-License-Identifier: Apache-2.0
"""A run of the agent: look, decide, and do it. Whoever kills it anywhere, the next run goes on.

What the decision (`zaffre.offer.decide`) says is done here and nowhere else. The last thing that is asked before a slot
is written is the first one again: whether the running boot is blessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from zaffre.agent.bring import Bringer
from zaffre.agent.carry import Carrier
from zaffre.agent.download import Downloads
from zaffre.agent.files import alone, told_when_full
from zaffre.agent.handover import Expected, clear, hand_over, take_back
from zaffre.agent.home import Home, Staged
from zaffre.agent.host import Host, Identity
from zaffre.agent.look import Offers, look
from zaffre.agent.overlay import Overlay
from zaffre.agent.settings import Settings
from zaffre.agent.source import Place
from zaffre.errors import FindingError, WorldError, ZaffreError
from zaffre.offer import Act, Decision, Node, decide, version_key
from zaffre.progress import SILENT, Progress

_STEPS = 4
"""Of one run: drop, stage, restart, and one more."""


@dataclass(frozen=True)
class Agent:
    """`trusted` is the root of trust; `now` tells the time, with its zone."""

    host: Host
    home: Home
    settings: Settings
    place: Place
    trusted: Callable[[], bytes]
    overlay: Overlay
    now: Callable[[], datetime]
    progress: Progress = SILENT
    downloads: Callable[[Place, Path, int, Progress], Downloads] = Downloads

    def check(self) -> Decision:
        """Refresh and decide. Nothing is written but what was seen."""
        with alone(self.home.lock):
            return self._decided(*self._look())

    def update(self) -> Decision:
        """The same, and stage what is to be staged. Gives back what is left to do: a restart, or to wait."""
        with alone(self.home.lock):
            return self._update()

    def run(self) -> Decision:
        """All of it; restarts, if the settings let it and the time has come."""
        with alone(self.home.lock):
            decision = self._update()
            if decision.act is Act.RESTART and self.settings.restart:
                self._restart(decision)
            return decision

    def prove(self) -> None:
        """Whether this agent could do its work here: it knows the host, and reads at the place what it believes.
        Changes nothing. Raises as `check` does.
        """
        mine = self.host.identity()
        with TemporaryDirectory() as folder:
            look(self.place, Path(folder), self.trusted(), self.settings.channel, mine.product)

    def order(self, version: str | None) -> None:
        """Remember what somebody asks of this node, or forget it."""
        with alone(self.home.lock):
            self.home.keep_order(version)
            self.home.note("order", self.now(), version=version)

    def _update(self) -> Decision:
        """The host first; whatever that comes to, its extensions are gone on with, and the agent's own last: so that a
        newer one can help where this one does not get along.
        """
        carrier = self._carrier
        try:
            carrier.settle()
        except ZaffreError as error:
            self._keep_problem(error)
        mine, offered = self._look()
        try:
            decision = self._host_updated(mine, offered)
        except Exception:
            carrier.go_on(mine, self.host.blessed, offered.targets)
            raise
        carrier.go_on(mine, self.host.blessed, offered.targets)
        return decision

    @property
    def _carrier(self) -> Carrier:
        def downloads(folder: Path) -> Downloads:
            return self.downloads(self.place, folder, self.settings.rate, self.progress)

        return Carrier(self.home, self.settings, self.overlay, downloads, self.now, self.progress)

    def _host_updated(self, mine: Identity, offered: Offers) -> Decision:
        for _ in range(_STEPS):
            decision = self._decided(mine, offered)
            if decision.act is Act.DROP:
                self._forget()
            elif decision.act is Act.STAGE and decision.version is not None:
                try:
                    self._stage(decision.version, mine, offered)
                except ZaffreError as error:
                    self._keep_problem(error, decision)
                    raise
            else:
                return decision
        return decision

    def _look(self) -> tuple[Identity, Offers]:
        mine = self.host.identity()
        self._settle(mine)
        try:
            with told_when_full(self.home.metadata):
                return mine, look(self.place, self.home.metadata, self.trusted(), self.settings.channel, mine.product)
        except ZaffreError as error:
            self._keep_problem(error)
            raise

    def _decided(self, mine: Identity, offered: Offers) -> Decision:
        node = node_of(self.host, self.home, mine)
        decision = decide(node, offered.records, self.settings.policy, self.now())
        self.home.keep_last(
            {
                "time": self.now().isoformat(),
                "act": decision.act.value,
                "version": decision.version,
                "reason": decision.reason,
                "until": decision.until.isoformat() if decision.until else None,
                "unread": offered.unread,
            }
        )
        return decision

    def _settle(self, mine: Identity) -> None:
        """What became of what was staged in an earlier boot: it runs and is blessed, or something else was booted. What
        is not whole in its slot any more was never tried: the power failed before the ESP had it for good, or somebody
        took it away. It is staged again.
        """
        staged = self.home.staged
        if staged is None or staged.boot == mine.boot:
            return
        if staged.version == mine.version:
            if self.host.blessed():
                self._settled(staged, "came up")
        elif staged.whole and not self.host.installed(staged.version):
            self.home.note("was lost", self.now(), version=staged.version)
            self.home.keep_staged(None)
        elif staged.whole:
            self.home.keep_failed((*(one for one in self.home.failed if one != staged.version), staged.version))
            self._settled(staged, "did not come up")

    def _settled(self, staged: Staged, what: str) -> None:
        self.home.note(what, self.now(), version=staged.version)
        if self.home.order == staged.version:
            self.home.keep_order(None)
        self.home.keep_staged(None)

    def _forget(self) -> None:
        staged = self.home.staged
        if staged is not None:
            self.host.forget(staged.version)
            self.home.keep_staged(None)
            self.home.note("drop", self.now(), version=staged.version)

    def _stage(self, version: str, mine: Identity, offered: Offers) -> None:
        """Kept in this order: files, the intent, the hand-over, the slot, that it is whole."""
        files = offered.files(version)
        before = self.home.staged
        if before is None or before.version != version or not self.host.installed(version):
            names = offered.names(version)
            fetched = self._fetch(version, files, names, mine, offered)
            self._require_blessed(mine)
            self._write(version, fetched, names, mine, before)
        self.home.keep_staged(Staged(version, whole=True, boot=mine.boot))
        self.home.note("staged", self.now(), version=version)
        clear(self.home.incoming)
        clear(self.home.parts)

    def _fetch(
        self, version: str, files: Mapping[str, Expected], names: Mapping[str, str], mine: Identity, offered: Offers
    ) -> dict[str, tuple[Path, Expected]]:
        downloads = self.downloads(self.place, self.home.parts, self.settings.rate, self.progress)
        take_back(files, names, self.home.incoming, self.home.parts)
        found, told = Bringer(downloads, self.host).bring(files, offered.deltas, mine.version)
        self.home.keep_brought({"version": version, "from": mine.version, **told.plain()})
        for name, why in told.fell_back.items():
            self.home.note("delta failed", self.now(), version=version, file=name, reason=why)
        self.home.note("fetched", self.now(), version=version, by_delta=", ".join(told.by_delta) or None)
        return found

    def _write(
        self,
        version: str,
        fetched: Mapping[str, tuple[Path, Expected]],
        names: Mapping[str, str],
        mine: Identity,
        before: Staged | None,
    ) -> None:
        """What would boot what was there before goes first, and so does what is left of an earlier try of the same."""
        for old in {version, *([before.version] if before is not None else [])} - {mine.version}:
            self.host.forget(old)
        self.home.keep_staged(Staged(version, whole=False, boot=mine.boot))
        hand_over(fetched, names, self.home.incoming)
        self.home.note("write", self.now(), version=version)
        with self.progress.step(f"{version} into the other slot"):
            self.host.stage(version)
        if not self.host.installed(version):
            raise WorldError(
                "systemd-sysupdate ended, and the version is not whole in its slot",
                where=version,
                resolution="look at 'systemd-sysupdate list' and its transfer files; the next run tries again",
            )

    def _require_blessed(self, mine: Identity) -> None:
        """Once more: a download takes long."""
        if not self.host.blessed():
            raise FindingError(
                "the running boot is not blessed, so the other slot is not written",
                where=mine.version,
                resolution="see 'systemctl status boot-complete.target' for what keeps it from that",
            )

    def _restart(self, decision: Decision) -> None:
        self.home.note("restart", self.now(), version=decision.version)
        self.host.restart()

    def _keep_problem(self, error: ZaffreError, decision: Decision | None = None) -> None:
        """Why nothing came of it; a disk that is full must not hide that."""
        problem: dict[str, object] = {
            "time": self.now().isoformat(),
            "act": decision.act.value if decision else None,
            "version": decision.version if decision else None,
            "reason": decision.reason if decision else None,
            "problem": ": ".join(part for part in (str(error), error.details) if part),
        }
        try:
            self.home.keep_last(problem)
        except (OSError, ZaffreError):
            return


def node_of(host: Host, home: Home, mine: Identity) -> Node:
    """What the node knows of itself, for a decision."""
    staged = home.staged
    failed = frozenset(home.failed) | host.fell_back()
    if staged is not None and staged.whole and staged.boot != mine.boot and staged.version != mine.version:
        if host.installed(staged.version):
            failed |= {staged.version}
        else:
            staged = None
    order = home.order
    return Node(
        id=mine.node,
        running=mine.version,
        blessed=host.blessed(),
        staged=staged.version if staged is not None and staged.whole and staged.version != mine.version else None,
        failed=failed,
        ordered=order if order is not None and version_key(order) > version_key(mine.version) else None,
    )
