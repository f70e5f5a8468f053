# SPDX-License-Identifier: Apache-2.0
"""`zaffre feed` as it is typed: an archive on the loopback, a distribution derived from it, and a place to write to."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.repository import Archive, Deb, Fault, Mirror, keyring, signing_key
from support.scanners import published, trivy_with
from support.shell import Shell
from zaffre.advisory.published import INDEX, index_of, publish_feed
from zaffre.definition.starter import init_distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import ExitCode
from zaffre.place.folder import Folder
from zaffre.trust import Keys, Role
from zaffre.trust.generate import init_keys
from zaffre.trust.provenance import envelope
from zaffre.upstream import Lock, save_lock

FIX = "expat (2.7-1+deb13u2) trixie; urgency=high\n\n  * CVE-2026-1000\n\n -- A <a@b.example>  then\n"
UPSTREAM = """\
family = "deb"
keyring = "keyrings/test.asc"
architectures = ["amd64", "arm64"]
ecosystem = "Debian:13"
[[suites]]
archive = "debian"
suite = "trixie"
components = ["main"]
[archives.debian]
path = "debian"
"""
STATEMENT = """\
vulnerability = "CVE-2026-1000"
packages = ["expat"]
status = "accepted"
reason = "nothing parses"
evidence = ["https://vex.example/1"]
author = "Ada"
since = {since}
expires = {expires}
"""


class House:
    """A distribution with a lock, its archive, its keys, and a place for its feed."""

    def __init__(self, folder: Path, shell: Shell, mirror: Mirror, keys: Path) -> None:
        self.folder, self.shell, self.mirror, self.keys = folder, shell, mirror, keys
        self.distro, self.place, self.advisories = folder / "own", folder / "feeds", folder / "advisories"

    def words(self, *words: object) -> list[object]:
        places = ["--distro", self.distro, "--store", self.folder / "store", "--keys", self.keys]
        return [*places, "--mirror", f"{self.mirror.url}/debian", "-q", "feed", *words]

    def publish(self, *words: object) -> int:
        where = ("--to", self.place, "--advisories", self.advisories)
        return self.shell(*self.words("publish", *where, *words))

    def verify(self, *words: object) -> int:
        return self.shell(*self.words("verify", self.place, *words))

    def told(self) -> Any:
        """What the verified feed has."""
        return self.shell.json(*self.words("verify", self.place))

    def paths(self) -> dict[str, Path]:
        """Files of the verified feed by their names."""
        return {one["name"]: self.place / one["path"] for one in self.told()["files"]}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("feed") / "keys", owner="Own", now=dt.datetime.now(dt.UTC))


@pytest.fixture
def house(tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: Keys) -> Iterator[House]:
    key = signing_key()
    archive = Archive()
    files = {"usr/share/doc/libexpat1/changelog.Debian.gz": gzip.compress(FIX.encode(), mtime=0)}
    archive.add(Deb("libexpat1", "2.7-1+deb13u2", "amd64", {"Source": "expat"}, files), suite="trixie")
    archive.publish([key], suite="trixie")
    init_distribution(tmp_path / "own", id="own", name="Own Linux")
    (tmp_path / "own/upstreams/debian.toml").write_text(UPSTREAM)
    (tmp_path / "own/upstreams/keyrings/test.asc").write_bytes(keyring(key))
    lock(tmp_path / "own", "2.7-1+deb13u1")
    with Mirror({"debian": archive}) as mirror:
        yield House(tmp_path, Shell(capsys), mirror, keys.directory)


def lock(distro: Path, version: str) -> None:
    package = {
        "name": "libexpat1",
        "version": version,
        "architecture": "amd64",
        "sha256": sha256_bytes(version.encode()),
        "size": 1,
        "path": f"pool/libexpat1_{version}_amd64.deb",
        "archive": "debian",
        "suite": "trixie",
        "source": "expat",
        "source_version": version,
    }
    one = {
        "name": "container-host",
        "architecture": "amd64",
        "upstream": "debian",
        "request": "0" * 64,
        "packages": [package],
    }
    made = {"distribution": "own", "created": "2026-11-22T00:00:00Z", "serial": 1, "suites": [], "sets": [one]}
    save_lock(Lock.model_validate(made), distro / "zaffre.lock")


def advise(house: House, keys: Keys) -> None:
    """An advisory, signed as `zaffre patch` signs it."""
    house.advisories.mkdir(exist_ok=True)
    path = house.advisories / "own-sa-1.osv.json"
    path.write_bytes(b'{"id": "OWN-SA-1"}')
    path.with_name(f"{path.name}.sig").write_bytes(keys.release_signer().sign_bytes(path.read_bytes()))


def test_a_dry_run_says_what_would_be_published(house: House) -> None:
    assert house.publish("--dry-run") == ExitCode.DONE
    assert f"own, made {dt.datetime.now(dt.UTC):%Y-%m-%d}" in house.shell.out
    assert f"3 files: would publish to {house.place}" in house.shell.out
    assert not house.place.exists()
    told = house.shell.json(*house.words("publish", "--to", house.place, "--dry-run"))
    assert told["published"] is False
    assert [one["name"] for one in told["files"]] == ["osv.zip", "trivy/metadata.json", "trivy/trivy.db"]
    assert house.verify() == ExitCode.USAGE
    assert "no feed is published here" in house.shell.err


def test_what_is_published_is_verified_by_its_list(house: House) -> None:
    assert house.publish() == ExitCode.DONE
    assert f"3 files: published to {house.place}" in house.shell.out
    assert house.verify() == ExitCode.DONE
    assert "3 files: all of it holds" in house.shell.out
    told = house.told()
    assert (told["distribution"], told["published"]) == ("own", True)
    for one in told["files"]:
        data = (house.place / one["path"]).read_bytes()
        assert (one["sha256"], one["bytes"]) == (sha256_bytes(data), len(data))
    with zipfile.ZipFile(io.BytesIO(house.paths()["osv.zip"].read_bytes())) as archive:
        (name,) = archive.namelist()
        assert json.loads(archive.read(name))["upstream"] == ["CVE-2026-1000"]


@pytest.mark.tools
def test_trivy_reads_what_was_published_in_a_root_that_bears_the_distribution_s_own_name(house: House) -> None:
    assert house.publish() == ExitCode.DONE
    root = house.folder / "root"
    (root / "etc").mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=own\nID_LIKE=debian\nVERSION_ID=1\nDEBIAN_CODENAME=trixie\n")
    (root / "etc/debian_version").write_text("13.2\n")
    (root / "var/lib/dpkg/status").write_text(
        "Package: libexpat1\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.7-1+deb13u1\nSource: expat\n"
    )
    found = trivy_with("rootfs", root, published(house.place, "trivy"), house.folder / "trivy")
    assert found == {("libexpat1", "CVE-2026-1000")}


def test_a_second_one_takes_the_place_of_the_first_and_has_our_advisories_and_statements(
    house: House, keys: Keys
) -> None:
    assert house.publish() == ExitCode.DONE
    first = house.paths()
    advise(house, keys)
    today = dt.datetime.now(dt.UTC).date()
    (house.distro / "vex").mkdir()
    (house.distro / "vex/one.toml").write_text(
        STATEMENT.format(since=today - dt.timedelta(days=1), expires=today + dt.timedelta(days=30))
    )
    house.mirror.fault("debian/*", Fault(status=404))
    assert house.publish("--offline") == ExitCode.DONE, "the store has the archive's feed now"
    second = house.paths()
    assert set(second) - set(first) == {"advisories/own-sa-1.osv.json", "openvex.json"}
    assert second["osv.zip"] == first["osv.zip"]
    (statement,) = json.loads(second["openvex.json"].read_bytes())["statements"]
    assert statement["vulnerability"]["name"] == "CVE-2026-1000"
    assert all(path.is_file() for path in first.values()), "who has just read the list before finds its files"


def test_an_advisory_that_our_key_has_not_signed_is_not_published(house: House, keys: Keys) -> None:
    advise(house, keys)
    path = house.advisories / "own-sa-1.osv.json"
    path.write_bytes(b'{"id": "EVIL-1"}')
    assert house.publish() == ExitCode.WORLD
    assert "the signature is not the release key's" in house.shell.err
    path.with_name(f"{path.name}.sig").unlink()
    assert house.publish() == ExitCode.WORLD
    assert "the advisory is not signed" in house.shell.err
    assert not house.place.exists()


@pytest.mark.parametrize("name", ["osv.zip", "trivy/trivy.db"])
def test_a_damaged_file_is_found(house: House, name: str) -> None:
    assert house.publish() == ExitCode.DONE
    path = house.paths()[name]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert house.verify() == ExitCode.WORLD
    assert "a file of the feed is not the one that its list names" in house.shell.err
    assert "all of it holds" not in house.shell.out
    path.unlink()
    assert house.verify() == ExitCode.WORLD
    assert "a file of the feed is missing" in house.shell.err
    assert house.publish() == ExitCode.DONE, "publishing again mends it"
    assert house.verify() == ExitCode.DONE


def test_a_damaged_list_is_found(house: House) -> None:
    assert house.publish() == ExitCode.DONE
    path = house.place / INDEX
    said = json.loads(path.read_bytes())
    said["payload"] = said["payload"][:-8] + "AAAA" + said["payload"][-4:]
    path.write_text(json.dumps(said))
    assert house.verify() == ExitCode.WORLD
    assert "no signature of it was made by the release key" in house.shell.err


def test_a_feed_of_another_s_key_is_neither_believed_nor_replaced(house: House, tmp_path: Path) -> None:
    assert house.publish() == ExitCode.DONE
    before = (house.place / INDEX).read_bytes()
    house.keys = init_keys(tmp_path / "keys", owner="Eve", now=dt.datetime.now(dt.UTC)).directory
    for done in (house.verify, house.publish):
        assert done() == ExitCode.WORLD
        assert "no signature of it was made by the release key" in house.shell.err
    assert (house.place / INDEX).read_bytes() == before


def test_an_old_feed_is_a_finding(house: House, keys: Keys) -> None:
    key = keys.certificates[Role.RELEASE].public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    files = {"osv.zip": b"old"}
    index = index_of(files, distribution="own", at=dt.datetime.now(dt.UTC) - dt.timedelta(days=8, hours=1))
    signer = keys.release_signer()
    publish_feed(Folder(house.place), index, files, lambda said: envelope(said, signer, key="a"), key)
    assert house.verify() == ExitCode.FINDING
    assert "the feed is 8 days old, and may be 7" in house.shell.err
    assert house.verify("--max-age", 9) == ExitCode.DONE


def test_without_a_feed_of_the_archive_nothing_is_published(house: House) -> None:
    assert house.publish("--offline") == ExitCode.FINDING
    assert "run it once without --offline" in house.shell.err
    house.mirror.fault("debian/*", Fault(status=404))
    assert house.publish() == ExitCode.WORLD
    assert not house.place.exists()


def test_a_place_that_can_not_be_written_to_is_wrong_use(house: House) -> None:
    assert house.shell(*house.words("publish", "--to", "https://feeds.example/")) == ExitCode.USAGE
    assert "cannot be published by HTTP" in house.shell.err
    assert house.shell(*house.words("publish")) == ExitCode.USAGE
