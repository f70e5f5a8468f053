# SPDX-License-Identifier: Apache-2.0
"""From packages to fixes: fetch one binary of each source, take its changelog out, and keep what that says.

Whoever made a package is not trusted: `zaffre.tree.deb.unpack` refuses what a hostile archive could do, and a changelog
is decompressed with a limit. What a package file says never changes, so it is read once a store.
"""

from __future__ import annotations

import json
import os
import posixpath
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from zaffre.advisory.archive.carriers import Carrier, in_turn
from zaffre.advisory.archive.changelog import Fix, fixes
from zaffre.digest import canonical_json, source_digest
from zaffre.errors import IntegrityError
from zaffre.progress import SILENT, Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.tree.deb.model import Kind, Member
from zaffre.tree.deb.unpack import read_package
from zaffre.upstream.lock import LockedPackage

_DOCUMENTATION = "usr/share/doc"
_GZIP = 31  # zlib's window bits for a gzip header
_MOST_BYTES = 64 << 20
_MOST_ROUNDS = 12
_ANSWER = "changelog"

Fetch = Callable[[Sequence[LockedPackage]], None]
"""Brings the files of packages into the store."""


@dataclass(frozen=True)
class Answer:
    """What a package file says: the fixes of its changelog, or which package's folder its own leads to."""

    fixes: tuple[Fix, ...] | None = None
    leads_to: str | None = None


def read_carriers(
    carriers: Sequence[Carrier], *, fetch: Fetch, store: Store, progress: Progress = SILENT
) -> Mapping[Carrier, tuple[Fix, ...] | None]:
    """What each carrier's changelog says; None where none of the packages that were tried has one.

    The smallest package is tried first, then what its documentation leads to, then the next: all sources of one
    round are fetched together. Raises what `fetch` raises, and IntegrityError for a package that is refused.
    """
    found: dict[Carrier, tuple[Fix, ...] | None] = {}
    tried: dict[Carrier, set[str]] = {one: set() for one in carriers}
    leads: dict[Carrier, str | None] = {}
    waiting = list(carriers)
    for _ in range(_MOST_ROUNDS):
        chosen = {one: package for one in waiting if (package := _next(one, leads.get(one), tried[one])) is not None}
        if not chosen:
            break
        answers = _answers(chosen, fetch, store, progress)
        for carrier, package in chosen.items():
            tried[carrier].add(package.sha256)
            answer = answers[carrier]
            leads[carrier] = answer.leads_to
            if answer.fixes is not None:
                found[carrier] = answer.fixes
        waiting = [one for one in waiting if one not in found]
    return {one: found.get(one) for one in carriers}


def _next(carrier: Carrier, lead: str | None, tried: set[str]) -> LockedPackage | None:
    return next((one for one in in_turn(carrier, lead) if one.sha256 not in tried), None)


def _answers(
    chosen: Mapping[Carrier, LockedPackage], fetch: Fetch, store: Store, progress: Progress
) -> dict[Carrier, Answer]:
    answers = {carrier: known for carrier, package in chosen.items() if (known := _known(carrier, package, store))}
    fresh = {carrier: package for carrier, package in chosen.items() if carrier not in answers}
    if not fresh:
        return answers
    fetch(tuple(fresh.values()))
    with (
        progress.transfer(f"changelogs of {len(fresh)} packages", sum(one.size for one in fresh.values())) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="changelog") as pool,
    ):

        def one(carrier: Carrier, package: LockedPackage) -> tuple[Carrier, Answer]:
            answer = _read(carrier, package, store)
            advance(package.size)
            return carrier, answer

        largest_first = sorted(fresh.items(), key=lambda item: -item[1].size)
        answers |= dict(future.result() for future in [pool.submit(one, *item) for item in largest_first])
    return answers


def _action(carrier: Carrier, package: LockedPackage) -> Action:
    return Action(
        kind="changelog",
        label=f"changelog of {package.name}",
        inputs={
            "package": package.sha256,
            "source": carrier.source,
            "version": carrier.version,
            "code": source_digest("advisory/archive"),
        },
        reason="what a package mends is in its changelog",
    )


def _known(carrier: Carrier, package: LockedPackage, store: Store) -> Answer | None:
    result = store.lookup(_action(carrier, package).key)
    return None if result is None else _answer(store.path(result.outputs[_ANSWER]).read_bytes())


def _read(carrier: Carrier, package: LockedPackage, store: Store) -> Answer:
    def produce(scratch: Path) -> ActionResult:
        answer = _said(package, carrier, store.path(package.digest), scratch / "data.tar")
        return ActionResult({_ANSWER: store.add_bytes(_bytes(answer))}, {})

    performed = store.perform(_action(carrier, package), produce)
    return _answer(store.path(performed.result.outputs[_ANSWER]).read_bytes())


def _bytes(answer: Answer) -> bytes:
    rows = None if answer.fixes is None else [[one.version, one.cve, list(one.others)] for one in answer.fixes]
    return canonical_json({"fixes": rows, "leads_to": answer.leads_to})


def _answer(data: bytes) -> Answer:
    raw = json.loads(data)
    rows = raw["fixes"]
    said = None if rows is None else tuple(Fix(version, cve, tuple(others)) for version, cve, others in rows)
    return Answer(said, raw["leads_to"])


def _said(package: LockedPackage, carrier: Carrier, deb: Path, data: Path) -> Answer:
    members = {member.path: member for member in read_package(deb, data, package=package).members}
    folder = f"{_DOCUMENTATION}/{package.name}"
    if (lead := _lead(members.get(folder), folder)) is not None:
        return Answer(leads_to=lead)
    # A package without a Debian revision is its own upstream, and has one changelog (policy 12.7).
    names = ("changelog.Debian.gz", "changelog.Debian", *(("changelog.gz", "changelog") if _native(carrier) else ()))
    for name in names:
        member = members.get(f"{folder}/{name}")
        if member is None:
            continue
        if member.kind is Kind.HARDLINK:
            member = members[member.target]
        if member.kind is Kind.SYMLINK:
            place = posixpath.normpath(posixpath.join(folder, member.target))
            if (inner := members.get(place)) is None or inner.kind is not Kind.FILE:
                return Answer(leads_to=posixpath.basename(posixpath.dirname(place)) or None)
            member = inner
        text = _content(data, member, packed=member.path.endswith(".gz"), where=f"{package.name}: /{member.path}")
        return Answer(fixes(text, carrier.source, carrier.version))
    return Answer()


def _native(carrier: Carrier) -> bool:
    return "-" not in carrier.version


def _lead(member: Member | None, folder: str) -> str | None:
    """The package whose documentation a link in the place of the folder leads to."""
    if member is None or member.kind is not Kind.SYMLINK:
        return None
    place = posixpath.normpath(posixpath.join(posixpath.dirname(folder), member.target)).lstrip("/")
    parent, _, name = place.rpartition("/")
    return name if parent == _DOCUMENTATION else None


def _content(data: Path, member: Member, *, packed: bool, where: str) -> bytes:
    with data.open("rb") as file:
        file.seek(member.offset)
        raw = file.read(min(member.size, _MOST_BYTES + 1))
    if not packed:
        return _bounded(raw, where)
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = _bounded(unpacker.decompress(raw, _MOST_BYTES + 1), where)
    except zlib.error as error:
        raise IntegrityError("the changelog of a package is damaged", where=where, details=str(error)) from error
    if not unpacker.eof:
        raise IntegrityError("the changelog of a package is damaged", where=where, details="it ends too early")
    return text


def _bounded(text: bytes, where: str) -> bytes:
    if len(text) > _MOST_BYTES:
        raise IntegrityError(
            f"the changelog of a package unpacks to more than {_MOST_BYTES} bytes",
            where=where,
            resolution="no changelog is so long: find out who made the package before anything else",
        )
    return text
