# SPDX-License-Identifier: Apache-2.0
"""Feeds of other publishers as they write them, and what is read out of them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from records import AZURE, NOW, WEEK

from support.upstreams import said
from zaffre.advisory.formats import Document, read_feed
from zaffre.advisory.subject import Platform
from zaffre.errors import DefinitionError, ZaffreError

STAMP = f"{NOW:%Y-%m-%dT%H:%M:%S}Z"


def read(data: object, platform: Platform | None = None) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_feed(Document("a feed", raw, WEEK, platform), None, now=NOW)


def refused(data: object, error: type[ZaffreError] = DefinitionError) -> str:
    with pytest.raises(error) as caught:
        read(data, AZURE)
    return said(caught.value)


def osv(**more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.5.0-1"}]}]
    affected = {"package": {"ecosystem": "Debian:13", "name": "openssl"}, "ranges": more.pop("ranges", ranges)}
    return {
        "id": "DEBIAN-CVE-2026-1000",
        "modified": STAMP,
        "upstream": ["CVE-2026-1000"],
        "affected": [{**affected, **more.pop("affected", {})}],
        **more,
    }


def events(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": [{key: value} for key, value in pairs]}]


def azure(**end: str) -> dict[str, Any]:
    package = {"package": {"ecosystem": "Azure Linux:3", "name": "curl"}}
    return osv(affected=package, ranges=events(("introduced", "0"), *end.items()))


def zipped(compression: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.json", data)
    return out.getvalue()


def oval(**more: Any) -> bytes:
    """As Azure Linux's generator writes it."""
    evr, operation = more.get("evr", "0:2.6.7-3.azl3"), more.get("operation", "less than")
    definition = more.get(
        "definition",
        f"""
    <definition class="vulnerability" id="d:1" version="1"><metadata><title>CVE-2024-47191 in oath</title>
      <affected family="unix"><platform>{more.get("platform", "Azure Linux")}</platform></affected>
      <reference ref_id="CVE-2024-47191" ref_url="https://x.example" source="CVE"/>
      <patchable>{more.get("patchable", "true")}</patchable><severity>High</severity></metadata>
      <criteria operator="AND"><criterion comment="c" test_ref="{more.get("test", "t:1")}"/></criteria></definition>""",
    )
    return f"""<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"
      xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5"
      xmlns:linux-def="http://oval.mitre.org/XMLSchema/oval-definitions-5#linux">
    <generator><oval:timestamp>{more.get("timestamp", "2026-11-25T12:04:24.575063301Z")}</oval:timestamp></generator>
    <definitions>{definition}</definitions>
    <tests><linux-def:rpminfo_test id="t:1"><linux-def:object object_ref="o:1"/><linux-def:state state_ref="s:1"/>
    </linux-def:rpminfo_test></tests>
    <objects><linux-def:rpminfo_object id="o:1"><linux-def:name>oath-toolkit</linux-def:name></linux-def:rpminfo_object>
    </objects><states><linux-def:rpminfo_state id="s:1">
    <linux-def:evr datatype="evr_string" operation="{operation}">{evr}</linux-def:evr>
    </linux-def:rpminfo_state></states>
    </oval_definitions>""".encode()


def kev(**more: Any) -> dict[str, Any]:
    entries = [{"cveID": "CVE-2026-1000", "dueDate": "2026-12-01"}]
    return {"catalogVersion": "2026.11.25", "dateReleased": STAMP, "count": 1, "vulnerabilities": entries, **more}


def openvex(*statements: object, **more: Any) -> dict[str, Any]:
    one = {
        "vulnerability": {"name": "CVE-2026-1000"},
        "products": [{"@id": "pkg:deb/debian/libssl3t64@3.5.0-1?arch=amd64&epoch=2"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_present",
    }
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": "Ada",
        "timestamp": STAMP,
        "statements": list(statements) or [one],
        **more,
    }


def csaf(**status: list[str]) -> dict[str, Any]:
    helper = {"purl": "pkg:rpm/azurelinux/openssl@3.3-1.azl3"}
    product = {"product_id": "P1", "name": "openssl", "product_identification_helper": helper}
    return {
        "document": {
            "csaf_version": "2.0",
            "publisher": {"name": "Ada"},
            "tracking": {"current_release_date": STAMP, "status": "final"},
        },
        "product_tree": {
            "branches": [{"branches": [{"product": product}]}],
            "full_product_names": [{"product_id": "OS", "name": "Azure Linux 3.0"}],
            "relationships": [
                {
                    "product_reference": "P1",
                    "relates_to_product_reference": "OS",
                    "full_product_name": {"product_id": "P1-in-OS"},
                }
            ],
        },
        "vulnerabilities": [
            {
                "cve": "CVE-2026-1000",
                "product_status": status or {"known_not_affected": ["P1-in-OS"]},
                "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["P1", "P1-in-OS"]}],
            }
        ],
    }
