# SPDX-License-Identifier: Apache-2.0
"""Feeds of other publishers: what each says, and every way in which it can be wrong, which is never silence."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pysequoia import SignatureMode, sign
from records import AZURE, DEBIAN, NOW, WEEK, fixed

from support.repository import Archive, Fault, Mirror, keyring, signing_key
from support.upstreams import QUICK, said
from zaffre.advisory.formats import Document, read_feed
from zaffre.advisory.formats.document import text
from zaffre.advisory.formats.osv import rating, to_osv
from zaffre.advisory.formats.purl import Named, named
from zaffre.advisory.model import Exploited, Feed
from zaffre.advisory.place import Place, bytes_at
from zaffre.advisory.statements import Claims
from zaffre.advisory.subject import Platform
from zaffre.errors import DefinitionError, FindingError, IntegrityError, WorldError, ZaffreError
from zaffre.store import Store

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


def test_an_osv_record_alone_in_a_list_or_in_a_zip() -> None:
    for data in (osv(), [osv()], {"vulns": [osv()]}, zipped(a=json.dumps(osv()).encode())):
        (feed,) = read(data)
        (one,) = feed.advisories
        assert (feed.ecosystem, feed.family, feed.dated) == ("Debian:13", "deb", NOW)
        assert (one.package, one.cves, one.ranges[0].introduced, one.ranges[0].fixed) == (
            *("openssl", ("CVE-2026-1000",)),
            *(None, "3.5.0-1"),
        )


def test_each_ecosystem_is_a_feed_of_its_own_and_what_is_no_distributions_is_passed_over() -> None:
    elsewhere = osv(id="X", affected={"package": {"ecosystem": "PyPI", "name": "x"}})
    older = osv(id="Y", affected={"package": {"ecosystem": "Debian:12", "name": "x"}})
    assert [one.ecosystem for one in read([osv(), elsewhere, older])] == ["Debian:12", "Debian:13"]


def test_ranges_of_osv_are_read_in_the_order_of_versions() -> None:
    (feed,) = read(osv(ranges=events(("introduced", "3"), ("fixed", "1.5"), ("introduced", "1"), ("fixed", "4"))))
    assert [(one.introduced, one.fixed) for one in feed.advisories[0].ranges] == [("1", "1.5"), ("3", "4")]
    (feed,) = read(osv(ranges=events(("introduced", "0"), ("last_affected", "4"))))
    assert feed.advisories[0].ranges[0].last == "4"
    (feed,) = read(osv(ranges=events(("introduced", "0"))))
    assert feed.advisories[0].ranges[0].fixed is None


def test_a_withdrawn_record_does_not_count() -> None:
    (feed,) = read([osv(), osv(id="Z", withdrawn=STAMP)])
    assert [one.id for one in feed.advisories] == ["DEBIAN-CVE-2026-1000"]


def test_severity_is_the_publishers_word_or_what_its_vector_comes_to() -> None:
    (feed,) = read(osv(severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]))
    assert feed.advisories[0].severity == "critical"
    (feed,) = read(osv(database_specific={"severity": "MODERATE"}))
    assert feed.advisories[0].severity == "medium"
    assert rating(["rubbish", "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"]) == "low"
    assert rating(["CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"]) == "critical"
    assert rating([]) == "unknown"


def test_a_record_of_ours_reads_as_it_was_written() -> None:
    ours = fixed("CVE-2026-1000", "openssl", "3.5.0-1")
    (feed,) = read(to_osv(ours, ecosystem="Debian:13", modified=NOW))
    (one,) = feed.advisories
    assert (one.id, one.cves, one.ranges, one.package) == (ours.id, ours.cves, ours.ranges, ours.package)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "it is not JSON"),
        (b"{" * 100_000, "it is not JSON"),
        (b"PK\x03\x04 not a zip", "not a zip that can be read"),
        ({"hello": 1}, "neither OSV, OVAL, OpenVEX, CSAF"),
        (osv(id=""), "has no id"),
        (osv(modified="yesterday"), "is not a time"),
        (osv(modified="0001-01-01T00:00:00+14:00"), "is not a time"),
        (osv(ranges=[]), "does not say which versions"),
        ({**osv(), "affected": {}}, "no list of packages"),
        ({"vulns": [osv()], "next_page_token": "x"}, "one page of several"),
        (osv(ranges=[{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": None}]}]), "something else"),
        (azure(fixed=""), "no version of an RPM package"),
        (azure(fixed="unknown"), "no version of an RPM package"),
        (osv(ranges=events(("introduced", "0"), ("fixed", "not a version!"))), "is not a Debian version"),
        (osv(ranges=events(("fixed", "1"))), "does not say where it begins"),
        (osv(ranges=events(("introduced", "2"), ("fixed", "1"))), "ends before it begins"),
        (osv(ranges=events(("introduced", "0"), ("fixed", "1"), ("last_affected", "2"))), "both `fixed` and"),
        (osv(ranges=[*events(("introduced", "0")), "more"]), "ranges is no list of tables"),
        (osv(ranges={"type": "ECOSYSTEM"}, affected={"versions": ["1"]}), "ranges is no list of tables"),
        (osv(ranges=[{"type": "SEMVER", "events": []}], affected={"versions": ["1"]}), "is of the type 'SEMVER'"),
        (osv(ranges=[{"type": "ecosystem"}], affected={"versions": ["1"]}), "is of the type 'ecosystem'"),
        (osv(ranges=[{"events": []}], affected={"versions": ["1"]}), "is of the type 'None'"),
        (osv(ranges=[{"type": "GIT", "events": []}]), "does not say which versions"),
        (osv(ranges=[{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, "fixed"]}]), "events is no list of tables"),
        (osv(ranges=events(("introduced", "5"), ("introducd", "0"))), "is unknown, or has something else"),
        (osv(affected={"versions": ["1", 2]}), "versions is no list of strings"),
        ([osv(), osv(summary="other")], "two records of that id"),
        (zipped(a=b"[]"), "it is not a record"),
        (zipped(a=b"{"), "is not JSON"),
    ],
)
def test_osv_that_is_wrong(data: object, wrong: str) -> None:
    assert wrong in refused(data)


def test_ubuntus_long_support_is_no_release_of_its_own() -> None:
    (feed,) = read(osv(affected={"package": {"ecosystem": "Ubuntu:24.04:LTS", "name": "openssl"}}))
    assert feed.ecosystem == "Ubuntu:24.04"


def test_publishers_of_rpms_may_name_binaries() -> None:
    (feed,) = read(osv(affected={"package": {"ecosystem": "AlmaLinux:9", "name": "libfoo"}}))
    assert feed.advisories[0].binary


def test_feeds_can_not_be_larger_than_what_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zaffre.advisory.formats.osv._MOST_VERSIONS", 3)
    assert "more than 3 ranges and versions" in refused(osv(affected={"versions": ["1", "2", "3"]}))
    assert read(osv(affected={"versions": ["1", "2"]}))


def test_commits_stand_beside_versions() -> None:
    ranges = [{"type": "GIT", "events": [{"introduced": "0"}]}, *events(("introduced", "0"), ("fixed", "2"))]
    (feed,) = read(osv(ranges=ranges))
    assert [one.fixed for one in feed.advisories[0].ranges] == ["2"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_malformed(compression: int) -> None:
    data = bytearray(zipped(compression, a=json.dumps(osv()).encode()))
    data[45:80] = bytes(one ^ 0x55 for one in data[45:80])
    assert "not a zip that can be read" in refused(bytes(data))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("a\x1b[2Jb\x9b31m\x7f\x00", "a\ufffd[2Jb\ufffd31m\ufffd\ufffd"),
        ("a\r\nno findings\u2028b\tc", "a no findings b c"),
        ("\u202eb", "\ufffdb"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_what_a_feed_says_is_told_in_one_line_that_no_terminal_obeys(words: str, told: str) -> None:
    (feed,) = read(osv(summary=words))
    assert feed.advisories[0].summary == told
    assert text({"key": words}, "key") == told


def test_what_oval_and_purls_say_is_as_plain() -> None:
    (feed,) = read(oval().replace(b"<title>CVE", b"<title>a\n\xc2\x9bCVE"), AZURE)
    assert feed.advisories[0].summary == "a \ufffdCVE-2024-47191 in oath"
    assert named("pkg:deb/debian/a%1b@1%0a2?arch=%9b&distro=%1b") == Named(
        "debian", "a\ufffd", "1 2", "\ufffd", "\ufffd"
    )


def test_the_place_of_a_fault_is_plain_too() -> None:
    wrong = refused(osv(id="X\x1b[2J\n", ranges=[]))
    assert "X\ufffd[2J" in wrong
    assert "\x1b" not in wrong


def test_a_zip_bomb_is_no_feed() -> None:
    assert "unpacks to more than a feed can be" in refused(zipped(a=b" " * (17 << 20)))


def test_osv_that_says_nothing() -> None:
    assert "has no record about packages of a distribution" in refused(
        osv(affected={"package": {"ecosystem": "PyPI", "name": "x"}}), FindingError
    )


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


def test_oval_as_azure_linux_publishes_it() -> None:
    (feed,) = read(oval(), AZURE)
    (one,) = feed.advisories
    assert (feed.ecosystem, feed.family, feed.dated.date()) == ("Azure Linux:3", "rpm", dt.date(2026, 11, 25))
    assert (one.package, one.cves, one.severity, one.ranges[0].fixed) == (
        *("oath-toolkit", ("CVE-2024-47191",)),
        *("high", "2.6.7-3.azl3"),
    )
    (feed,) = read(oval(operation="less than or equal"), AZURE)
    assert feed.advisories[0].ranges[0].last == "2.6.7-3.azl3"


@pytest.mark.parametrize(
    ("evr", "fixed"), [("0: 1.2-1.azl3", "1.2-1.azl3"), ("1.17.13-2,1.21.6-1.azl3,1.18.8-2", "1.21.6-1.azl3")]
)
def test_of_several_versions_in_oval_only_the_highest_is_surely_mended(evr: str, fixed: str) -> None:
    (feed,) = read(oval(evr=evr), AZURE)
    assert feed.advisories[0].ranges[0].fixed == fixed


def test_oval_is_of_the_distribution_that_it_names_whatever_is_asked() -> None:
    (feed,) = read(oval(), DEBIAN)
    assert feed.ecosystem == "Azure Linux"


@pytest.mark.parametrize(
    ("words", "asked", "named"),
    [
        ("Azure Linux 3.0", "Azure Linux:3", "Azure Linux:3"),
        ("Azure Linux 2.0", "Azure Linux:3", "Azure Linux 2.0"),
        ("Debian GNU/Linux 13 (trixie)", "Debian:13", "Debian:13"),
        ("Debian GNU/Linux 12", "Debian:13", "Debian GNU/Linux 12"),
        ("Ubuntu 22.04", "Ubuntu:22.10", "Ubuntu 22.04"),
        ("Debian-like 13", "Debian:13", "Debian-like 13"),
    ],
)
def test_oval_of_another_release_is_no_feed_of_this_one(words: str, asked: str, named: str) -> None:
    data = oval().replace(b"<platform>Azure Linux<", f"<platform>{words}<".encode())
    (feed,) = read(data, Platform("rpm", asked, None, asked))
    assert feed.ecosystem == named


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"<a", "not well-formed"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "document type"),
        (oval(test="t:9"), "refers to 't:9', which is not there"),
        (oval(operation="greater than"), "compares by 'greater than', which is not understood"),
        *(
            (oval().replace(old, old + b" " + new), "is not understood")
            for old, new in (
                (b"<criterion", b'negate="true"'),
                (b"<criteria", b'negate="1"'),
                (b"<linux-def:rpminfo_test", b'check="none satisfy"'),
                (b"<linux-def:rpminfo_test", b'check_existence="none_exist"'),
            )
        ),
        *(
            (
                oval().replace(b"</" + parts, b"<linux-def:rpminfo_" + part + b' id="' + part[:1] + b':1"/></' + parts),
                "twice",
            )
            for parts, part in ((b"tests>", b"test"), (b"objects>", b"object"), (b"states>", b"state"))
        ),
        (oval(timestamp="then"), "timestamp is not a time"),
        (
            oval(definition='<definition class="vulnerability" id="d:1"><metadata/><criteria/></definition>'),
            "none of its tests",
        ),
        (
            oval().replace(
                b"</definitions>", oval().split(b"<definitions>")[1].split(b"</definitions>")[0] + b"</definitions>"
            ),
            "defined twice",
        ),
    ],
)
def test_oval_that_is_wrong(data: bytes, wrong: str) -> None:
    assert wrong in refused(data)


def test_oval_that_says_nothing() -> None:
    assert "has no definitions of vulnerabilities" in refused(oval(definition=""), FindingError)
    assert "has no vulnerability that applies" in refused(oval(patchable="Not Applicable"), FindingError)


def kev(**more: Any) -> dict[str, Any]:
    entries = [{"cveID": "CVE-2026-1000", "dueDate": "2026-12-01"}]
    return {"catalogVersion": "2026.11.25", "dateReleased": STAMP, "count": 1, "vulnerabilities": entries, **more}


def test_cisas_catalogue_says_until_when() -> None:
    (found,) = read(kev())
    assert isinstance(found, Exploited)
    assert found.due == {"CVE-2026-1000": dt.date(2026, 12, 1)}


@pytest.mark.parametrize(
    ("data", "error", "wrong"),
    [
        (kev(count=2), DefinitionError, "says that it has 2 vulnerabilities, and has 1"),
        (kev(vulnerabilities=[], count=0), FindingError, "has no vulnerabilities"),
        (kev(vulnerabilities=[{"cveID": "hole", "dueDate": "2026-12-01"}]), DefinitionError, "is not a CVE"),
        (kev(vulnerabilities=[{"cveID": "CVE-2026-1000", "dueDate": "soon"}]), DefinitionError, "Invalid isoformat"),
        ({"catalogVersion": "1"}, DefinitionError, "a dateReleased"),
    ],
)
def test_a_catalogue_that_is_wrong(data: object, error: type[ZaffreError], wrong: str) -> None:
    assert wrong in refused(data, error)


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


def test_openvex_speaks_of_binaries_at_a_version() -> None:
    (found,) = read(openvex())
    assert isinstance(found, Claims)
    (one,) = found.claims
    assert (one.package, one.version, one.status) == ("libssl3t64", "2:3.5.0-1", "not_affected")


@pytest.mark.parametrize(
    ("identity", "product"),
    [("pkg:oci/node@sha256%3Aab?arch=amd64", "node"), ("https://appliance.example/4", "https://appliance.example/4")],
)
def test_openvex_speaks_of_what_is_within_a_product(identity: str, product: str) -> None:
    within = {
        "vulnerability": {"name": "CVE-2026-1000"},
        "products": [{"@id": identity, "subcomponents": [{"@id": "PKG:DEB/debian/zlib1g"}]}],
        "status": "not_affected",
        "impact_statement": "nothing calls it",
    }
    (found,) = read(openvex(within))
    (one,) = found.claims
    assert (one.package, one.version, one.reason, one.product) == ("zlib1g", None, "nothing calls it", product)


def _vex(**more: Any) -> dict[str, Any]:
    return {"vulnerability": {"name": "CVE-2026-1000"}, "products": [{"@id": "pkg:deb/debian/x"}], **more}


@pytest.mark.parametrize(
    ("data", "error", "wrong"),
    [
        (openvex(author=""), DefinitionError, "nobody answers for it"),
        (openvex(_vex(status="fine")), DefinitionError, "is no status"),
        (openvex(_vex(status="not_affected")), DefinitionError, "does not say why"),
        (openvex(_vex(status="not_affected", justification="because")), DefinitionError, "is no justification"),
        (openvex(_vex(status="fixed", vulnerability={})), DefinitionError, "names no vulnerability"),
        (openvex(_vex(status="fixed"), _vex(status="affected")), DefinitionError, "is fixed and affected at once"),
        *(
            (
                openvex(*(_vex(status=one, timestamp=stated) for one in ("fixed", "affected"))),
                DefinitionError,
                "at once",
            )
            for stated in (STAMP, "2026-01-01T00:00:00Z")
        ),
        (openvex(_vex(status="fixed"), _vex(status="affected", timestamp=STAMP)), DefinitionError, "at once"),
        (openvex(_vex(status="fixed"), timestamp=None, last_updated=STAMP), DefinitionError, "timestamp is not a time"),
        (openvex(_vex(status="fixed"), statements={}), DefinitionError, "statements is no list of tables"),
        (openvex(_vex(status="fixed"), "affected"), DefinitionError, "statements is no list of tables"),
        (
            openvex(_vex(status="fixed"), _vex(status="affected", products=["pkg:deb/debian/x"])),
            *(DefinitionError, "products is no list of tables"),
        ),
        (
            openvex(_vex(status="fixed", products=[{"@id": "pkg:oci/x", "subcomponents": ["pkg:deb/debian/x"]}])),
            *(DefinitionError, "subcomponents is no list of tables"),
        ),
        (openvex(_vex(status="fixed", timestamp="2027-11-01T00:00:00Z")), DefinitionError, "dated in the future"),
        (openvex(_vex(status="fixed", products=[{"@id": "pkg:oci/x"}])), FindingError, "has no statement about"),
    ],
)
def test_openvex_that_is_wrong(data: object, error: type[ZaffreError], wrong: str) -> None:
    assert wrong in refused(data, error)


@pytest.mark.parametrize("first", ["affected", "not_affected"])
@pytest.mark.parametrize(
    ("affected", "cleared", "status"),
    [
        ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "affected"),
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "not_affected"),
        (None, "2026-11-01T00:00:00Z", "affected"),
        ("2026-11-01T00:00:00Z", None, "not_affected"),
    ],
)
def test_the_newest_statement_of_openvex_holds_wherever_it_stands(
    first: str, affected: str | None, cleared: str | None, status: str
) -> None:
    said = [
        _vex(status="affected", timestamp=affected),
        _vex(status="not_affected", impact_statement="nothing calls it", timestamp=cleared),
    ]
    (found,) = read(openvex(*sorted(said, key=lambda one: one["status"] != first)))
    assert [one.status for one in found.claims] == [status]


def test_a_purl_says_of_which_architecture_and_release_it_is() -> None:
    purl = "pkg:deb/debian/x?arch=arm64&distro=debian-12"
    vex, advisory = openvex(_vex(status="affected", products=[{"@id": purl}])), csaf()
    advisory["product_tree"]["branches"][0]["branches"][0]["product"]["product_identification_helper"]["purl"] = purl
    for data in (vex, advisory):
        (one,) = read(data)[0].claims
        assert (one.package, one.architecture, one.distro) == ("x", "arm64", "debian-12")


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


def test_csaf_speaks_of_a_package_in_a_product() -> None:
    (found,) = read(csaf())
    (one,) = found.claims
    assert (one.package, one.version, one.status, one.justification, found.author) == (
        *("openssl", "3.3-1.azl3", "not_affected"),
        *("vulnerable_code_not_present", "Ada"),
    )
    assert one.product == "Azure Linux 3.0"
    (alone,) = read(csaf(known_not_affected=["P1"]))[0].claims
    assert alone.product is None


@pytest.mark.parametrize("key", ["known_affected", "first_affected", "last_affected"])
def test_what_csaf_calls_affected(key: str) -> None:
    (one,) = read(csaf(**{key: ["P1"]}))[0].claims
    assert one.status == "affected"
    for cleared in ("known_not_affected", "fixed", "first_fixed"):
        assert "the feed contradicts itself" in refused(csaf(**{cleared: ["P1"], key: ["P1"]}))


def test_csaf_says_why_of_products_or_of_groups_of_them() -> None:
    data = csaf()
    data["product_tree"]["product_groups"] = [{"group_id": "G", "product_ids": ["P1-in-OS"]}]
    (one,) = data["vulnerabilities"]
    one["flags"] = []
    assert "P1-in-OS is not affected, and it does not say why" in refused(data)
    one["threats"] = [{"category": "impact", "details": "nothing calls it", "group_ids": ["G"]}]
    assert [one.reason for one in read(data)[0].claims] == ["nothing calls it"]


@pytest.mark.parametrize("status", ["draft", "", None])
def test_a_draft_of_csaf_is_not_believed(status: str | None) -> None:
    data = csaf()
    data["document"]["tracking"]["status"] = status
    assert "what is neither final nor interim" in refused(data)


def test_a_product_of_csaf_is_defined_once() -> None:
    data = csaf()
    (product,) = (one["product"] for one in data["product_tree"]["branches"][0]["branches"])
    data["product_tree"]["full_product_names"].append(product)
    assert read(data)
    other = {**product, "product_identification_helper": {"purl": "pkg:rpm/azurelinux/curl"}}
    data["product_tree"]["full_product_names"].append(other)
    assert "the product is defined twice" in refused(data)
    data = csaf()
    (relation,) = data["product_tree"]["relationships"]
    data["product_tree"]["relationships"].append({**relation, "relates_to_product_reference": "appliance"})
    assert "the product is defined twice" in refused(data)


def test_csaf_that_is_wrong() -> None:
    assert "is not_affected and affected at once" in refused(csaf(known_not_affected=["P1"], known_affected=["P1"]))
    assert "product_status.fixed is no list of strings" in refused(csaf(fixed="P1"))  # type: ignore[arg-type]
    assert "product_status is no table" in refused({**csaf(), "vulnerabilities": [{"cve": "X", "product_status": []}]})
    assert "vulnerabilities is no list of tables" in refused({**csaf(), "vulnerabilities": ["CVE-2026-1000"]})
    assert "has no product_id" in refused({**csaf(), "product_tree": {"full_product_names": [{"name": "x"}]}})
    assert "has no statement about" in refused(csaf(fixed=["P9"]), FindingError)
    deep: dict[str, Any] = {"product": {}}
    for _ in range(60):
        deep = {"branches": [deep]}
    assert "is deeper than" in refused({**csaf(), "product_tree": deep})


Reads = Callable[..., bytes]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_file_that_must_be_signed_is_held_against_its_signature(tmp_path: Path, store: Store) -> None:
    key, other = signing_key(), signing_key()
    ring = tmp_path / "ring.asc"
    ring.write_bytes(keyring(key))
    path = tmp_path / "feed.json"
    path.write_bytes(b"{}")
    place = Place(str(path), ring)
    with pytest.raises(IntegrityError, match="the feed is not signed, and must be"):
        bytes_at(place, store=store, now=NOW, offline=False)
    now = dt.datetime.now(dt.UTC)
    beside = tmp_path / "feed.json.asc"
    beside.write_bytes(sign(other.signer(), b"{}", mode=SignatureMode.DETACHED))
    with pytest.raises(IntegrityError):
        bytes_at(place, store=store, now=now, offline=False)
    beside.write_bytes(sign(key.signer(), b"{}", mode=SignatureMode.DETACHED))
    assert bytes_at(place, store=store, now=now, offline=False) == b"{}"
    path.write_bytes(b"[]")
    with pytest.raises(IntegrityError):
        bytes_at(place, store=store, now=now, offline=False)


def test_an_address_without_tls_and_without_a_signature_is_refused(store: Store) -> None:
    archive = Archive()
    archive.files["feed.json"] = b"{}"
    with Mirror({"debian": archive}) as mirror, pytest.raises(WorldError, match="cannot be fetched") as caught:
        bytes_at(Place(f"{mirror.url}/debian/feed.json"), store=store, now=NOW, offline=False, limits=QUICK)
    assert "TLS all the way" in said(caught.value)


def test_a_signed_address_is_kept_for_days_without_a_network(tmp_path: Path, store: Store) -> None:
    key = signing_key()
    ring = tmp_path / "ring.asc"
    ring.write_bytes(keyring(key))
    archive = Archive()
    archive.files["feed.json"] = b"{}"
    now = dt.datetime.now(dt.UTC)
    with Mirror({"debian": archive}) as mirror:
        place = Place(f"{mirror.url}/debian/feed.json", ring)
        with pytest.raises(WorldError, match="does not have the feed"):
            bytes_at(place, store=store, now=now, offline=True)
        with pytest.raises(IntegrityError, match="must be signed"):
            bytes_at(place, store=store, now=now, offline=False, limits=QUICK)
        archive.files["feed.json.asc"] = sign(key.signer(), b"{}", mode=SignatureMode.DETACHED)
        assert bytes_at(place, store=store, now=now, offline=False, limits=QUICK) == b"{}"
        mirror.fault("debian/*", Fault(status=503))
        with pytest.raises(WorldError):
            bytes_at(place, store=store, now=now, offline=False, limits=QUICK)
        assert bytes_at(place, store=store, now=now, offline=True) == b"{}"


def test_an_empty_or_absent_file_is_no_feed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(IntegrityError, match="the feed is empty"):
        bytes_at(Place(str(tmp_path / "empty")), store=store, now=NOW, offline=False)
    with pytest.raises(DefinitionError, match="can not be read"):
        bytes_at(Place(str(tmp_path / "gone")), store=store, now=NOW, offline=False)


def test_every_reader_gives_what_it_says() -> None:
    kinds = [type(one) for data in (osv(), kev(), openvex(), csaf()) for one in read(data)]
    assert kinds == [Feed, Exploited, Claims, Claims]
