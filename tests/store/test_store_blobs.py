# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.store import CorruptBlobError, MissingBlobError, Store, copy_sparse, hash_file

MIB = 1 << 20


def sparse_file(path: Path) -> Path:
    """300 MiB apparent, 1 MiB of data in the middle and 4 kB near the end."""
    with path.open("wb") as file:
        file.truncate(300 * MIB)
        file.seek(100 * MIB)
        file.write(os.urandom(MIB))
        file.seek(290 * MIB)
        file.write(b"x" * 4096)
    return path


def in_store(store: Store) -> list[Path]:
    return sorted((store.root / "blobs").glob("*/*"))


def spoil(path: Path) -> None:
    time.sleep(0.02)  # by then, the clock of any kernel's file systems has gone on
    path.chmod(0o644)
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def test_bytes_come_back_read_only(store: Store) -> None:
    digest = store.add_bytes(b"hello")
    assert digest == sha256_bytes(b"hello")
    assert store.path(digest).read_bytes() == b"hello"
    assert store.path(digest).stat().st_mode & 0o777 == 0o444
    assert store.has(digest)


def test_a_copied_file_stays_where_it_was(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    digest = store.add_file(file)
    file.write_bytes(b"other")
    assert store.verified(digest).read_bytes() == b"data"


def test_a_moved_file_is_gone(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    inode = file.stat().st_ino
    digest = store.add_file(file, move=True)
    assert not file.exists()
    assert store.path(digest).stat().st_ino == inode


def test_moving_works_between_file_systems(store: Store, small_disk: Path) -> None:
    file = small_disk / "file"
    file.write_bytes(b"data")
    digest = store.add_file(file, move=True)
    assert not file.exists()
    assert store.verified(digest).read_bytes() == b"data"


def test_a_file_with_a_second_name_is_not_shared_with_it(store: Store, tmp_path: Path) -> None:
    file, twin = tmp_path / "file", tmp_path / "twin"
    file.write_bytes(b"data")
    twin.hardlink_to(file)
    digest = store.add_file(file, move=True)
    twin.write_bytes(b"evil")
    assert store.verified(digest).read_bytes() == b"data"


@pytest.mark.parametrize("move", [False, True])
def test_holes_stay_holes(store: Store, tmp_path: Path, *, move: bool) -> None:
    file = sparse_file(tmp_path / "disk")
    with file.open("rb") as content:
        expected = hashlib.file_digest(content, "sha256").hexdigest()
    digest = store.add_file(file, move=move)
    status = store.path(digest).stat()
    assert digest == expected
    assert status.st_size == 300 * MIB
    assert status.st_blocks * 512 < 3 * MIB


def test_holes_stay_holes_between_file_systems(tmp_path: Path, small_disk: Path) -> None:
    copy_sparse(sparse_file(tmp_path / "disk"), small_disk / "copy")  # 300 MiB fit into 8
    copy_sparse(small_disk / "copy", tmp_path / "back")
    assert (tmp_path / "back").stat().st_blocks * 512 < 3 * MIB
    with (tmp_path / "disk").open("rb") as one, (tmp_path / "back").open("rb") as two:
        assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(two, "sha256").digest()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 3 * MIB + 1])
def test_copies_of_any_size_are_equal(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    copy_sparse(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert hash_file(target) == sha256_bytes(source.read_bytes())


def test_holes_at_the_beginning_within_and_at_the_end_are_hashed_as_zeros(tmp_path: Path) -> None:
    for name, pieces in {"begin": [MIB], "end": [0], "within": [0, 2 * MIB], "all": []}.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(3 * MIB + 5)
            for place in pieces:
                file.seek(place)
                file.write(b"data")
        assert hash_file(tmp_path / name) == sha256_bytes((tmp_path / name).read_bytes()), name


def test_an_unexpected_digest_is_refused_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    with pytest.raises(IntegrityError) as caught:
        store.add_file(file, expected=sha256_bytes(b"other"))
    assert sha256_bytes(b"other") in str(caught.value.details)
    assert in_store(store) == []
    assert file.exists()


def test_a_missing_blob_says_what_to_do(store: Store) -> None:
    with pytest.raises(MissingBlobError) as caught:
        store.path(sha256_bytes(b"never"))
    assert "again" in str(caught.value.resolution)
    assert caught.value.exit_code == 3


def test_a_corrupted_blob_is_found_put_aside_and_replaced(store: Store) -> None:
    digest = store.add_bytes(b"precious")
    spoil(store.path(digest))
    with pytest.raises(CorruptBlobError) as caught:
        store.verified(digest)
    assert caught.value.exit_code == 3
    assert "run the same command again" in str(caught.value.resolution)
    assert not store.has(digest)
    store.add_bytes(b"precious")
    assert store.verified(digest).read_bytes() == b"precious"


def test_adding_the_good_file_heals_a_corrupted_blob(store: Store, tmp_path: Path) -> None:
    digest = store.add_bytes(b"precious")
    spoil(store.path(digest))
    (tmp_path / "good").write_bytes(b"precious")
    store.add_file(tmp_path / "good")
    assert store.verified(digest).read_bytes() == b"precious"


def test_a_download_is_adopted_when_it_is_right(store: Store) -> None:
    digest = sha256_bytes(b"package")
    store.partial(digest).write_bytes(b"pack")
    assert not store.has(digest)
    with store.partial(digest).open("ab") as file:
        file.write(b"age")
    assert store.adopt(digest).read_bytes() == b"package"
    assert not store.partial(digest).exists()


def test_a_wrong_download_is_deleted(store: Store) -> None:
    digest = sha256_bytes(b"package")
    store.partial(digest).write_bytes(b"PACKAGE")
    with pytest.raises(IntegrityError):
        store.adopt(digest)
    assert not store.partial(digest).exists()
    assert not store.has(digest)


def test_what_another_process_adopted_is_adopted(store: Store) -> None:
    digest = store.add_bytes(b"package")
    assert store.adopt(digest) == store.path(digest)


def test_verify_finds_and_repairs(store: Store) -> None:
    good, bad = store.add_bytes(b"good"), store.add_bytes(b"bad")
    spoil(store.path(bad))
    report = store.verify(repair=False)
    assert (report.checked_blobs, report.corrupt_blobs, report.sound) == (2, (bad,), False)
    assert store.has(bad)
    assert store.verify(repair=True).repaired
    assert not store.has(bad)
    assert store.has(good)
    assert store.verify(repair=False).sound


def test_the_default_place_is_the_environments_or_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZAFFRE_STORE", str(tmp_path))
    assert Store.default_root() == tmp_path
    monkeypatch.delenv("ZAFFRE_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.default_root() == tmp_path / "cache" / "zaffre"


def test_a_digest_is_a_digest(store: Store) -> None:
    assert not store.has(Sha256("0" * 64))


def test_what_was_just_hashed_is_not_hashed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def counted(path: Path) -> Sha256:
        hashed.append(path)
        return hash_file(path)

    monkeypatch.setattr("zaffre.store.blobs.hash_file", counted)
    digest = store.add_bytes(b"data")
    assert store.verified(digest) == store.path(digest) == store.verified(digest)
    assert hashed == []
    assert Store(store.root).verified(digest).read_bytes() == b"data"
    assert hashed == [store.path(digest)]


@pytest.mark.parametrize("meanwhile", [spoil, os.utime, Path.unlink])
def test_a_blob_that_was_touched_since_is_looked_at_again(store: Store, meanwhile: Callable[[Path], None]) -> None:
    digest = store.add_bytes(b"data")
    path = store.verified(digest)
    meanwhile(path)
    if meanwhile is os.utime:
        assert store.verified(digest) == path
    else:
        with pytest.raises((CorruptBlobError, MissingBlobError)):
            store.verified(digest)
        assert not store.has(digest)


def test_what_is_absent_is_asked_for_at_once(store: Store) -> None:
    here, away = store.add_bytes(b"here"), sha256_bytes(b"away")
    assert store.absent([here, away]) == {away}
    assert store.absent([]) == frozenset()
