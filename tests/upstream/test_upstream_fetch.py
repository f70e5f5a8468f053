# SPDX-License-Identifier: Apache-2.0
"""Downloads of locked files: resumed, bounded, verified, and tried at every source."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest
from pysequoia import Tsk

from support.repository import Archive, Fault, Mirror
from support.upstreams import QUICK, Refresh, mirrors, no_signatures, said
from zaffre.digest import sha256_bytes
from zaffre.errors import DiskFullError, IntegrityError, WorldError
from zaffre.store import Store
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.fetch import DroppedError, fetch
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.missing import missing


class Meter:
    """A progress listener that adds up."""

    def __init__(self) -> None:
        self.total = self.done = 0

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        yield lambda remark: None

    def transfer(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        @contextmanager
        def bar() -> Iterator[Callable[[int], None]]:
            self.total += total
            yield self._advance

        return bar()

    def note(self, message: str) -> None:
        raise AssertionError(message)

    def _advance(self, amount: int) -> None:
        self.done += amount


@pytest.fixture
def packages(look: Refresh) -> tuple[LockedPackage, ...]:
    return bootstrap_resolve(["hello"], look(), "amd64")


@pytest.fixture
def large(archive: Archive, packages: tuple[LockedPackage, ...]) -> LockedPackage:
    """The package of some size; its file has been padded so that there is something to cut."""
    (one,) = (package for package in packages if package.name == "libgreet")
    return one


def test_what_is_missing_is_fetched_and_only_that(
    packages: tuple[LockedPackage, ...], mirror: Mirror, store: Store
) -> None:
    meter = Meter()
    fetch(packages, mirrors(mirror.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert not missing(packages, store)
    assert meter.done == meter.total == sum(package.size for package in packages)
    count = len(mirror.requests)
    fetch(
        packages, mirrors(), store, meter, limits=QUICK, acceptance=no_signatures(store)
    )  # nothing to do: no mirror is needed
    assert len(mirror.requests) == count


def test_a_cut_download_is_resumed(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    mirror.fault("debian/pool/*", Fault(truncate=300, times=1))
    meter = Meter()
    fetch([large], mirrors(mirror.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert [request.range for request in mirror.served(f"debian/{large.path}")] == [None, "bytes=300-"]
    assert meter.done == large.size
    assert store.verified(large.digest)


def test_a_part_of_an_earlier_run_is_resumed(
    large: LockedPackage, mirror: Mirror, store: Store, archive: Archive
) -> None:
    store.partial(large.digest).write_bytes(archive.files[large.path][:200])
    meter = Meter()
    fetch([large], mirrors(mirror.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert [request.range for request in mirror.served(f"debian/{large.path}")] == ["bytes=200-"]
    assert meter.done == large.size


def test_a_mirror_that_cannot_resume_begins_again(
    large: LockedPackage, mirror: Mirror, store: Store, archive: Archive
) -> None:
    mirror.fault("debian/pool/*", Fault(no_range=True))
    store.partial(large.digest).write_bytes(archive.files[large.path][:200])
    meter = Meter()
    fetch([large], mirrors(mirror.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert store.verified(large.digest)
    assert meter.done == large.size


@pytest.mark.parametrize("length", [200, 100_000])
def test_a_rotten_part_is_thrown_away(large: LockedPackage, mirror: Mirror, store: Store, length: int) -> None:
    store.partial(large.digest).write_bytes(b"\0" * length)
    meter = Meter()
    fetch([large], mirrors(mirror.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert store.verified(large.digest)
    assert meter.done == large.size


def test_a_whole_but_unadopted_part_needs_no_download(
    large: LockedPackage, mirror: Mirror, store: Store, archive: Archive
) -> None:
    store.partial(large.digest).write_bytes(archive.files[large.path])
    fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    assert not mirror.served("debian/pool/*")


def test_wrong_bytes(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    mirror.fault("debian/pool/*", Fault(flip=True))
    with pytest.raises(IntegrityError) as caught:
        fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    text = said(caught.value)
    assert "libgreet 2.1-1: the package's file is not the one that is locked" in text
    assert "it does not have the SHA-256 that it must have" in text
    assert not store.partial(large.digest).exists()
    assert len(mirror.served("debian/pool/*")) == 1  # never asked again for the same bytes


def test_endless_body(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    mirror.fault("debian/pool/*", Fault(endless=True))
    with pytest.raises(IntegrityError) as caught:
        fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    assert f"it is larger than it may be (more than {large.size} bytes)" in said(caught.value)


def test_a_second_source_serves_what_the_first_garbles(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    with Mirror(mirror.archives) as second:
        mirror.fault("debian/pool/*", Fault(flip=True))
        meter = Meter()
        fetch([large], mirrors(mirror.url, second.url), store, meter, limits=QUICK, acceptance=no_signatures(store))
    assert store.verified(large.digest)
    assert meter.done == large.size


def test_always_cut(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    mirror.fault("debian/pool/*", Fault(truncate=0))
    with pytest.raises(WorldError) as caught:
        fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    text = said(caught.value)
    assert "libgreet 2.1-1: the package cannot be fetched" in text
    assert "run the same command again (it goes on where it stopped)" in text


def test_slow(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    mirror.fault("debian/pool/*", Fault(drip=1))
    with pytest.raises(WorldError) as caught:
        fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    assert "it is too slow" in said(caught.value)


def test_dropped_everywhere_names_all_sources_and_the_way_out(
    packages: tuple[LockedPackage, ...], mirror: Mirror, store: Store, archive: Archive, key: Tsk
) -> None:
    for name in ("hello", "libgreet"):
        archive.remove(name)
    other = Archive()
    with Mirror({"debian": other}) as second, pytest.raises(DroppedError) as caught:
        fetch(
            packages,
            mirrors(mirror.url, f"http://me:secret@{second.url[7:]}"),
            store,
            limits=QUICK,
            acceptance=no_signatures(store),
        )
    text = said(caught.value)
    assert "2 locked packages are no longer at any source" in text
    assert "hello 1:2.0-1 (all):" in text
    for source in (mirror.url, second.url):
        assert f"{source}/debian/pool/main/h/hello/hello_2.0-1_all.deb: HTTP 404" in text
    assert "run `zaffre lock --update hello libgreet`" in text
    assert "snapshot service to mirrors.toml" in text
    assert "secret" not in text
    assert caught.value.names == ("hello", "libgreet")
    assert [package.name for package in missing(packages, store)] == ["hello", "libgreet"]  # the third one came


def test_a_snapshot_service_has_what_the_mirror_dropped(
    packages: tuple[LockedPackage, ...], mirror: Mirror, store: Store, archive: Archive
) -> None:
    when = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    kept = Archive()
    kept.files = dict(archive.files)
    archive.remove("hello")
    with Mirror({"archive": Archive()}) as service:
        service.archives["archive"].files = {
            f"debian/20261122T093000Z/{path}": data for path, data in kept.files.items()
        }
        both = mirrors(mirror.url, f"debian={service.url}/archive/debian/{{timestamp}}")
        fetch(packages, both.at(when), store, limits=QUICK, acceptance=no_signatures(store))
    assert not missing(packages, store)
    assert service.served("archive/debian/20261122T093000Z/pool/main/h/hello/*")


def test_userinfo_of_a_mirror_is_used_for_it(packages: tuple[LockedPackage, ...], mirror: Mirror, store: Store) -> None:
    fetch(
        packages[:1],
        mirrors(f"http://me:secret@{mirror.url[7:]}"),
        store,
        limits=QUICK,
        acceptance=no_signatures(store),
    )
    assert mirror.served("debian/pool/*")[0].authorization == "Basic bWU6c2VjcmV0"


def test_two_fetches_at_once_download_each_file_once(
    packages: tuple[LockedPackage, ...], mirror: Mirror, store: Store
) -> None:
    mirror.fault("debian/pool/*", Fault(delay=0.1))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            fetch(
                packages,
                mirrors(mirror.url),
                Store(store.root),
                limits=QUICK,
                acceptance=no_signatures(Store(store.root)),
            )
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(mirror.served("debian/pool/*")) == len(packages)


def test_no_mirror_says_how_to_set_one(packages: tuple[LockedPackage, ...], store: Store) -> None:
    with pytest.raises(WorldError) as caught:
        fetch(packages, mirrors(), store, acceptance=no_signatures(store))
    text = said(caught.value)
    assert "no mirror is known for the archive 'debian'" in text
    for way in ("--mirror debian=URL", "ZAFFRE_MIRROR", "mirrors.toml", "/etc/apt/sources.list"):
        assert way in text


def test_a_full_disk(large: LockedPackage, mirror: Mirror, store: Store) -> None:
    store.partial(large.digest).symlink_to("/dev/full")
    with pytest.raises(DiskFullError) as caught:
        fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    assert "no room left on the file system" in said(caught.value)
    assert not store.partial(large.digest).is_symlink()


INTERRUPTED = """
import sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from support.upstreams import mirrors, no_signatures
from zaffre.store import Store
from zaffre.upstream import LockedPackage
from zaffre.upstream.fetch import fetch
package = LockedPackage.model_validate_json(sys.argv[1])
url, folder = sys.argv[2].split()
store = Store(Path(folder))
fetch([package], mirrors(url), store, acceptance=no_signatures(store))
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("fault", [Fault(drip=20), Fault(hang=60)])
def test_interrupted_and_run_again(
    large: LockedPackage, mirror: Mirror, store: Store, kind: signal.Signals, fault: Fault
) -> None:
    """Ctrl-C ends at once, even while a mirror is silent; what had come is not fetched again."""
    mirror.fault("debian/pool/*", fault)
    argv = [sys.executable, "-c", INTERRUPTED, large.model_dump_json(), f"{mirror.url} {store.root}", *sys.path]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as child:
        until = time.monotonic() + 10
        while not store.partial(large.digest).exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        child.send_signal(kind)
        assert child.wait(timeout=10) != 0
    had = store.partial(large.digest).stat().st_size
    assert had > 0
    mirror.mend()
    mirror.requests.clear()
    fetch([large], mirrors(mirror.url), store, limits=QUICK, acceptance=no_signatures(store))
    assert [request.range for request in mirror.requests] == [f"bytes={had}-"]


def test_a_package_of_an_archive_that_no_upstream_has(large: LockedPackage, store: Store) -> None:
    """Nobody could say whether it had to be signed, so it is not even asked for."""
    stray = large.model_copy(update={"archive": "elsewhere"})
    for present in (False, True):
        if present:
            store.add_bytes(b"already here")
            stray = stray.model_copy(update={"sha256": sha256_bytes(b"already here")})
        with pytest.raises(IntegrityError, match="no upstream has the archive 'elsewhere'"):
            fetch([stray], mirrors(), store, limits=QUICK, acceptance=no_signatures(store))
