# SPDX-License-Identifier: Apache-2.0
"""The advisories that RPM repositories publish with their packages, as the default feed of an RPM upstream."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from records import installed, subject

from support.repository import NOW, signing_key
from support.rpm_shop import RpmShop, rpm_shop
from support.upstreams import QUICK
from zaffre.advisory.archive.kept import Kept
from zaffre.advisory.archive.renew import Renewal
from zaffre.advisory.matching import match
from zaffre.advisory.model import Feed
from zaffre.advisory.subjects.platforms import platform_of
from zaffre.definition import load_distribution, reference_root
from zaffre.errors import IntegrityError

WEEK = dt.timedelta(days=7)
UPDATEINFO = b"""<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update type="security"><id>TEST-2026-1</id><title>app 1.1</title><severity>Important</severity>
    <references><reference href="https://test.example/" id="CVE-2026-1000" title="a hole" type="cve"/></references>
    <pkglist><collection short="T">
      <package name="app" version="1.1" release="1" epoch="0" arch="x86_64"><filename>a.rpm</filename></package>
      <package name="libgreet" version="2.2" release="1" epoch="1" arch="noarch"><filename>b.rpm</filename></package>
    </collection></pkglist>
  </update>
  <update type="security"><id>TEST-2026-2</id><title>a hole without a name</title>
    <pkglist><collection short="T">
      <package name="tool" version="2" release="1" epoch="0" arch="x86_64"><filename>t.rpm</filename></package>
    </collection></pkglist>
  </update>
  <update type="bugfix"><id>TEST-2026-3</id><title>no hole</title>
    <pkglist><collection short="T">
      <package name="nice" version="9" release="1" epoch="0" arch="x86_64"><filename>n.rpm</filename></package>
    </collection></pkglist>
  </update>
</updates>
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RpmShop]:
    with rpm_shop(tmp_path, signing_key(), {}) as shop:
        yield shop


def read(shop: RpmShop) -> Feed | None:
    renewal = Renewal(load_distribution(reference_root()), shop.mirrors(), shop.store, {}, limits=QUICK)
    return renewal.feed(shop.upstream(), "amd64", wanted=(), now=NOW + dt.timedelta(minutes=1), max_age=WEEK)


def test_what_a_repository_says_that_its_updates_mend(shop: RpmShop) -> None:
    shop.repository.publish([shop.key], extra={"updateinfo": UPDATEINFO})
    feed = read(shop)
    assert feed is not None
    assert [(one.id, one.package, one.cves, one.ranges[0].fixed, one.severity) for one in feed.advisories] == [
        ("TEST-2026-1", "app", ("CVE-2026-1000",), "1.1-1", "high"),
        ("TEST-2026-1", "libgreet", ("CVE-2026-1000",), "1:2.2-1", "high"),
        ("TEST-2026-2", "tool", (), "2-1", "unknown"),
    ]
    packages = (installed("app", "1.0-1"), installed("libgreet", "1:2.2-1", "greet"), installed("tool", "1-1"))
    found = match(subject(*packages, platform=platform_of(shop.upstream())), [feed]).findings
    assert [(one.vulnerability, one.source) for one in found] == [("CVE-2026-1000", "app"), ("TEST-2026-2", "tool")]


def test_a_repository_that_publishes_none_has_no_feed_and_is_not_asked_again(shop: RpmShop) -> None:
    assert read(shop) is None
    kept = Kept.find(shop.upstream(), shop.store)
    assert kept is not None
    assert kept.feed(WEEK) is None


def test_hostile_advisories_end_the_feed(shop: RpmShop) -> None:
    shop.repository.publish([shop.key], extra={"updateinfo": b'<!DOCTYPE x [<!ENTITY a "b">]><updates/>'})
    with pytest.raises(IntegrityError):
        read(shop)
