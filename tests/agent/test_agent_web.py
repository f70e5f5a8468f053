# SPDX-License-Identifier: Apache-2.0
"""Downloads from a web server on the loopback: resumed, bounded, slow, endless, cut off, limited."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.mirror import serving
from support.nodes import Seat
from support.releases import Yard
from zaffre.agent import download
from zaffre.agent.download import Downloads
from zaffre.agent.handover import Expected
from zaffre.agent.source import Web, open_place
from zaffre.errors import DiskFullError, IntegrityError, WorldError
from zaffre.offer import Act

DATA = bytes(range(256)) * 400


def expected(data: bytes = DATA) -> Expected:
    return Expected("file", len(data), hashlib.sha256(data).hexdigest())


class Ranges(BaseHTTPRequestHandler):
    """One file, by ranges; each answer breaks off after `most` bytes."""

    most = 10**9
    asked: list[str]
    honest = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if self.honest else 0
        rest = DATA[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.end_headers()
        self.wfile.write(rest[: self.most])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the class's own
        pass


@contextmanager
def ranges(**ways: object) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Ranges,), {"asked": asked, **ways})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_connection_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    with ranges(most=50_000) as (url, asked):
        path = Downloads(Web(url), tmp_path).fetch("file", expected())
    assert path.read_bytes() == DATA
    assert asked == ["bytes=0-", "bytes=50000-", "bytes=100000-"]


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    one = expected()
    (tmp_path / f"{one.sha256}.part").write_bytes(DATA[:1000])
    with ranges(honest=False) as (url, asked):
        assert Downloads(Web(url), tmp_path).fetch("file", one).read_bytes() == DATA
    assert asked == ["bytes=1000-"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(tmp_path: Path) -> None:
    one = expected()
    (tmp_path / f"{one.sha256}.part").write_bytes(DATA + b"more")
    with ranges() as (url, _):
        assert Downloads(Web(url), tmp_path).fetch("file", one).read_bytes() == DATA


def test_an_endless_server_is_left_at_the_signed_length(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(DATA)
    with serving(tmp_path / "www", "file", "endless") as url, pytest.raises(IntegrityError, match="not the one"):
        Downloads(Web(url), tmp_path / "parts").fetch("file", expected())
    assert not list((tmp_path / "parts").iterdir())


def test_a_slow_server_is_left_and_what_came_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(DATA)
    monkeypatch.setattr(download, "GRACE", 0.3)
    monkeypatch.setattr(download, "LEAST_RATE", 10**9)
    with serving(tmp_path / "www", "file", "slow") as url, pytest.raises(WorldError, match="did not arrive"):
        Downloads(Web(url), tmp_path / "parts").fetch("file", expected())
    assert sum(path.stat().st_size for path in (tmp_path / "parts").iterdir()) > 0


def test_the_rate_is_held(tmp_path: Path) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    with ranges() as (url, _):
        Downloads(Web(url), tmp_path, rate=64_000, clock=lambda: clock[0], sleep=sleep).fetch("file", expected())
    assert clock[0] == pytest.approx(len(DATA) / 64_000)


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with ranges() as (url, _):
        pass
    with pytest.raises(WorldError, match="does not answer"):
        Downloads(Web(url), tmp_path).fetch("file", expected())


def test_the_whole_way_by_http(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    with serving(yard.repo, "", "honest") as url:
        seat.place = open_place(url)
        assert seat.agent.run().act is Act.RESTART
    assert seat.slots.contents["1.2"] == seat.payload("1.2")


@pytest.mark.parametrize("way", ["endless", "cut"])
@pytest.mark.parametrize("word", ["timestamp.json", "root.erofs"])
def test_a_server_that_misbehaves_changes_nothing(yard: Yard, word: str, way: str) -> None:
    seat = Seat.at(yard, "1.1")
    with serving(yard.repo, word, way) as url:
        seat.place = open_place(url)
        with pytest.raises(WorldError):
            seat.agent.run()
    assert not seat.slots.written
    seat.place = open_place(str(yard.repo))
    assert seat.agent.run().act is Act.RESTART


def test_a_disk_that_fills_up_is_told_and_the_part_makes_room(small_disk: Path) -> None:
    """Somebody else took the room that was there when it began."""
    parts = small_disk / "parts"
    parts.mkdir()
    status = os.statvfs(small_disk)
    (small_disk / "others").write_bytes(b"x" * (status.f_bavail * status.f_frsize - 50_000))
    with ranges() as (url, _):
        downloads = Downloads(Web(url), parts, free=lambda _: 10**9)
        downloads.require_room([expected()])
        with pytest.raises(DiskFullError, match="full"):
            downloads.fetch("file", expected())
    assert not list(parts.iterdir())
    (small_disk / "others").unlink()
    with ranges() as (url, _):
        assert Downloads(Web(url), parts).fetch("file", expected()).read_bytes() == DATA
