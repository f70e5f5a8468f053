# SPDX-License-Identifier: Apache-2.0
"""Other people's scanners, asked about the same root by the same facts: Trivy and debsecan say what we say.

The packages are those of the reference server as it is locked; for each source there are vulnerabilities that are
mended in an older version, in this one, in the next, and in none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from records import NOW, feed, fixed
from subjects import OS_RELEASE, SYSTEM, component, root, stanza

from support.scanners import Found, debsecan, trivy
from zaffre.advisory.model import Advisory
from zaffre.advisory.report import Bucket, Report
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.subjects import Reader
from zaffre.definition import load_distribution, reference_root
from zaffre.upstream import LockedPackage, load_lock

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def packages() -> tuple[LockedPackage, ...]:
    lock = load_lock(load_distribution(reference_root()).lock_file)
    assert lock is not None
    locked = lock.set("server", "amd64").packages
    # A signed kernel is no package of `linux` to them: they ask for its signed name, of which nothing is known.
    return tuple(one for one in locked if "-signed" not in one.source)


@pytest.fixture(scope="module")
def advisories(packages: tuple[LockedPackage, ...]) -> tuple[Advisory, ...]:
    versions = {one.source: one.source_version for one in packages}
    facts = []
    for number, (source, version) in enumerate(sorted(versions.items())):
        facts += [
            fixed(f"CVE-2026-{number:04}1", source, f"{version}+deb13u99"),
            fixed(f"CVE-2026-{number:04}2", source, version),
            fixed(f"CVE-2026-{number:04}3", source, f"{version}~"),
            fixed(f"CVE-2026-{number:04}4", source, f"{version}+z1"),
            fixed(f"CVE-2026-{number:04}5", source, None),
        ]
    return tuple(facts)


def status(packages: Iterable[LockedPackage], *, newer: bool = False) -> str:
    """dpkg's, as an upgrade to `newer` versions leaves it."""
    end = "+z99" if newer else ""
    return "".join(
        stanza(one.name, f"{one.version}{end}", Source=f"{one.source} ({one.source_version}{end})") for one in packages
    ) + stanza("gone", "0-1", "deinstall ok config-files")


def report(given: Path, advisories: Iterable[Advisory]) -> Report:
    subjects = Reader(load_distribution(reference_root())).read(str(given))
    return scan(subjects, Known((feed(*advisories),)), now=NOW)


def ours(report: Report) -> Found:
    return {
        (package.name, one.vulnerability)
        for bucket in (Bucket.FIX_AVAILABLE, Bucket.WAITING)
        for one in report.of(bucket)
        for package in one.packages
    }


@pytest.mark.parametrize("newer", [False, True], ids=["before", "after"])
def test_trivy_and_debsecan_agree_about_a_root(
    tmp_path: Path, packages: tuple[LockedPackage, ...], advisories: tuple[Advisory, ...], *, newer: bool
) -> None:
    folder = root(tmp_path / "root", status(packages, newer=newer), OS_RELEASE)
    (folder / "etc/debian_version").write_text("13.2\n")
    mine = ours(report(folder, advisories))
    waiting = {cve for _, cve in mine if cve.endswith("5")}
    assert len(mine) == len(packages) * (1 if newer else 3)
    assert newer == ({cve for _, cve in mine} == waiting)
    assert trivy("rootfs", folder, advisories, tmp_path / "trivy") == mine
    assert debsecan(folder / "var/lib/dpkg/status", advisories, tmp_path / "debsecan") == mine


def test_trivy_agrees_about_an_sbom(
    tmp_path: Path, packages: tuple[LockedPackage, ...], advisories: tuple[Advisory, ...]
) -> None:
    path = tmp_path / "sbom.cdx.json"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "components": [SYSTEM, *(_component(one) for one in packages)],
    }
    path.write_text(json.dumps(document))
    assert trivy("sbom", path, advisories, tmp_path / "trivy") == ours(report(path, advisories))


def _component(one: LockedPackage) -> dict[str, object]:
    epoch, _, rest = one.source_version.rpartition(":")
    version, dash, release = rest.rpartition("-")
    _, _, plain = one.version.rpartition(":")
    binary = f"&epoch={one.version.partition(':')[0]}" if ":" in one.version else ""
    return component(
        one.name,
        one.version,
        f"pkg:deb/debian/{one.name}@{plain.replace('+', '%2B')}?arch={one.architecture}{binary}&distro=debian-13",
        PkgType="debian",
        SrcName=one.source,
        SrcVersion=version if dash else rest,
        **({"SrcRelease": release} if dash else {}),
        **({"SrcEpoch": epoch} if epoch else {}),
    )
