# SPDX-License-Identifier: Apache-2.0
"""Bills of materials to write down, the schemas to hold them against, and Trivy's eyes on them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs

from support.registry import unmet
from zaffre.bill import (
    DEB_PURLS,
    Bill,
    BillArtifact,
    BillFile,
    BillLicence,
    BillPackage,
    BillSuite,
    BillSystem,
    Origin,
)

_SCHEMAS = {
    "cyclonedx": "cyclonedx/bom-1.6.schema.json",
    "spdx": "spdx/2.3-schema.json",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def package(name: str, **changes: Any) -> BillPackage:
    plain = BillPackage(
        name=name,
        version="1.2-3+b1",
        architecture="amd64",
        source=f"{name}-src",
        source_version="1.2-3",
        sha256=digest(name),
        size=1000,
        archive="debian",
        suite="trixie",
        built=False,
        licence=BillLicence("GPL-2.0-or-later AND LicenseRef-Debian-odd", (("LicenseRef-Debian-odd", "odd one"),)),
    )
    return replace(plain, **changes)


def file(path: str, owner: str | None, origin: Origin | None = None, tree: str | None = None) -> BillFile:
    return BillFile(
        path=path,
        sha256=digest(path),
        sha1=hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest(),
        size=7,
        package=None if owner is None else (owner, "amd64"),
        origin=origin,
        tree=tree,
    )


def bill(*packages: BillPackage, **changes: Any) -> Bill:
    plain = Bill(
        image="tiny",
        kind="host",
        version="1.20260504.1",
        architecture="amd64",
        profile="dev",
        epoch=1_777_000_000,
        purls=DEB_PURLS,
        distribution=BillSystem("zaffre", "1", "Zaffre Linux"),
        system=BillSystem("debian", "13", "Debian GNU/Linux"),
        upstream="debian",
        definition=digest("definition"),
        lock=digest("lock"),
        tools=digest("tools"),
        packages=packages,
        suites=(BillSuite("debian", "trixie", digest("Release"), "2026-05-04T03:02:01Z", "2026-06-01T00:00:00Z"),),
        artifacts=(BillArtifact("root.erofs", digest("root"), 5),),
    )
    return replace(plain, **changes)


@cache
def _validator(form: str) -> Any:
    schemas = files("lib4sbom") / "schemas"

    def read(path: str) -> Any:
        return json.loads((schemas / path).read_text(encoding="utf-8"))

    return jsonschema_rs.validator_for(
        read(_SCHEMAS[form]), retriever=lambda uri: read(f"cyclonedx/{uri.rpartition('/')[2]}"), validate_formats=True
    )


def faults(text: str, form: str) -> list[str]:
    """What the official schema finds wrong."""
    return [f"{list(one.instance_path)}: {one.message[:300]}" for one in _validator(form).iter_errors(json.loads(text))]


def seen_by_trivy(path: Path, scratch: Path) -> dict[str, dict[str, Any]]:
    """The packages that Trivy reads out of a document, by name. It asks no network and has no database."""
    return _packages_of(_trivy(scratch, "sbom", str(path)))


def found_by_trivy(reference: str, scratch: Path) -> dict[str, dict[str, Any]]:
    """The same out of a bill that a registry lists among the referrers of an image, of which nothing else is read."""
    options = ("--image-src=remote", "--sbom-sources=oci", "--insecure")
    done = _trivy(scratch, "image", *options, reference)
    assert "Found SBOM in the OCI referrers" in done.stderr
    return _packages_of(done)


def _trivy(scratch: Path, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("trivy")
    if not program.is_file() and shutil.which("trivy") is None:
        unmet("no trivy here")
    return subprocess.run(
        [program if program.is_file() else "trivy", verb, "--format=json", "--list-all-pkgs", "--scanners=license",
         "--offline-scan", f"--cache-dir={scratch}", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )  # fmt: skip


def _packages_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    report = json.loads(done.stdout)
    assert report["Metadata"]["OS"] == {"Family": "debian", "Name": "13"}
    found = [one for result in report["Results"] for one in result.get("Packages") or ()]
    assert len({one["Name"] for one in found}) == len(found)
    return {one["Name"]: one for one in found}
