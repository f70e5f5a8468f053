# SPDX-License-Identifier: Apache-2.0
"""A node that follows a repository of releases: a host in memory whose slots and boots behave as systemd's do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.releases import FITS, SEAL, Yard
from zaffre.agent.download import Downloads
from zaffre.agent.handover import ORDER
from zaffre.agent.home import Home
from zaffre.agent.host import Identity
from zaffre.agent.settings import Settings
from zaffre.agent.source import Folder, Place
from zaffre.agent.work import Agent
from zaffre.errors import IntegrityError, ToolError
from zaffre.progress import SILENT, Progress
from zaffre.slots import incoming_names


class KilledError(BaseException):
    """The end of the process. No handler of errors sees it."""


@dataclass
class Slots:
    """Two slots and a boot partition, kept in a folder, since they outlive what kills the agent.

    `stage` reads what lies in `incoming` as systemd-sysupdate does: all parts of that version, the boot entry last.
    """

    incoming: Path
    running: str
    boot: int = 1
    is_blessed: bool = True
    bad: frozenset[str] = frozenset()
    contents: dict[str, dict[str, bytes]] = field(default_factory=dict)
    entries: set[str] = field(default_factory=set)
    restarts: int = 0
    kill_in_stage: int | None = None
    written: list[str] = field(default_factory=list)
    room: int = 4096

    def __post_init__(self) -> None:
        self.contents.setdefault(self.running, dict.fromkeys(ORDER, b"running"))
        self.entries.add(self.running)

    def identity(self) -> Identity:
        return Identity(self.running, "host-amd64", "node", f"boot{self.boot}")

    def blessed(self) -> bool:
        return self.is_blessed

    def fell_back(self) -> frozenset[str]:
        return self.bad

    def versions(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def installed(self, version: str) -> bool:
        return set(self.contents.get(version, {})) == set(ORDER) and version in self.entries

    def source(self, file: str) -> Path | None:
        """As a partition is: what was written to it is followed by what was there before."""
        path = self.incoming.parent / "slot" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.contents[self.running][file] + bytes(self.room))
        return path

    def stage(self, version: str) -> None:
        assert self.is_blessed
        assert version != self.running
        lying = {path.name for path in self.incoming.iterdir()}
        names = incoming_names("host", version, "1" * 64)
        if lying != set(names.values()):
            raise ToolError("not found", command="systemd-sysupdate", returncode=1)
        for old in [one for one in self.contents if one not in {self.running, version}]:
            del self.contents[old]
            self.entries.discard(old)
        self.contents[version] = {}
        for number, name in enumerate(ORDER):
            if self.kill_in_stage == number:
                raise KilledError
            self.contents[version][name] = (self.incoming / names[name]).read_bytes()
            if name == "uki.efi":
                self.entries.add(version)
        self.written.append(version)

    def forget(self, version: str) -> None:
        assert version != self.running
        self.entries.discard(version)
        self.contents.get(version, {}).pop("uki.efi", None)

    def restart(self) -> None:
        self.restarts += 1

    def boot_into(self, version: str, *, blessed: bool = True) -> None:
        assert version in self.entries
        self.running, self.boot, self.is_blessed = version, self.boot + 1, blessed


@dataclass
class Layers:
    """The extensions of a host, laid over it as systemd does it; `support.releases.extension_of` says what they hold.

    `foreign`: it has another certificate than the publisher's, and takes nothing. `blind`: what does not fit is found
    when it is laid over only. `proves` says whether the agent does its work with what is laid over.
    """

    root: Path
    foreign: bool = False
    blind: bool = False
    proves: Callable[[Layers], bool] = lambda _: True
    laid: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"sysext": {}, "confext": {}})

    def kept(self, kind: str) -> Path:
        return self.root / "var" / kind

    def passing(self, kind: str) -> Path:
        return self.root / "run" / kind

    def require_fit(self, extension: Path) -> None:
        if self.foreign or not (self.blind or extension.read_bytes().startswith(FITS)):
            raise IntegrityError("the host refuses the extension", where=str(extension))

    def merge(self, kind: str) -> None:
        """All or none by their seals; one that is made for another system is left out."""
        files = {
            path.name: path.read_bytes()
            for folder in (self.kept(kind), self.passing(kind))
            for path in (sorted(folder.glob("*.raw")) if folder.is_dir() else ())
            if path.exists()
        }
        if any(not data.startswith(SEAL) for data in files.values()):
            raise ToolError("extensions cannot be laid over the host", command="systemctl", returncode=1)
        self.laid[kind] = {name.removesuffix(".raw"): data for name, data in files.items() if data.startswith(FITS)}

    def merged(self, kind: str) -> frozenset[str]:
        return frozenset(self.laid[kind])

    def prove(self) -> None:
        if not self.proves(self):
            raise ToolError("the agent could not do its work any more", command="systemctl", returncode=1)

    def restart(self) -> None:
        """What is in /run is gone, and what is kept is laid over, as the host does it after its boot."""
        shutil.rmtree(self.root / "run", ignore_errors=True)
        for kind in self.laid:
            self.merge(kind)

    def put(self, name: str, data: bytes, kind: str = "sysext") -> None:
        """As somebody does by hand."""
        self.kept(kind).mkdir(parents=True, exist_ok=True)
        (self.kept(kind) / f"{name}.raw").write_bytes(data)
        self.merge(kind)


@dataclass
class Seat:
    """The agent of one node with all that it keeps."""

    yard: Yard
    slots: Slots
    layers: Layers
    home: Home
    place: Place
    settings: Settings
    ahead: timedelta = timedelta(days=2)
    downloads: Callable[[Place, Path, int, Progress], Downloads] = Downloads

    @classmethod
    def at(cls, yard: Yard, running: str, **settings: object) -> Seat:
        home = Home(yard.root / "agent")
        place = str(settings.pop("place", yard.repo))
        found = Settings.model_validate({"place": place, "channel": "dev", **settings})
        return cls(yard, Slots(home.incoming, running), Layers(yard.root / "host"), home, Folder(yard.repo), found)

    @property
    def agent(self) -> Agent:
        """As a new process has it. Its clock is ahead, so that all turns have come, unless a test says otherwise."""
        return Agent(
            host=self.slots,
            home=self.home,
            settings=self.settings,
            place=self.place,
            trusted=lambda: self.yard.first,
            overlay=self.layers,
            now=lambda: datetime.now(UTC) + self.ahead,
            progress=SILENT,
            downloads=self.downloads,
        )

    def payload(self, version: str) -> dict[str, bytes]:
        build = self.yard.root / "out" / f"host-{version}-amd64"
        return {name: (build / name).read_bytes() for name in ORDER}


@dataclass
class Failing:
    """A folder's place that goes away after `left` bytes of content in all."""

    folder: Folder
    left: int
    asked: list[tuple[str, int]] = field(default_factory=list)

    def size(self, path: str) -> int | None:
        return self.folder.size(path)

    def chunks(self, path: str) -> Iterator[bytes]:
        return self.folder.chunks(path)

    def rest(self, path: str, start: int) -> tuple[int, Iterator[bytes]]:
        self.asked.append((path, start))
        return start, self._some(self.folder.rest(path, start)[1])

    def _some(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for at in range(0, len(chunk), 100):
                if self.left <= 0:
                    return
                self.left -= 100
                yield chunk[at : at + 100]
