# SPDX-License-Identifier: Apache-2.0
"""Releases without a build's minutes: small folders of the real form, signed and checked as the real ones are."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from zaffre.definition import Waves
from zaffre.follow.client import Follower
from zaffre.follow.deltas import delta_path, deltas_of
from zaffre.follow.layout import RELEASE_FILE, target_place
from zaffre.machine.report import CheckLine, CheckReport
from zaffre.machine.report import Verdict as LineVerdict
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, Manifest
from zaffre.offer import Delta, Record, Rollout
from zaffre.place.folder import Folder
from zaffre.place.target import Target
from zaffre.progress import SILENT
from zaffre.release.candidate import create, read_candidate, write_candidate
from zaffre.release.change import Change
from zaffre.release.deltas import Goal, Made, Workshop, wanted
from zaffre.release.desk import Desk, Outcome
from zaffre.release.evidence import leave_evidence
from zaffre.release.keys import Ring, make_folder, make_key
from zaffre.release.kinds import Seal
from zaffre.release.metadata import DEFAULT_DAYS, described, succeed, until
from zaffre.release.operate import add, promote, revoke, rollout
from zaffre.release.payload import payload_of, payload_of_promoted
from zaffre.release.publish import Payload
from zaffre.release.rotate import Turn, found, rotate, trustees_by_name
from zaffre.release.selection import choose
from zaffre.release.state import State, load_state
from zaffre.release.verify import VerifyReport, verify_releases
from zaffre.trust import Keys
from zaffre.trust.inspector import Verdict

SECRET = "a passphrase of a test"
CHANNELS = ("dev", "stable")
KEY_NAMES = ("root-1", "root-2", "root-3", "targets", "snapshot", "timestamp", *CHANNELS)
WAVES = Waves.model_validate({"steps": [{"share": 10, "until": "1h"}, {"share": 100, "until": "1d"}]})


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def neighbour(version: str) -> dict[str, bytes]:
    """Files that are large enough for deltas, of which neighbouring versions share most, at other places."""
    fix = random.Random(version).randbytes(5_000)
    found = {}
    for name, size in {"root.erofs": 300_000, "root.verity": 90_000, "uki.efi": 200_000}.items():
        body = random.Random(name).randbytes(size)
        found[name] = body[: size // 3] + fix + body[size // 3 :]
    return found


def make_build(
    out: Path, keys: Keys, version: str, *, contents: Mapping[str, bytes] | None = None, **changes: object
) -> Path:
    """A folder as `zaffre build` leaves it, of a host whose files are small, or those and more with the `contents` that
    are given.
    """
    folder = out / f"{changes.get('image', 'host')}-{version}-amd64"
    folder.mkdir(parents=True)
    for name, size in {"root.erofs": 3000, "root.verity": 300, "uki.efi": 2000, "inventory.json": 200}.items():
        (folder / name).write_bytes((f"{name} of {version}\n".encode() * size)[:size])
    for name, data in (contents or {}).items():
        (folder / name).write_bytes(data)
    (folder / "image.raw").write_bytes(b"the whole disk " * 500)
    sign_build(folder, keys, version=version, **changes)
    return folder


EXTENSION = "extension.raw"
SEAL = b"sealed: "
FITS = SEAL + b"fits: "


def extension_of(version: str, *, fits: bool = True, sealed: bool = True) -> bytes:
    """An extension's content, as `sealed` and the machine in memory of `support.nodes` read it."""
    return (SEAL if sealed else b"") + (b"fits: " if fits else b"other: ") + version.encode() * 500


def sealed(extension: Path) -> Verdict:
    """What a look at the seal of such an extension says."""
    ok = extension.read_bytes().startswith(SEAL)
    return Verdict(ok=ok, detail="signed" if ok else "its root hash is not signed by the verity key")


def make_extension(
    out: Path, keys: Keys, image: str, version: str, *, kind: str = "sysext", content: bytes | None = None
) -> Path:
    """A folder as `zaffre build` leaves it, of a small extension."""
    folder = out / f"{image}-{version}-amd64"
    folder.mkdir(parents=True)
    (folder / EXTENSION).write_bytes(content or extension_of(version))
    sign_build(folder, keys, image=image, version=version, kind=kind, root_hash=None)
    return folder


def sign_build(folder: Path, keys: Keys, **changes: object) -> Manifest:
    """Write the manifest for the files that are there, and its signature."""
    fields: dict[str, object] = {
        "image": "host",
        "kind": "host",
        "architecture": "amd64",
        "profile": "release",
        "debug": False,
        "definition": "0" * 64,
        "lock": "0" * 64,
        "tools": "0" * 64,
        "epoch": 1_777_000_000,
        "root_hash": "1" * 64,
        "packages": [],
        "build": {"key": "0" * 64, "steps": [], "wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1},
        "artifacts": {
            path.name: Artifact(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)
            for path in sorted(folder.iterdir())
            if path.name not in {MANIFEST_NAME, SIGNATURE_NAME}
        },
    }
    manifest = Manifest.model_validate({**fields, **changes})
    text = manifest.model_dump_json(indent=1).encode()
    (folder / MANIFEST_NAME).write_bytes(text)
    (folder / SIGNATURE_NAME).write_bytes(keys.release_signer().sign_bytes(text))
    return manifest


def check_report(verdicts: Iterable[LineVerdict]) -> CheckReport:
    lines = tuple(
        CheckLine(name=f"line-{number}", title=f"line {number}", verdict=verdict, found="as found")
        for number, verdict in enumerate(verdicts)
    )
    return CheckReport(
        image="host", accelerator="tcg", lines=lines, boots=(), memory_used_bytes=1, memory_total_bytes=2, seconds=1.0
    )


def leave_check(
    folder: Path, keys: Keys, verdicts: Iterable[LineVerdict] = (LineVerdict.PASSED, LineVerdict.NOTED)
) -> Path:
    """What `zaffre check` would leave beside it."""
    manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    return leave_evidence(folder, manifest, check_report(verdicts), keys.release_signer(), now=now())


def make_keys(folder: Path, names: Iterable[str] = KEY_NAMES) -> Path:
    make_folder(folder)
    for name in names:
        make_key(folder, name, SECRET)
    return folder


def open_ring(*folders: Path) -> Ring:
    return Ring(folders, lambda _: SECRET)


@dataclass
class Yard:
    """A repository of releases, its publisher, and nodes that look at it."""

    root: Path
    owner: Keys
    signers: list[Path] = field(default_factory=list)
    trusted: bytes = b""
    first: bytes = b""
    """The root that nodes have in their image."""
    place: Target = field(init=False)
    clock: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        self.place = Folder(self.root / "repo")
        if not self.signers:
            self.signers = [make_keys(self.root / "signers")]

    def copy(self, root: Path) -> Yard:
        """The same once more, to be changed."""
        shutil.copytree(self.root, root)
        return Yard(root, self.owner, [root / "signers"], self.trusted, self.first)

    @property
    def repo(self) -> Path:
        return self.root / "repo"

    @property
    def pending(self) -> Path:
        return self.root / "pending"

    def desk(self, place: Target | None = None) -> Desk:
        return Desk(place or self.place, self.trusted, open_ring(*self.signers), self.pending, self.clock)

    def found(self, *, threshold: int = 2) -> Outcome:
        desk = self.desk()
        change = found(trustees_by_name(desk.ring, CHANNELS, threshold), CHANNELS, DEFAULT_DAYS, now=self.clock)
        return self._keep(desk.found(change))

    def build(self, version: str, *, contents: Mapping[str, bytes] | None = None, **changes: object) -> Path:
        folder = make_build(self.root / "out", self.owner, version, contents=contents, **changes)
        leave_check(folder, self.owner)
        return folder

    def create(self, build: Path, *, floor: str | None = None, whole: bool = False, seal: Seal = sealed) -> Path:
        made = create(
            build,
            self.owner.certificates,
            seal=seal,
            floor=floor,
            notes="",
            whole=whole,
            now=self.clock,
            progress=SILENT,
        )
        return write_candidate(build, made)

    def publish(
        self,
        version: str,
        channel: str = "dev",
        *,
        floor: str | None = None,
        place: Target | None = None,
        contents: Mapping[str, bytes] | None = None,
        deltas: int = 0,
    ) -> Outcome:
        build = self.root / "out" / f"host-{version}-amd64"
        if not build.exists():
            self.build(version, contents=contents)
        pace = rollout("standard", WAVES, self.clock)
        return self.publish_build(build, channel, floor=floor, pace=pace, place=place, deltas=deltas)

    def publish_build(
        self,
        build: Path,
        channel: str,
        *,
        pace: Rollout,
        floor: str | None = None,
        place: Target | None = None,
        deltas: int = 0,
        seal: Seal = sealed,
    ) -> Outcome:
        """Release a folder that was checked."""
        self.create(build, floor=floor, seal=seal)
        folder, candidate = read_candidate(build, self.owner.certificates, SILENT, seal=seal)
        with self._deltas(channel, lambda _: Goal.of_candidate(candidate), deltas, build=build) as made:
            targets = [one.target for one in made]
            return self._keep(
                self.desk(place).carry_out(
                    lambda state: add(state, channel, candidate, pace, now=self.clock, deltas=targets),
                    lambda _: payload_of(folder, candidate, channel, deltas=made),
                )
            )

    def publish_extension(
        self,
        image: str,
        version: str,
        channel: str = "dev",
        *,
        kind: str = "sysext",
        content: bytes | None = None,
        floor: str | None = None,
    ) -> Outcome:
        build = make_extension(self.root / "out", self.owner, image, version, kind=kind, content=content)
        leave_check(build, self.owner)
        return self.publish_build(build, channel, floor=floor, pace=rollout("standard", WAVES, self.clock))

    def promote(self, version: str, channel: str = "stable", *, deltas: int = 0) -> Outcome:
        pace = rollout("standard", WAVES, self.clock)

        def chosen(state: State) -> Record:
            return choose(state, "dev", None, None, version)

        def bring(state: State) -> Payload:
            return payload_of_promoted(self.place, state, "dev", channel, chosen(state), deltas=made)

        def make(state: State) -> Change:
            targets = [one.target for one in made]
            return promote(
                state, channel, "host-amd64", version, source="dev", pace=pace, now=self.clock, deltas=targets
            )

        def goal(state: State) -> Goal:
            return Goal.of_record(chosen(state), state.role("dev").signed)

        with self._deltas(channel, goal, deltas) as made:
            return self._keep(self.desk().carry_out(make, bring))

    @contextmanager
    def _deltas(
        self, channel: str, goal: Callable[[State], Goal], count: int, *, build: Path | None = None
    ) -> Iterator[tuple[Made, ...]]:
        """Deltas from so many versions of the channel: of the repository's files to those of the build."""
        if not count:
            yield ()
            return
        with TemporaryDirectory() as folder:
            state = self.state()
            found = wanted(state.records(channel).values(), state.role(channel).signed, goal(state), count)
            new = build or self.root / "out" / f"host-{goal(state).version}-amd64"
            yield Workshop(self.place, Path(folder), SILENT, lambda one: new / one.file).make(state, found)

    def replace_delta(self, file: str, content: bytes, *, told: Delta | None = None, dumb: bool = False) -> None:
        """Publish other content as a delta of that file in `dev`, with all signatures. `told`: what is said of it;
        `dumb`: nothing that can be read is.
        """
        channel = "dev"
        state = self.state()
        old = next(one for one in deltas_of(state.role(channel).signed.targets) if one.delta.file == file)
        delta = told or old.delta
        digest = hashlib.sha256(content).hexdigest()
        target = TargetFile(
            len(content),
            {"sha256": digest},
            delta_path(digest, delta),
            {"custom": {"file": file} if dumb else delta.model_dump(mode="json")},
        )

        def make(state: State) -> Change:
            changed = succeed(state.channels[channel], until(state.root.signed, channel, self.clock))
            del changed.signed.targets[old.path]
            changed.signed.targets[target.path] = target
            return Change("another delta", {channel: changed})

        lies = target_place(target.path, digest)
        self._keep(self.desk().carry_out(make, lambda _: Payload(texts={lies: content})))

    def revoke(self, version: str, product: str = "host-amd64") -> Outcome:
        return self._keep(
            self.desk().carry_out(lambda state: revoke(state, product, version, "it is bad", now=self.clock))
        )

    def rotate(
        self,
        role: str,
        remove: Iterable[str],
        add: Iterable[str],
        *,
        place: Target | None = None,
        threshold: int | None = None,
    ) -> Outcome:
        """Rotate to keys that are made if they aren't there."""
        ring = open_ring(*self.signers)
        names = {one.name for one in ring.files.values()}
        for name in add:
            if name not in names:
                make_key(self.signers[0], name, SECRET)
        desk = self.desk(place)
        fresh = [desk.ring.named(name).key for name in add]
        return self._keep(
            desk.carry_out(lambda state: rotate(state, {role: Turn(list(remove), fresh, threshold)}, now=self.clock))
        )

    def sign_a_wild_future(self) -> None:
        """What a thief of all online keys can do: numbers that no honest publisher comes to. Replaces the timestamp."""
        ring = open_ring(*self.signers)
        state = self.state()

        def publish(role: str, signed: Targets | Snapshot | Timestamp, version: int, name: str) -> MetaFile:
            signed.version = version
            made = Metadata(signed)
            made.sign(ring.signer(ring.named(role).key.keyid))
            (self.repo / "metadata" / name).write_bytes(made.to_bytes())
            return described(made, made.to_bytes())

        channel = publish("dev", state.channels["dev"].signed, 999_997, "999997.dev.json")
        state.snapshot.signed.meta["dev.json"] = channel
        snapshot = publish("snapshot", state.snapshot.signed, 999_998, "999998.snapshot.json")
        state.timestamp.signed.snapshot_meta = snapshot
        publish("timestamp", state.timestamp.signed, 999_999, "timestamp.json")

    def replace_online_keys(self) -> None:
        """New keys for what was stolen; the old ones are gone."""
        for role in ("timestamp", "snapshot", "dev"):
            self.rotate(role, [role], [f"{role}-2"])
            (self.signers[0] / f"{role}.key").unlink()

    def rotate_root(self, times: int) -> None:
        """So many new roots, each with a key that the one before had not."""
        names = ["root-1", "root-2", "root-3"]
        for number in range(4, 4 + times):
            self.rotate("root", [names.pop(0)], [f"root-{number}"])
            names.append(f"root-{number}")

    def state(self) -> State:
        return load_state(self.place, self.trusted)

    def records(self, channel: str = "dev") -> dict[str, Record]:
        return {one.version: one for one in self.state().records(channel).values()}

    def verify(self, *, trusted: bytes | None = None, memory: Path | None = None, quick: bool = False) -> VerifyReport:
        return verify_releases(
            self.place, trusted or self.first, memory=memory, now=self.clock, quick=quick, progress=SILENT
        )

    def node(self, name: str = "node", *, seconds: float = 60.0) -> Follower:
        """A look of a node that keeps what it has seen."""
        return Follower(self.place, self.root / name, self.first, seconds=seconds)

    def sees(self, name: str = "node", channel: str = "dev") -> list[str]:
        """The versions that a node is offered at this moment."""
        node = self.node(name)
        signed = node.channel(channel)
        return sorted(
            Record.model_validate(one.custom).version
            for path, one in signed.targets.items()
            if path.endswith(f"/{RELEASE_FILE}")
        )

    def later(self, **delta: float) -> None:
        self.clock += timedelta(**delta)

    def _keep(self, outcome: Outcome) -> Outcome:
        if outcome.done is not None:
            self.trusted = outcome.done.root
            self.first = self.first or outcome.done.root
        return outcome
