# SPDX-License-Identifier: Apache-2.0
"""The archive as its own feed: real packages on a mirror of the loopback, verified, read and kept."""

from __future__ import annotations

import datetime as dt
import gzip
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, Archive, Deb, Fault, Mirror, keyring, signing_key
from support.upstreams import QUICK, make_upstream, mirrors, said
from zaffre.advisory.archive.kept import Kept
from zaffre.advisory.archive.renew import Renewal
from zaffre.advisory.model import Feed, Kind
from zaffre.definition import DebUpstream, Distribution, load_distribution
from zaffre.definition.starter import init_distribution
from zaffre.errors import FindingError, IntegrityError
from zaffre.store import Store

WEEK = dt.timedelta(days=7)
SECURITY = "stable-security"
Change = Callable[[Archive], None]


def changelog(source: str, *entries: tuple[str, str], suite: str = SECURITY) -> bytes:
    return "".join(
        f"{source} ({version}) {suite}; urgency=high\n\n  * {text}\n\n -- A <a@b.example>  {'Mon, 02 Nov 2026'}\n\n"
        for version, text in entries
    ).encode()


def deb(name: str, version: str, text: bytes | None, *, source: str | None = None, **files: str | bytes) -> Deb:
    """A package with its changelog, if it has one. `files` are by their paths with "__" for "/"."""
    held: dict[str, str | bytes] = {path.replace("__", "/"): content for path, content in files.items()}
    if text is not None:
        name_of_it = "changelog.Debian.gz" if "-" in version else "changelog.gz"
        held[f"usr/share/doc/{name}/{name_of_it}"] = gzip.compress(text, mtime=0)
    return Deb(name, version, "amd64", {"Source": source} if source else {}, held)


def padding(size: int) -> bytes:
    """What no compression makes smaller."""
    return random.Random(size).randbytes(size)


class Shop:
    """An archive with a release and a security pocket, and what is read out of it."""

    def __init__(self, folder: Path, key: Tsk) -> None:
        self.key, self.folder = key, folder
        self.archive = Archive()
        self.store = Store(folder / "store")
        base = make_upstream(folder, keyring(key))
        suites = [{"archive": "debian", "suite": name, "components": ["main"]} for name in ("stable", SECURITY)]
        self.upstream = DebUpstream.model_validate({**dict(base), "suites": suites, "ecosystem": "Debian:13"})
        init_distribution(folder / "own", id="own", name="Own Linux")
        self.distribution: Distribution = load_distribution(folder / "own")

    def add(self, *debs: Deb, suite: str = SECURITY) -> None:
        for one in debs:
            self.archive.add(one, suite=suite)

    def publish(self, date: dt.datetime = NOW) -> None:
        for suite in ("stable", SECURITY):
            self.archive.publish([self.key], suite=suite, date=date)

    def feed(self, *wanted: str, requests: list[str] | None = None, candidates: bool = False) -> Feed:
        with Mirror({"debian": self.archive}) as mirror:
            return self.feed_from(mirror, *wanted, requests=requests, candidates=candidates)

    def feed_from(
        self, mirror: Mirror, *wanted: str, requests: list[str] | None = None, candidates: bool = False
    ) -> Feed:
        renewal = Renewal(_with(self.distribution, self.upstream), mirrors(mirror.url), self.store, {}, limits=QUICK)
        try:
            made = renewal.feed(self.upstream, "amd64", wanted=wanted, now=NOW, max_age=WEEK, candidates=candidates)
        finally:
            if requests is not None:
                requests += [one.path.rpartition("/")[2] for one in mirror.requests if one.path.endswith(".deb")]
        assert made is not None
        return made

    def said(self, *wanted: str) -> Mapping[tuple[str, str], str | None]:
        return {(one.package, one.names[0]): one.ranges[0].fixed for one in self.feed(*wanted).advisories}


def _with(distribution: Distribution, upstream: DebUpstream) -> Distribution:
    from dataclasses import replace  # noqa: PLC0415

    return replace(distribution, upstreams={"test": upstream})


@pytest.fixture(scope="module")
def key() -> Tsk:
    return signing_key()


@pytest.fixture
def shop(tmp_path: Path, key: Tsk) -> Iterator[Shop]:
    shop = Shop(tmp_path, key)
    shop.add(
        deb("expat", "2.7-1+deb13u2", changelog("expat", ("2.7-1+deb13u2", "CVE-2026-0001"))),
        deb("libexpat1", "2.7-1+deb13u2", None, source="expat", usr__lib__x=padding(200_000)),
    )
    shop.add(deb("zlib1g", "1.3-1", changelog("zlib", ("1.3-1", "New")), source="zlib"), suite="stable")
    shop.publish()
    return shop


def test_the_feed_says_what_the_security_pocket_mends(shop: Shop) -> None:
    feed = shop.feed()
    (one,) = feed.advisories
    assert (one.id, one.package, one.cves, one.ranges[0].fixed) == (
        *("OWN-CVE-2026-0001-expat", "expat"),
        ("CVE-2026-0001",),
        "2.7-1+deb13u2",
    )
    assert (feed.ecosystem, feed.dated, feed.covers) == ("Debian:13", NOW, frozenset({"expat", "zlib"}))
    assert "stable-security of" in feed.provenance


def test_one_package_a_source_is_fetched_the_smallest(shop: Shop) -> None:
    requests: list[str] = []
    shop.feed(requests=requests)
    assert [one.partition("_")[0] for one in requests] == ["expat"]


def test_a_second_time_nothing_is_fetched_and_a_days_update_is_what_is_new(shop: Shop) -> None:
    shop.feed()
    again: list[str] = []
    shop.feed(requests=again)
    assert again == []
    shop.add(deb("curl", "8.14-1+deb13u1", changelog("curl", ("8.14-1+deb13u1", "CVE-2026-0009"))))
    shop.publish()
    assert shop.said()["curl", "CVE-2026-0009"] == "8.14-1+deb13u1"
    more: list[str] = []
    shop.add(deb("wget", "1.25-1+deb13u1", changelog("wget", ("1.25-1+deb13u1", "CVE-2026-0010"))))
    shop.publish()
    shop.feed(requests=more)
    assert len(more) == 1
    assert more[0].startswith("wget_")


def test_a_folder_that_is_a_link_leads_to_the_package_with_the_changelog(shop: Shop) -> None:
    """As the packages of linux, php and openjdk have it."""
    shop.add(
        Deb(
            "bpftool",
            "6.12-1",
            "amd64",
            {"Source": "linux"},
            {"usr/share/doc/bpftool": "->linux-libc-dev", "usr/share/doc/x/y": "z"},
        ),
        deb(
            "linux-libc-dev",
            "6.12-1",
            changelog("linux", ("6.12-1", "CVE-2026-0002")),
            source="linux",
            usr__a=padding(9000),
        ),
        deb("linux-source", "6.12-1", None, source="linux", usr__a=padding(5000)),
    )
    shop.publish()
    requests: list[str] = []
    feed = shop.feed(requests=requests)
    assert {one.package for one in feed.advisories} == {"expat", "linux"}
    assert not any(one.startswith("linux-source") for one in requests)


def test_a_changelog_that_is_a_link_into_another_package_is_followed(shop: Shop) -> None:
    shop.add(
        deb(
            "php-a",
            "8.4-1",
            None,
            source="php",
            **{"usr__share__doc__php-a__changelog.Debian.gz": "->../php-b/changelog.Debian.gz"},
        ),
        deb("php-b", "8.4-1", changelog("php", ("8.4-1", "CVE-2026-0003")), source="php", usr__a=padding(9000)),
    )
    shop.publish()
    assert shop.said()["php", "CVE-2026-0003"] == "8.4-1"


def test_where_no_package_has_a_changelog_that_is_a_doubt_and_no_silence(shop: Shop) -> None:
    shop.add(deb("mute", "1-1", None))
    shop.publish()
    assert shop.feed().doubts == (f"no package of mute 1-1 ({SECURITY}) has a changelog",)


def test_a_pocket_that_is_older_than_the_release_does_not_hide_what_that_mends(shop: Shop) -> None:
    """glibc in bookworm: u10 in the security pocket, u14 in the release."""
    old = changelog("glibc", ("2.41-12+deb13u1", "CVE-2026-0004"))
    new = changelog("glibc", ("2.41-12+deb13u3", "CVE-2026-0005"), suite="stable")
    shop.add(deb("libc6", "2.41-12+deb13u1", old, source="glibc"))
    shop.add(deb("libc6", "2.41-12+deb13u3", new, source="glibc"), suite="stable")
    shop.publish()
    said_of = shop.said()
    assert said_of["glibc", "CVE-2026-0004"] == "2.41-12+deb13u1"
    assert said_of["glibc", "CVE-2026-0005"] == "2.41-12+deb13u3"


def test_the_highest_version_over_all_pockets_counts(shop: Shop) -> None:
    shop.add(deb("a", "1-1+deb13u1", changelog("a", ("1-1+deb13u1", "CVE-2026-0006"))))
    shop.add(deb("a", "1-1+deb13u2", changelog("a", ("1-1+deb13u2", "CVE-2026-0006"))), suite="stable")
    shop.publish()
    assert shop.said()["a", "CVE-2026-0006"] == "1-1+deb13u2"


def test_stable_updates_are_read_when_somebody_asks_and_then_for_good(shop: Shop) -> None:
    update = changelog("bash", ("5.2-3+deb13u1", "CVE-2026-0007"), suite="stable")
    shop.add(deb("bash", "5.2-3+deb13u1", update), suite="stable")
    shop.publish()
    assert ("bash", "CVE-2026-0007") not in shop.said()
    kept = Kept.find(shop.upstream, shop.store)
    assert kept is not None
    assert kept.lacks({"bash", "zlib"})
    assert not kept.lacks({"zlib"})
    assert shop.said("bash", "zlib")["bash", "CVE-2026-0007"] == "5.2-3+deb13u1"
    assert ("bash", "CVE-2026-0007") in shop.said()


def test_candidates_are_what_a_newer_release_mends_in_the_sources_that_are_asked_about(shop: Shop) -> None:
    text = changelog("bash", ("5.3-2", "CVE-2026-0011"), ("5.3-1", "8 security fixes"))
    shop.add(deb("bash", "5.3-2", text), suite="stable")
    shop.publish()
    feed = shop.feed("bash", candidates=True)
    assert feed is not None
    assert feed.kind is Kind.CANDIDATES
    assert [(one.package, one.cves) for one in feed.advisories] == [("bash", ("CVE-2026-0011",))]
    assert feed.covers is None
    assert Kept.find(shop.upstream, shop.store) is None, "it would answer for the archive's own feed"
    assert Kept.find(shop.upstream, shop.store, candidates=True) is not None


def test_an_upload_without_a_cve_has_an_id_of_our_own(shop: Shop) -> None:
    shop.add(deb("redis", "8.0-1+deb13u1", changelog("redis", ("8.0-1+deb13u1", "GHSA-abcd-2345-wxyz"))))
    shop.publish()
    one = next(one for one in shop.feed().advisories if one.package == "redis")
    assert one.names == ("OWN-redis-8.0-1+deb13u1",)
    assert "GHSA-abcd-2345-wxyz" in one.summary


def test_a_native_package_has_its_one_changelog(shop: Shop) -> None:
    shop.add(deb("dpkg", "1.22.21", changelog("dpkg", ("1.22.21", "CVE-2026-0008"))))
    shop.publish()
    assert shop.said()["dpkg", "CVE-2026-0008"] == "1.22.21"


def test_signed_forms_are_known_by_what_they_were_built_from(shop: Shop) -> None:
    fields = {"Source": "shim-signed (1.51)", "Built-Using": "shim (= 16.1-2)"}
    shop.add(Deb("shim-signed", "1.51+16.1-2", "amd64", fields))
    shop.publish()
    feed = shop.feed()
    assert feed.aliases == {("shim-signed", "1.51"): ("shim", "16.1-2")}
    assert not feed.doubts


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (gzip.compress(b"\0" * (65 << 20), mtime=0), "unpacks to more than"),
        (b"\x1f\x8b\x08\x00 no gzip at all", "is damaged"),
        (b"plain text in a .gz", "is damaged"),
        (gzip.compress(changelog("bomb", ("1-1", "CVE-2026-0001")), mtime=0)[:-9], "is damaged"),
    ],
)
def test_a_hostile_changelog_ends_the_feed(shop: Shop, content: bytes, wrong: str) -> None:
    shop.add(Deb("bomb", "1-1", "amd64", {}, {"usr/share/doc/bomb/changelog.Debian.gz": content}))
    shop.publish()
    with pytest.raises(IntegrityError, match=wrong) as caught:
        shop.feed()
    assert "bomb" in said(caught.value)


def test_a_package_that_is_not_the_signed_one_ends_the_feed(shop: Shop) -> None:
    with Mirror({"debian": shop.archive}) as mirror:
        mirror.fault("debian/pool/*", Fault(flip=True))
        with pytest.raises(IntegrityError):
            shop.feed_from(mirror)


def test_a_package_that_climbs_out_of_its_root_ends_the_feed(shop: Shop) -> None:
    shop.add(Deb("climber", "1-1", "amd64", {}, {"../../etc/passwd": "root"}))
    shop.publish()
    with pytest.raises(IntegrityError, match="climber"):
        shop.feed()


def test_an_archive_that_names_nothing_is_no_feed(tmp_path: Path, key: Tsk) -> None:
    shop = Shop(tmp_path, key)
    shop.add(deb("a", "1-1", changelog("a", ("1-1", "New"), suite="unstable")))
    shop.publish()
    with pytest.raises(FindingError, match="name no vulnerability"):
        shop.feed()


def test_the_age_is_that_of_the_oldest_pocket(shop: Shop) -> None:
    old = NOW - dt.timedelta(days=9)
    shop.archive.publish([shop.key], suite=SECURITY, date=old)
    assert shop.feed().dated == old


def test_what_other_code_made_is_made_anew(shop: Shop) -> None:
    shop.feed()
    label = "advisories of test"
    remembered = shop.store.recall(label)
    assert remembered is not None
    assert Kept.find(shop.upstream, shop.store) is not None
    shop.store.remember(label, {**remembered, "maker": "0" * 64})
    assert Kept.find(shop.upstream, shop.store) is None


def _another_suite(upstream: DebUpstream) -> DebUpstream:
    return upstream.model_copy(update={"suites": (upstream.suites[0],)})


def _another_release(upstream: DebUpstream) -> DebUpstream:
    return upstream.model_copy(update={"ecosystem": "Debian:14"})


def _another_keyring(upstream: DebUpstream) -> DebUpstream:
    other = upstream.keyring_file.with_name("other.asc")
    other.write_bytes(upstream.keyring_file.read_bytes() + b"\n")
    return upstream.model_copy(update={"keyring_file": other})


@pytest.mark.parametrize("changed", [_another_suite, _another_release, _another_keyring])
def test_the_feed_of_another_definition_of_that_name_is_none(
    shop: Shop, changed: Callable[[DebUpstream], DebUpstream]
) -> None:
    shop.feed()
    assert Kept.find(shop.upstream, shop.store) is not None
    assert Kept.find(changed(shop.upstream), shop.store) is None


def test_a_signed_form_has_the_changelog_read_of_what_it_is_made_from(shop: Shop) -> None:
    update = changelog("shim", ("15.8-1+deb13u1", "CVE-2026-0013"), suite="stable")
    shop.add(deb("shim-unsigned", "15.8-1+deb13u1", update, source="shim"), suite="stable")
    signed = Deb("shim-signed", "1.47+15.8-1+deb13u1", "amd64", {"Built-Using": "shim (= 15.8-1+deb13u1)"}, {})
    shop.add(signed, suite="stable")
    shop.publish()
    assert ("shim", "CVE-2026-0013") not in shop.said()
    kept = Kept.find(shop.upstream, shop.store)
    assert kept is not None
    assert kept.lacks({"shim-signed"})
    assert ("shim", "CVE-2026-0013") in shop.said("shim-signed")
