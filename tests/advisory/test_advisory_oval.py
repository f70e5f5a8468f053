# SPDX-License-Identifier: Apache-2.0
"""OVAL: what a definition says, and every way in which it can be wrong, which is never silence."""

from __future__ import annotations

import datetime as dt

import pytest
from documents import oval, read, refused
from records import AZURE, DEBIAN

from zaffre.advisory.subject import Platform
from zaffre.errors import FindingError


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
