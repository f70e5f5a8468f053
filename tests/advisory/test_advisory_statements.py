# SPDX-License-Identifier: Apache-2.0
"""Statements and the ages of feeds: what ends a scan, and what moves a finding into another bucket."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from records import AZURE, DEBIAN, NOW, WEEK, exploited, feed, fixed, installed, statement, subject

from support.upstreams import said
from zaffre.advisory.report import Bucket
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.statements import Claim, Claims
from zaffre.advisory.subject import Installed, Platform, is_release
from zaffre.definition import Statement, load_distribution
from zaffre.definition.starter import init_distribution
from zaffre.errors import DefinitionError, FindingError

OPEN = feed(fixed("CVE-2026-1", "openssl", "2"), fixed("CVE-2026-2", "zlib", None))
PACKAGES = (installed("openssl", "1", within=("node",)), installed("zlib1g", "1", "zlib", within=("node",)))


def scanned(*statements: Statement, claims: tuple[Claims, ...] = (), whole: bool = False) -> dict[str, str]:
    known = Known((OPEN,), statements=statements, claims=claims)
    report = scan([subject(*PACKAGES, whole=whole)], known, now=NOW)
    return {one.vulnerability: str(one.bucket) for one in report.findings}


def claim(
    package: str,
    status: str = "not_affected",
    version: str | None = None,
    vendor: str = "debian",
    **more: Any,
) -> Claims:
    said = Claim("CVE-2026-2", package, version, vendor, status, **more)
    return Claims("theirs", "Them", NOW, WEEK, (said,))


def test_what_the_owner_says_is_where_it_goes() -> None:
    assert scanned() == {"CVE-2026-1": "fix-available", "CVE-2026-2": "waiting"}
    assert scanned(statement())["CVE-2026-1"] == "not-affected"
    lived_with = statement(status="accepted", justification=None)
    assert scanned(lived_with)["CVE-2026-1"] == "accepted"
    looked_at = statement(status="under_investigation", justification=None)
    assert scanned(looked_at)["CVE-2026-1"] == "fix-available"


def test_a_statement_is_told_with_its_reason_author_and_end() -> None:
    report = scan([subject(*PACKAGES)], Known((OPEN,), statements=(statement(),)), now=NOW)
    (one,) = report.of(Bucket.NOT_AFFECTED)
    assert one.statement is not None
    assert (one.statement.file, one.statement.author, str(one.statement.expires)) == (
        "vex/one.toml",
        "Ada",
        "2027-02-01",
    )


def test_an_expired_statement_ends_the_scan() -> None:
    with pytest.raises(FindingError) as caught:
        scanned(statement(expires=NOW.date()))
    assert "a statement has expired" in said(caught.value)
    assert "vex/one.toml: CVE-2026-1, not_affected, until 2026-11-26" in said(caught.value)


@pytest.mark.parametrize("change", [{"vulnerability": "CVE-2026-9"}, {"packages": ("libssl3",)}, {"images": ("edge",)}])
def test_a_statement_that_matches_nothing_of_the_whole_lock_ends_the_scan(change: dict[str, object]) -> None:
    with pytest.raises(FindingError, match="a statement matches nothing"):
        scanned(statement(**change), whole=True)
    assert scanned(statement(**change))["CVE-2026-1"] == "fix-available"


def test_a_statement_for_an_image_holds_for_no_other() -> None:
    both = subject(installed("openssl", "1", within=("node", "edge")))
    report = scan([both], Known((OPEN,), statements=(statement(images=("node",)),)), now=NOW)
    assert report.findings[0].bucket == Bucket.FIX_AVAILABLE
    assert report.findings[0].doubts == ("vex/one.toml holds for node alone",)
    everything = subject(*both.packages, whole=True)
    assert scan([everything], Known((OPEN,), statements=(statement(images=("node",)),)), now=NOW).findings
    report = scan([both], Known((OPEN,), statements=(statement(images=("edge", "node")),)), now=NOW)
    assert report.findings[0].bucket == Bucket.NOT_AFFECTED


def test_what_is_in_no_image_of_the_owner_is_none_of_his_business() -> None:
    elsewhere = subject(installed("openssl", "1", within=()))
    for one in (statement(), statement(images=("node",))):
        report = scan([elsewhere], Known((OPEN,), statements=(one,)), now=NOW)
        assert report.findings[0].bucket == Bucket.FIX_AVAILABLE


def test_others_words_hold_for_the_binary_or_the_source_at_that_version() -> None:
    assert scanned(claims=(claim("zlib1g"),))["CVE-2026-2"] == "not-affected"
    assert scanned(claims=(claim("zlib", version="1"),))["CVE-2026-2"] == "not-affected"
    assert scanned(claims=(claim("zlib1g", vendor=""),))["CVE-2026-2"] == "not-affected"
    assert scanned(claims=(claim("zlib1g", vendor="redhat"),))["CVE-2026-2"] == "waiting"
    assert scanned(claims=(claim("zlib1g", version="2"),))["CVE-2026-2"] == "waiting"
    assert scanned(claims=(claim("zlib1g", "affected"),))["CVE-2026-2"] == "waiting"
    assert scanned(claims=(claim("zlib1g", "under_investigation"),))["CVE-2026-2"] == "waiting"


@pytest.mark.parametrize(
    ("product", "bucket"),
    [
        ("node", "not-affected"),
        ("node 1.2", "not-affected"),
        ("Debian GNU/Linux 13", "not-affected"),
        ("Debian", "not-affected"),
        ("Debian GNU/Linux 12", "waiting"),
        ("edge", "waiting"),
        ("their-appliance", "waiting"),
        ("", "waiting"),
    ],
)
def test_others_words_about_a_part_of_something_hold_for_the_release_or_the_image(product: str, bucket: str) -> None:
    assert scanned(claims=(claim("zlib1g", product=product),))["CVE-2026-2"] == bucket


def scoped(against: str, *packages: Installed, platform: Platform = DEBIAN, **scope: str) -> str:
    """The bucket where something is cleared in that scope; with `against`, where it is of that status there."""
    claims = (claim("zlib", vendor=""),) if against else ()
    known = feed(fixed("CVE-2026-2", "zlib", None), ecosystem=platform.ecosystem, family=platform.family)
    everything = (*claims, claim("zlib", against or "not_affected", vendor="", **scope))
    found = scan([subject(*packages, platform=platform)], Known((known,), claims=everything), now=NOW)
    return str(found.findings[0].bucket)


def zlib(architecture: str) -> Installed:
    return installed("zlib1g", "1", "zlib", architecture=architecture)


@pytest.mark.parametrize(
    ("architecture", "there", "clears", "holds_against"),
    [
        ("amd64", "amd64", "not-affected", "waiting"),
        ("arm64", "amd64", "waiting", "not-affected"),
        ("amd64", "all", "waiting", "not-affected"),
        ("x86_64", "amd64", "not-affected", "waiting"),
        ("noarch", "all", "not-affected", "waiting"),
        ("source", "amd64", "not-affected", "waiting"),
        ("src", "amd64", "not-affected", "waiting"),
        ("amd64", "", "waiting", "waiting"),
    ],
)
def test_others_words_about_an_architecture_hold_for_that(
    architecture: str, there: str, clears: str, holds_against: str
) -> None:
    assert scoped("", zlib(there), architecture=architecture) == clears
    assert scoped("affected", zlib(there), architecture=architecture) == holds_against


def test_what_is_cleared_on_one_architecture_is_not_on_another() -> None:
    assert scoped("", zlib("amd64"), zlib("arm64"), architecture="amd64") == "waiting"


def test_what_is_said_of_a_source_is_not_said_of_a_binary_of_that_name() -> None:
    assert scanned(claims=(claim("zlib1g", architecture="source"),))["CVE-2026-2"] == "waiting"


@pytest.mark.parametrize(
    ("ecosystem", "distro", "clears", "holds_against"),
    [
        ("Debian:13", "debian-13", "not-affected", "waiting"),
        ("Debian:13", "debian-13.2", "not-affected", "waiting"),
        ("Debian:13", "trixie", "not-affected", "waiting"),
        ("Debian:13", "Debian-Trixie", "not-affected", "waiting"),
        ("Debian:13", "debian-12", "waiting", "not-affected"),
        ("Debian:13", "bookworm", "waiting", "not-affected"),
        ("Debian:13", "debian", "waiting", "waiting"),
        ("Debian:13", "debian-", "waiting", "waiting"),
        ("Debian:13", "13", "waiting", "waiting"),
        ("Debian:13", "sid", "waiting", "waiting"),
        ("Debian:13", "ubuntu-13", "waiting", "waiting"),
        ("Ubuntu:24.04", "noble", "not-affected", "waiting"),
        ("Ubuntu:24.04", "ubuntu-24.10", "waiting", "not-affected"),
        ("Ubuntu:24.04", "ubuntu-24", "waiting", "waiting"),
        ("Ubuntu:24.04", "trixie", "waiting", "waiting"),
        ("Azure Linux:3", "azurelinux-3.0", "not-affected", "waiting"),
        ("Azure Linux:3", "azurelinux-2.0", "waiting", "not-affected"),
    ],
)
def test_others_words_about_a_release_hold_for_that(
    ecosystem: str, distro: str, clears: str, holds_against: str
) -> None:
    platform = Platform("rpm" if ecosystem == AZURE.ecosystem else "deb", ecosystem, None, ecosystem)
    assert scoped("", zlib("amd64"), platform=platform, distro=distro) == clears
    assert scoped("affected", zlib("amd64"), platform=platform, distro=distro) == holds_against


@pytest.mark.parametrize(
    ("words", "ecosystem", "is_it"),
    [("Azure Linux 3.0", "Azure Linux:3", True), ("debian", "Debian:13", True), ("", "", False), ("13", "", False)],
)
def test_words_name_a_release_or_nothing(words: str, ecosystem: str, is_it: bool) -> None:  # noqa: FBT001 - a table
    assert is_release(words, ecosystem) is is_it


def test_fixed_is_said_of_a_version() -> None:
    assert scanned(claims=(claim("zlib1g", "fixed"),))["CVE-2026-2"] == "waiting"
    assert scanned(claims=(claim("zlib1g", "fixed", "1"),))["CVE-2026-2"] == "not-affected"


@pytest.mark.parametrize("status", ["affected", "under_investigation"])
def test_where_others_disagree_the_worse_word_holds_and_that_is_told(status: str) -> None:
    known = Known((OPEN,), claims=(claim("zlib1g"), claim("zlib", status, "1")))
    one = next(one for one in scan([subject(*PACKAGES)], known, now=NOW).findings if one.source == "zlib")
    assert (one.bucket, one.statement) == (Bucket.WAITING, None)
    assert one.doubts == (f"theirs: Them says '{status}', and others that it is not affected",)


@pytest.mark.parametrize("days", [8, 400])
def test_a_stale_feed_ends_the_scan(days: int) -> None:
    old = feed(fixed("CVE-2026-1", "openssl", "2"), dated=NOW - dt.timedelta(days=days))
    with pytest.raises(FindingError, match=f"{days} days old, and may be 7"):
        scan([subject(*PACKAGES)], Known((old,)), now=NOW)


def test_a_stale_catalogue_ends_the_scan_too() -> None:
    with pytest.raises(FindingError, match="days old"):
        scan([subject(*PACKAGES)], Known((OPEN,), (exploited("CVE-2026-1"),)), now=NOW + dt.timedelta(days=6, hours=20))
    with pytest.raises(FindingError, match="days old"):
        scan([subject(*PACKAGES)], Known((OPEN,), (exploited("CVE-2026-1"),)), now=NOW + dt.timedelta(days=8))


def test_a_feed_from_the_future_ends_the_scan() -> None:
    with pytest.raises(FindingError, match="in the future"):
        scan([subject(*PACKAGES)], Known((feed(dated=NOW + dt.timedelta(days=1)),)), now=NOW)


def test_no_packages_is_no_result() -> None:
    with pytest.raises(FindingError, match="there is no package to be scanned"):
        scan([subject()], Known((OPEN,)), now=NOW)


def test_the_age_of_each_feed_is_in_the_report() -> None:
    report = scan([subject(*PACKAGES)], Known((OPEN,), (exploited("CVE-2026-1"),), (claim("x"),)), now=NOW)
    assert [(one.kind, one.age_hours, one.records) for one in report.feeds] == [
        ("archive", 5.0, 2),
        ("kev", 0.0, 1),
        ("vex", 0.0, 1),
    ]


STATEMENT = """\
vulnerability = "CVE-2026-1234"
packages = ["openssl"]
status = "not_affected"
justification = "vulnerable_code_not_in_execute_path"
reason = "nothing calls it"
evidence = ["https://vex.example/1", "trace.txt"]
author = "Ada"
since = 2026-11-01
expires = 2027-02-01
"""


def loaded(folder: Path, **files: str) -> tuple[Statement, ...]:
    root = folder / "own"
    init_distribution(root, id="own", name="Own Linux")
    (root / "vex").mkdir()
    (root / "vex/trace.txt").write_text("seen")
    for name, text in files.items():
        (root / f"vex/{name}.toml").write_text(text)
    return load_distribution(root).statements


def test_statements_are_part_of_the_definition(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, one=STATEMENT)
    assert (one.file, one.vulnerability, str(one.expires)) == ("vex/one.toml", "CVE-2026-1234", "2027-02-01")


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('justification = "vulnerable_code_not_in_execute_path"\n', "", "a justification belongs to"),
        ("vulnerable_code_not_in_execute_path", "because", "justification"),
        ("2027-02-01", "2026-10-01", "is not after since"),
        ('author = "Ada"\n', "", "author"),
        ("expires = 2027-02-01\n", "", "expires"),
        ('evidence = ["https://vex.example/1", "trace.txt"]\n', "evidence = []\n", "evidence"),
        ('"trace.txt"', '"gone.txt"', "there is no file vex/gone.txt"),
        ("CVE-2026-1234", "that hole", "the name of a vulnerability"),
        ('status = "not_affected"', 'status = "fine"', "status"),
        ('packages = ["openssl"]', 'packages = ["openssl"]\nimages = ["nose"]', "there is no image 'nose'"),
    ],
)
def test_a_faulty_statement_is_an_error_with_its_place(tmp_path: Path, old: str, new: str, wrong: str) -> None:
    assert old in STATEMENT
    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, one=STATEMENT.replace(old, new))
    assert wrong in said(caught.value)
    assert "vex/one.toml" in said(caught.value)


def test_two_statements_about_one_thing_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"is spoken of in vex/one\.toml too"):
        loaded(tmp_path, one=STATEMENT, two=STATEMENT)
