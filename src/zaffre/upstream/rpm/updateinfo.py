# SPDX-License-Identifier: Apache-2.0
"""Advisories that a repository publishes with its packages (updateinfo.xml): what each version mends.

Format: as createrepo_c's `updaterecord` and Fedora's Bodhi write it. A text of the signed repository, and no
less hostile for that: sizes are bounded and an unknown word of severity stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zaffre.errors import IntegrityError
from zaffre.upstream.rpm.index import UPDATEINFO, Metadata, RpmIndex
from zaffre.upstream.rpm.package import architecture_of
from zaffre.upstream.rpm.unpack import unpack
from zaffre.upstream.rpm.xml import Element, elements

_MAX_BYTES = 256 << 20
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")


@dataclass(frozen=True)
class Fixed:
    """A package that an advisory brings: its name, version ("[epoch:]version-release") and architecture."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True)
class Advisory:
    """`kind` is "security", "bugfix", "enhancement" or "newpackage"; `severity` the publisher's word, if any."""

    id: str
    kind: str
    severity: str
    title: str
    issued: str
    cves: tuple[str, ...]
    packages: tuple[Fixed, ...]


def advisories(index: RpmIndex, metadata: Metadata) -> tuple[Advisory, ...]:
    """The advisories of a repository; none when it publishes none. Raises IntegrityError for a malformed file."""
    if UPDATEINFO not in index.repomd.files:
        return ()
    file = index.file(UPDATEINFO)
    (packed,) = metadata.packed([(index, UPDATEINFO)], f"advisories of {index.where}")
    try:
        with metadata.store.scratch("updateinfo") as scratch:
            plain = scratch / "updateinfo.xml"
            unpack(file, packed, plain, limit=_MAX_BYTES)
            return parse_advisories(plain.read_bytes())
    except ValueError as error:
        raise IntegrityError(
            "the advisories are malformed",
            where=f"{index.where} {file.path}",
            details=str(error),
            resolution="use another mirror; if every mirror says so, tell the repository's owner",
        ) from error


def parse_advisories(text: bytes) -> tuple[Advisory, ...]:
    """Read the text. Raises ValueError."""
    return tuple(_advisory(update) for update in elements(text, depth=1) if update.name == "update")


def _advisory(update: Element) -> Advisory:
    identity = update.said("id")
    if not identity:
        raise ValueError("an advisory has no id")
    references = [one for holder in update.all("references") for one in holder.all("reference")]
    words = " ".join(f"{one.attributes.get('id', '')} {one.attributes.get('title', '')}" for one in references)
    issued = update.first("issued")
    return Advisory(
        id=identity,
        kind=update.attributes.get("type", ""),
        severity=update.said("severity") or "",
        title=update.said("title") or "",
        issued=issued.attributes.get("date", "") if issued is not None else "",
        cves=tuple(sorted(set(_CVE.findall(f"{identity} {words}")))),
        packages=tuple(dict.fromkeys(_fixed(update))),
    )


def _fixed(update: Element) -> Iterator[Fixed]:
    for holder in update.all("pkglist"):
        for collection in holder.all("collection"):
            for package in collection.all("package"):
                facts = package.attributes
                if facts.get("arch") == "src":
                    continue
                try:
                    architecture = architecture_of(facts.get("arch", ""))
                except ValueError:
                    continue  # of a machine that images are not for
                epoch = facts.get("epoch", "0")
                prefix = f"{epoch}:" if epoch not in {"", "0"} else ""
                version = f"{prefix}{facts.get('version', '')}-{facts.get('release', '')}"
                yield Fixed(facts.get("name", ""), version, architecture)
