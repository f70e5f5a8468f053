# SPDX-License-Identifier: Apache-2.0
"""SBOMs that are scanned: of ours and of others' programs; and what gives nothing to other scanners, an error here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from subjects import SSL, SYSTEM, ZLIB, component, refused, sbom

from support.bills import bill, package
from zaffre.advisory.subjects import Reader
from zaffre.bill import BillSystem
from zaffre.definition import Distribution
from zaffre.errors import DefinitionError
from zaffre.trust.sbom import cyclonedx_text


def test_an_sbom_names_sources_by_trivys_properties_or_by_upstream(tmp_path: Path, distribution: Distribution) -> None:
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, SSL, ZLIB)))
    assert [(each.name, each.version, each.source, each.source_version) for each in one.packages] == [
        ("libssl3t64", "3.5.0-1+b2", "openssl", "3.5.0-1"),
        ("zlib1g", "1:1.3-1", "zlib", "1:1.3-2"),
    ]
    assert one.platform.upstream == "debian"


def test_an_sbom_of_ours_says_of_which_image_and_where_files_are(tmp_path: Path, distribution: Distribution) -> None:
    ssl = {**SSL, "evidence": {"occurrences": [{"location": "/usr/lib/libssl.so.3"}, {"location": "/etc/x"}]}}
    about = {
        "component": {"type": "platform", "name": "zaffre-container-host", "version": "1.1"},
        "properties": [{"name": "zaffre:distribution", "value": "zaffre 1"}],
    }
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, ssl, metadata=about)))
    assert one.packages[0].within == ("container-host",)
    assert one.files(one.packages[0]) == ("/usr/lib/libssl.so.3", "/etc/x")
    about["properties"] = [{"name": "zaffre:distribution", "value": "other 1"}]
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, ssl, metadata=about)))
    assert one.packages[0].within == ()


def test_a_bill_as_it_is_written_is_of_its_image(tmp_path: Path, distribution: Distribution) -> None:
    one = bill(package("libssl3t64"), image="server", distribution=BillSystem("zaffre", "1", "Zaffre Linux"))
    path = tmp_path / "sbom.cdx.json"
    path.write_text(cyclonedx_text(one))
    (read,) = Reader(distribution).read(str(path))
    assert [each.within for each in read.packages] == [("server",)]


def test_components_may_be_nested_and_other_kinds_are_passed_over(tmp_path: Path, distribution: Distribution) -> None:
    python = component("x", "1", "pkg:pypi/x@1")
    held = sbom(tmp_path, {**SYSTEM, "components": [SSL]}, python, {"type": "file", "name": "y"})
    (one,) = Reader(distribution).read(str(held))
    assert [each.name for each in one.packages] == ["libssl3t64"]
    assert one.notes == ("the document has packages of other kinds, which are not scanned: 1 of pypi",)


def test_purls_may_be_written_in_capitals_and_a_plus_sign_is_one(tmp_path: Path, distribution: Distribution) -> None:
    gtk = component("libgtk-3-0t64", "3.24-1", "PKG:DEB/debian/libgtk-3-0t64@3.24-1?arch=amd64&upstream=gtk+3.0")
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, gtk)))
    assert [(each.name, each.source) for each in one.packages] == [("libgtk-3-0t64", "gtk+3.0")]


def test_an_rpm_in_an_sbom(tmp_path: Path, distribution: Distribution) -> None:
    system = {"type": "operating-system", "name": "azurelinux", "version": "3.0"}
    purl = "pkg:rpm/azurelinux/bind-libs@9.20.0-1.azl3?arch=x86_64&epoch=32&upstream=bind-9.20.0-1.azl3.src.rpm"
    (one,) = Reader(distribution).read(str(sbom(tmp_path, system, component("bind-libs", "9.20.0-1.azl3", purl))))
    (package,) = one.packages
    assert (package.source, package.version, package.source_version) == (
        *("bind", "32:9.20.0-1.azl3"),
        "32:9.20.0-1.azl3",
    )
    assert one.platform.upstream == "azurelinux"


@pytest.mark.parametrize(
    ("components", "wrong"),
    [
        (
            (SYSTEM, SSL, component("a", "1-1", "pkg:deb/debian/a@1-1?arch=amd64")),
            "does not name the sources of 1 packages",
        ),
        ((SYSTEM, SSL, component("openssl", "3.5.0-1", "")), "has 1 packages without a purl"),
        ((SYSTEM, SSL, component("libssl3", "3", "libssl3@3")), "has 1 packages without a purl"),
        ((SYSTEM, SSL, component("libssl3", "3", "pkg:deb")), "has 1 packages without a purl"),
        ((SYSTEM, SSL, {"type": "framework", "name": "a"}), "has 1 packages without a purl"),
        ((SYSTEM, SSL, {"type": "application", "name": "openssl", "version": "3"}), "has 1 packages without a purl"),
        ((SYSTEM, SSL, component("a", "", "pkg:deb/debian/a?upstream=a")), "which versions 1 packages have"),
        ((SSL,), "has no operating systems"),
        (({**SYSTEM, "version": ""}, SSL), "and not which version of it"),
        ((SYSTEM, {**SYSTEM, "version": "12"}, SSL), "has 2 operating systems"),
        ((SYSTEM,), "no package to be scanned"),
        (({**SYSTEM, "name": "plan9"}, SSL), "'plan9' is unknown"),
        (
            (SYSTEM, component("a", "1", "pkg:rpm/fedora/a@1?upstream=a-1-1.src.rpm")),
            "has rpm packages in a system of deb",
        ),
    ],
)
def test_an_sbom_that_would_be_scanned_falsely_is_an_error(
    tmp_path: Path, distribution: Distribution, components: tuple[dict[str, Any], ...], wrong: str
) -> None:
    assert wrong in refused(sbom(tmp_path, *components), distribution)


@pytest.mark.parametrize("odd", [{**SSL, "type": "Library"}, {**SSL, "type": ["library"]}, {"name": "a"}, "junk", 5])
@pytest.mark.parametrize("nested", [False, True])
def test_a_component_of_no_known_type_is_not_passed_over(
    tmp_path: Path, distribution: Distribution, odd: Any, *, nested: bool
) -> None:
    given = ({**SSL, "components": [odd]},) if nested else (SSL, odd)
    assert "of no known type" in refused(sbom(tmp_path, SYSTEM, *given), distribution, DefinitionError)


def test_components_that_are_no_list_are_not_passed_over(tmp_path: Path, distribution: Distribution) -> None:
    held = sbom(tmp_path, SYSTEM, {**SSL, "components": {"a": SSL}})
    assert "no list" in refused(held, distribution, DefinitionError)


def test_what_other_programs_write_without_a_purl_is_told(tmp_path: Path, distribution: Distribution) -> None:
    """Trivy has an application for each lock file and Go program; what the document is about needs no purl."""
    listed = [{"type": "application", "name": name} for name in ("package-lock.json", "usr/bin/runc")]
    about = {"component": {"type": "application", "name": "own", "version": "1"}}
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, SSL, *listed, metadata=about)))
    assert one.notes == ("the document has components without a purl, which are not scanned: 2 of application",)


def test_an_sbom_can_not_name_what_can_not_be_written(tmp_path: Path, distribution: Distribution) -> None:
    odd = component("a", "1-1", "pkg:deb/debian/a@1-1?arch=amd64", SrcName="\ud800x", SrcVersion="\ud800")
    (one,) = Reader(distribution).read(str(sbom(tmp_path, SYSTEM, odd)))
    assert one.packages[0].source == "\ufffdx"


def test_what_is_no_sbom_is_an_error(tmp_path: Path, distribution: Distribution) -> None:
    spdx = tmp_path / "spdx.json"
    spdx.write_text('{"spdxVersion": "SPDX-2.3"}')
    assert "an SPDX one, which is not read here" in refused(spdx, distribution, DefinitionError)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert "is not JSON" in refused(broken, distribution, DefinitionError)
    broken.write_text("[]")
    assert "is not a JSON object" in refused(broken, distribution, DefinitionError)
