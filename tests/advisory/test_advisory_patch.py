# SPDX-License-Identifier: Apache-2.0
"""What a patch has to mend, and what became of it; and our own advisory, read by our readers of others' advisories."""

from __future__ import annotations

import datetime as dt
import json
import tomllib

from records import NOW, WEEK, exploited, feed, fixed, installed, statement, subject

from zaffre.advisory.formats import Document, read_feed
from zaffre.advisory.model import Feed
from zaffre.advisory.patch import needless, plan, prove
from zaffre.advisory.report import Report
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.statements import Claims
from zaffre.advisory.subject import Installed
from zaffre.advisory.versions import order_of
from zaffre.advisory.writing import ImageFact, Notice, csaf_text, osv_text
from zaffre.definition import FeedKind
from zaffre.definition.vex import StatementFile

ORDERS = {"Debian:13": order_of("deb")}
FACTS = (
    fixed("CVE-2026-0001", "openssl", "3.5-1+deb13u1"),
    fixed("CVE-2026-0002", "openssl", "3.5-1+deb13u10"),
    fixed("CVE-2026-0003", "openssl", "3.5-1+deb13u2"),
    fixed("CVE-2026-0004", "zlib", None),
    fixed("CVE-2026-0005", "curl", "9-1"),
)
SSL = installed("libssl3", "3.5-1", "openssl", within=("node", "server"))
TOOL = installed("openssl", "3.5-1", "openssl", within=("server",))
ZLIB = installed("zlib1g", "1-1", "zlib", within=("node",))
CURL = installed("curl", "8-1", within=("server",))


def scanned(*packages: Installed, statements: tuple[dict[str, object], ...] = ()) -> Report:
    known = Known(
        (feed(*FACTS),),
        exploited=(exploited("CVE-2026-0003"),),
        statements=tuple(statement(**one) for one in statements),
    )
    return scan([subject(*packages)], known, now=NOW)


def test_a_source_is_behind_by_the_highest_version_that_mends_all() -> None:
    found = plan(scanned(SSL, TOOL, ZLIB, CURL), ORDERS, today=NOW.date())
    one = {each.source: each for each in found.behind}["openssl"]
    assert one.fixed_version == "3.5-1+deb13u10", "by the order of Debian's versions, not of letters"
    assert one.vulnerabilities == ("CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003")
    assert one.exploited == ("CVE-2026-0003",)
    assert (one.packages, one.images) == (("libssl3", "openssl"), ("node", "server"))
    assert found.packages == ("curl", "libssl3", "openssl")


def test_of_some_images_only_what_they_have_is_mended() -> None:
    found = plan(scanned(SSL, TOOL, ZLIB, CURL), ORDERS, images=("node",), today=NOW.date())
    assert found.packages == ("libssl3",)
    assert plan(scanned(CURL, ZLIB), ORDERS, images=("node",), today=NOW.date()).behind == ()


def test_what_the_owner_has_settled_is_left_alone() -> None:
    settled = {"vulnerability": "CVE-2026-0005", "packages": ("curl",)}
    found = plan(scanned(CURL, statements=(settled,)), ORDERS, today=NOW.date())
    assert found.behind == ()


def test_what_has_no_fix_comes_with_a_statement_that_loads_once_its_author_has_said_why() -> None:
    (one,) = plan(scanned(ZLIB), ORDERS, author='Ada "A" L', today=NOW.date()).unfixed
    assert (one.vulnerability, one.sources, one.file) == ("CVE-2026-0004", ("zlib",), "vex/cve-2026-0004.toml")
    told = tomllib.loads(one.statement)
    assert told["author"] == 'Ada "A" L'
    assert told["expires"] - told["since"] == dt.timedelta(days=30)
    told["evidence"] = ["https://vex.example/1"]
    filled = one.statement.replace("evidence = []", 'evidence = ["https://vex.example/1"]')
    assert StatementFile.model_validate({**tomllib.loads(filled), "packages": ("zlib",), "evidence": ("notes.txt",)})
    again = plan(
        scanned(ZLIB, statements=({"vulnerability": "CVE-2026-0004", "packages": ("zlib",), **UNDER_WAY},)),
        ORDERS,
        today=NOW.date(),
    )
    assert again.unfixed == (), "somebody looks at it already"


UNDER_WAY = {"status": "under_investigation", "justification": None}


def test_proof_is_what_a_scan_says_and_not_what_was_hoped() -> None:
    before = scanned(SSL, CURL)
    wanted = plan(before, ORDERS, today=NOW.date())
    half = scanned(installed("libssl3", "3.5-1+deb13u2", "openssl"), CURL)
    proof = prove(wanted.pairs, before, half)
    assert proof.gone == ("CVE-2026-0001", "CVE-2026-0003")
    assert proof.left == ("CVE-2026-0002", "CVE-2026-0005")
    news = prove(wanted.pairs, before, scanned(installed("libssl3", "3.5-1+deb13u10", "openssl"), ZLIB))
    assert (news.left, news.appeared) == ((), ("CVE-2026-0004",))


def test_a_statement_that_was_needed_before_and_is_not_after_is_named() -> None:
    settled = {"vulnerability": "CVE-2026-0001", "file": "vex/ssl.toml"}
    known = Known((feed(*FACTS),), statements=(statement(**settled),))
    before, after = (
        scan([subject(one, whole=True)], known, now=NOW, require_used=False)
        for one in (SSL, installed("libssl3", "9-1", "openssl"))
    )
    assert needless(before, after) == ("vex/ssl.toml",)


def notice() -> Notice:
    behind = plan(scanned(SSL, TOOL), ORDERS, today=NOW.date()).behind
    moved = (("libssl3", "3.5-1", "3.5-1+deb13u10"), ("libnew1", None, "1:2-1"), ("gone", "1-1", None))
    return Notice(
        id="ZAFFRE-SA-20261126.2",
        publisher="Zaffre Linux",
        namespace="https://packages.zaffre.example",
        at=NOW,
        kind="deb",
        vendor="debian",
        behind=behind,
        images=(ImageFact("node", "amd64", "1.20261126.1", "1.20261126.2", moved),),
    )


def document(text: str) -> Document:
    return Document("ours.json", text.encode(), WEEK, None)


def test_our_osv_record_gives_the_verdicts_that_it_was_made_of() -> None:
    (told,) = read_feed(document(osv_text(notice())), FeedKind.OSV, now=NOW)
    assert isinstance(told, Feed)
    known = Known((told,))
    assert {one.vulnerability for one in scan([subject(SSL)], known, now=NOW).findings} == {
        "CVE-2026-0001",
        "CVE-2026-0002",
        "CVE-2026-0003",
    }
    assert scan([subject(installed("libssl3", "3.5-1+deb13u10", "openssl"))], known, now=NOW).findings == ()


def test_our_csaf_says_of_each_version_whether_it_has_it() -> None:
    text = csaf_text(notice())
    (told,) = read_feed(document(text), FeedKind.CSAF, now=NOW)
    assert isinstance(told, Claims)
    said = {(one.vulnerability, one.package, one.version): one.status for one in told.claims}
    assert said["CVE-2026-0002", "libssl3", "3.5-1"] == "affected"
    assert said["CVE-2026-0002", "libssl3", "3.5-1+deb13u10"] == "fixed"
    assert not any(package in {"libnew1", "gone"} for _, package, _ in said)


def test_every_product_that_our_csaf_names_is_in_its_tree() -> None:
    value = json.loads(csaf_text(notice()))
    tree = value["product_tree"]
    known = {one["product_id"] for one in tree["full_product_names"]}
    known |= {one["full_product_name"]["product_id"] for one in tree["relationships"]}
    versions = [version for image in tree["branches"][0]["branches"] for version in image["branches"]]
    images = {one["product"]["product_id"] for one in versions}
    assert {one["relates_to_product_reference"] for one in tree["relationships"]} <= images
    for one in value["vulnerabilities"]:
        status = one["product_status"]
        assert set(status["known_affected"]) & set(status["fixed"]) == set()
        assert {*status["known_affected"], *status["fixed"]} <= known
        assert one["remediations"][0]["product_ids"] == status["known_affected"]
