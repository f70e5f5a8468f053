# SPDX-License-Identifier: Apache-2.0
"""What can be scanned, made small: roots, SBOMs and locks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.upstreams import said
from zaffre.advisory.subjects import Reader
from zaffre.definition import Distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import FindingError, ZaffreError
from zaffre.upstream import Lock, LockedPackage, LockedSet

OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


def stanza(name: str, version: str, status: str = "install ok installed", **fields: str) -> str:
    more = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n{more}\n"


STATUS = (
    stanza("libssl3t64", "3.5.0-1+b2", Source="openssl (3.5.0-1)")
    + stanza("zlib1g", "1:1.3-1+b1", Source="zlib")
    + stanza("gone", "1-1", "deinstall ok config-files")
    + stanza("never", "1-1", "purge ok not-installed")
    + stanza("half", "1-1", "install reinstreq half-configured")
)


def root(folder: Path, status: str | None = STATUS, release: str | None = OS_RELEASE) -> Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "var/lib/dpkg/info").mkdir(parents=True)
    if release is not None:
        (folder / "etc/os-release").write_text(release)
    if status is not None:
        (folder / "var/lib/dpkg/status").write_text(status)
    return folder


def refused(given: object, distribution: Distribution | None, error: type[ZaffreError] = FindingError) -> str:
    with pytest.raises(error) as caught:
        Reader(distribution).read(str(given))
    return said(caught.value)


def component(name: str, version: str, purl: str, **properties: str) -> dict[str, Any]:
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [{"name": f"aquasecurity:trivy:{key}", "value": value} for key, value in properties.items()],
    }


SYSTEM = {"type": "operating-system", "name": "debian", "version": "13"}

SSL = component(
    "libssl3t64",
    "3.5.0-1+b2",
    "pkg:deb/debian/libssl3t64@3.5.0-1%2Bb2?arch=amd64&distro=debian-13",
    SrcName="openssl",
    SrcVersion="3.5.0",
    SrcRelease="1",
)

ZLIB = component("zlib1g", "1:1.3-1", "pkg:deb/debian/zlib1g@1.3-1?arch=amd64&epoch=1&upstream=zlib%401%3A1.3-2")


def sbom(folder: Path, *components: dict[str, Any], **more: Any) -> Path:
    path = folder / "sbom.cdx.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components, **more}))
    return path


def package(name: str, version: str, source: str, made: str, **more: Any) -> LockedPackage:
    facts = {"architecture": "amd64", "size": 1, "suite": "trixie", "archive": "debian", **more}
    path = f"pool/{name}_{version}_{facts['architecture']}.deb"
    return LockedPackage(
        name=name,
        version=version,
        sha256=sha256_bytes(path.encode()),
        path=path,
        source=source,
        source_version=made,
        **facts,
    )


def locked(*sets: tuple[str, str, tuple[LockedPackage, ...]]) -> Lock:
    return Lock.model_validate(
        {
            "distribution": "zaffre",
            "created": "2026-11-22T00:00:00Z",
            "serial": 1,
            "suites": [],
            "sets": [
                LockedSet(name=name, architecture="amd64", upstream=upstream, request="0" * 64, packages=packages)
                for name, upstream, packages in sets
            ],
        }
    )
