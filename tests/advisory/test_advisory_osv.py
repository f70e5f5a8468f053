# SPDX-License-Identifier: Apache-2.0
"""OSV: what a record says, and every way in which it can be wrong, which is never silence."""

from __future__ import annotations

import json
import zipfile

import pytest
from documents import STAMP, azure, events, osv, read, refused, zipped
from records import NOW, fixed

from zaffre.advisory.formats.osv import rating, to_osv
from zaffre.errors import FindingError


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


def test_a_zip_bomb_is_no_feed() -> None:
    assert "unpacks to more than a feed can be" in refused(zipped(a=b" " * (17 << 20)))


def test_osv_that_says_nothing() -> None:
    assert "has no record about packages of a distribution" in refused(
        osv(affected={"package": {"ecosystem": "PyPI", "name": "x"}}), FindingError
    )
