# SPDX-License-Identifier: Apache-2.0
"""A Debian changelog, read for what it says of vulnerabilities. Pure.

Format: deb-changelog(5). Real ones have 100,000 lines, every encoding of the last thirty years and headings of other
packages where a source was renamed; so it is read as bytes, line by line, and nothing but headings and names of
vulnerabilities is understood. What follows a heading that is none counts for the entry above it, which is the newer
one: a fix may seem to have come later than it did, never earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zaffre.upstream.deb.version import version_key

_HEAD = re.compile(rb"([A-Za-z0-9][A-Za-z0-9+.-]*) \(([0-9A-Za-z.+~:-]+)\)([^;]*);")
# A year and a number of four digits or more; a bound, as no id is longer than a line.
_CVE = re.compile(rb"CVE-([0-9]{4})-([0-9]{4,19})(?![0-9])", re.IGNORECASE)
_OTHER = re.compile(rb"GHSA(?:-[0-9a-z]{4}){3}|\b(?:DSA|DLA)-[0-9]+(?:-[0-9]+)?", re.IGNORECASE)
_SECURITY = re.compile(rb"(?:^|[\s-])(?:[a-z]+-)?security(?:\s|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upload:
    """One entry. `others` are names of vulnerabilities that are no CVEs; `security`: it went to a security pocket."""

    version: str
    cves: tuple[str, ...]
    others: tuple[str, ...]
    security: bool


@dataclass(frozen=True, slots=True)
class Fix:
    """That a version of the source mends a vulnerability, which is called `names` (none: the upload does not say)."""

    version: str
    cve: str | None
    others: tuple[str, ...] = ()


def uploads(text: bytes, source: str) -> Iterator[Upload]:
    """Entries of that source, newest first. Entries of other names, and those without a version, are passed over."""
    current: tuple[str, bool] | None = None
    cves: dict[str, None] = {}
    others: dict[str, None] = {}
    for line in text.split(b"\n"):
        if line[:1] not in b" \t\r#" and (head := _HEAD.match(line)):
            if current is not None:
                yield Upload(current[0], tuple(cves), tuple(others), current[1])
            cves, others = {}, {}
            current = _heading(head, source)
        elif current is not None:
            _named(line, cves, others)
    if current is not None:
        yield Upload(current[0], tuple(cves), tuple(others), current[1])


def _heading(head: re.Match[bytes], source: str) -> tuple[str, bool] | None:
    version = head[2].decode("ascii")
    try:
        version_key(version)
    except ValueError:
        return None
    return (version, _SECURITY.search(head[3]) is not None) if head[1].decode("ascii") == source else None


def _named(line: bytes, cves: dict[str, None], others: dict[str, None]) -> None:
    if b"-" not in line:
        return
    for year, number in _CVE.findall(line):
        cves[f"CVE-{year.decode()}-{number.decode()}"] = None
    for name in _OTHER.findall(line):
        word = name.decode()
        others[f"GHSA{word[4:].lower()}" if word[:4].upper() == "GHSA" else word.upper()] = None


def fixes(text: bytes, source: str, version: str) -> tuple[Fix, ...]:
    """What the changelog of that version of a source says is mended, sorted by name and version.

    Of several entries about a CVE the oldest counts: later ones tell of patches that came with a new upstream version.
    A version beyond that of the package (a history with a way back in it) is the package's, which has all of it.
    """
    newest = version_key(version)
    first: dict[str, str] = {}
    nameless: list[Fix] = []
    for upload in uploads(text, source):
        here = upload.version if version_key(upload.version) <= newest else version
        for cve in upload.cves:
            if cve not in first or version_key(here) < version_key(first[cve]):
                first[cve] = here
        if upload.security and not upload.cves:
            nameless.append(Fix(here, None, upload.others))
    named = [Fix(here, cve) for cve, here in first.items()]
    return (*sorted(named, key=lambda one: one.cve or ""), *sorted(nameless, key=lambda one: one.version))
