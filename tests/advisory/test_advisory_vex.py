# SPDX-License-Identifier: Apache-2.0
"""OpenVEX and CSAF: of what a statement speaks, and every way in which it can be wrong, which is never silence."""

from __future__ import annotations

from typing import Any

import pytest
from documents import STAMP, csaf, openvex, read, refused

from zaffre.advisory.statements import Claims
from zaffre.errors import DefinitionError, FindingError, ZaffreError


def test_openvex_speaks_of_binaries_at_a_version() -> None:
    (found,) = read(openvex())
    assert isinstance(found, Claims)
    (one,) = found.claims
    assert (one.package, one.version, one.status) == ("libssl3t64", "2:3.5.0-1", "not_affected")


@pytest.mark.parametrize(
    ("identity", "product"),
    [("pkg:oci/node@sha256%3Aab?arch=amd64", "node"), ("https://appliance.example/4", "https://appliance.example/4")],
)
def test_openvex_speaks_of_what_is_within_a_product(identity: str, product: str) -> None:
    within = {
        "vulnerability": {"name": "CVE-2026-1000"},
        "products": [{"@id": identity, "subcomponents": [{"@id": "PKG:DEB/debian/zlib1g"}]}],
        "status": "not_affected",
        "impact_statement": "nothing calls it",
    }
    (found,) = read(openvex(within))
    (one,) = found.claims
    assert (one.package, one.version, one.reason, one.product) == ("zlib1g", None, "nothing calls it", product)


def _vex(**more: Any) -> dict[str, Any]:
    return {"vulnerability": {"name": "CVE-2026-1000"}, "products": [{"@id": "pkg:deb/debian/x"}], **more}


@pytest.mark.parametrize(
    ("data", "error", "wrong"),
    [
        (openvex(author=""), DefinitionError, "nobody answers for it"),
        (openvex(_vex(status="fine")), DefinitionError, "is no status"),
        (openvex(_vex(status="not_affected")), DefinitionError, "does not say why"),
        (openvex(_vex(status="not_affected", justification="because")), DefinitionError, "is no justification"),
        (openvex(_vex(status="fixed", vulnerability={})), DefinitionError, "names no vulnerability"),
        (openvex(_vex(status="fixed"), _vex(status="affected")), DefinitionError, "is fixed and affected at once"),
        *(
            (
                openvex(*(_vex(status=one, timestamp=stated) for one in ("fixed", "affected"))),
                DefinitionError,
                "at once",
            )
            for stated in (STAMP, "2026-01-01T00:00:00Z")
        ),
        (openvex(_vex(status="fixed"), _vex(status="affected", timestamp=STAMP)), DefinitionError, "at once"),
        (openvex(_vex(status="fixed"), timestamp=None, last_updated=STAMP), DefinitionError, "timestamp is not a time"),
        (openvex(_vex(status="fixed"), statements={}), DefinitionError, "statements is no list of tables"),
        (openvex(_vex(status="fixed"), "affected"), DefinitionError, "statements is no list of tables"),
        (
            openvex(_vex(status="fixed"), _vex(status="affected", products=["pkg:deb/debian/x"])),
            *(DefinitionError, "products is no list of tables"),
        ),
        (
            openvex(_vex(status="fixed", products=[{"@id": "pkg:oci/x", "subcomponents": ["pkg:deb/debian/x"]}])),
            *(DefinitionError, "subcomponents is no list of tables"),
        ),
        (openvex(_vex(status="fixed", timestamp="2027-11-01T00:00:00Z")), DefinitionError, "dated in the future"),
        (openvex(_vex(status="fixed", products=[{"@id": "pkg:oci/x"}])), FindingError, "has no statement about"),
    ],
)
def test_openvex_that_is_wrong(data: object, error: type[ZaffreError], wrong: str) -> None:
    assert wrong in refused(data, error)


@pytest.mark.parametrize("first", ["affected", "not_affected"])
@pytest.mark.parametrize(
    ("affected", "cleared", "status"),
    [
        ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "affected"),
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "not_affected"),
        (None, "2026-11-01T00:00:00Z", "affected"),
        ("2026-11-01T00:00:00Z", None, "not_affected"),
    ],
)
def test_the_newest_statement_of_openvex_holds_wherever_it_stands(
    first: str, affected: str | None, cleared: str | None, status: str
) -> None:
    said = [
        _vex(status="affected", timestamp=affected),
        _vex(status="not_affected", impact_statement="nothing calls it", timestamp=cleared),
    ]
    (found,) = read(openvex(*sorted(said, key=lambda one: one["status"] != first)))
    assert [one.status for one in found.claims] == [status]


def test_a_purl_says_of_which_architecture_and_release_it_is() -> None:
    purl = "pkg:deb/debian/x?arch=arm64&distro=debian-12"
    vex, advisory = openvex(_vex(status="affected", products=[{"@id": purl}])), csaf()
    advisory["product_tree"]["branches"][0]["branches"][0]["product"]["product_identification_helper"]["purl"] = purl
    for data in (vex, advisory):
        (one,) = read(data)[0].claims
        assert (one.package, one.architecture, one.distro) == ("x", "arm64", "debian-12")


def test_csaf_speaks_of_a_package_in_a_product() -> None:
    (found,) = read(csaf())
    (one,) = found.claims
    assert (one.package, one.version, one.status, one.justification, found.author) == (
        *("openssl", "3.3-1.azl3", "not_affected"),
        *("vulnerable_code_not_present", "Ada"),
    )
    assert one.product == "Azure Linux 3.0"
    (alone,) = read(csaf(known_not_affected=["P1"]))[0].claims
    assert alone.product is None


@pytest.mark.parametrize("key", ["known_affected", "first_affected", "last_affected"])
def test_what_csaf_calls_affected(key: str) -> None:
    (one,) = read(csaf(**{key: ["P1"]}))[0].claims
    assert one.status == "affected"
    for cleared in ("known_not_affected", "fixed", "first_fixed"):
        assert "the feed contradicts itself" in refused(csaf(**{cleared: ["P1"], key: ["P1"]}))


def test_csaf_says_why_of_products_or_of_groups_of_them() -> None:
    data = csaf()
    data["product_tree"]["product_groups"] = [{"group_id": "G", "product_ids": ["P1-in-OS"]}]
    (one,) = data["vulnerabilities"]
    one["flags"] = []
    assert "P1-in-OS is not affected, and it does not say why" in refused(data)
    one["threats"] = [{"category": "impact", "details": "nothing calls it", "group_ids": ["G"]}]
    assert [one.reason for one in read(data)[0].claims] == ["nothing calls it"]


@pytest.mark.parametrize("status", ["draft", "", None])
def test_a_draft_of_csaf_is_not_believed(status: str | None) -> None:
    data = csaf()
    data["document"]["tracking"]["status"] = status
    assert "what is neither final nor interim" in refused(data)


def test_a_product_of_csaf_is_defined_once() -> None:
    data = csaf()
    (product,) = (one["product"] for one in data["product_tree"]["branches"][0]["branches"])
    data["product_tree"]["full_product_names"].append(product)
    assert read(data)
    other = {**product, "product_identification_helper": {"purl": "pkg:rpm/azurelinux/curl"}}
    data["product_tree"]["full_product_names"].append(other)
    assert "the product is defined twice" in refused(data)
    data = csaf()
    (relation,) = data["product_tree"]["relationships"]
    data["product_tree"]["relationships"].append({**relation, "relates_to_product_reference": "appliance"})
    assert "the product is defined twice" in refused(data)


def test_csaf_that_is_wrong() -> None:
    assert "is not_affected and affected at once" in refused(csaf(known_not_affected=["P1"], known_affected=["P1"]))
    assert "product_status.fixed is no list of strings" in refused(csaf(fixed="P1"))  # type: ignore[arg-type]
    assert "product_status is no table" in refused({**csaf(), "vulnerabilities": [{"cve": "X", "product_status": []}]})
    assert "vulnerabilities is no list of tables" in refused({**csaf(), "vulnerabilities": ["CVE-2026-1000"]})
    assert "has no product_id" in refused({**csaf(), "product_tree": {"full_product_names": [{"name": "x"}]}})
    assert "has no statement about" in refused(csaf(fixed=["P9"]), FindingError)
    deep: dict[str, Any] = {"product": {}}
    for _ in range(60):
        deep = {"branches": [deep]}
    assert "is deeper than" in refused({**csaf(), "product_tree": deep})
