# SPDX-License-Identifier: Apache-2.0
"""The definition's `[repository]`, what machines are told of it, and fetching from it when mirrors have moved on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from support.repository import NOW, Archive, Deb, Fault, Mirror
from support.shop import Shop, greeting, hello, served
from support.upstreams import QUICK, said
from zaffre.definition import load_distribution
from zaffre.definition.repository import OWN
from zaffre.definition.starter import _renamed
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.place.folder import Folder
from zaffre.place.web import Web
from zaffre.progress import SILENT
from zaffre.repository.verify import verify_repository
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.fetch import DroppedError, fetch, fetch_own
from zaffre.upstream.lock import COMPONENTS, LockedPackage
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.pool import pool_path

ARCHIVES = {"debian": "debian"}


def find(*explicit: str, own: str | None = None, home: Path = Path("/nonexistent")) -> Mirrors:
    return find_mirrors(ARCHIVES, explicit=explicit, environ={}, config_home=home, apt=Path("/nonexistent"), own=own)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """One that publishes nothing, and so needs no tools."""
    return Shop(tmp_path / "shop", None)  # type: ignore[arg-type]


def edited(shop: Shop, old: str, new: str) -> Path:
    path = shop.root / "distro/zaffre.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return shop.root / "distro"


def test_what_a_machine_is_given(shop: Shop) -> None:
    assert shop.distribution.apt_sources("stable") == (
        "Types: deb\nURIs: http://127.0.0.1:9/acme\nSuites: stable\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/acme-archive-keyring.gpg\n"
    )
    folder = edited(shop, "[repository]\n", "[repository]\nsources = true\n")
    assert load_distribution(folder).apt_sources("dev").startswith("Types: deb deb-src\n")
    with pytest.raises(DefinitionError, match="there is no channel 'stabel'") as caught:
        shop.distribution.apt_sources("stabel")
    assert "did you mean 'stable'?" in said(caught.value)


def test_a_distribution_may_have_none(shop: Shop) -> None:
    folder = edited(shop, '[repository]\nurl = "http://127.0.0.1:9/acme"\n', "")
    distribution = load_distribution(folder)
    assert distribution.repository is None
    with pytest.raises(DefinitionError, match="no repository of its own") as caught:
        distribution.apt_sources("dev")
    assert "[repository]" in said(caught.value)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('channels = ["snapshots"]', "channel"),
        ('channels = ["a/b"]', "channel"),
        ("channels = []", "channels"),
        ("valid_days = 0", "valid_days"),
        ('url = "ftp://x"', "URL"),
        ('origin = "two\\nlines"', "origin"),
    ],
)
def test_what_cannot_be_is_refused(shop: Shop, line: str, word: str) -> None:
    old = 'url = "http://127.0.0.1:9/acme"'
    folder = edited(shop, old, line if line.startswith("url") else f"{old}\n{line}")
    with pytest.raises(DefinitionError) as caught:
        load_distribution(folder)
    text = said(caught.value)
    assert "repository" in text
    assert word in text


def test_a_new_distribution_does_not_begin_with_another_s_repository() -> None:
    text = (
        '# SPDX-License-Identifier: Apache-2.0\n[distribution]\nid = "zaffre"\n\n[defaults]\nupstream = "debian"\n\n'
        '[repository]\nurl = "http://x.example"\nchannels = ["a"]\n\n# The tools.\n[tools]\npackages = ["apt"]\n'
    )
    identity = {"id": "own", "name": "Own", "version": "1"}
    made = _renamed(text, identity)
    assert tomllib.loads(made) == {
        "distribution": identity,
        "defaults": {"upstream": "debian"},
        "tools": {"packages": ["apt"]},
    }
    assert "# The tools." in made


def test_no_archive_has_its_name(shop: Shop) -> None:
    path = shop.root / "distro/upstreams/debian.toml"
    path.write_text(path.read_text().replace('archive = "debian"', 'archive = "repository"'))
    with pytest.raises(DefinitionError) as caught:
        load_distribution(shop.root / "distro")
    assert "what a repository of your own is called" in said(caught.value)


def test_where_our_own_repository_is_found(tmp_path: Path) -> None:
    (tmp_path / "zaffre").mkdir()
    (tmp_path / "zaffre/mirrors.toml").write_text(
        '[[mirror]]\narchive = "repository"\nurl = "http://near.example/own"\n'
    )
    assert find("http://mirror.example/debian").own == ()
    (said_own,) = find(own="http://packages.example/acme").own
    assert (said_own.archive, said_own.url) == (OWN, "http://packages.example/acme")
    assert [one.url for one in find(own="http://far.example", home=tmp_path).own] == ["http://near.example/own"]
    named = find("repository=http://here.example/r", own="http://far.example", home=tmp_path)
    assert [one.url for one in named.own] == ["http://here.example/r"]
    assert named.entries == ()
    assert named.at(NOW).own == named.own
    with pytest.raises(DefinitionError, match=r"has no \{timestamp\}"):
        find("repository=http://here.example/{timestamp}")


@pytest.fixture
def package(shop: Shop) -> LockedPackage:
    return shop.locked(Deb("lib+odd", "1:2.0~rc1", "amd64", files={"usr/lib/odd": "x" * 5000}))


@pytest.fixture
def own(shop: Shop, package: LockedPackage, repo: Path) -> Iterator[str]:
    Folder(repo).put_file(pool_path(package), shop.store.path(package.digest))
    with served(repo) as url:
        yield url


def bring(package: LockedPackage, mirrors: Mirrors, shop: Shop, store: Store) -> None:
    acceptance = Acceptance(shop.distribution.upstreams.values(), store, now=NOW)
    fetch([package], mirrors, store, limits=QUICK, acceptance=acceptance)


def test_what_a_mirror_has_dropped_comes_from_our_own(
    shop: Shop, package: LockedPackage, own: str, tmp_path: Path
) -> None:
    with Mirror({"debian": Archive()}) as mirror:
        store = Store(tmp_path / "fresh")
        bring(package, find(mirror.url, own=own), shop, store)
        assert mirror.served("debian/pool/*")
    assert store.has(package.digest)


@pytest.mark.parametrize("mirrors", ["none", "down"])
def test_a_lock_is_fetched_from_our_own_alone(
    shop: Shop, package: LockedPackage, own: str, tmp_path: Path, mirrors: str
) -> None:
    store = Store(tmp_path / "fresh")
    bring(package, find(*(["http://127.0.0.1:9/debian"] if mirrors == "down" else []), own=own), shop, store)
    assert store.verified(package.digest)


@pytest.mark.parametrize("where", ["down", "without it"])
def test_a_dropped_file_is_dropped_whatever_becomes_of_our_own(
    shop: Shop, package: LockedPackage, tmp_path: Path, where: str
) -> None:
    with Mirror({"debian": Archive(), "own": Archive()}) as mirror:
        own = "http://127.0.0.1:9" if where == "down" else f"{mirror.url}/own"
        with pytest.raises(DroppedError) as caught:
            bring(package, find(f"{mirror.url}/debian", own=own), shop, Store(tmp_path / "fresh"))
    assert pool_path(package).rpartition("/")[0] in said(caught.value)


def test_the_mirror_is_asked_first(shop: Shop, package: LockedPackage, tmp_path: Path) -> None:
    archive = Archive()
    archive.files[package.path] = shop.store.path(package.digest).read_bytes()
    with Mirror({"debian": archive}) as mirror:
        bring(package, find(mirror.url, own="http://127.0.0.1:9"), shop, Store(tmp_path / "fresh"))


def test_the_lock_s_digest_rules_over_our_own_too(
    shop: Shop, package: LockedPackage, own: str, repo: Path, tmp_path: Path
) -> None:
    (repo / pool_path(package)).write_bytes(b"\0" * package.size)
    with pytest.raises(IntegrityError, match="not the one that is locked"):
        bring(package, find(own=own), shop, Store(tmp_path / "fresh"))


def test_without_any_place_it_is_said_how_to_name_one(shop: Shop, package: LockedPackage, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no mirror is known"):
        bring(package, find(), shop, Store(tmp_path / "fresh"))


def test_what_was_built_here_comes_from_our_own_or_is_left_to_be_built(
    shop: Shop, package: LockedPackage, own: str, tmp_path: Path
) -> None:
    ours = package.model_copy(update={"archive": COMPONENTS, "path": "odd/lib+odd.deb"})
    other = ours.model_copy(update={"sha256": "0" * 64})
    store = Store(tmp_path / "fresh")
    fetch_own([ours, other], find(own=own), store, limits=QUICK)
    assert store.has(ours.digest)
    assert not store.has(other.digest)


@pytest.mark.tools
def test_a_repository_is_verified_as_machines_see_it(tmp_path: Path, repo: Path, tools_sandbox: object) -> None:
    shop = Shop(tmp_path / "publisher", tools_sandbox)  # type: ignore[arg-type]
    lock = shop.lock(hello("1.0"), greeting())
    shop.publish(lock, Folder(repo), now=NOW - timedelta(hours=1))

    def look(web: Web, *, quick: bool) -> bool:
        return verify_repository(
            web, shop.keyring, channels=("dev", "stable"), now=NOW, quick=quick, progress=SILENT
        ).ok

    with served(repo) as url:
        assert look(Web(url), quick=False)
        assert look(Web(url), quick=True)
        place = repo / pool_path(lock.set("host", "amd64").packages[0])
        place.write_bytes(b"\0" * place.stat().st_size)
        assert look(Web(url), quick=True)
        assert not look(Web(url), quick=False)
        place.unlink()
        assert not look(Web(url), quick=True)
        with pytest.raises(DefinitionError, match="no repository here"):
            look(Web(f"{url}/elsewhere"), quick=True)
    with Mirror({"acme": Archive()}) as mirror:
        mirror.fault("*", Fault(status=500))
        with pytest.raises(WorldError, match="does not answer as it should"):
            look(Web(f"{mirror.url}/acme"), quick=True)
    with pytest.raises(WorldError):
        look(Web("http://127.0.0.1:9"), quick=True)
