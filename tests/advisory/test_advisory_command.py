# SPDX-License-Identifier: Apache-2.0
"""`zaffre scan` as it is typed: an archive on the loopback, a distribution derived from it, and its packages."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from records import feed, fixed, installed, statement, subject
from subjects import locked, package

from support.repository import NOW, Archive, Deb, Fault, Mirror, keyring, signing_key
from support.shell import Shell
from zaffre.advisory.page import page
from zaffre.advisory.picture import picture
from zaffre.advisory.report import Bucket
from zaffre.advisory.sarif import sarif_text
from zaffre.advisory.scan import Known, scan
from zaffre.definition.starter import init_distribution
from zaffre.store import Store
from zaffre.upstream import save_lock

FIX = "expat (2.7-1+deb13u2) trixie-security; urgency=high\n\n  * CVE-2026-1000\n\n -- A <a@b.example>  then\n"
UPSTREAM = """\
family = "deb"
keyring = "keyrings/test.asc"
architectures = ["amd64", "arm64"]
ecosystem = "Debian:13"
[[suites]]
archive = "debian"
suite = "trixie"
components = ["main"]
[[suites]]
archive = "debian"
suite = "trixie-security"
components = ["main"]
[archives.debian]
path = "debian"
"""


class House:
    """A distribution, its archive and a root; `scan` is the command."""

    def __init__(self, folder: Path, shell: Shell, mirror: Mirror) -> None:
        self.folder, self.shell, self.mirror = folder, shell, mirror
        self.distro = folder / "own"

    def words(self, *words: object) -> list[object]:
        places = ["--distro", self.distro, "--store", self.folder / "store", "--mirror", f"{self.mirror.url}/debian"]
        return [*places, "-q", "scan", *words]

    def __call__(self, *words: object) -> int:
        return self.shell(*self.words(*words))


@pytest.fixture
def house(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[House]:
    key = signing_key()
    archive = Archive()
    archive.add(Deb("base-files", "13", "amd64"), suite="trixie")
    text = gzip.compress(FIX.encode(), mtime=0)
    files = {"usr/share/doc/libexpat1/changelog.Debian.gz": text}
    archive.add(Deb("libexpat1", "2.7-1+deb13u2", "amd64", {"Source": "expat"}, files), suite="trixie-security")
    for suite in ("trixie", "trixie-security"):
        archive.publish([key], suite=suite)
    init_distribution(tmp_path / "own", id="own", name="Own Linux")
    (tmp_path / "own/upstreams/debian.toml").write_text(UPSTREAM)
    (tmp_path / "own/upstreams/keyrings/test.asc").write_bytes(keyring(key))
    with Mirror({"debian": archive}) as mirror:
        house = House(tmp_path, Shell(capsys), mirror)
        lock(house, "2.7-1+deb13u1")
        yield house


def lock(house: House, version: str) -> None:
    one = package("libexpat1", version, "expat", version)
    base = package("base-files", "13", "base-files", "13")
    save_lock(locked(("node", "debian", (one, base))), house.distro / "zaffre.lock")


def test_a_fix_that_is_available_is_a_finding(house: House) -> None:
    assert house(house.distro) == 1
    assert "A fix is available: 1 vulnerability in 1 source" in house.shell.out
    assert "CVE-2026-1000" in house.shell.out
    assert "2.7-1+deb13u2" in house.shell.out
    assert "1 with a fix available; 0 known ones are mended" in house.shell.out
    lock(house, "2.7-1+deb13u2")
    assert house(house.distro) == 0
    assert "none is known to be open; 1 known ones are mended" in house.shell.out


def test_the_result_as_json_has_all_of_it(house: House) -> None:
    report = house.shell.json(*house.words(house.distro), code=1)
    (one,) = report["findings"]
    assert (one["vulnerability"], one["records"], one["bucket"]) == (
        *("CVE-2026-1000", ["OWN-CVE-2026-1000-expat"]),
        "fix-available",
    )
    assert one["packages"][0]["images"] == ["node"]
    assert report["feeds"][0]["age_hours"] < 1
    assert report["subjects"][0]["uncovered"] == []


def test_the_archive_is_asked_once_and_then_the_store(house: House) -> None:
    house(house.distro)
    asked = len(house.mirror.requests)
    house(house.distro)
    assert len(house.mirror.requests) == asked
    house(house.distro, "--update")
    assert len(house.mirror.requests) > asked
    house.mirror.fault("debian/*", Fault(status=404))
    assert house(house.distro, "--offline") == 1
    assert house(house.distro, "--update") == 1, "an answer that is not stale is better than none"


def test_an_upstream_that_does_not_say_what_others_call_it_has_its_own_feed_all_the_same(house: House) -> None:
    file = house.distro / "upstreams/debian.toml"
    file.write_text(file.read_text().replace('ecosystem = "Debian:13"\n', ""))
    assert house(house.distro) == 1
    assert "CVE-2026-1000" in house.shell.out


def test_where_another_feed_speaks_of_it_a_missing_archive_is_told(house: House) -> None:
    path = house.folder / "extra.json"
    path.write_text(json.dumps(osv_record(dt.datetime.now(dt.UTC).isoformat())))
    assert house(house.distro, "--offline", "--feed", path) == 0
    assert "note: the archive's own feed of 'debian' is missing" in house.shell.out
    assert "Waiting for the upstream: 1 vulnerability" in house.shell.out


def test_a_feed_that_names_none_of_the_packages_is_no_substitute_for_the_archive(house: House) -> None:
    path = house.folder / "extra.json"
    record = json.dumps(osv_record(dt.datetime.now(dt.UTC).isoformat()))
    path.write_text(record.replace("expat", "another"))
    assert house(house.distro, "--offline", "--feed", path) == 1
    assert "the store has no feed of 'debian'" in house.shell.err
    assert "none is known to be open" not in house.shell.out


def test_what_an_address_has_of_secrets_is_in_no_report(house: House) -> None:
    data = json.dumps(osv_record(dt.datetime.now(dt.UTC).isoformat())).encode()
    url = "https://user:secret@feeds.example/osv.json?token=secret"
    store = Store(house.folder / "store")
    store.remember(f"feed {url}", {"data": store.add_bytes(data)})
    sarif, html = house.folder / "a.sarif", house.folder / "a.html"
    assert house(house.distro, "--offline", "--feed", url, "--sarif", sarif, "--html", html) == 0
    main = house.distro / "zaffre.toml"
    main.write_text(f'{main.read_text()}\n[[advisories.feeds]]\nkind = "osv"\nurl = "{url}"\n')
    told = house.shell.out + sarif.read_text() + html.read_text()
    assert house(house.distro, "--offline") == 0
    told += house.shell.out
    assert "https://feeds.example/osv.json" in told
    assert "secret" not in told
    store.remember(f"feed {url}", {"data": store.add_bytes(b"{")})
    assert house(house.distro, "--offline") == 2
    assert "secret" not in house.shell.err


@pytest.mark.parametrize("days", [0, 36501, 9999999999])
def test_ages_that_no_calendar_has_are_refused(house: House, days: int) -> None:
    assert house(house.distro, "--offline", "--max-feed-age", days) == 2
    assert "--max-feed-age" in house.shell.err
    main = house.distro / "zaffre.toml"
    text = main.read_text()
    for place in ("[advisories]", '[[advisories.feeds]]\nkind = "kev"\nfile = "x.json"'):
        main.write_text(f"{text}\n{place}\nmax_age_days = {days}\n")
        assert house(house.distro, "--offline") == 2
        assert "max_age_days" in house.shell.err


def osv_record(modified: str) -> dict[str, object]:
    return {
        "id": "DEBIAN-CVE-2026-2000",
        "modified": modified,
        "upstream": ["CVE-2026-2000"],
        "affected": [
            {
                "package": {"ecosystem": "Debian:13", "name": "expat"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }


def test_candidates_come_of_an_upstream_that_is_named(house: House) -> None:
    main = house.distro / "zaffre.toml"
    text = main.read_text()
    main.write_text(f'{text}\n[advisories]\ncandidates = "sid"\n')
    assert house(house.distro) == 2
    assert "there is no upstream 'sid'" in house.shell.err
    lock(house, "2.7-1")
    upstreams = house.distro / "upstreams"
    newer = UPSTREAM.replace('suite = "trixie"', 'suite = "trixie-security"', 1).replace(
        'ecosystem = "Debian:13"\n', ""
    )
    first, _, _ = newer.rpartition("[[suites]]")
    (upstreams / "sid.toml").write_text(f'{first}[archives.debian]\npath = "debian"\n')
    older = UPSTREAM.replace('[[suites]]\narchive = "debian"\nsuite = "trixie-security"\ncomponents = ["main"]\n', "")
    (upstreams / "debian.toml").write_text(older)
    path = house.folder / "extra.json"
    path.write_text(json.dumps(osv_record(dt.datetime.now(dt.UTC).isoformat())))
    main.write_text(f'{text}\n[advisories]\ncandidates = "sid"\n')
    assert house(house.distro, "--feed", path) == 0
    assert "CVE-2026-1000 in expat: newer changelogs of sid: mended in 2.7-1+deb13u2" in house.shell.out


def test_without_a_feed_there_is_no_result(house: House) -> None:
    assert house(house.distro, "--offline") == 1
    assert "run it once without --offline" in house.shell.err
    house.mirror.fault("debian/*", Fault(status=404))
    assert house(house.distro) == 3
    assert "findings" not in house.shell.out


def test_a_root_of_another_distribution_has_no_result(house: House) -> None:
    root = house.folder / "root"
    (root / "etc").mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    (root / "var/lib/dpkg/status").write_text(
        "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
    )
    assert house(root) == 1
    assert "no feed speaks of" in house.shell.err
    (root / "etc/os-release").write_text("ID=own\nDEBIAN_CODENAME=trixie\n")
    assert house(root) == 0


def test_a_statement_of_the_owner_takes_the_finding_away(house: House) -> None:
    (house.distro / "vex").mkdir()
    today = dt.datetime.now(dt.UTC).date()
    file = house.distro / "vex/expat.toml"
    text = (
        'vulnerability = "CVE-2026-1000"\npackages = ["expat"]\nstatus = "accepted"\nreason = "nothing parses"\n'
        f'evidence = ["https://vex.example/1"]\nauthor = "Ada"\nsince = {today - dt.timedelta(days=2)}\n'
    )
    file.write_text(f"{text}expires = {today + dt.timedelta(days=30)}\n")
    assert house(house.distro) == 0
    assert "Accepted until a day: 1 vulnerability" in house.shell.out
    assert house(house.distro, "--no-statements") == 1
    file.write_text(f"{text}expires = {today}\n")
    assert house(house.distro) == 1
    assert "a statement has expired" in house.shell.err
    file.write_text(f"{text}expires = {today + dt.timedelta(days=30)}\n".replace('["expat"]', '["libexpat1"]'))
    assert house(house.distro) == 1
    assert "a statement matches nothing" in house.shell.err


def test_feeds_are_added_by_the_line_and_by_the_definition(house: House) -> None:
    modified = dt.datetime.now(dt.UTC).isoformat()
    record = osv_record(modified)
    path = house.distro / "extra.json"
    path.write_text(json.dumps(record))
    kev = house.folder / "kev.json"
    entry = {"cveID": "CVE-2026-1000", "dueDate": "2026-12-01"}
    kev.write_text(
        json.dumps({"catalogVersion": "1", "dateReleased": modified, "count": 1, "vulnerabilities": [entry]})
    )
    assert house(house.distro, "--feed", path, "--feed", kev) == 1
    assert "Waiting for the upstream: 1 vulnerability" in house.shell.out
    assert "CVE-2026-1000 is being exploited (CISA: to be mended by 2026-12-01)" in house.shell.out
    main = house.distro / "zaffre.toml"
    main.write_text(main.read_text() + '\n[[advisories.feeds]]\nkind = "osv"\nfile = "extra.json"\n')
    assert house(house.distro) == 1
    assert "CVE-2026-2000" in house.shell.out
    path.write_text(json.dumps({**record, "modified": "2020-01-01T00:00:00Z"}))
    assert house(house.distro) == 1
    assert "days old, and may be 7" in house.shell.err


def test_what_is_nothing_that_can_be_scanned_is_wrong_use(house: House) -> None:
    assert house("nowhere") == 2
    assert house(house.distro, "--compare", "windows") == 2


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_reports_are_written_beside(house: House) -> None:
    html, sarif = house.folder / "scan.html", house.folder / "scan.sarif"
    assert house(house.distro, "--html", html, "--sarif", sarif) == 1
    tags = _Tags()
    tags.feed(html.read_text())
    assert {"svg", "table"} <= tags.seen
    assert tags.loaded == [], "nothing is loaded from anywhere"
    run = json.loads(sarif.read_text())["runs"][0]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "CVE-2026-1000"


def test_what_feeds_say_is_text_to_a_page() -> None:
    evil = "<script>alert(1)</script>"
    known = Known((feed(fixed("CVE-2026-1", "x", "2", summary=evil), name=evil, provenance=evil),))
    report = scan([subject(installed("x", "1", within=(evil,)), title=evil)], known, now=NOW)
    tags = _Tags()
    tags.feed(page(report))
    assert "script" not in tags.seen


def test_a_picture_has_a_bar_for_each_source_and_one_for_the_rest() -> None:
    sources = [f"s{number:02}" for number in range(30)]
    advisories = [fixed("CVE-2026-1", name, "2") for name in sources]
    report = scan([subject(*(installed(name, "1") for name in sources))], Known((feed(*advisories),)), now=NOW)
    words = [one.text for one in ET.fromstring(picture(report)).iter() if one.tag.endswith("text")]
    assert "11 more sources" in words
    assert sum(word in sources for word in words) == 19


def test_sarif_tells_what_was_said_of_a_finding_as_a_suppression() -> None:
    known = Known((feed(fixed("CVE-2026-1", "openssl", "2")),), statements=(statement(),))
    report = scan([subject(installed("openssl", "1"))], known, now=NOW)
    assert report.of(Bucket.NOT_AFFECTED)
    (result,) = json.loads(sarif_text(report))["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "it is built without it (vex/one.toml)"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "openssl"
