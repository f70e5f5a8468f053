# SPDX-License-Identifier: Apache-2.0
"""Which packages of an archive to read: for each source that a pocket has changed, binaries that may have its
changelog. Pure.

A pocket (security, updates) is small, and all of its sources count. The release's own suite has everything: of it those
count that a pocket has too, as its version may be the newer one of both, and of those that a stable update has changed
the ones that somebody asks about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from zaffre.errors import IntegrityError
from zaffre.upstream.deb.control import parse_stanza, source_of
from zaffre.upstream.deb.index import Candidate, Index
from zaffre.upstream.deb.version import version_key
from zaffre.upstream.lock import LockedPackage

_SOURCE = re.compile(rb"^Source: (\S+)(?: \(([^)\s]+)\))?", re.MULTILINE)
_VERSION = re.compile(rb"^Version: (\S+)", re.MULTILINE)
_UPDATE = re.compile(rb"^(?:Source|Version): [^\n]*[+~]deb[0-9]+u[0-9]", re.MULTILINE)
_BUILT_FROM = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+) \(= (?P<version>[^)\s]+)\)")
_SIGNED = re.compile(r"-signed(?:-[a-z0-9]+)?\Z")
_DEBUG = "-dbgsym"
_SURE = 8
_SMALL = 8 << 20
# How versions of signed forms are made, where the archive does not have that version any more. The kernel's rule is in
# its debian/bin/gencontrol_signed.py, the others' in their debian/signing-template.
_TEMPLATES = (
    (re.compile(r"linux-signed-[a-z0-9]+"), "linux", ""),
    (re.compile(r"systemd-boot-efi-[a-z0-9]+-signed"), "systemd", ""),
    (re.compile(r"grub-efi-[a-z0-9]+-signed"), "grub2", "1+"),
)


@dataclass(frozen=True)
class Carrier:
    """A source package at one version in one suite, and its binary packages, the smallest first."""

    source: str
    version: str
    suite: str
    packages: tuple[LockedPackage, ...]


@dataclass(frozen=True)
class Sources:
    """Names of sources: all that the indexes have packages of, those in a pocket, and those that a stable update of the
    release has changed.
    """

    known: frozenset[str]
    pockets: frozenset[str]
    updated: frozenset[str]


def sources_of(indexes: Sequence[Index], release: str) -> Sources:
    """`release` is the suite that the pockets add to. Signed forms of others are left out of what has changed."""
    known: set[str] = set()
    pockets: set[str] = set()
    updated: set[str] = set()
    for index in indexes:
        for name, blocks in index.stanzas.items():
            for block in blocks:
                source = _name(name, block)
                known.add(source)
                if index.suite.suite != release:
                    pockets.add(source)
                elif _UPDATE.search(block):
                    updated.add(source)
    plain = {one for one in pockets | updated if not _SIGNED.search(one)}
    return Sources(frozenset(known), frozenset(pockets & plain), frozenset((updated - pockets) & plain))


def carriers(indexes: Sequence[Index], wanted: Collection[str], release: str) -> tuple[Carrier, ...]:
    """For each of these sources, its newest version in each suite. Sorted.

    A version of the release that is older than a pocket's is left out: the pocket's changelog goes on from it. The
    other way round both are read, as a security upload need not be in what overtook it.

    Raises IntegrityError for a malformed stanza.
    """
    found: dict[str, dict[str, dict[str, list[LockedPackage]]]] = {}
    for index in indexes:
        for name, blocks in index.stanzas.items():
            if name.endswith(_DEBUG):
                continue
            for block in blocks:
                if (source := _name(name, block)) in wanted:
                    one = _candidate(index, block).locked()
                    versions = found.setdefault(source, {}).setdefault(index.suite.suite, {})
                    versions.setdefault(one.source_version, []).append(one)
    return tuple(one for source, suites in sorted(found.items()) for one in _newest(source, suites, release))


def _newest(
    source: str, suites: Mapping[str, Mapping[str, Sequence[LockedPackage]]], release: str
) -> Iterator[Carrier]:
    newest = {suite: max(versions, key=version_key) for suite, versions in suites.items()}
    highest = max(newest.values(), key=version_key)
    seen: set[str] = set()
    for suite, version in newest.items():
        if version not in seen and (suite != release or version == highest):
            seen.add(version)
            packages = sorted(suites[suite][version], key=lambda one: (one.size, one.name, one.architecture))
            yield Carrier(source, version, suite, tuple(packages))


def signed_forms(indexes: Sequence[Index]) -> dict[tuple[str, str], tuple[str, str]]:
    """Sources that only sign what another source has built (`linux-signed-amd64` 6.12.57+1), to that source and its
    version (`linux` 6.12.57-1), as the packages' Built-Using says (policy 7.8).
    """
    found = {}
    for index in indexes:
        for name, blocks in index.stanzas.items():
            for block in blocks:
                if b"\nBuilt-Using:" in block and _SIGNED.search(_name(name, block)):
                    fields = parse_stanza(block.decode("utf-8", "replace"))
                    if built := _BUILT_FROM.match(fields["Built-Using"]):
                        found[source_of(fields)] = (built["name"], built["version"])
    return found


def unsigned(source: str, version: str, aliases: Mapping[tuple[str, str], tuple[str, str]]) -> tuple[str, str] | None:
    """What a signed form was made from: as the archive says it, else as its name and version do. None for any other."""
    if (known := aliases.get((source, version))) is not None:
        return known
    for form, name, prefix in _TEMPLATES:
        if form.fullmatch(source) and "+" in version.removeprefix(prefix):
            return name, version.removeprefix(prefix).replace("+", "-", 1)
    return None


def with_unsigned(sources: Collection[str], aliases: Mapping[tuple[str, str], tuple[str, str]]) -> frozenset[str]:
    """Names of these sources, and of all that signed forms among them are made from, whatever their versions."""
    forms = {new for (old, _), (new, _) in aliases.items() if old in sources}
    forms |= {name for form, name, _ in _TEMPLATES if any(form.fullmatch(one) for one in sources)}
    return frozenset(forms.union(sources))


def is_signed_form(source: str) -> bool:
    """Whether a source of that name only signs what another one has built."""
    return _SIGNED.search(source) is not None


def _name(name: str, block: bytes) -> str:
    found = _SOURCE.search(block)
    return found[1].decode("ascii", "replace") if found else name


def _candidate(index: Index, block: bytes) -> Candidate:
    try:
        return Candidate(index, parse_stanza(block.decode("utf-8")))
    except ValueError as error:
        raise IntegrityError(
            "the index holds a malformed stanza", where=index.where, details=f"{error}: {block[:200]!r}"
        ) from error


def in_turn(carrier: Carrier, lead: str | None) -> tuple[LockedPackage, ...]:
    """The packages, in the order in which to try them: the smallest first. That which a documentation folder led to
    comes before them if it is small, and else counts as an eighth of its size: it is sure to have the changelog, but a
    kernel's is in a package of 150 MB and in one of 3.
    """

    def cost(one: LockedPackage) -> float:
        return one.size if one.name != lead else 0 if one.size <= _SMALL else one.size / _SURE

    return tuple(sorted(carrier.packages, key=cost))
