# SPDX-License-Identifier: Apache-2.0
"""What is published as machines see it: over HTTP, to be read only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import quote

import httpx

from zaffre.errors import IntegrityError, WorldError
from zaffre.upstream.download import tls_context
from zaffre.upstream.mirrors import shown_url

_ABSENT = {403, 404, 410}  # object stores say 403 of what is not there to those who may not list
READ_SECONDS = 120.0
"""For one small file, however few bytes come at a time."""
_TIMEOUT = httpx.Timeout(20.0, connect=10.0)


class Web:
    """Every answer but a plain success or 'not here' is a WorldError."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            verify=tls_context(),
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=5,
            headers={"User-Agent": "zaffre", "Accept-Encoding": "identity"},
        )

    @property
    def shown(self) -> str:
        return shown_url(self._url)

    def read(self, path: str, *, limit: int) -> bytes | None:
        data = bytearray()
        end = time.monotonic() + READ_SECONDS
        for chunk in self._chunks(path):
            if chunk is None:
                return None
            data += chunk
            if time.monotonic() > end:
                raise self._failed(path, f"it did not arrive within {READ_SECONDS:.0f} seconds")
            if len(data) > limit:
                raise IntegrityError(f"the file is larger than it may be ({limit} bytes)", where=f"{self.shown}/{path}")
        return bytes(data)

    def size(self, path: str) -> int | None:
        try:
            response = self._client.head(self._at(path))
        except httpx.HTTPError as error:
            raise self._failed(path, str(error) or type(error).__name__) from error
        if response.status_code in _ABSENT:
            return None
        length = response.headers.get("Content-Length", "")
        if response.status_code != 200 or not length.isdigit():
            raise self._failed(path, f"HTTP {response.status_code} {response.reason_phrase}")
        return int(length)

    def chunks(self, path: str) -> Iterator[bytes]:
        for chunk in self._chunks(path):
            if chunk is None:
                raise self._failed(path, "it is not there")
            yield chunk

    def _chunks(self, path: str) -> Iterator[bytes | None]:
        """The content, or one None for what is not there."""
        try:
            with self._client.stream("GET", self._at(path)) as response:
                if response.status_code in _ABSENT:
                    yield None
                    return
                if response.status_code != 200:
                    raise self._failed(path, f"HTTP {response.status_code} {response.reason_phrase}")
                yield from response.iter_raw()
        except httpx.HTTPError as error:
            raise self._failed(path, str(error) or type(error).__name__) from error

    def _at(self, path: str) -> str:
        return f"{self._url}/{quote(path, safe='/~')}"

    def _failed(self, path: str, reason: str) -> WorldError:
        return WorldError(
            "the server does not answer as it should",
            where=f"{self.shown}/{path}",
            details=reason,
            resolution="check the URL and the network, and try again",
        )
