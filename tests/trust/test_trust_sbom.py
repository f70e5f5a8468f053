# SPDX-License-Identifier: Apache-2.0
"""Bills written down: valid by the official schemas, the same each time, and read rightly by who reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from support.bills import bill, digest, faults, file, package, seen_by_trivy
from zaffre.bill import DEB_PURLS, RPM_PURLS, BillLicence, BillSystem, Origin, PurlForm
from zaffre.trust.sbom import cyclonedx_text, spdx_text
from zaffre.trust.sbom.purl import binary_purl, parts, source_purl

WRITERS = {"cyclonedx": cyclonedx_text, "spdx": spdx_text}

WHOLE = bill(
    package("libc6", version="2.41-12", source="glibc", source_version="2.41-12"),
    package("bsdutils", version="1:2.41-5+b2", source="util-linux", source_version="2.41-5"),
    package("login", version="1:4.16.0-2+really2.41", source="util-linux", source_version="1:2.41-5"),
    package("containerd", version="1.7.24-1+z1", built=True, licence=BillLicence()),
    package("probe", installed=False, suite=""),
    files=(
        file("/usr/lib/libc.so.6", "libc6"),
        file("/usr/bin/a file", "bsdutils"),
        file("/etc/motd", None, Origin.DEFINITION, "files/base"),
        file("/etc/passwd", None, Origin.GENERATED),
    ),
)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "subject",
    [WHOLE, bill(), replace(WHOLE, purls=RPM_PURLS, system=BillSystem("fedora", "43", "Fedora Linux"))],
    ids=["whole", "empty", "rpm"],
)
def test_the_schema_finds_nothing_wrong(form: str, subject: object) -> None:
    assert faults(WRITERS[form](subject), form) == []


@pytest.mark.parametrize("form", WRITERS)
def test_the_schema_does_find_what_is_wrong(form: str) -> None:
    broken = json.loads(WRITERS[form](WHOLE))
    del broken[{"cyclonedx": "bomFormat", "spdx": "creationInfo"}[form]]
    assert faults(json.dumps(broken), form)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_equal_bills_give_equal_bytes_and_others_another_identity(write: object) -> None:
    text = write(WHOLE)
    assert write(replace(WHOLE)) == text
    changed = replace(WHOLE, packages=(replace(WHOLE.packages[0], sha256=digest("other")), *WHOLE.packages[1:]))
    for key in ("serialNumber", "documentNamespace"):
        if key in json.loads(text):
            assert json.loads(write(changed))[key] != json.loads(text)[key]


def test_cyclonedx_has_what_scanners_go_by() -> None:
    value = json.loads(cyclonedx_text(WHOLE))
    assert value["metadata"]["timestamp"] == "2026-04-24T03:06:40Z"
    (system,) = [one for one in value["components"] if one["type"] == "operating-system"]
    assert (system["name"], system["version"]) == ("debian", "13")
    packages = {one["name"]: one for one in value["components"] if one["type"] == "library"}
    for one in packages.values():
        assert {"distro", "upstream", "arch"} <= PackageURL.from_string(one["purl"]).qualifiers.keys()
    said = {one["name"]: one["value"] for one in packages["login"]["properties"]}
    prefix = "aquasecurity:trivy:"
    assert (said[f"{prefix}SrcName"], said[f"{prefix}SrcVersion"]) == ("util-linux", "2.41")
    assert (said[f"{prefix}SrcRelease"], said[f"{prefix}SrcEpoch"], said[f"{prefix}PkgType"]) == ("5", "1", "debian")
    assert packages["libc6"]["evidence"]["occurrences"] == [{"location": "/usr/lib/libc.so.6"}]
    assert packages["libc6"]["pedigree"]["ancestors"][0]["name"] == "glibc"
    facts = {one["name"]: one["value"] for one in value["metadata"]["properties"]}
    assert facts["zaffre:upstream:debian/trixie:release-sha256"] == digest("Release")


def test_files_of_no_package_say_where_they_are_from() -> None:
    files = {one["name"]: one for one in json.loads(cyclonedx_text(WHOLE))["components"] if one["type"] == "file"}
    assert files.keys() == {"/etc/motd", "/etc/passwd"}
    assert json.loads(cyclonedx_text(WHOLE))["compositions"][0]["aggregate"] == "complete"
    assert json.loads(cyclonedx_text(replace(WHOLE, files=())))["compositions"][0]["aggregate"] == "incomplete"
    assert files["/etc/motd"]["properties"] == [
        {"name": "zaffre:origin", "value": "definition"},
        {"name": "zaffre:tree", "value": "files/base"},
    ]


def test_a_licence_that_nobody_can_read_is_no_assertion() -> None:
    (one,) = [one for one in json.loads(cyclonedx_text(WHOLE))["components"] if one["name"] == "containerd"]
    assert "licenses" not in one
    assert {"name": "zaffre:licence", "value": "NOASSERTION"} in one["properties"]
    packages = {one["name"]: one for one in json.loads(spdx_text(WHOLE))["packages"]}
    assert packages["containerd"]["licenseDeclared"] == "NOASSERTION"
    assert packages["libc6"]["licenseDeclared"] == "GPL-2.0-or-later AND LicenseRef-Debian-odd"


def test_spdx_relates_files_sources_and_packages() -> None:
    value = json.loads(spdx_text(WHOLE))
    names = {one["SPDXID"]: one["name"] for one in value["packages"]} | {
        one["SPDXID"]: one["fileName"] for one in value["files"]
    }
    related = {
        (names.get(one["spdxElementId"]), one["relationshipType"], names[one["relatedSpdxElement"]])
        for one in value["relationships"]
    }
    assert ("libc6", "CONTAINS", "./usr/lib/libc.so.6") in related
    assert ("bsdutils", "GENERATED_FROM", "util-linux") in related
    assert (None, "DESCRIBES", "zaffre-tiny") in related
    assert len(names) == len(value["packages"]) + len(value["files"]), "each has an identifier of its own"
    packages = {one["name"]: one for one in value["packages"]}
    assert packages["libc6"]["filesAnalyzed"]
    assert not packages["probe"]["filesAnalyzed"]


@pytest.mark.parametrize("form", WRITERS)
def test_trivy_sees_every_package_and_its_source(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"tiny.{form}.json"
    path.write_text(WRITERS[form](WHOLE))
    seen = seen_by_trivy(path, tmp_path)
    assert seen.keys() == {one.name for one in WHOLE.packages}
    for one in WHOLE.packages:
        found, source = seen[one.name], parts(one.source_version)
        assert (found["Version"], found["SrcName"]) == (one.version, one.source)
        assert (found.get("SrcEpoch", 0), found["SrcVersion"]) == (source.epoch, source.version)
        assert found.get("SrcRelease", "") == source.release


_NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.\-]{1,20}", fullmatch=True)
_VERSIONS = st.from_regex(r"([0-9]{1,2}:)?[0-9][0-9A-Za-z.+~]{0,12}(-[0-9A-Za-z.+~]{1,8})?", fullmatch=True)


@given(_NAMES, _VERSIONS, _NAMES, _VERSIONS, st.sampled_from([DEB_PURLS, RPM_PURLS]))
def test_purls_are_as_packageurl_has_them(
    name: str, version: str, source: str, source_version: str, form: PurlForm
) -> None:
    one = package(name, version=version, source=source, source_version=source_version)
    whole = replace(bill(one), purls=form)
    for text in (binary_purl(whole, one), source_purl(whole, one)):
        parsed = PackageURL.from_string(text)
        assert parsed.to_string() == text
        assert (parsed.type, parsed.namespace) == (form.type, "debian")
        assert parsed.qualifiers["distro"] == "debian-13"
    parsed = PackageURL.from_string(binary_purl(whole, one))
    assert parsed.qualifiers["arch"] == {"deb": "amd64", "rpm": "x86_64"}[form.type]
    epoch, _, rest = version.rpartition(":")
    if form.epoch_apart:
        assert (parsed.version, parsed.qualifiers.get("epoch", "0")) == (rest, str(int(epoch or 0)))
    else:
        assert parsed.version == version
    assert parsed.qualifiers["upstream"].partition("@")[0] == source


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1.2-3", (0, "1.2", "3")),
        ("1:2.0~rc1-1+b2", (1, "2.0~rc1", "1+b2")),
        ("3.0.4", (0, "3.0.4", "")),
        ("1.2-3-4", (0, "1.2-3", "4")),
    ],
)
def test_parts_of_versions(text: str, wanted: tuple[int, str, str]) -> None:
    assert parts(text) == wanted
