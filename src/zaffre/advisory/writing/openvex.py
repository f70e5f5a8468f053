# SPDX-License-Identifier: Apache-2.0
"""The owner's statements as an OpenVEX document (https://github.com/openvex/spec, 0.2.0). Pure.

Scanners match it by binary packages with their versions, so each statement names all those that it is about; one for
some images names these, with the packages as their subcomponents. Purls are those of our bills of materials; a Debian
package with an epoch has a second one, as Trivy names it in a root.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from zaffre.advisory.archive.carriers import unsigned
from zaffre.advisory.model import Feed
from zaffre.advisory.subject import Installed, Subject
from zaffre.bill import DEB_PURLS, RPM_PURLS
from zaffre.definition import Statement, Status
from zaffre.digest import JSON, sha256_json
from zaffre.trust.sbom.purl import parts

_CONTEXT = "https://openvex.dev/ns/v0.2.0"
_STATUSES = {
    Status.NOT_AFFECTED: "not_affected",
    Status.ACCEPTED: "affected",
    Status.UNDER_INVESTIGATION: "under_investigation",
}
_FORMS = {one.type: one for one in (DEB_PURLS, RPM_PURLS)}


def openvex_text(
    statements: Sequence[Statement],
    subjects: Sequence[Subject],
    *,
    author: str,
    namespace: str,
    at: dt.datetime,
    feeds: Iterable[Feed] = (),
) -> str | None:
    """The document; None if no statement that holds is about a package that is there: OpenVEX has no empty ones.

    `feeds` say what a signed form was made of, where its name does not.
    """
    aliases = {old: new for feed in feeds for old, new in feed.aliases.items()}
    held = (one for one in statements if not one.is_expired(at.astimezone(dt.UTC).date()))
    said = [value for one in held if (value := _statement(one, subjects, aliases, at)) is not None]
    if not said:
        return None
    content: JSON = list(said)
    return (
        json.dumps(
            {
                "@context": _CONTEXT,
                "@id": f"{namespace.rstrip('/')}/vex/{sha256_json(content)[:32]}",
                "author": author,
                "timestamp": _time(at),
                "version": 1,
                "statements": content,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _statement(
    one: Statement, subjects: Iterable[Subject], aliases: Mapping[tuple[str, str], tuple[str, str]], at: dt.datetime
) -> JSON:
    found: dict[str | None, set[str]] = {}
    for subject in subjects:
        for package in subject.packages:
            if _source(package, aliases) in one.packages:
                for image in set(one.images) & set(package.within) if one.images else {None}:
                    found.setdefault(image, set()).update(_purls(subject, package))
    products = [entry for image in sorted(found, key=str) for entry in _products(image, sorted(found[image]))]
    if not products:
        return None
    status = _STATUSES[one.status]
    reason = {"not_affected": "impact_statement", "affected": "action_statement"}.get(status, "status_notes")
    since = dt.datetime.combine(one.since, dt.time(), dt.UTC)
    return {
        "vulnerability": {"name": one.vulnerability},
        "timestamp": _time(min(since, at)),
        "products": products,
        "status": status,
        **({"justification": str(one.justification)} if one.justification is not None else {}),
        reason: one.reason,
    }


def _products(image: str | None, purls: Sequence[str]) -> list[JSON]:
    """Packages wherever they are; of an image, as parts of it: elsewhere, nothing is said of them."""
    packages: list[JSON] = [_component(purl) for purl in purls]
    return packages if image is None else [{**_component(f"pkg:oci/{image}"), "subcomponents": packages}]


def _component(purl: str) -> dict[str, JSON]:
    return {"@id": purl, "identifiers": {"purl": purl}}


def _source(package: Installed, aliases: Mapping[tuple[str, str], tuple[str, str]]) -> str:
    """The source that a scan finds it by: of a signed form, what was signed."""
    made_of = unsigned(package.source, package.source_version, aliases)
    return made_of[0] if made_of is not None else package.source


def _purls(subject: Subject, package: Installed) -> Iterator[str]:
    """The one of our bills; where that has the epoch in the version, one with it apart too. A scanner asks for one of
    both, by where it has read the package.
    """
    form = _FORMS[subject.platform.family]
    vendor = (subject.platform.ecosystem or "").partition(":")[0].replace(" ", "").lower()
    name = package.name.lower() if form.lower_case else package.name
    architecture = dict(form.architectures).get(package.architecture, package.architecture)
    path = f"pkg:{form.type}/{quote(vendor, safe='')}/{quote(name, safe='')}"
    query = f"arch={quote(architecture, safe='')}"
    epoch, version = parts(package.version).epoch, package.version
    if not form.epoch_apart or ":" not in version:
        yield f"{path}@{quote(version, safe=':')}?{query}"
    if ":" in version:
        plain = quote(version.partition(":")[2], safe=":")
        yield f"{path}@{plain}?{query}" + (f"&epoch={epoch}" if epoch else "")


def _time(when: dt.datetime) -> str:
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
