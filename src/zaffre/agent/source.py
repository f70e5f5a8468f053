# SPDX-License-Identifier: Apache-2.0
"""Where a node reads releases: a web server, or a folder such as a medium that somebody plugged in. To be read only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from zaffre.errors import WorldError

_CHUNK = 64 << 10
_ABSENT = {403, 404, 410}  # object stores say 403 of what is not there to those who may not list
_TIMEOUT: Final = Timeout(connect=10.0, read=20.0)
"""Seconds until it is reached, and between two pieces."""
_RETRIES = Retry(total=5, redirect=5, connect=0, read=0, status=0, other=0)


class Place(Protocol):
    def size(self, path: str) -> int | None:
        """Bytes of a file; None when it is not there."""
        ...

    def chunks(self, path: str) -> Iterator[bytes]:
        """Its content, in order. Raises WorldError when it ends before its end."""
        ...

    def rest(self, path: str, start: int) -> tuple[int, Iterator[bytes]]:
        """What is left of a file from `start` on, or from where the place begins instead: with 0, if it can't."""
        ...


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, path: str) -> int | None:
        try:
            return (self._root / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def chunks(self, path: str) -> Iterator[bytes]:
        return self.rest(path, 0)[1]

    def rest(self, path: str, start: int) -> tuple[int, Iterator[bytes]]:
        return start, self._from(path, start)

    def _from(self, path: str, start: int) -> Iterator[bytes]:
        try:
            with (self._root / path).open("rb") as file:
                file.seek(start)
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise WorldError("the file cannot be read", where=f"{self._root}/{path}", details=str(error)) from error


class Web:
    """By HTTP. Every answer but a plain success or 'not here' is a WorldError. What it says of itself is not believed:
    its content is held against signed metadata by who asked.
    """

    def __init__(self, url: str, *, ca: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(
            ca_certs=ca,
            timeout=_TIMEOUT,
            retries=_RETRIES,
            headers={"User-Agent": "zaffre-agent", "Accept-Encoding": "identity"},
        )

    def size(self, path: str) -> int | None:
        with self._told(path):
            answer = self._pool.request("HEAD", self._at(path))
            if answer.status in _ABSENT:
                return None
            length = answer.headers.get("Content-Length", "")
            if answer.status != 200 or not length.isdigit():
                raise self._failed(path, f"HTTP {answer.status}")
            return int(length)

    def chunks(self, path: str) -> Iterator[bytes]:
        return self.rest(path, 0)[1]

    def rest(self, path: str, start: int) -> tuple[int, Iterator[bytes]]:
        headers = {**self._pool.headers, **({"Range": f"bytes={start}-"} if start else {})}
        with self._told(path):
            answer = self._pool.request("GET", self._at(path), headers=headers, preload_content=False)
        if answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return start, self._body(answer, path)
        if answer.status == 200:
            return 0, self._body(answer, path)
        answer.close()
        if answer.status == 416 and start:
            return self.rest(path, 0)
        raise self._failed(path, "it is not there" if answer.status in _ABSENT else f"HTTP {answer.status}")

    def _body(self, answer: urllib3.BaseHTTPResponse, path: str) -> Iterator[bytes]:
        try:
            with self._told(path):
                # What has come, however little: `stream` would wait for a whole chunk, and nobody would see the clock.
                while chunk := answer.read1(_CHUNK, decode_content=False):
                    yield chunk
        finally:
            answer.close()

    def _at(self, path: str) -> str:
        return f"{self._url}/{quote(path, safe='/~')}"

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except (HTTPError, OSError, ValueError) as error:
            raise self._failed(path, str(error) or type(error).__name__) from error

    def _failed(self, path: str, reason: str) -> WorldError:
        return WorldError(
            "the server does not answer as it should",
            where=f"{self._url}/{path}",
            details=reason,
            resolution="check the URL and the network; the next run tries again",
        )


def open_place(word: str, *, ca: str | None = None) -> Place:
    """A place by its URL, or by the absolute path of a folder."""
    return Folder(Path(word)) if word.startswith("/") else Web(word, ca=ca)
