# SPDX-License-Identifier: Apache-2.0
"""What feeds say, held against what is installed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import AZURE, NOW, Severity, exploited, feed, fixed, installed, subject

from zaffre.advisory.archive.carriers import unsigned
from zaffre.advisory.matching import feeds_for, match
from zaffre.advisory.model import Advisory, Feed, Kind, Range
from zaffre.advisory.report import Bucket, Finding
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.subject import Platform
from zaffre.advisory.versions import source_version, with_epoch
from zaffre.errors import DefinitionError, FindingError


def found(feeds: list[Feed], *packages: object, platform: Platform | None = None) -> tuple[Finding, ...]:
    one = subject(*packages, **({"platform": platform} if platform else {}))  # type: ignore[arg-type]
    return match(one, feeds).findings


LADDER = [
    *("1.0-8", "1.0-8+0z1", "1.0-8+0z2", "1.0-8+deb12u1", "1.0-8+deb12u1+z1", "1.0-8+deb12u2", "1.0-8+z1", "1.0-9"),
    "1:0.1-1",
]


@given(st.sampled_from(LADDER), st.sampled_from(LADDER))
def test_who_is_below_the_fixed_version_is_affected_and_nobody_else(have: str, mended: str) -> None:
    hit = found([feed(fixed("CVE-2026-1", "expat", mended))], installed("libexpat1", have, "expat"))
    assert bool(hit) == (LADDER.index(have) < LADDER.index(mended))


def test_a_finding_says_what_there_is_to_do() -> None:
    package = installed("libssl3t64", "3.5.0-1", "openssl", within=("node", "server"), file="debian: pool/o.deb")
    (one,) = match(
        subject(package, files=lambda _: ("/usr/lib/libssl.so.3",)),
        [feed(fixed("CVE-2026-1", "openssl", "3.5.0-1+deb13u1", severity=Severity.HIGH, summary="bad"))],
        [exploited("CVE-2026-1")],
    ).findings
    assert (one.bucket, one.source, one.fixed_version) == (Bucket.FIX_AVAILABLE, "openssl", "3.5.0-1+deb13u1")
    assert (one.severity, one.exploited, str(one.due), one.summary) == ("high", True, "2026-12-01", "bad")
    (where,) = one.packages
    assert (where.images, where.files, where.file) == (
        ("node", "server"),
        ("/usr/lib/libssl.so.3",),
        "debian: pool/o.deb",
    )


def test_without_a_fix_it_waits() -> None:
    (one,) = found([feed(fixed("CVE-2026-1", "openssl", None))], installed("openssl", "3.5.0-1"))
    assert (one.bucket, one.fixed_version) == (Bucket.WAITING, None)


def test_a_rebuild_is_of_its_sources_version() -> None:
    assert source_version("deb", "1.2-3+b14") == "1.2-3"
    assert source_version("deb", "1.2-3+b1ubuntu") == "1.2-3+b1ubuntu"
    assert source_version("rpm", "1.2-3+b14") == "1.2-3+b14"


def test_the_name_of_the_binary_is_not_the_name_of_the_source() -> None:
    assert not found([feed(fixed("CVE-2026-1", "libssl3t64", "9"))], installed("libssl3t64", "3", "openssl"))


def test_a_kernel_is_signed_under_another_name_and_version() -> None:
    """Scanners that ask for linux-signed-amd64 find nothing, ever."""
    kernel = installed("linux-image-6.12.48+deb13-amd64", "6.12.48-1", "linux-signed-amd64", "6.12.48+1")
    (one,) = found([feed(fixed("CVE-2026-1", "linux", "6.12.57-1"))], kernel)
    assert (one.source, one.source_version) == ("linux", "6.12.48-1")


@pytest.mark.parametrize(
    ("signed", "plain"),
    [
        (("linux-signed-arm64", "6.12.57+1~bpo12+1"), ("linux", "6.12.57-1~bpo12+1")),
        (("grub-efi-amd64-signed", "1+2.12+9+deb13u4"), ("grub2", "2.12-9+deb13u4")),
        (("systemd-boot-efi-amd64-signed", "257.13+1~deb13u1"), ("systemd", "257.13-1~deb13u1")),
        (("shim-signed", "1.51"), ("shim", "16.1-2")),
        (("python-signedjson", "1.1.4-2"), None),
        (("linux", "6.12.57-1"), None),
    ],
)
def test_signed_forms(signed: tuple[str, str], plain: tuple[str, str] | None) -> None:
    assert unsigned(*signed, {("shim-signed", "1.51"): ("shim", "16.1-2")}) == plain


def test_an_rpms_source_has_the_epoch_of_its_binary() -> None:
    """The name of a source file has none: 32:9.20-1 would be older than every fixed version."""
    assert with_epoch("9.20.0-1.azl3", "32:9.20.0-1.azl3") == "32:9.20.0-1.azl3"
    mended = feed(fixed("CVE-2026-1", "bind", "32:9.19-1.azl3"), ecosystem="Azure Linux:3", family="rpm")
    package = installed("bind-libs", "32:9.20.0-1.azl3", "bind", with_epoch("9.20.0-1.azl3", "32:9.20.0-1.azl3"))
    assert not found([mended], package, platform=AZURE)


def test_ranges_and_versions() -> None:
    record = Advisory(
        "A", "x", (Range("2", "2.5"), Range("3", None, "3.1")), ("CVE-2026-1",), frozenset({"1.0-1"}), binary=False
    )

    def affected(version: str) -> bool:
        return bool(found([feed(record)], installed("x", version)))

    assert [one for one in ("1.0", "1.0-1", "2", "2.4", "2.5", "3", "3.1", "3.2") if affected(one)] == [
        *("1.0-1", "2", "2.4", "3", "3.1")
    ]


def test_where_feeds_disagree_the_worse_answer_holds_and_is_told() -> None:
    feeds = [
        feed(fixed("CVE-2026-1", "openssl", "3.5.0-1")),
        feed(fixed("CVE-2026-1", "openssl", "3.5.0-2"), name="other"),
    ]
    (one,) = found(feeds, installed("openssl", "3.5.0-1"))
    assert (one.bucket, one.fixed_version, one.feeds) == (Bucket.FIX_AVAILABLE, "3.5.0-2", ("other",))
    assert one.doubts == ("changelogs has it mended in 3.5.0-1",)
    (one,) = found(feeds, installed("openssl", "3.4"))
    assert one.fixed_version == "3.5.0-2"
    assert one.doubts == ("changelogs: mended in 3.5.0-1", "other: mended in 3.5.0-2")


def test_what_a_newer_release_mends_is_looked_at_where_nobody_speaks_of_this_one() -> None:
    newer = feed(
        fixed("CVE-2026-1", "openssl", "3.6-1"),
        fixed("CVE-2026-2", "openssl", "3.6-1"),
        name="sid",
        kind=Kind.CANDIDATES,
    )
    stable = feed(fixed("CVE-2026-2", "openssl", "3.5-1+deb13u1"))
    (one,) = found([stable, newer], installed("openssl", "3.5-1+deb13u1"))
    assert (one.vulnerability, one.bucket, one.fixed_version) == ("CVE-2026-1", Bucket.WAITING, None)
    assert one.doubts == ("sid: mended in 3.6-1; whether 3.5-1+deb13u1 has it is not known",)
    assert not found([newer], installed("openssl", "3.6-1"))


def test_what_a_feed_names_binaries_by_is_found_by_either_name() -> None:
    record = fixed("CVE-2026-1", "libssl", "3", binary=True)
    package = installed("libssl", "2", "openssl", "2")
    mended = feed(record, ecosystem="Azure Linux", family="rpm")
    assert found([mended], package, platform=AZURE)
    assert found([mended], installed("other", "2", "libssl", "2"), platform=AZURE)


def test_a_version_that_is_none_is_an_error() -> None:
    with pytest.raises(DefinitionError, match="can not be compared"):
        found([feed(fixed("CVE-2026-1", "x", "2"))], installed("x", "not a version!"))


def test_a_feed_of_another_distribution_is_no_feed() -> None:
    bookworm = feed(fixed("CVE-2026-1", "x", "2"), ecosystem="Debian:12")
    with pytest.raises(FindingError, match="no feed speaks of Debian:13"):
        feeds_for(subject(installed("x", "1")).platform, [bookworm])
    assert feeds_for(AZURE, [feed(ecosystem="Azure Linux", family="rpm")])


def test_sources_of_which_no_feed_speaks_are_named() -> None:
    covering = feed(fixed("CVE-2026-1", "openssl", "2"), covers=frozenset({"openssl", "zlib"}))
    one = subject(installed("openssl", "3"), installed("zlib1g", "1", "zlib"), installed("kubelet", "1.34"))
    report = scan([one], Known((covering,)), now=NOW)
    assert report.subjects[0].uncovered == ("kubelet",)
    assert report.mended == 1
    unknown = subject(installed("shim-signed", "15.8-1", made="1.44+15.8-1"))
    assert scan([unknown], Known((covering,)), now=NOW).subjects[0].uncovered == ("shim-signed",)
    silent = feed(fixed("CVE-2026-1", "openssl", "2"))
    assert "no feed says which packages it would speak of" in scan([one], Known((silent,)), now=NOW).notes[0]


def test_the_same_source_on_two_architectures_is_one_finding() -> None:
    known = Known((feed(fixed("CVE-2026-1", "openssl", "4")),))
    both = [
        subject(installed("openssl", "3")),
        subject(installed("openssl", "3", architecture="arm64"), architecture="arm64"),
    ]
    (one,) = scan(both, known, now=NOW).findings
    assert [package.architecture for package in one.packages] == ["amd64", "arm64"]


def test_what_is_exploited_comes_first_then_the_worst() -> None:
    known = Known(
        (
            feed(
                fixed("CVE-2026-1", "x", "2"),
                fixed("CVE-2026-2", "x", "2", severity=Severity.LOW),
                fixed("CVE-2026-3", "x", "2", severity=Severity.CRITICAL),
                fixed("CVE-2026-4", "x", "2"),
            ),
        ),
        (exploited("CVE-2026-4"),),
    )
    report = scan([subject(installed("x", "1"))], known, now=NOW)
    order = [one.vulnerability[-1] for one in report.of(Bucket.FIX_AVAILABLE)]
    assert order == ["4", "3", "2", "1"]
