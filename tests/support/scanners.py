# SPDX-License-Identifier: Apache-2.0
"""Other people's scanners, with vulnerability data that is written here or published by us: Trivy, debsecan.

What they find is (binary package, CVE). `scripts/setup tests` installs both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from zaffre.advisory.model import Advisory
from zaffre.advisory.writing.bolt import Bucket, bolt_bytes

Found = set[tuple[str, str]]
_SECONDS = 300


def needed(program: str) -> str:
    """Path of a scanner. What is missing skips a test on a laptop and fails it in CI."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed (scripts/setup tests)")
        pytest.skip(f"{program} is not installed (scripts/setup tests)")
    return found


def trivy(kind: str, target: Path, advisories: Iterable[Advisory], folder: Path, *, system: str = "debian 13") -> Found:
    """What Trivy finds in a root ("rootfs") or an SBOM ("sbom") by a database of these advisories alone."""
    folder.mkdir(parents=True, exist_ok=True)
    write_database(folder, advisories, system)
    files = {name: (folder / name).read_bytes() for name in ("trivy.db", "metadata.json")}
    return trivy_with(kind, target, files, folder)


def trivy_with(
    kind: str, target: Path, database: Mapping[str, bytes], folder: Path, *, vex: Path | None = None
) -> Found:
    """The same by the files of a database, without what an OpenVEX document clears."""
    program = needed("trivy")
    place = folder / "cache/db"
    place.mkdir(parents=True, exist_ok=True)
    for name, data in database.items():
        (place / name).write_bytes(data)
    options = ["--cache-dir", str(folder / "cache"), "--skip-db-update", "--skip-java-db-update", "--offline-scan"]
    options += ["--vex", str(vex)] if vex is not None else []
    argv = [program, kind, *options, "--scanners", "vuln", "--format", "json", "--quiet", str(target)]
    done = subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads(done.stdout).get("Results") or []
    return {
        (one["PkgName"], one["VulnerabilityID"]) for result in results for one in result.get("Vulnerabilities") or []
    }


def published(place: Path, folder: str) -> dict[str, bytes]:
    """Files below a folder of a feed that `zaffre feed publish` has brought to `place`, found by its list as anybody
    would who has none of our code (docs/how-to/feeds.md).
    """
    said = json.loads(base64.b64decode(json.loads((place / "index.intoto.json").read_bytes())["payload"]))
    found = {}
    for one in said["predicate"]["files"]:
        if one["name"].startswith(f"{folder}/"):
            data = (place / one["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == one["sha256"], one
            found[one["name"].removeprefix(f"{folder}/")] = data
    return found


def debsecan(status: Path, advisories: Iterable[Advisory], folder: Path) -> Found:
    """What debsecan finds in dpkg's status file by these advisories alone."""
    program = needed("debsecan")
    names: dict[str, int] = {}
    lines = []
    for one in advisories:
        number = names.setdefault(one.cves[0], len(names))
        # Flags: a source package, no urgency, not remote, a fix is there.
        fixed = one.ranges[0].fixed
        lines.append(f"{one.package},{number},S  {'F' if fixed else ' '},{fixed or ''},")
    head = "".join(f"{name},,a test\n" for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    data = f"VERSION 1\n{head}\n" + "".join(f"{line}\n" for line in lines) + "\n\n"
    (folder / "trixie").write_bytes(zlib.compress(data.encode()))
    source = folder.absolute().as_uri()
    argv = [program, "--suite", "trixie", "--source", source, "--status", str(status), "--format", "simple"]
    done = subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    pairs = (line.split() for line in done.stdout.decode().splitlines())
    return {(package, cve) for cve, package in pairs}


def write_database(folder: Path, advisories: Iterable[Advisory], system: str) -> None:
    """Trivy's database (https://github.com/aquasecurity/trivy-db, schema 2): a bbolt file, and its age."""
    packages: dict[str, dict[str, bytes]] = {}
    details: dict[str, bytes] = {}
    for one in advisories:
        cve = one.cves[0]
        packages.setdefault(one.package, {})[cve] = _json({"FixedVersion": one.ranges[0].fixed or ""})
        details[cve] = _json({"Title": "a test", "Severity": "HIGH"})
    source = {system: _json({"ID": "debian", "Name": "a test", "URL": "https://tracker.example"})}
    buckets: Bucket = {"data-source": source, system: packages, "vulnerability": details}
    (folder / "trivy.db").write_bytes(bolt_bytes(buckets))
    future = "2099-01-01T00:00:00Z"
    (folder / "metadata.json").write_bytes(
        _json({"Version": 2, "NextUpdate": future, "UpdatedAt": future, "DownloadedAt": future})
    )


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
