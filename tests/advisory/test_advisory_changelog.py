# SPDX-License-Identifier: Apache-2.0
"""What changelogs say, as real ones are: of every encoding, with every oddity. Each was met in Debian's archive."""

from __future__ import annotations

import pytest

from zaffre.advisory.archive.changelog import Fix, fixes, uploads

TRAILER = " -- Somebody <a@b.example>  Mon, 02 Nov 2026 10:00:00 +0000\n\n"


def entry(version: str, *lines: str, source: str = "expat", suite: str = "trixie-security") -> str:
    body = "".join(f"  * {line}\n" for line in lines)
    return f"{source} ({version}) {suite}; urgency=medium\n\n{body}\n{TRAILER}"


def read(*entries: str, version: str = "2.7.1-2+deb13u2", source: str = "expat") -> dict[str | None, str]:
    return {one.cve: one.version for one in fixes("".join(entries).encode(), source, version)}


def test_each_cve_is_mended_in_the_version_whose_entry_names_it() -> None:
    said = read(
        entry("2.7.1-2+deb13u2", "Fix CVE-2026-0001 and CVE-2026-0002", "(Closes: #1)"),
        entry("2.7.1-2+deb13u1", "CVE-2026-0003: overflow"),
        entry("2.7.1-2", "New upstream version", suite="unstable"),
    )
    assert said == {
        "CVE-2026-0001": "2.7.1-2+deb13u2",
        "CVE-2026-0002": "2.7.1-2+deb13u2",
        "CVE-2026-0003": "2.7.1-2+deb13u1",
    }


@pytest.mark.parametrize("number", ["1234", "12345", "123456", "1234567"])
def test_numbers_of_cves_have_four_digits_or_more(number: str) -> None:
    assert read(entry("2.7.1-2+deb13u2", f"fix cve-2026-{number}.")) == {f"CVE-2026-{number}": "2.7.1-2+deb13u2"}


def test_what_is_no_cve_is_none() -> None:
    assert read(entry("2.7.1-2", "CVE-2026-123, CVE-20261-1234, CVE-2026-XXXX", suite="unstable")) == {}


def test_of_several_entries_the_oldest_counts() -> None:
    """Later ones say that a patch was dropped as the upstream has it."""
    said = read(
        entry("2.7.1-2+deb13u2", "drop the patch for CVE-2026-0001, applied upstream"),
        entry("2.7.1-2+deb13u1", "CVE-2026-0001"),
    )
    assert said == {"CVE-2026-0001": "2.7.1-2+deb13u1"}


def test_a_security_upload_without_a_cve_is_not_lost() -> None:
    text = entry("2.7.1-2+deb13u2", "8 security fixes") + entry(
        "2.7.1-2+deb13u1", "new release (GHSA-abcd-2345-WXYZ, DSA-5432-1)"
    )
    found = fixes(text.encode(), "expat", "2.7.1-2+deb13u2")
    assert found == (
        Fix("2.7.1-2+deb13u1", None, ("GHSA-abcd-2345-wxyz", "DSA-5432-1")),
        Fix("2.7.1-2+deb13u2", None, ()),
    )


def test_an_upload_elsewhere_that_names_nothing_says_nothing() -> None:
    assert fixes(entry("2.7.1-2", "Rebuild", suite="unstable").encode(), "expat", "2.7.1-2") == ()


def test_entries_of_another_name_are_another_source() -> None:
    """gcc-14's changelog goes on to gcc-13's, whose versions say nothing here."""
    said = read(
        entry("14.2.0-19", "CVE-2026-0001", source="gcc-14"),
        entry("13.3.0-1", "CVE-2025-0001", source="gcc-13"),
        version="14.2.0-19",
        source="gcc-14",
    )
    assert said == {"CVE-2026-0001": "14.2.0-19"}


def test_a_version_beyond_the_packages_own_is_the_packages() -> None:
    """Whoever went back a version keeps the history of the one that was higher."""
    said = read(
        entry("2.0-1+deb13u1", "go back"), entry("3.0-1", "CVE-2026-0001", suite="unstable"), version="2.0-1+deb13u1"
    )
    assert said["CVE-2026-0001"] == "2.0-1+deb13u1"


def test_wrong_encodings_cost_nothing_and_a_broken_heading_belongs_to_the_entry_above() -> None:
    text = (
        entry("2.7.1-2+deb13u2", "CVE-2026-0001").encode()
        + entry("2.7.1-2+deb13u1", "Größe, CVE-2026-0002").encode("latin-1")
        + b"expat (this is:no-version-) trixie; urgency=low\n\n  * CVE-2026-0003\n\n"
        + b"\xff\xfe\x00\n* CVE-2026-0004\n"
        + entry("2.7.1-2", "CVE-2026-0005").encode("utf-16-le")
    )
    said = {one.cve: one.version for one in fixes(text, "expat", "2.7.1-2+deb13u2")}
    assert said == {
        "CVE-2026-0001": "2.7.1-2+deb13u2",
        **dict.fromkeys(("CVE-2026-0002", "CVE-2026-0003", "CVE-2026-0004"), "2.7.1-2+deb13u1"),
    }


def test_carriage_returns_and_capitals_do_not_matter() -> None:
    text = entry("2.7.1-2+deb13u2", "cve-2026-0001").replace("\n", "\r\n").replace("trixie", "Trixie")
    assert [one.cve for one in fixes(text.encode(), "expat", "2.7.1-2+deb13u2")] == ["CVE-2026-0001"]


def test_a_changelog_of_a_hundred_thousand_lines_is_read() -> None:
    text = "".join(
        entry(f"6.12.{number}-1", *[f"net: fix a leak ({line})" for line in range(8)], f"CVE-2026-{number:05}")
        for number in range(8000, 0, -1)
    )
    assert text.count("\n") > 100_000
    found = fixes(text.replace("expat (", "linux (").encode(), "linux", "6.12.8000-1")
    assert len(found) == 8000


def test_a_line_without_an_end_is_no_trap() -> None:
    text = entry("2.7.1-2+deb13u2", "CVE-2026-0001 " + "CVE-" * 500_000 + "9" * 500_000)
    assert read(text) == {"CVE-2026-0001": "2.7.1-2+deb13u2"}


def test_uploads_come_newest_first() -> None:
    text = entry("2-1", "CVE-2026-0002") + entry("1-1", "CVE-2026-0001", suite="unstable")
    assert [(one.version, one.security) for one in uploads(text.encode(), "expat")] == [("2-1", True), ("1-1", False)]
