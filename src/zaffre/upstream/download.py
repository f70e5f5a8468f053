# SPDX-License-Identifier: Apache-2.0
"""HTTP with everything bounded: sizes, time, rate, retries. What arrives is judged by the caller, by digest."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self
from weakref import WeakSet

import certifi
import httpcore
import httpx

from zaffre.errors import DiskFullError
from zaffre.store import disk_full_guard

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")
_ABSENT = {404, 410}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Limits:
    """What a mirror may cost. Times in seconds; the rate is a mean over `window`, below which a mirror is 'slow'.

    A small file of unknown size gets half of the attempts, each no longer than `small_file`: it is what a mirror
    is judged by, and another mirror may be waiting.
    """

    connect: float = 10.0
    silence: float = 20.0
    window: float = 30.0
    least_bytes_per_second: int = 4096
    small_file: float = 120.0
    attempts: int = 4
    backoff: float = 0.5
    longest_wait: float = 30.0
    connections: int = 8


class DownloadError(Exception):
    """One URL did not give the file. `absent`: the server says that it hasn't got it (404, 410).

    `wrong`: it sent what cannot be the file (too large).
    """

    def __init__(self, reason: str, *, absent: bool = False, wrong: bool = False, again: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent
        self.wrong = wrong
        self.again = again
        self.wait: float | None = None


class CancelledError(Exception):
    """The whole transfer is being given up, for a reason that is reported elsewhere."""


class Downloader:
    """A pool of connections, for use by several threads. A host that is down is only waited for once."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._cancelled = Event()
        self._down: dict[str, str] = {}
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._client = httpx.Client(
            verify=tls_context(),
            follow_redirects=True,
            max_redirects=5,
            timeout=httpx.Timeout(self.limits.silence, connect=self.limits.connect),
            limits=httpx.Limits(max_connections=self.limits.connections),
            headers={"User-Agent": "zaffre", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def cancel(self) -> None:
        """Make all transfers end now, with CancelledError; what they have stays for a resume."""
        self._cancelled.set()
        # Closing a socket does not wake the thread that waits on it; shutting it down does.
        for connected in list(self._sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def read(self, url: str, *, limit: int, secure: bool = False) -> bytes:
        """A small file of unknown size, at most `limit` bytes. Raises DownloadError.

        With `secure`, each step of the way must be TLS: for what nothing else vouches for.
        """
        received = bytearray()

        def attempt() -> None:
            received.clear()
            with self._request(url, {}) as response:
                self._expect(response, {200})
                if secure and any(step.url.scheme != "https" for step in (*response.history, response)):
                    raise DownloadError("it is not reached by TLS all the way")
                until = time.monotonic() + self.limits.small_file
                for chunk in self._body(response, limit=limit):
                    received.extend(chunk)
                    if time.monotonic() > until:
                        raise DownloadError(f"it takes longer than {self.limits.small_file:g} seconds")

        self._retry(url, attempt, lambda: 0, attempts=(self.limits.attempts + 1) // 2)
        return bytes(received)

    def save(self, url: str, path: Path, *, size: int, advance: Callable[[int], None]) -> bool:
        """Exactly `size` bytes of `url` in `path`, going on from what is there already; true if it did go on so.

        `advance` is told of bytes as they come (and, with a negative number, of bytes that were thrown away).
        Raises DownloadError; what was received stays in `path`. DiskFullError removes it.
        """
        resumed = False

        def attempt() -> None:
            nonlocal resumed
            have = _size(path)
            if have > size:
                path.unlink()
                advance(-have)
                have = 0
            if have == size and path.exists():
                return
            resumed = resumed or have > 0
            headers = {"Range": f"bytes={have}-"} if have else {}
            with self._request(url, headers) as response:
                if have and not _goes_on(response, have, size):
                    if response.status_code not in {200, 206, 416}:
                        self._expect(response, {200})
                    path.unlink()
                    advance(-have)
                    resumed = False
                    if response.status_code != 200:
                        raise DownloadError("it cannot resume the download", again=True)
                    have = 0
                self._expect(response, {200, 206})
                self._append(response, path, have, size, advance)
            if _size(path) < size:
                raise DownloadError(f"it ended after {_size(path)} of {size} bytes", again=True)

        self._retry(url, attempt, lambda: _size(path), attempts=self.limits.attempts)
        return resumed

    def _append(
        self, response: httpx.Response, path: Path, have: int, size: int, advance: Callable[[int], None]
    ) -> None:
        try:
            with disk_full_guard(path), path.open("ab" if have else "wb") as file:
                for chunk in self._body(response, limit=size - have):
                    file.write(chunk)
                    file.flush()  # what has come survives kill -9
                    advance(len(chunk))
        except DiskFullError:
            path.unlink(missing_ok=True)
            raise

    def _body(self, response: httpx.Response, *, limit: int) -> Iterator[bytes]:
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > limit:
            raise DownloadError(f"it is larger than it may be ({announced} bytes, at most {limit})", wrong=True)
        total = recent = 0
        since = time.monotonic()
        # Without a chunk size: with one, httpx waits for a full chunk, and a dripping server is not noticed.
        for chunk in response.iter_raw():
            if self._cancelled.is_set():
                raise CancelledError
            total += len(chunk)
            recent += len(chunk)
            if total > limit:
                raise DownloadError(f"it is larger than it may be (more than {limit} bytes)", wrong=True)
            yield chunk
            elapsed = time.monotonic() - since
            if elapsed >= self.limits.window and total < limit:
                if recent < self.limits.least_bytes_per_second * elapsed:
                    raise DownloadError(f"it is too slow ({recent / elapsed:.0f} bytes a second)", again=True)
                recent, since = 0, time.monotonic()

    @contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        with self._client.stream("GET", url, headers=headers, extensions={"trace": self._trace}) as response:
            yield response

    def _trace(self, event: str, info: Mapping[str, object]) -> None:
        """Learn of the sockets (httpcore's trace extension), so that `cancel` can reach them."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info.get("return_value")
            if isinstance(stream, httpcore.NetworkStream):
                found = stream.get_extra_info("socket")
                if isinstance(found, socket.socket):
                    self._sockets.add(found)

    @staticmethod
    def _expect(response: httpx.Response, accepted: set[int]) -> None:
        status = response.status_code
        if status in accepted:
            return
        error = DownloadError(
            f"HTTP {status} {response.reason_phrase}".rstrip(), absent=status in _ABSENT, again=status in _TRY_AGAIN
        )
        error.wait = _retry_after(response)
        raise error

    def _retry(self, url: str, attempt: Callable[[], None], progress: Callable[[], int], *, attempts: int) -> None:
        """Try again after passing failures, each time later; an attempt that got further does not count."""
        host = httpx.URL(url).netloc.decode("ascii", "replace")
        failures = rounds = 0
        while True:
            if self._cancelled.is_set():
                raise CancelledError
            if host in self._down:
                raise DownloadError(self._down[host])
            before, rounds = progress(), rounds + 1
            unreachable = False
            try:
                attempt()
                return
            except DownloadError as error:
                failure = error
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = True
                failure = DownloadError(_connect_reason(error), again=True)
            except httpx.TimeoutException:
                failure = DownloadError(f"no answer for {self.limits.silence:g} seconds", again=True)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                failure = DownloadError(str(error) or type(error).__name__, again=True)
            if self._cancelled.is_set():
                raise CancelledError
            failures = 1 if progress() > before else failures + 1
            if not failure.again:
                raise failure
            if failures >= attempts or rounds >= 4 * attempts:
                if unreachable:
                    self._down[host] = str(failure)
                raise failure
            pause = failure.wait if failure.wait is not None else self.limits.backoff * 2.0 ** (failures - 1)
            self._cancelled.wait(min(pause, self.limits.longest_wait))


def _goes_on(response: httpx.Response, have: int, size: int) -> bool:
    """Whether the answer is what follows the first `have` bytes of a file of `size` bytes."""
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and match is not None and int(match[1]) == have and match[3] in {str(size), "*"}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks us to wait (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _connect_reason(error: httpx.TransportError) -> str:
    text = str(error)
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within the time limit"
    return f"no connection: {text}" if text else "no connection"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tls_context() -> ssl.SSLContext:
    """The host's certificates (an organisation's own among them) and certifi's for hosts that have none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
