# SPDX-License-Identifier: Apache-2.0
"""Indexes: fetched by hash, bounded, held against the Release, read."""

from __future__ import annotations

import hashlib
import lzma
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, PACKERS, Archive, Deb, Fault, Mirror, keyring, sign_clear
from support.upstreams import Refresh, make_upstream, mirrors, said
from zaffre.definition import DebUpstream
from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.store import Store
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.index import Index, Indexes, Universe
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.decompress import decompress
from zaffre.upstream.lock import LockedSuite

INDEX = "dists/stable/main/binary-amd64/Packages"


def test_by_hash_is_used_when_it_is_offered(look: Refresh, mirror: Mirror) -> None:
    look()
    assert [request.path.rpartition("/")[0] for request in mirror.served("*Packages*")] == []
    assert len(mirror.served("debian/dists/stable/main/binary-amd64/by-hash/SHA256/*")) == 1


def test_without_by_hash(look: Refresh, mirror: Mirror, archive: Archive, key: Tsk) -> None:
    archive.publish([key], by_hash=False)
    look()
    assert len(mirror.served("debian/dists/stable/main/binary-amd64/Packages.xz")) == 1


def test_a_known_index_is_not_fetched_again(look: Refresh, mirror: Mirror) -> None:
    look()
    look()
    assert len(mirror.served("*by-hash*")) == 1
    assert len(mirror.served("*InRelease")) == 2


def test_a_known_index_that_is_damaged_is_made_anew(look: Refresh, mirror: Mirror) -> None:
    (index,) = look().indexes
    index.path.chmod(0o644)
    index.path.write_bytes(index.path.read_bytes().replace(b"Package: hello", b"Package: jello"))
    names = look().universe("amd64").names
    assert "hello" in names
    assert "jello" not in names


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz", ".zst"])
def test_every_compression(look: Refresh, archive: Archive, key: Tsk, suffix: str) -> None:
    archive.publish([key], suffixes=(suffix,))
    assert "hello" in look().universe("amd64").names


def test_index_with_another_hash(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*by-hash*", Fault(flip=True))
    mirror.fault("*Packages.xz", Fault(flip=True))
    with pytest.raises(IntegrityError) as caught:
        look()
    text = said(caught.value)
    assert "Packages.xz: the index is not the one that the Release announces" in text
    assert "it does not have the SHA-256 that it must have" in text
    assert "in the middle of an update" in text


def test_index_larger_than_announced(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*by-hash*", Fault(endless=True))
    mirror.fault("*Packages.xz", Fault(endless=True))
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "it is larger than it may be (more than " in said(caught.value)


def test_index_that_says_that_it_is_larger(look: Refresh, mirror: Mirror, archive: Archive) -> None:
    for path in [path for path in archive.files if "by-hash" in path or path.endswith("Packages.xz")]:
        archive.files[path] += b"more"
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "it is larger than it may be (" in said(caught.value)


def test_index_that_unpacks_to_more_than_announced(look: Refresh, archive: Archive, key: Tsk) -> None:
    """A bomb whose compressed form is announced truly: what comes out is bounded all the same."""
    bomb = lzma.compress(b"\0" * 50_000_000, preset=0)
    digest = hashlib.sha256(bomb).hexdigest()
    archive.files[f"{INDEX}.xz"] = bomb
    sums = f" {'0' * 64} 1000 main/binary-amd64/Packages\n {digest} {len(bomb)} main/binary-amd64/Packages.xz\n"
    archive.files["dists/stable/InRelease"] = sign_clear(_release(sums), [key])
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "it unpacks to more than the 1000 bytes that are announced" in said(caught.value)


def test_index_that_is_no_archive(look: Refresh, archive: Archive, key: Tsk) -> None:
    digest = hashlib.sha256(b"junk").hexdigest()
    archive.files[f"{INDEX}.xz"] = b"junk"
    sums = f" {'0' * 64} 1000 main/binary-amd64/Packages\n {digest} 4 main/binary-amd64/Packages.xz\n"
    archive.files["dists/stable/InRelease"] = sign_clear(_release(sums), [key])
    with pytest.raises(IntegrityError) as caught:
        look()
    assert "it is not xz data, or damaged" in said(caught.value)


def _release(sums: str) -> bytes:
    return f"Suite: stable\nDate: {NOW:%a, %d %b %Y %H:%M:%S} UTC\nArchitectures: amd64\nSHA256:\n{sums}".encode()


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zst"])
def test_truncated_compression(tmp_path: Path, suffix: str) -> None:
    content = bytes(range(256)) * 4000
    whole = PACKERS[suffix](content)
    packed = tmp_path / "packed"
    for cut in (0, 5, len(whole) // 2):
        packed.write_bytes(whole[:cut])
        if suffix == ".zst":  # its reader does not tell a cut from an end; the digest does
            assert decompress(packed, suffix, tmp_path / "plain", limit=10_000_000) != sha256_bytes(content)
        else:
            with pytest.raises(ValueError, match="damaged"):
                decompress(packed, suffix, tmp_path / "plain", limit=10_000_000)


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zst"])
def test_members_behind_each_other_are_one_content_and_nothing_else_may_follow(tmp_path: Path, suffix: str) -> None:
    parts = [bytes(range(256)) * 4000, b"", b"the end"]
    packed = tmp_path / "packed"
    packed.write_bytes(b"".join(PACKERS[suffix](part) for part in parts))
    digest = decompress(packed, suffix, tmp_path / "plain", limit=10_000_000)
    assert (tmp_path / "plain").read_bytes() == b"".join(parts)
    assert digest == sha256_bytes(b"".join(parts))
    for behind in (b"\0" * 512, b"trailing words"):
        packed.write_bytes(PACKERS[suffix](parts[0]) + behind)
        with pytest.raises(ValueError, match="damaged"):
            decompress(packed, suffix, tmp_path / "plain", limit=10_000_000)


def test_members_without_end(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(PACKERS[".gz"](b"") * 2000)
    with pytest.raises(ValueError, match="more than 1000 members"):
        decompress(tmp_path / "packed", ".gz", tmp_path / "plain", limit=10_000_000)


def test_no_such_component(look: Refresh, key: Tsk, tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path, keyring(key), components=["mian"])
    with pytest.raises(DefinitionError) as caught:
        look(upstream=upstream)
    text = said(caught.value)
    assert "the suite 'stable' has no component 'mian' for amd64" in text
    assert "its components for amd64: main" in text


def test_no_such_architecture(look: Refresh) -> None:
    with pytest.raises(DefinitionError) as caught:
        look(architectures=("arm64",))
    assert "its architectures: amd64" in said(caught.value)
    with pytest.raises(DefinitionError) as caught:
        look(architectures=("sparc",))
    assert "it has amd64, arm64" in said(caught.value)


def test_mirror_down(look: Refresh) -> None:
    with pytest.raises(WorldError) as caught:
        look("http://user:secret@127.0.0.1:1/debian")
    text = said(caught.value)
    assert "no mirror of 'debian' answers as it should" in text
    assert "http://127.0.0.1:1/debian (from --mirror): no connection" in text
    assert "give another mirror with `--mirror debian=URL`" in text
    assert "secret" not in text
    assert "user" not in text


def test_mirror_that_never_answers(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*InRelease", Fault(delay=5))
    with pytest.raises(WorldError) as caught:
        look()
    assert "no answer for 0.5 seconds" in said(caught.value)


def test_mirror_that_drips(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*InRelease", Fault(drip=10))
    with pytest.raises(WorldError) as caught:
        look()
    assert "it is too slow (" in said(caught.value)


def test_mirror_without_the_suite(look: Refresh, archive: Archive) -> None:
    del archive.files["dists/stable/InRelease"]
    with pytest.raises(WorldError) as caught:
        look()
    text = said(caught.value)
    assert "no mirror of 'debian' has the suite 'stable'" in text
    assert "HTTP 404" in text


def test_release_without_end(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*InRelease", Fault(endless=True))
    with pytest.raises(WorldError) as caught:
        look()
    assert "it is larger than it may be" in said(caught.value)


def test_a_passing_failure_passes(look: Refresh, mirror: Mirror) -> None:
    mirror.fault("*InRelease", Fault(status=503, headers={"Retry-After": "0"}, times=1))
    mirror.fault("*by-hash*", Fault(truncate=100, times=1))
    assert look().indexes


def test_the_second_mirror_serves_when_the_first_is_stale(
    upstream: DebUpstream, store: Store, mirror: Mirror, archive: Archive, key: Tsk
) -> None:
    stale = Archive()
    stale.publish([key], date=NOW - timedelta(days=30), valid_until=NOW - timedelta(days=20))
    with Mirror({"debian": stale}) as first:
        two = mirrors(first.url, mirror.url)
        assert refresh(upstream, two, store, architectures=["amd64"], now=NOW + timedelta(minutes=1)).indexes
        archive.publish([])
        with pytest.raises(IntegrityError) as caught:
            refresh(upstream, two, store, architectures=["amd64"], now=NOW + timedelta(minutes=1))
    text = said(caught.value)
    assert "no mirror has a good Release of 'stable'" in text
    assert f"{first.url}/debian (from --mirror): the Release has been out of date since" in text
    assert f"{mirror.url}/debian (from --mirror): the file is not signed" in text


# Reading


def _index(tmp_path: Path, text: str, name: str = "stable") -> Index:
    path = tmp_path / f"Packages-{name}"
    path.write_text(text)
    suite = LockedSuite(upstream="test", archive="debian", suite=name, release_sha256="0" * 64, date=NOW)
    return Index(suite, "main", "amd64", Sha256("0" * 64), path)


def _stanza(name: str, version: str, **fields: str) -> str:
    facts = {
        "Package": name,
        "Architecture": "amd64",
        "Version": version,
        "Filename": f"pool/{name}_{version}.deb",
        "Size": "1",
        "SHA256": "0" * 64,
        **{key.replace("_", "-"): value for key, value in fields.items()},
    }
    return "".join(f"{key}: {value}\n" for key, value in facts.items())


def test_newest_candidate_first_and_the_first_suite_wins_ties(tmp_path: Path) -> None:
    one = _index(tmp_path, _stanza("a", "1.0") + "\n" + _stanza("a", "1.0~rc1"))
    two = _index(tmp_path, _stanza("a", "1.0+deb1") + "\n" + _stanza("a", "1.0"), "security")
    found = Universe("amd64", [one, two]).candidates("a")
    assert [(each.version, each.index.suite.suite) for each in found] == [
        ("1.0+deb1", "security"),
        ("1.0", "stable"),
        ("1.0~rc1", "stable"),
    ]


def test_package_need_not_be_the_first_field(tmp_path: Path) -> None:
    text = "Essential: yes\n" + _stanza("odd", "1")
    assert Universe("amd64", [_index(tmp_path, text)]).candidates("odd")[0].essential


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Version: 1\n", "a stanza without a package"),
        ("Package: a\nArchitecture: amd64\n", "malformed stanza"),
        ("Package: a\nArchitecture: amd64\nVersion: 1 2\n", "malformed stanza"),
        (_stanza("a", "1", Filename="../../etc/passwd"), "the stanza of 'a' is malformed"),
        (_stanza("a", "1", Filename="/etc/passwd"), "the stanza of 'a' is malformed"),
        (_stanza("a", "1", SHA256="abc"), "the stanza of 'a' is malformed"),
        (_stanza("a", "1", Size="-1"), "the stanza of 'a' is malformed"),
        ("Package: a\nArchitecture: amd64\nVersion: 1\n", "'a' has no field SHA256"),
    ],
)
def test_malformed_stanzas_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        Universe("amd64", [_index(tmp_path, text)]).candidates("a")[0].locked()
    assert message in said(caught.value)


def test_every_stanza_of_a_large_index_is_found(tmp_path: Path) -> None:
    filler = "Description: something long enough to be like the real ones\n" + "Tag: x::y, " * 50 + "\n"
    text = "\n".join(_stanza(f"package-{number}", "1.0-1") + filler for number in range(70_000))
    universe = Universe("amd64", [_index(tmp_path, text)])
    assert len(universe.names) == 70_000
    assert universe.candidates("package-69999")[0].version == "1.0-1"
    assert universe.essential == ()


# The bootstrap resolver


def test_bootstrap_takes_essentials_names_and_their_dependencies(tmp_path: Path) -> None:
    text = "\n".join(
        [
            _stanza("base", "1", Essential="yes", Depends="awk"),
            _stanza("gawk", "5", Provides="awk", Priority="optional"),
            _stanza("mawk", "1", Provides="awk", Priority="required"),
            _stanza("apt", "3", Depends="libapt (>= 3) | libapt-old, gpgv | sqv (>= 1)"),
            _stanza("libapt", "2"),
            _stanza("libapt", "3"),
            _stanza("sqv", "1.2"),
            _stanza("unrelated", "1"),
        ]
    )
    packages = bootstrap_resolve(["apt"], _indexes(tmp_path, text), "amd64")
    assert [(one.name, one.version) for one in packages] == [
        ("apt", "3"),
        ("base", "1"),
        ("libapt", "3"),
        ("mawk", "1"),
        ("sqv", "1.2"),
    ]


def test_bootstrap_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        bootstrap_resolve(["apt"], _indexes(tmp_path, _stanza("apt", "3", Depends="libapt (>= 3)")), "amd64")
    assert "'apt' needs libapt (>= 3), which the upstream has not got" in said(caught.value)


def test_bootstrap_refuses_conflicts(tmp_path: Path) -> None:
    text = _stanza("apt", "3", Depends="b", Conflicts="b (<< 2)") + "\n" + _stanza("b", "1")
    with pytest.raises(DefinitionError) as caught:
        bootstrap_resolve(["apt"], _indexes(tmp_path, text), "amd64")
    assert "'apt' and 'b' exclude each other" in said(caught.value)


def _indexes(tmp_path: Path, text: str) -> Indexes:
    index = _index(tmp_path, text)
    return Indexes("test", (index.suite,), (index,))


def test_the_simulated_packages_are_real(look: Refresh, archive: Archive) -> None:
    packages = bootstrap_resolve(["hello"], look(), "amd64")
    assert [one.name for one in packages] == ["base-files", "hello", "libgreet"]
    hello, greet = packages[1:]
    assert (hello.version, hello.path) == ("1:2.0-1", "pool/main/h/hello/hello_2.0-1_all.deb")
    assert (greet.source, greet.source_version) == ("greet", "2.1-1")
    assert hashlib.sha256(archive.files[hello.path]).hexdigest() == hello.sha256
    assert Deb("x").build().startswith(b"!<arch>\n")
