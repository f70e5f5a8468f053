# SPDX-License-Identifier: Apache-2.0
"""An advisory of our own: which vulnerabilities a new lock mends, in which images. Pure.

OSV (https://ossf.github.io/osv-schema/) has one record with a source package for each `affected`. CSAF 2.0
(https://docs.oasis-open.org/csaf/csaf/v2.0/) has images as products, with the packages that are components of them.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from urllib.parse import quote

from zaffre.advisory.formats.document import CVE
from zaffre.advisory.patch import Behind
from zaffre.digest import JSON


@dataclass(frozen=True)
class ImageFact:
    """An image for one architecture, before and after; `packages` are (name, old version, new version) of what moved,
    with None for what is new or gone.
    """

    name: str
    architecture: str
    old: str
    new: str
    packages: tuple[tuple[str, str | None, str | None], ...]


@dataclass(frozen=True)
class Notice:
    """`publisher` is the distribution's name, `namespace` a URI of it, `kind` the purls' type ("deb")."""

    id: str
    publisher: str
    namespace: str
    at: dt.datetime
    kind: str
    vendor: str
    behind: tuple[Behind, ...]
    images: tuple[ImageFact, ...]

    @property
    def title(self) -> str:
        return f"{self.publisher}: security update of {', '.join(one.source for one in self.behind)}"

    @property
    def vulnerabilities(self) -> tuple[str, ...]:
        return tuple(sorted({name for one in self.behind for name in one.vulnerabilities}))


def osv_text(notice: Notice) -> str:
    """One record, whose `upstream` are the CVEs and whose `affected` the source packages."""
    affected: list[JSON] = [
        {
            "package": {"ecosystem": one.ecosystem, "name": one.source},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": one.fixed_version}]}],
        }
        for one in notice.behind
        if one.ecosystem
    ]
    return _text(
        {
            "schema_version": "1.7.0",
            "id": notice.id,
            "published": _time(notice.at),
            "modified": _time(notice.at),
            "upstream": list(notice.vulnerabilities),
            "summary": notice.title,
            "affected": affected,
            "database_specific": {
                "images": [
                    {"name": one.name, "architecture": one.architecture, "affected": one.old, "fixed": one.new}
                    for one in notice.images
                ]
            },
        }
    )


def csaf_text(notice: Notice) -> str:
    """An advisory of the category `csaf_security_advisory`."""
    return _text(
        {
            "document": {
                "category": "csaf_security_advisory",
                "csaf_version": "2.0",
                "distribution": {"tlp": {"label": "WHITE"}},
                "lang": "en",
                "notes": [{"category": "summary", "text": _summary(notice)}],
                "publisher": {"category": "vendor", "name": notice.publisher, "namespace": notice.namespace},
                "references": [
                    {
                        "category": "self",
                        "summary": "this advisory, among those of its publisher",
                        "url": f"{notice.namespace.rstrip('/')}/advisories/{quote(notice.id.lower())}.json",
                    }
                ],
                "title": notice.title,
                "tracking": {
                    "current_release_date": _time(notice.at),
                    "id": notice.id,
                    "initial_release_date": _time(notice.at),
                    "revision_history": [{"date": _time(notice.at), "number": "1", "summary": "first version"}],
                    "status": "final",
                    "version": "1",
                },
            },
            "product_tree": _tree(notice),
            "vulnerabilities": [_vulnerability(notice, name) for name in notice.vulnerabilities],
        }
    )


def _summary(notice: Notice) -> str:
    parts = [f"{one.source} {one.fixed_version} mends {', '.join(one.vulnerabilities)}" for one in notice.behind]
    return "; ".join(parts)


def _tree(notice: Notice) -> JSON:
    products: list[JSON] = [
        {
            "category": "product_name",
            "name": f"{one.name} for {one.architecture}",
            "branches": [
                {
                    "category": "product_version",
                    "name": version,
                    "product": {"product_id": _image(one, version), "name": f"{one.name} {version}"},
                }
                for version in (one.old, one.new)
            ],
        }
        for one in notice.images
    ]
    parts = sorted({(name, version) for one in notice.images for _, name, version in _components(one)})
    packages: list[JSON] = [
        {
            "product_id": _package(name, version),
            "name": f"{name} {version}",
            "product_identification_helper": {"purl": _purl(notice, name, version)},
        }
        for name, version in parts
    ]
    relations: list[JSON] = [
        {
            "category": "default_component_of",
            "product_reference": _package(name, version),
            "relates_to_product_reference": _image(one, whole),
            "full_product_name": {
                "product_id": _component(one, whole, name, version),
                "name": f"{name} {version} in {one.name} {whole}",
            },
        }
        for one in notice.images
        for whole, name, version in _components(one)
    ]
    return {
        "branches": [{"category": "vendor", "name": notice.publisher, "branches": products}],
        "full_product_names": packages,
        "relationships": relations,
    }


def _vulnerability(notice: Notice, name: str) -> JSON:
    names = {package for one in notice.behind if name in one.vulnerabilities for package in one.packages}
    affected: list[JSON] = []
    fixed: list[JSON] = []
    for one in notice.images:
        for whole, package, version in _components(one):
            if package in names:
                (affected if whole == one.old else fixed).append(_component(one, whole, package, version))
    remedies: list[JSON] = []
    if affected:
        details = "update to " + ", ".join(f"{one.name} {one.new} ({one.architecture})" for one in notice.images)
        remedies = [{"category": "vendor_fix", "details": details, "product_ids": affected}]
    status = {"known_affected": affected, "fixed": fixed}
    return {
        **({"cve": name} if CVE.fullmatch(name) else {"ids": [{"system_name": notice.publisher, "text": name}]}),
        "notes": [{"category": "description", "text": f"{name} in {', '.join(_sources(notice, name))}"}],
        "product_status": {key: found for key, found in status.items() if found},
        **({"remediations": remedies} if remedies else {}),
    }


def _sources(notice: Notice, name: str) -> list[str]:
    return sorted({one.source for one in notice.behind if name in one.vulnerabilities})


def _components(one: ImageFact) -> list[tuple[str, str, str]]:
    """(version of the image, package, version of it), before and after."""
    found = [(one.old, name, old) for name, old, _ in one.packages if old is not None]
    return [*found, *((one.new, name, new) for name, _, new in one.packages if new is not None)]


def _image(one: ImageFact, version: str) -> str:
    return f"{one.name}-{version}-{one.architecture}"


def _package(name: str, version: str) -> str:
    return f"{name}@{version}"


def _component(one: ImageFact, whole: str, name: str, version: str) -> str:
    return f"{_image(one, whole)}:{_package(name, version)}"


def _purl(notice: Notice, name: str, version: str) -> str:
    return f"pkg:{notice.kind}/{quote(notice.vendor, safe='')}/{quote(name, safe='')}@{quote(version, safe=':')}"


def _time(when: dt.datetime) -> str:
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(value: JSON) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
