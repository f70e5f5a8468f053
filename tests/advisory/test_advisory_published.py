# SPDX-License-Identifier: Apache-2.0
"""Our own feeds: read back by our readers and by Trivy, and verified where they lie."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from packageurl import PackageURL
from records import AZURE, DEBIAN, NOW, WEEK, feed, fixed, installed, statement, subject

from support.bills import bill, package
from support.scanners import Found, trivy, trivy_with
from zaffre.advisory.formats import Document, read_feed
from zaffre.advisory.model import Feed, Kind, Range
from zaffre.advisory.published import INDEX, index_of, publish_feed, verify_feed
from zaffre.advisory.report import Bucket
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.statements import Claims
from zaffre.advisory.subject import Installed, Platform
from zaffre.advisory.writing.bolt import bolt_bytes
from zaffre.advisory.writing.feed import osv_zip, own_feeds, trivy_files
from zaffre.advisory.writing.openvex import openvex_text
from zaffre.bill import DEB_PURLS, RPM_PURLS, BillSystem, PurlForm
from zaffre.definition import FeedKind
from zaffre.digest import JSON
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.place.folder import Folder
from zaffre.trust import Keys, Role
from zaffre.trust.generate import init_keys
from zaffre.trust.provenance import envelope
from zaffre.trust.sbom import cyclonedx_text
from zaffre.trust.sbom.purl import binary_purl

FACTS = (
    fixed("CVE-2026-1001", "openssl", "3.5-1+deb13u1"),
    fixed("CVE-2026-1002", "openssl", None),
    fixed("CVE-2026-1003", "zlib", "1:1.3-2"),
    fixed("CVE-2026-1004", "unlocked", "2"),
)
SOURCES = {"openssl", "zlib"}
SSL = installed("libssl3", "3.5-1", "openssl")
ZLIB = installed("zlib1g", "1:1.3-1", "zlib")


def document(data: bytes) -> Document:
    return Document("ours", data, WEEK, None)


def test_osv_gives_the_verdicts_of_the_feed_that_it_was_made_of() -> None:
    first = feed(*FACTS)
    data = osv_zip([first], SOURCES)
    assert data == osv_zip([feed(*reversed(FACTS))], SOURCES)
    (told,) = read_feed(document(data), FeedKind.OSV, now=NOW)
    assert isinstance(told, Feed)
    assert {one.package for one in told.advisories} == SOURCES

    def verdicts(known: Feed) -> set[tuple[str, str, str | None]]:
        report = scan([subject(SSL, ZLIB)], Known((known,)), now=NOW)
        return {(one.vulnerability, one.bucket, one.fixed_version) for one in report.findings}

    assert verdicts(told) == verdicts(first) != set()


def test_osv_of_rpms_is_about_the_binaries_that_the_repository_names_one_record_an_advisory() -> None:
    ranges = (Range(fixed="3.14.1-1.fc43"),)
    names = ("python3", "python3-libs", "python3-unlocked")
    told = [fixed("CVE-2026-1", name, None, id="FEDORA-1", ranges=ranges, binary=True) for name in names]
    known = [
        feed(*some, name=name, kind=Kind.UPDATEINFO, ecosystem=f"Fedora:{release}", family="rpm", dated=dated)
        for name, some, release, dated in (("a", told, 43, NOW - WEEK), ("b", told[:1], 44, NOW), ("c", told, 43, NOW))
    ]
    data = osv_zip(known, {"python3.14"}, {"python3", "python3-libs"})
    assert data == osv_zip([*known[1:], known[0]], {"python3.14"}, {"python3", "python3-libs"})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["FEDORA-1.json"]
        record = json.loads(archive.read("FEDORA-1.json"))
    assert (record["modified"], record["upstream"]) == ("2026-11-26T09:00:00Z", ["CVE-2026-1"])
    assert [(one["package"]["ecosystem"], one["package"]["name"]) for one in record["affected"]] == [
        ("Fedora:43", "python3"),
        ("Fedora:43", "python3-libs"),
        ("Fedora:44", "python3"),
    ]
    read = list(read_feed(document(data), FeedKind.OSV, now=NOW))
    assert [len(one.advisories) for one in read if isinstance(one, Feed)] == [2, 1]
    assert {one.ranges for found in read if isinstance(found, Feed) for one in found.advisories} == {ranges}
    sources = osv_zip([feed(*FACTS)], {"openssl"}, {"zlib"})
    assert sources == osv_zip([feed(*FACTS)], {"openssl"}), "a source is not a binary package of that name"


def test_what_others_published_is_not_published_again() -> None:
    assert own_feeds([feed(kind=Kind.OSV), feed(kind=Kind.CANDIDATES), feed(name="own")]) == (feed(name="own"),)


def test_openvex_says_of_each_binary_what_the_owner_said_of_the_source() -> None:
    told = statement(vulnerability="CVE-2026-1001")
    accepted = statement(
        vulnerability="CVE-2026-1003", packages=("zlib",), status="accepted", justification=None, file="vex/two.toml"
    )
    text = openvex_text([told, accepted], [subject(SSL, ZLIB)], author="Own", namespace="urn:own", at=NOW)
    assert text is not None
    (claims,) = read_feed(document(text.encode()), FeedKind.OPENVEX, now=NOW)
    assert isinstance(claims, Claims)
    assert {(one.vulnerability, one.package, one.version, one.status) for one in claims.claims} == {
        ("CVE-2026-1001", "libssl3", "3.5-1", "not_affected"),
        ("CVE-2026-1003", "zlib1g", "1:1.3-1", "affected"),
    }
    report = scan([subject(SSL)], Known((feed(*FACTS),), claims=(claims,)), now=NOW)
    assert [one.vulnerability for one in report.of(Bucket.NOT_AFFECTED)] == ["CVE-2026-1001"]
    elsewhere = statement(images=("server",))
    assert openvex_text([elsewhere], [subject(SSL)], author="Own", namespace="urn:own", at=NOW) is None


def test_openvex_says_what_holds_for_an_image_of_that_image_alone() -> None:
    node, both = subject(SSL), subject(installed("libssl3", "3.5-1", "openssl", within=("node", "server")))
    told = statement(vulnerability="CVE-2026-1001", images=("node",))
    for given in (node, both):
        text = openvex_text([told], [given], author="Own", namespace="urn:own", at=NOW)
        assert text is not None
        (product,) = json.loads(text)["statements"][0]["products"]
        assert product["@id"] == "pkg:oci/node"
        assert [one["@id"] for one in product["subcomponents"]] == ["pkg:deb/debian/libssl3@3.5-1?arch=amd64"]
        claims = [one for one in read_feed(document(text.encode()), None, now=NOW) if isinstance(one, Claims)]

        def cleared(within: tuple[str, ...], said: list[Claims] = claims) -> list[str]:
            mine = subject(installed("libssl3", "3.5-1", "openssl", within=within))
            report = scan([mine], Known((feed(FACTS[0]),), claims=tuple(said)), now=NOW)
            return [one.vulnerability for one in report.of(Bucket.NOT_AFFECTED)]

        assert cleared(("node",)) == ["CVE-2026-1001"]
        assert cleared(()) == cleared(("server",)) == cleared(("node", "server")) == []


@pytest.mark.tools
@pytest.mark.parametrize(("images", "told"), [((), set()), (("node",), {("libssl3", "CVE-2026-1")})])
def test_trivy_leaves_out_what_holds_in_all_images(tmp_path: Path, images: tuple[str, ...], told: Found) -> None:
    made = package("libssl3", version="3.5-1", source="openssl", source_version="3.5-1")
    document, vex = tmp_path / "sbom.cdx.json", tmp_path / "openvex.json"
    document.write_text(cyclonedx_text(bill(made, image="node", system=BillSystem("debian", "13", "Debian"))))
    text = openvex_text([statement(images=images)], [subject(SSL)], author="Own", namespace="urn:own", at=NOW)
    assert text is not None
    vex.write_text(text)
    advisory = fixed("CVE-2026-1", "openssl", "3.5-2")
    assert trivy("sbom", document, [advisory], tmp_path) == {("libssl3", "CVE-2026-1")}
    files = {path.name: path.read_bytes() for path in (tmp_path / "cache/db").iterdir()}
    assert trivy_with("sbom", document, files, tmp_path, vex=vex) == told


@pytest.mark.parametrize(("days", "there"), [(0, False), (1, True)])
def test_openvex_has_no_statement_that_has_expired(days: int, *, there: bool) -> None:
    told = statement(expires=NOW.date() + dt.timedelta(days=days))
    text = openvex_text([told], [subject(SSL)], author="Own", namespace="urn:own", at=NOW)
    assert (text is not None) == there


def products(text: str | None) -> list[PackageURL]:
    assert text is not None
    (said,) = json.loads(text)["statements"]
    return [PackageURL.from_string(one["@id"]) for one in said["products"]]


@pytest.mark.parametrize(
    ("one", "platform", "form", "system"),
    [
        (installed("zlib1g", "1:1.3-1+b1", "zlib"), DEBIAN, DEB_PURLS, "debian"),
        (installed("tzdata", "2026a-1", architecture="all"), DEBIAN, DEB_PURLS, "debian"),
        (installed("vim-data", "2:9.1-1.azl3", architecture="all"), AZURE, RPM_PURLS, "azurelinux"),
        (installed("curl", "0:8.9-1.azl3"), AZURE, RPM_PURLS, "azurelinux"),
    ],
    ids=["deb", "deb-all", "rpm-all", "rpm"],
)
def test_openvex_names_packages_as_our_bills_do(
    one: Installed, platform: Platform, form: PurlForm, system: str
) -> None:
    told = statement(packages=(one.source,))
    found = products(openvex_text([told], [subject(one, platform=platform)], author="Own", namespace="urn:own", at=NOW))
    made = package(one.name, version=one.version, architecture=one.architecture)
    whole = bill(made, purls=form, system=BillSystem(system, "13", "a system"))
    billed = PackageURL.from_string(binary_purl(whole, made))
    # A scanner takes what is named for all that does not say more: https://github.com/openvex/go-vex, PurlMatches.
    assert any(said[:4] == billed[:4] and said.qualifiers.items() <= billed.qualifiers.items() for said in found)


def test_openvex_says_of_a_signed_form_what_the_owner_said_of_what_was_signed() -> None:
    kernel = installed("linux-image-6.12.57+deb13-amd64", "6.12.57-1", "linux-signed-amd64", "6.12.57+1")
    shim = installed("shim-signed", "1.51+16.1-2", "shim-signed", "1.51")
    facts = feed(
        fixed("CVE-2026-1", "linux", "6.12.60-1"),
        fixed("CVE-2026-1", "shim", "16.1-3"),
        aliases={("shim-signed", "1.51"): ("shim", "16.1-2")},
    )
    told = statement(packages=("linux", "shim"))
    report = scan([subject(kernel, shim)], Known((facts,), statements=(told,)), now=NOW)
    assert [one.source for one in report.of(Bucket.NOT_AFFECTED)] == ["linux", "shim"]

    def names(*sources: str) -> list[str]:
        made = openvex_text(
            [statement(packages=sources)],
            [subject(kernel, shim)],
            author="Own",
            namespace="urn:own",
            at=NOW,
            feeds=[facts],
        )
        return [one.name for one in products(made)] if made else []

    assert names("linux", "shim") == [kernel.name, shim.name]
    assert names("linux-signed-amd64", "shim-signed") == [], "a scan does not know it by that name"


def root_with(folder: Path, *packages: Installed) -> Path:
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    (folder / "etc/debian_version").write_text("13.2\n")
    (folder / "var/lib/dpkg/status").write_text(
        "".join(
            f"Package: {one.name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {one.version}\n"
            f"Source: {one.source} ({one.source_version})\n\n"
            for one in packages
        )
    )
    return folder


@pytest.mark.tools
def test_trivy_reads_our_database(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", SSL, ZLIB)
    many = [fixed(f"CVE-2026-{number}", "openssl", "3.5-0") for number in range(20000, 26000)]
    files = trivy_files([feed(*FACTS, *many)], SOURCES, dt.datetime.now(dt.UTC))
    found = trivy_with("rootfs", root, {name.partition("/")[2]: data for name, data in files.items()}, tmp_path / "t")
    assert found == {("libssl3", "CVE-2026-1001"), ("libssl3", "CVE-2026-1002"), ("zlib1g", "CVE-2026-1003")}


@pytest.mark.tools
@pytest.mark.parametrize("kind", ["rootfs", "sbom"])
def test_trivy_leaves_out_what_our_openvex_says_is_not_affected(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        statement(vulnerability="CVE-2026-1001"),
        statement(vulnerability="CVE-2026-1003", packages=("zlib",), file="vex/two.toml"),
    ]
    text = openvex_text(told, [subject(SSL, ZLIB)], author="Own", namespace="urn:own", at=NOW)
    assert text is not None
    (tmp_path / "openvex.json").write_text(text)
    target = tmp_path / "sbom.cdx.json"
    packages = [
        package(one.name, version=one.version, source=one.source, source_version=one.source_version)
        for one in (SSL, ZLIB)
    ]
    target.write_text(cyclonedx_text(bill(*packages)))
    if kind == "rootfs":
        target = root_with(tmp_path / "root", SSL, ZLIB)
    files = trivy_files([feed(*FACTS)], SOURCES, dt.datetime.now(dt.UTC))
    monkeypatch.setenv("TRIVY_VEX", str(tmp_path / "openvex.json"))
    found = trivy_with(kind, target, {name.partition("/")[2]: data for name, data in files.items()}, tmp_path / "t")
    assert found == {("libssl3", "CVE-2026-1002")}


def test_only_debian_s_families_are_in_trivy_s_database() -> None:
    assert trivy_files([feed(*FACTS, ecosystem="Azure Linux:3", family="rpm")], SOURCES, NOW) == {}
    content = {"b": {"k": b"v"}, "a": {}}
    assert bolt_bytes(content) == bolt_bytes(dict(reversed(content.items())))
    assert len(bolt_bytes({})) % 4096 == 0


@pytest.mark.parametrize(
    ("fixes", "highest"),
    [
        (("2-1+deb13u2", "2-1+deb13u1"), "2-1+deb13u2"),
        (("9-1", "10-1"), "10-1"),
        (("1-1", None), ""),
        ((None, "1"), ""),
    ],
)
def test_trivy_s_database_has_the_highest_fix(fixes: tuple[str | None, ...], highest: str) -> None:
    feeds = [feed(fixed("CVE-2026-1", "zlib", one), name=f"feed {number}") for number, one in enumerate(fixes)]
    data = trivy_files(feeds, SOURCES, NOW)["trivy/trivy.db"]
    assert re.findall(rb'"FixedVersion": "([^"]*)"', data) == [highest.encode()]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("feeds") / "keys", owner="Own", now=dt.datetime.now(dt.UTC))


def publish(keys: Keys, folder: Path, files: Mapping[str, bytes], at: dt.datetime = NOW) -> None:
    def seal(said: Mapping[str, JSON]) -> bytes:
        return envelope(said, keys.release_signer(), key="a")

    publish_feed(Folder(folder), index_of(files, distribution="own", at=at), files, seal, key_of(keys))


def key_of(keys: Keys) -> ec.EllipticCurvePublicKey:
    key = keys.certificates[Role.RELEASE].public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def verified(keys: Keys, folder: Path, now: dt.datetime = NOW) -> list[str]:
    return [one.name for one in verify_feed(Folder(folder), key_of(keys), now=now, max_age=WEEK).files]


def test_what_is_published_is_verified_and_the_state_before_stays_readable(keys: Keys, tmp_path: Path) -> None:
    publish(keys, tmp_path, {"osv.zip": b"one", "advisories/a.json": b"a"})
    assert verified(keys, tmp_path) == ["advisories/a.json", "osv.zip"]
    first = (tmp_path / INDEX).read_bytes()
    publish(keys, tmp_path, {"osv.zip": b"two"})
    second = (tmp_path / INDEX).read_bytes()
    (tmp_path / INDEX).write_bytes(first)
    assert verified(keys, tmp_path) == ["advisories/a.json", "osv.zip"], "who has just read the list finds its files"
    (tmp_path / INDEX).write_bytes(second)
    publish(keys, tmp_path, {"osv.zip": b"three"})
    assert len(list((tmp_path / "files").rglob("osv.zip"))) == 2
    assert verified(keys, tmp_path) == ["osv.zip"]


def test_a_feed_that_does_not_hold_is_refused(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no feed is published"):
        verified(keys, tmp_path)
    publish(keys, tmp_path, {"osv.zip": b"one"})
    with pytest.raises(FindingError, match="8 days old"):
        verified(keys, tmp_path, NOW + dt.timedelta(days=8))
    assert verified(keys, tmp_path, NOW - dt.timedelta(minutes=9))
    with pytest.raises(FindingError, match="in the future"):
        verified(keys, tmp_path, NOW - dt.timedelta(minutes=11))
    (file,) = (tmp_path / "files").rglob("osv.zip")
    file.write_bytes(b"two")
    with pytest.raises(IntegrityError, match="not the one"):
        verified(keys, tmp_path)
    file.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        verified(keys, tmp_path)
    other = init_keys(tmp_path / "keys", owner="Eve", now=dt.datetime.now(dt.UTC))
    with pytest.raises(IntegrityError, match="release key"):
        verify_feed(Folder(tmp_path), key_of(other), now=NOW, max_age=WEEK)
    with pytest.raises(IntegrityError, match="release key"):
        publish(other, tmp_path, {"osv.zip": b"evil"})


def test_a_list_can_not_lead_out_of_its_place(keys: Keys, tmp_path: Path) -> None:
    index = index_of({"osv.zip": b"one"}, distribution="own", at=NOW)
    (one,) = index.files
    for path in (f"files/{one.sha256}/../../etc", "/etc/passwd", f"files/{one.sha256}//x"):
        said: dict[str, JSON] = {
            "predicateType": "urn:x-zaffre:feed:1",
            "predicate": {
                "distribution": "own",
                "made": NOW.isoformat(),
                "files": [{"name": "osv.zip", "path": path, "sha256": one.sha256, "size": 3}],
            },
        }
        (tmp_path / INDEX).write_bytes(envelope(said, keys.release_signer(), key="a"))
        with pytest.raises(IntegrityError):
            verified(keys, tmp_path)


def test_records_are_one_file_each(tmp_path: Path) -> None:
    path = tmp_path / "osv.zip"
    path.write_bytes(osv_zip([feed(*FACTS)], SOURCES))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert json.loads(archive.read(names[0]))["upstream"] == ["CVE-2026-1001"]
