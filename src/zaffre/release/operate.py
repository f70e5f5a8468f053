# SPDX-License-Identifier: Apache-2.0
"""What can be done to a channel, as changes of its metadata. Pure: from a state to a change, or to a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from tuf.api.metadata import Metadata, TargetFile, Targets

from zaffre.definition import Waves
from zaffre.errors import DefinitionError, FindingError
from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import pool_path, release_path
from zaffre.offer import Halt, Record, Revocation, Rollout, Step, version_key, way
from zaffre.offer.record import MAX_REASON, MILLION
from zaffre.release.candidate import Candidate
from zaffre.release.change import Change
from zaffre.release.metadata import succeed, until
from zaffre.release.selection import find, of_product
from zaffre.release.state import State

_BRIDGE = "publish a version first that nodes can come to, and that may come to this one; or lower the floor"


def rollout(name: str, waves: Waves, begin: datetime) -> Rollout:
    """A schedule of the definition, begun at a time."""
    return Rollout(
        name=name,
        begin=begin.replace(microsecond=0),
        steps=tuple(Step(share=round(step.share / 100 * MILLION), until=int(step.until)) for step in waves.steps),
        halt=Halt(unhealthy=max(1, round(waves.halt.unhealthy / 100 * MILLION)), reports=waves.halt.reports),
    )


def add(
    state: State,
    channel: str,
    candidate: Candidate,
    pace: Rollout,
    *,
    now: datetime,
    deltas: Iterable[TargetFile] = (),
) -> Change:
    """A new release in a channel, and deltas to it. Raises FindingError for a version that isn't newer, and for a floor
    that can't be.
    """
    record = Record(
        kind=candidate.kind,
        image=candidate.image,
        architecture=candidate.architecture,
        version=candidate.version,
        created=candidate.created,
        profile=candidate.profile,
        root_hash=candidate.root_hash,
        floor=candidate.floor,
        rollout=pace,
        files={name: pool_path(file.sha256, name) for name, file in candidate.files.items()},
        evidence=candidate.evidence,
        notes=candidate.notes,
    )
    if _is_there(state, channel, record, candidate.manifest.sha256):
        return Change(f"{record.product} {record.version} is in '{channel}' already", {})
    _require_place(state, channel, record)
    changed = _next(state, channel, now)
    pool = {
        path: _target(path, candidate.files[name].size, candidate.files[name].sha256)
        for name, path in record.files.items()
    }
    path = release_path(channel, record.product, record.version)
    entry = _target(path, candidate.manifest.size, candidate.manifest.sha256, record)
    changed.signed.targets.update({**pool, path: entry, **{one.path: one for one in deltas}})
    return Change(f"{record.product} {record.version} in '{channel}'", {channel: changed})


def promote(
    state: State,
    channel: str,
    product: str,
    version: str,
    *,
    source: str,
    pace: Rollout,
    now: datetime,
    deltas: Iterable[TargetFile] = (),
) -> Change:
    """What one channel has in another one too, at a pace of its own. Raises as `add` does."""
    record = find(state, source, product, version)
    if record.revoked is not None:
        raise FindingError(
            f"{product} {version} is revoked: {record.revoked.reason}",
            where=f"{state.where}: {source}",
            resolution="promote a newer one",
        )
    record = record.model_copy(update={"rollout": pace})
    listed = state.role(source).signed.targets
    origin = listed[release_path(source, product, version)]
    if _is_there(state, channel, record, origin.hashes["sha256"]):
        return Change(f"{product} {version} is in '{channel}' already", {})
    _require_place(state, channel, record)
    changed = _next(state, channel, now)
    path = release_path(channel, product, version)
    changed.signed.targets.update({one: listed[one] for one in record.files.values()})
    changed.signed.targets.update({one.path: one for one in deltas})
    changed.signed.targets[path] = _target(path, origin.length, origin.hashes["sha256"], record)
    return Change(f"{product} {version} from '{source}' in '{channel}'", {channel: changed})


def revoke(state: State, product: str, version: str, reason: str, *, now: datetime) -> Change:
    """A release is not to be installed any more, in every channel that has it. Raises DefinitionError if none has."""
    if not 1 <= len(reason) <= MAX_REASON:
        raise DefinitionError(f"give a reason of 1 to {MAX_REASON} characters", where="--reason")
    revocation = Revocation(at=now.replace(microsecond=0), reason=reason)

    def change(record: Record) -> Record:
        return record if record.revoked else record.model_copy(update={"revoked": revocation})

    title = f"{product} {version} revoked"
    return _edited(state, list(state.channels), product, version, change=change, title=title, now=now)


def pause(state: State, channel: str, product: str, version: str, *, now: datetime) -> Change:
    """No further node's turn comes until it is resumed."""

    def change(record: Record) -> Record:
        return record.model_copy(update={"rollout": record.rollout.paused(now.replace(microsecond=0))})

    title = f"{product} {version} paused in '{channel}'"
    return _edited(state, [channel], product, version, change=change, title=title, now=now)


def resume(state: State, channel: str, product: str, version: str, *, now: datetime) -> Change:
    """The rollout goes on where it was paused."""

    def change(record: Record) -> Record:
        return record.model_copy(update={"rollout": record.rollout.resumed(now.replace(microsecond=0))})

    title = f"{product} {version} goes on in '{channel}'"
    return _edited(state, [channel], product, version, change=change, title=title, now=now)


def drop(state: State, releases: Mapping[str, Iterable[str]], *, now: datetime) -> Change:
    """Releases that channels no longer offer, by their paths; what no other release has of their files goes too, and
    the deltas that lead to them or from them.
    """
    roles: dict[str, Metadata[Targets]] = {}
    for channel, paths in releases.items():
        gone = set(paths)
        if not gone:
            continue
        changed = _next(state, channel, now)
        kept = {path: record for path, record in state.records(channel).items() if path not in gone}
        needed = {*kept, *(file for record in kept.values() for file in record.files.values())}
        needed |= {
            one.path
            for one in deltas_of(changed.signed.targets)
            if {pool_path(end.sha256, one.delta.file) for end in (one.delta.source, one.delta.target)} <= needed
        }
        changed.signed.targets = {path: one for path, one in changed.signed.targets.items() if path in needed}
        roles[channel] = changed
    return Change("old releases dropped", roles)


def renew(state: State, role: str, *, now: datetime) -> Change:
    """A role signed anew as it is, to be good for longer."""
    before = state.role(role)
    return Change(f"'{role}' signed anew", {role: succeed(before, until(state.root.signed, role, now))})


def _is_there(state: State, channel: str, record: Record, manifest: str) -> bool:
    """Whether the channel has this very release, by a run whose end nobody saw."""
    path = release_path(channel, record.product, record.version)
    before = state.records(channel).get(path)
    if before is None or before.revoked is not None:
        return False
    known = state.role(channel).signed.targets[path].hashes["sha256"]
    return bool((known, before.files, before.floor) == (manifest, record.files, record.floor))


def _require_place(state: State, channel: str, record: Record) -> None:
    """Raises FindingError unless the record is newer than all that the channel has, and can be come to from there."""
    others = of_product(state.records(channel).values(), record.product)
    where = f"{state.where}: {channel}"
    if others and version_key(record.version) <= version_key(others[-1].version):
        raise FindingError(
            f"{record.product} {record.version} is not newer than {others[-1].version}, which the channel has",
            where=where,
            resolution="build from a newer lock ('zaffre lock --update'). To take a release back, revoke it, and "
            "publish a newer one: no node goes back by itself",
        )
    _require_floor(others, record, where)


def _require_floor(others: Sequence[Record], record: Record, where: str) -> None:
    if record.floor is None:
        return
    floor = version_key(record.floor)
    good = [one for one in others if one.revoked is None]
    if not any(version_key(one.version) >= floor for one in good):
        newest = good[-1].version if good else "nothing"
        raise FindingError(
            f"no version of the channel meets the floor {record.floor}: the newest that is not revoked is {newest}",
            where=where,
            resolution=_BRIDGE,
        )
    left = [one.version for one in others if not _arrives([*others, record], one.version, record.version)]
    if left:
        raise FindingError(
            f"nodes that run {', '.join(left)} would have no way to {record.version} over the floor {record.floor}",
            where=where,
            resolution=_BRIDGE,
        )


def _arrives(offers: Sequence[Record], running: str, wanted: str) -> bool:
    return way(offers, running)[-1:] == (wanted,)


def _next(state: State, channel: str, now: datetime) -> Metadata[Targets]:
    if channel not in state.channels:
        state.role(channel)  # raises for what is not there at all
        raise DefinitionError(f"'{channel}' is a role, and no channel", where=state.where)
    return succeed(state.channels[channel], until(state.root.signed, channel, now))


def _target(path: str, length: int, sha256: str, record: Record | None = None) -> TargetFile:
    extra = {} if record is None else {"custom": record.model_dump(mode="json", exclude_none=True)}
    return TargetFile(length, {"sha256": sha256}, path, extra)


def _edited(
    state: State,
    channels: Sequence[str],
    product: str,
    version: str,
    *,
    change: Callable[[Record], Record],
    title: str,
    now: datetime,
) -> Change:
    roles: dict[str, Metadata[Targets]] = {}
    found = False
    for channel in channels:
        path = release_path(channel, product, version)
        before = state.records(channel).get(path)
        found |= before is not None
        if before is None or (after := change(before)) == before:
            continue
        changed = _next(state, channel, now)
        target = changed.signed.targets[path]
        changed.signed.targets[path] = _target(path, target.length, target.hashes["sha256"], after)
        roles[channel] = changed
    if not found:
        raise DefinitionError(
            f"no channel has {product} {version}"
            if len(channels) > 1
            else f"'{channels[0]}' has no {product} {version}",
            where=state.where,
            resolution=f"'zaffre release list {state.where}' shows what is there",
        )
    return Change(title, roles)
