# SPDX-License-Identifier: Apache-2.0
"""The owner's statements (vex/*.toml), and those of others (OpenVEX, CSAF), put to what was found. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zaffre.advisory.report import Affected, Bucket, Finding, Stated
from zaffre.advisory.subject import is_release
from zaffre.bill import RPM_PURLS
from zaffre.definition import Statement, Status
from zaffre.errors import FindingError

_CLEARED = {"not_affected", "fixed"}
_SOURCE = {"source", "src"}
_MACHINES = {rpm: deb for deb, rpm in RPM_PURLS.architectures}
# Of what is not in here, it can't be told which release it is.
_CODE_NAMES = {
    "debian": {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15"},
    "ubuntu": {"bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04"},
}
_BUCKETS = {Status.NOT_AFFECTED: Bucket.NOT_AFFECTED, Status.ACCEPTED: Bucket.ACCEPTED}


@dataclass(frozen=True)
class Claim:
    """What somebody else says of one product: `package` is the name of a binary or source package, `version` the one
    that it is about (None: any), `vendor` whose it is, as purls name it ("debian"; "": anybody's). `status` is
    OpenVEX's. `product` is what the package is part of, in the document's words, if that is what is spoken of.
    `architecture` and `distro` are the package's, as purls name them ("amd64"; "debian-12", "bookworm"; None: any).
    """

    vulnerability: str
    package: str
    version: str | None
    vendor: str
    status: str
    justification: str | None = None
    reason: str = ""
    product: str | None = None
    architecture: str | None = None
    distro: str | None = None


@dataclass(frozen=True)
class Claims:
    """A document of claims, and who answers for it."""

    name: str
    author: str
    dated: dt.datetime
    max_age: dt.timedelta
    claims: tuple[Claim, ...] = field(repr=False)


def check_expiry(statements: Iterable[Statement], today: dt.date) -> None:
    """Raise FindingError for statements that do not hold any more."""
    expired = [one for one in statements if one.is_expired(today)]
    if expired:
        raise FindingError(
            "a statement has expired" if len(expired) == 1 else f"{len(expired)} statements have expired",
            where=expired[0].file,
            details="\n".join(f"{one.file}: {one.vulnerability}, {one.status}, until {one.expires}" for one in expired),
            resolution="look whether it still holds: move `expires` on, with what was seen, or remove the statement",
        )


def put(
    findings: Sequence[Finding], statements: Sequence[Statement], claims: Sequence[Claims]
) -> tuple[tuple[Finding, ...], tuple[Statement, ...]]:
    """Findings with what is stated of them, and the statements that no finding needed.

    The owner's own word comes before anybody else's. It is about his own images: what is in none of them is none of
    his business, and a statement for some images holds for a finding whose packages are in those alone.
    """
    used: set[str] = set()
    told = []
    for finding in findings:
        mine = [one for one in statements if _touches(one, finding)]
        used |= {one.file for one in mine}
        statement = next((one for one in mine if _holds(one, finding)), None)
        if statement is not None:
            told.append(_stated(finding, statement))
        else:
            partly = tuple(f"{one.file} holds for {', '.join(one.images)} alone" for one in mine)
            told.append(_claimed(finding.model_copy(update={"doubts": (*finding.doubts, *partly)}), claims))
    return tuple(told), tuple(one for one in statements if one.file not in used)


def unmatched(statements: Sequence[Statement]) -> FindingError:
    """The error for statements that no finding of the whole lock matches."""
    return FindingError(
        "a statement matches nothing" if len(statements) == 1 else f"{len(statements)} statements match nothing",
        where=statements[0].file,
        details="\n".join(f"{one.file}: {one.vulnerability} in {', '.join(one.packages)}" for one in statements),
        resolution="if the vulnerability is mended or the package is gone, remove the statement; else mend the name of "
        "the vulnerability, of the source package or of the image in it",
    )


def _touches(statement: Statement, finding: Finding) -> bool:
    """Whether it is about the finding in one of the images at least."""
    images = {image for one in finding.packages for image in one.images}
    there = images & set(statement.images) if statement.images else images
    return bool(there) and statement.speaks_of(finding.vulnerability, finding.source)


def _holds(statement: Statement, finding: Finding) -> bool:
    """Whether it is about all of the finding."""
    return all(
        one.images and (not statement.images or set(one.images) <= set(statement.images)) for one in finding.packages
    )


def _stated(finding: Finding, statement: Statement) -> Finding:
    said = Stated(
        file=statement.file,
        status=statement.status,
        justification=statement.justification,
        reason=statement.reason,
        author=statement.author,
        expires=statement.expires,
    )
    return finding.model_copy(update={"bucket": _BUCKETS.get(statement.status, finding.bucket), "statement": said})


def _claimed(finding: Finding, claims: Sequence[Claims]) -> Finding:
    """With the word of others, if every package of the finding is cleared by one of them, and held against by none."""
    heard = [(document, one) for document in claims for one in document.claims if _speaks_of(one, finding)]
    clearing = [(document, one) for document, one in heard if one.status in _CLEARED]
    about = [next((said for said in clearing if _about(said[1], finding, one)), None) for one in finding.packages]
    cleared = [one for one in about if one is not None]
    if not cleared or len(cleared) < len(about):
        return finding
    against = {
        f"{document.name}: {document.author} says '{one.status}', and others that it is not affected"
        for document, one in heard
        if one.status not in _CLEARED and any(_about(one, finding, package) for package in finding.packages)
    }
    if against:
        return finding.model_copy(update={"doubts": (*finding.doubts, *sorted(against))})
    document, first = cleared[0]
    stated = Stated(
        file=document.name,
        status=first.status,
        justification=first.justification,
        reason=first.reason or f"{document.author} says so",
        author=document.author,
    )
    return finding.model_copy(update={"bucket": Bucket.NOT_AFFECTED, "statement": stated})


def _speaks_of(claim: Claim, finding: Finding) -> bool:
    return claim.vulnerability == finding.vulnerability and claim.vendor in {"", finding.vendor}


def _about(claim: Claim, finding: Finding, package: Affected) -> bool:
    """Whether it is about that package. What is said of a package as a part of something else holds where that is the
    distribution's release, or an image of that name; and "fixed" is said of a version. Where it can't be told whether
    it is of this architecture and release, it holds against a package, and clears none.
    """
    unsure = claim.status not in _CLEARED
    if claim.product is not None and not _part_of(claim.product, finding, package):
        return False
    if claim.status == "fixed" and claim.version is None:
        return False
    if not _is_of_release(claim.distro, finding, unsure=unsure):
        return False
    if claim.architecture not in _SOURCE:
        if not _is_of_machine(claim.architecture, package, unsure=unsure):
            return False
        if claim.package == package.name:
            return claim.version in {None, package.version}
    return claim.package == finding.source and claim.version in {None, finding.source_version}


def _is_of_machine(architecture: str | None, package: Affected, *, unsure: bool) -> bool:
    if architecture is None:
        return True
    if not package.architecture:
        return unsure
    return _MACHINES.get(architecture, architecture) == _MACHINES.get(package.architecture, package.architecture)


def _is_of_release(distro: str | None, finding: Finding, *, unsure: bool) -> bool:
    """Whether a purl's `distro` is the finding's release: by number behind the distribution's name, or by code name."""
    if distro is None:
        return True
    word, prefix = distro.lower(), f"{finding.vendor}-"
    named = word.removeprefix(prefix)
    number = _CODE_NAMES.get(finding.vendor, {}).get(named) or (named if word.startswith(prefix) else "")
    said, asked = number.split("."), finding.ecosystem.partition(":")[2].split(".")
    if not all(one.isdecimal() for one in (*said, *asked)):
        return unsure
    if len(said) < len(asked) and asked[: len(said)] == said:
        return unsure
    return said[: len(asked)] == asked


def _part_of(product: str, finding: Finding, package: Affected) -> bool:
    return is_release(product, finding.ecosystem) or set(package.images) == {product.partition(" ")[0]}
