# SPDX-License-Identifier: Apache-2.0
"""The whole story with real packages: a host locked to the release pocket, its known holes, the patch, the proof.

Trivy and debsecan are asked by the same facts before and after. They know the signed kernel by another name than that
under which its holes are known, so they are asked about all else.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path

import pytest

from support.lab import Lab, for_this_machine_alone
from support.releases import SECRET
from support.scanners import Found, debsecan, trivy
from zaffre.advisory.archive.kept import Kept
from zaffre.advisory.model import Advisory
from zaffre.definition import load_distribution, reference_root
from zaffre.store import Store
from zaffre.trust import Role, load_certificates, signature_holds
from zaffre.upstream import LockedPackage, load_lock

pytestmark = [pytest.mark.tools, pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]

LIMIT = 480.0
"""Seconds from a fix in the archive to a release, on two processors that nobody else uses."""


@pytest.fixture
def own(tmp_path: Path) -> Lab:
    """The reference host alone, locked to the release as it is without its pockets; then it has the pockets."""
    mine = Lab(tmp_path)
    shutil.copytree(reference_root(), mine.distro, symlinks=True)
    (mine.distro / "zaffre.lock").unlink()
    for path in (mine.distro / "images").glob("*.toml"):
        if path.stem not in {"container-host", "check"}:
            path.unlink()
    for name in ("crictl", "kubelet"):
        shutil.rmtree(mine.distro / "components" / name)
    for_this_machine_alone(mine.distro)
    settings = mine.distro / "zaffre.toml"
    first, found, rest = settings.read_text().partition("\n[repository]\n")
    assert found
    settings.write_text(first + "\n" + rest[rest.index("\n[") :])
    mine.zaffre("keys", "init")
    upstream = mine.distro / "upstreams/debian.toml"
    whole = upstream.read_text()
    head, release, *_ = whole.split("[[suites]]")
    upstream.write_text(f'{head}[[suites]]{release}[archives.debian]\npath = "debian"\n')
    mine.zaffre("lock")
    upstream.write_text(whole)
    mine.zaffre("lock")
    return mine


def test_from_the_release_pocket_to_a_release_without_its_known_holes(own: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    env = {"ZAFFRE_RELEASE_KEYS": str(tmp_path / "signers"), "ZAFFRE_RELEASE_PASSPHRASE_FILE": str(secret)}
    own.zaffre("release", "keys", "init", env=env)
    own.zaffre("release", "init", "repo", env=env)
    before = own.json("scan", "container-host", check=False)
    known = {one["vulnerability"] for one in before["findings"] if one["bucket"] == "fix-available"}
    assert known, "the archive's release pocket has no known hole now, so there is no story to tell"
    old = packages(own)
    told = [one for one in advisories(own) if one.package in {package.source for package in old}]
    assert scanners(old, told, tmp_path / "before") == ours(before)
    shown = own.json("patch", "container-host", "--plan")
    assert {name for one in shown["plan"]["behind"] for name in one["vulnerabilities"]} == known
    assert packages(own) == old

    words = ["--to", "repo", "--out", str(own.out), "--timeout", "1800"]
    done = own.zaffre("patch", "container-host", *words, "--json", env=env, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0, (report["broken"], done.stderr)
    assert set(report["proof"]["gone"]) == known
    assert report["proof"]["left"] == report["proof"]["appeared"] == []
    busy = max(1.0, os.getloadavg()[1] / len(os.sched_getaffinity(0)))
    assert sum(one["seconds"] for one in report["stages"]) <= LIMIT * busy, report["stages"]
    host = next(one for one in report["images"] if one["image"] == "container-host")
    assert host["held"] >= 15
    assert host["failed"] == []

    after = own.json("scan", host["folder"])
    assert not [one for one in after["findings"] if one["bucket"] == "fix-available"]
    bill = Path(host["folder"]) / "sbom.cdx.json"
    assert trivy("sbom", bill, told, tmp_path / "after") == set()
    assert scanners(packages(own), told, tmp_path / "after") == set()
    assert {one.name: one.version for one in old} != {one.name: one.version for one in packages(own)}

    listed = own.zaffre("release", "list", "repo", env=env).stdout
    assert host["version"] in listed
    own.zaffre("release", "verify", "repo", env=env)
    key = load_certificates(own.keys)[Role.RELEASE].public_key
    for path in map(Path, report["advisory"]):
        assert signature_holds(key, path.read_bytes(), path.with_name(f"{path.name}.sig").read_bytes())  # type: ignore[arg-type]
    again = own.json("patch", "container-host")
    assert again["plan"]["behind"] == []


def packages(own: Lab) -> tuple[LockedPackage, ...]:
    lock = load_lock(own.distro / "zaffre.lock")
    assert lock is not None
    return tuple(one for one in lock.set("container-host", "amd64").packages if "-signed" not in one.source)


def advisories(own: Lab) -> list[Advisory]:
    """The records of the archive's own feed, as the scan has left it in the store."""
    upstream = load_distribution(own.distro).upstreams["debian"]
    kept = Kept.find(upstream, Store(Store.default_root()))
    assert kept is not None
    feed = kept.feed(dt.timedelta(days=7))
    assert feed is not None
    return [one for one in feed.advisories if one.cves]


def ours(report: dict) -> Found:
    return {
        (package["name"], one["vulnerability"])
        for one in report["findings"]
        if one["source"] != "linux" and one["vulnerability"].startswith("CVE-")
        for package in one["packages"]
    }


def scanners(locked: tuple[LockedPackage, ...], told: list[Advisory], folder: Path) -> Found:
    """What Trivy and debsecan find in a root with these packages, which must be the same."""
    root = folder / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    (root / "etc/debian_version").write_text("13.2\n")
    status = root / "var/lib/dpkg/status"
    status.write_text(
        "".join(
            f"Package: {one.name}\nStatus: install ok installed\nArchitecture: {one.architecture}\n"
            f"Version: {one.version}\nSource: {one.source} ({one.source_version})\n\n"
            for one in locked
        )
    )
    found = trivy("rootfs", root, told, folder / "trivy")
    assert debsecan(status, told, folder / "debsecan") == found
    return found
