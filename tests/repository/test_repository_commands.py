# SPDX-License-Identifier: Apache-2.0
"""`zaffre repo` as its user runs it, on the reference distribution; and its lock fetched from the repository alone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.lab import Lab
from support.shop import served
from zaffre.upstream import COMPONENTS, load_lock

pytestmark = pytest.mark.tools


@dataclass(frozen=True)
class Place(Lab):
    """The lab's lock and keys, with a definition that says where the repository is."""

    lab: Lab

    @property
    def keys(self) -> Path:
        return self.lab.keys

    @property
    def repo(self) -> Path:
        return self.root / "repo"


@pytest.fixture(scope="module")
def place(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("publisher"), lab)
    shutil.copytree(lab.distro, place.distro, symlinks=True)
    main = place.distro / "zaffre.toml"
    changed, count = re.subn(r'(?m)^url = ".*"$', 'url = "http://127.0.0.1:9/linux"', main.read_text())
    assert count == 1
    main.write_text(changed)
    yield place
    shutil.rmtree(place.root)


@pytest.fixture(scope="module")
def published(place: Place) -> Any:
    return place.json("repo", "build", "--to", str(place.repo), "--image", "container-host")


def test_it_is_published_looked_at_and_promoted(place: Place, published: Any) -> None:
    repo = str(place.repo)
    assert published["fresh"]
    assert published["pool_files"] == published["packages"] > 200
    assert place.json("repo", "verify", repo)["ok"]
    assert place.json("repo", "promote", repo, "stable")["snapshot"] == published["snapshot"]
    moved = place.json("repo", "refresh", repo)["channels"]
    assert [one["channel"] for one in moved] == ["dev", "stable"]
    found = place.json("repo", "list", repo)
    assert [one["channels"] for one in found["snapshots"]] == [["dev", "stable"]]
    assert place.json("repo", "gc", repo, "--keep", "0", "--dry-run")["snapshots"] == []
    client = place.json("repo", "client", "stable")
    assert client["path"] == "/etc/apt/sources.list.d/zaffre.sources"
    assert place.zaffre("repo", "client", "stable").stdout.rstrip() == client["text"].rstrip()
    assert "Suites: snapshots/" in place.json("repo", "client", "--snapshot", published["snapshot"])["text"]
    rows = {row["key"]: row["value"] for row in place.json("show", "repository")}
    assert (rows["url"], rows["channels[1]"], rows["packages[0]"]) == ("http://127.0.0.1:9/linux", "stable", "htop")
    for words in (("list", repo), ("verify", repo, "--quick"), ("gc", repo), ("refresh", repo, "dev")):
        assert place.zaffre("repo", *words).stdout.strip()
    with served(place.repo) as url:
        assert place.json("repo", "verify", url, "--quick")["ok"]


def test_the_lock_is_fetched_from_it_when_no_mirror_has_anything(place: Place, published: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with served(place.repo) as url:
        words = ("--mirror", "http://127.0.0.1:9", "--mirror", f"repository={url}", "--store", str(store))
        done = place.zaffre("lock", "--dropped", "--image", "container-host", *words)
    assert "every locked file is in the store" in done.stdout
    lock = load_lock(place.distro / "zaffre.lock")
    assert lock is not None
    packages = lock.set("container-host", "amd64").packages
    assert any(one.archive == COMPONENTS for one in packages)
    for package in packages:
        assert (store / "blobs" / package.sha256[:2] / package.sha256).stat().st_size == package.size
    shutil.rmtree(store)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("build", "--to", "/nonexistent", "--image", "nobody"), 2, "there is no image 'nobody'"),
        (("build", "--to", "/nonexistent", "--channel", "stabel"), 2, "did you mean 'stable'?"),
        (("build", "--to", "https://packages.example"), 2, "cannot be published by HTTP"),
        (("verify", "/nonexistent"), 2, "there is no repository here"),
        (("promote", "/nonexistent", "stable"), 2, "is not published yet"),
        (("promote", "/nonexistent", "stable", "--snapshot", "yesterday"), 2, "there is no repository here"),
        (("refresh", "/nonexistent"), 2, "there is no repository here"),
        (("gc", "/nonexistent"), 2, "there is no repository here"),
        (("promote", "/nonexistent", "stable", "--snapshot", "x", "--from", "dev"), 2, "not both"),
    ],
)
def test_what_is_wrong_is_said(place: Place, words: tuple[str, ...], code: int, said: str) -> None:
    done = place.zaffre("repo", *words, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert not Path("/nonexistent").exists()


def test_older_keys_get_theirs_by_a_command(place: Place, tmp_path: Path) -> None:
    keys = Path(shutil.copytree(place.keys, tmp_path / "keys"))
    for name in ("repository.key", "repository.asc"):
        (keys / name).unlink()
    here = ("--keys", str(keys))
    assert "'zaffre keys add' makes it" in place.zaffre("keys", "list", *here).stdout
    done = place.zaffre("repo", "build", "--to", str(tmp_path / "repo"), *here, check=False)
    assert done.returncode == 2
    assert "zaffre keys add" in done.stderr
    roles = [one["role"] for one in place.json("keys", "add", *here)["keys"]]
    assert roles[-1] == "repository"
    assert "BEGIN PGP PUBLIC KEY BLOCK" in place.json("keys", "show", "repository", *here)["pem"]
