# SPDX-License-Identifier: Apache-2.0
"""The whole story with real packages: a host locked to the release pocket, its known holes, the patch, the proof.

Trivy and debsecan are asked before and after, in roots that bear the image's own os-release: Trivy by the feed that we
publish, debsecan by the facts that this was made of.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from support.lab import Lab, for_this_machine_alone
from support.releases import SECRET
from support.scanners import Found, debsecan, published, trivy, trivy_with
from zaffre.advisory.archive.kept import Kept
from zaffre.advisory.model import Advisory, Range
from zaffre.cli.making import Making
from zaffre.definition import load_distribution, reference_root
from zaffre.sandbox import Mount
from zaffre.store import Store
from zaffre.tree.identity import os_release
from zaffre.trust import Role, load_certificates, signature_holds
from zaffre.upstream import LockedPackage, load_lock

pytestmark = [pytest.mark.tools, pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]

STAGES = ["scan", "lock", "build", "check", "proof", "release", "publish"]


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
    root = root_of(tmp_path / "before", status(old), says_of_itself(own, "1.0"))
    assert scanners(root, told, our_feed(own)) == unsigned(ours(before), old) != set()
    shown = own.json("patch", "container-host", "--plan")
    assert {name for one in shown["plan"]["behind"] for name in one["vulnerabilities"]} == known
    assert packages(own) == old

    words = ["--to", "repo", "--out", str(own.out), "--timeout", "1800"]
    done = own.zaffre("patch", "container-host", *words, "--json", env=env, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0, (report["broken"], done.stderr)
    assert set(report["proof"]["gone"]) == known
    assert report["proof"]["left"] == report["proof"]["appeared"] == []
    assert [one["stage"] for one in report["stages"]] == STAGES
    assert all(one["seconds"] > 0 for one in report["stages"])
    host = next(one for one in report["images"] if one["image"] == "container-host")
    assert host["held"] >= 15
    assert host["failed"] == []

    after = own.json("scan", host["folder"])
    assert not [one for one in after["findings"] if one["bucket"] == "fix-available"]
    build, database = Path(host["folder"]), our_feed(own)
    assert set(published(own.root / "feed", "advisories")) == {Path(one).name for one in report["advisory"]}
    bill = "usr/share/sbom/zaffre-container-host.cdx.json"
    text, version, installed, carried = read(
        own, build, "usr/lib/os-release", "etc/debian_version", "usr/lib/sysimage/dpkg/status", bill
    )
    assert text == says_of_itself(own, host["version"]), "before, there was no build whose own text could be read"
    root = root_of(tmp_path / "after", installed, text)
    (root / "etc/debian_version").write_text(version)
    assert scanners(root, told, database) == unsigned(ours(after), packages(own)) == set()
    assert trivy_with("sbom", build / "sbom.cdx.json", database, tmp_path / "bill") == set()
    # They find nothing because nothing is there, and not because they don't know whose root and whose bill these are.
    unmended = [replace(one, ranges=(Range(),)) for one in told]
    everything = trivy("rootfs", root, unmended, tmp_path / "all-of-root")
    assert {name for _, name in everything} >= {name for _, name in unsigned(ours(before), old) if "CVE-" in name}
    assert trivy("sbom", build / "sbom.cdx.json", unmended, tmp_path / "all-of-bill") == everything
    # A host's root has a link where Trivy looks for dpkg's database, and the bill that it carries.
    shutil.rmtree(root / "var")
    (root / bill).parent.mkdir(parents=True)
    (root / bill).write_text(carried)
    assert trivy("rootfs", root, unmended, tmp_path / "all-of-host") == everything
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
    return lock.set("container-host", "amd64").packages


def advisories(own: Lab) -> list[Advisory]:
    """The records of the archive's own feed, as the scan has left it in the store."""
    upstream = load_distribution(own.distro).upstreams["debian"]
    kept = Kept.find(upstream, Store(Store.default_root()))
    assert kept is not None
    feed = kept.feed(dt.timedelta(days=7))
    assert feed is not None
    return [one for one in feed.advisories if one.cves]


def our_feed(own: Lab) -> Mapping[str, bytes]:
    """Trivy's database of the feed that we publish: verified first, and taken out by its list."""
    place = own.root / "feed"
    own.zaffre("feed", "publish", "--to", str(place), "--advisories", str(own.out / "advisories"))
    own.zaffre("feed", "verify", str(place))
    return published(place, "trivy")


def ours(report: dict) -> Found:
    return {(package["name"], one["vulnerability"]) for one in report["findings"] for package in one["packages"]}


def unsigned(found: Found, locked: tuple[LockedPackage, ...]) -> Found:
    """Without what was found in packages of signed sources.

    Vulnerabilities of a signed kernel are known under the name of what was signed, `linux`, and we look there. Trivy
    and debsecan ask by the package's own Source (`linux-signed-amd64`), under which nothing is known to anybody.
    """
    signed = {one.name for one in locked if "-signed" in one.source}
    return {(name, vulnerability) for name, vulnerability in found if name not in signed}


def status(locked: tuple[LockedPackage, ...]) -> str:
    """dpkg's, of a root with these packages."""
    return "".join(
        f"Package: {one.name}\nStatus: install ok installed\nArchitecture: {one.architecture}\n"
        f"Version: {one.version}\nSource: {one.source} ({one.source_version})\n\n"
        for one in locked
    )


def says_of_itself(own: Lab, version: str) -> str:
    """The os-release of the image in this version."""
    distribution = load_distribution(own.distro)
    base = "ID=debian\nVERSION_CODENAME=trixie\n"
    image = distribution.image("container-host")
    return os_release(distribution.identity, image, version=version, architecture="amd64", base=base)


def root_of(folder: Path, packages: str, says: str) -> Path:
    """What scanners read of a root: its packages, and what it says of itself.

    A host of ours has a link at var/lib/dpkg, to usr/lib/sysimage/dpkg; debsecan is given the file it leads to.
    """
    root = folder / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text(says)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/debian_version").write_text("13.0\n")
    (root / "var/lib/dpkg/status").write_text(packages)
    return root


def read(own: Lab, build: Path, *paths: str) -> list[str]:
    """Files of the root that was built."""
    image = (Mount(build / "root.erofs", "/image"),)
    with own.workspace() as work:
        sandbox = Making(work).sandbox
        words = [["dump.erofs", "--cat", f"--path=/{path}", "/image"] for path in paths]
        return [sandbox.run(one, mounts=image, timeout=60).stdout.decode() for one in words]


def scanners(root: Path, told: list[Advisory], database: Mapping[str, bytes]) -> Found:
    """What Trivy finds in this root by a database, and debsecan by these facts, which must be the same. Debsecan's data
    has CVEs alone, so it can't be told of a security upload that names none.
    """
    found = trivy_with("rootfs", root, database, root.parent / "trivy")
    named = {(name, vulnerability) for name, vulnerability in found if vulnerability.startswith("CVE-")}
    assert debsecan(root / "var/lib/dpkg/status", told, root.parent / "debsecan") == named
    return found
