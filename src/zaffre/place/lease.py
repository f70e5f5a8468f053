# SPDX-License-Identifier: Apache-2.0
"""The right to write to an object store: an object that says who has it and until when.

Taking it is one conditional request (`If-None-Match: *`) where the store honours that, as S3 does; then two can't have
it. A store that takes the second object for a change of the first is met by a pause, after which the one whose object
is still there has the right: two that come within the pause are told apart, and who stalls for longer between the two
requests is not. A process that was killed holds it until it expires; one that is alive renews it. Losing it stops a
publisher before its next object, and before the one that counts, InRelease.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from zaffre.errors import WorldError, ZaffreError

LEASE = ".zaffre/publishing.json"
LASTS = timedelta(minutes=5)
_RENEWED = 60.0
_PAUSE = 1.0
_MAX_BYTES = 4096


class Place(Protocol):
    """What a lease needs of a store."""

    @property
    def shown(self) -> str: ...

    def read(self, path: str, *, limit: int) -> bytes | None: ...

    def put(self, path: str, data: bytes) -> None: ...

    def create(self, path: str, data: bytes) -> bool: ...

    def remove(self, paths: tuple[str, ...]) -> None: ...


class Lease:
    """Held within a `with` block. Raises WorldError when another holds it, and says who and until when."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()
        self._until = datetime.now(UTC)
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        holder = self._holder()
        if holder is not None and not _is_over(holder):
            raise self._taken(holder)
        if holder is not None:
            self._place.remove((LEASE,))
        created = self._place.create(LEASE, self._text())
        if created:
            time.sleep(_PAUSE)
        self.check()
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewing.join()
        with suppress(ZaffreError):  # a store that does not answer forgets the lease by itself
            holder = self._holder()
            if holder is not None and holder.get("token") == self._token:
                self._place.remove((LEASE,))

    def check(self) -> None:
        """Raises WorldError when another has it now, or when it could not be renewed in time."""
        holder = self._holder()
        if holder is None or holder.get("token") != self._token or datetime.now(UTC) >= self._until:
            raise self._taken(holder or {})

    def _renew(self) -> None:
        while not self._ended.wait(_RENEWED):
            try:
                holder = self._holder()
                if holder is None or holder.get("token") != self._token:
                    return
                self._place.put(LEASE, self._text())
            except ZaffreError:
                continue  # once more before it expires; `check` looks at the time

    def _text(self) -> bytes:
        self._until = datetime.now(UTC) + LASTS
        who = f"process {os.getpid()} on {socket.gethostname()}"
        return json.dumps({"token": self._token, "who": who, "until": self._until.isoformat()}).encode()

    def _holder(self) -> dict[str, object] | None:
        data = self._place.read(LEASE, limit=_MAX_BYTES)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def _taken(self, holder: dict[str, object]) -> WorldError:
        return WorldError(
            "another is publishing here",
            where=self._place.shown,
            details=f"{holder.get('who', 'somebody')}, until {holder.get('until', 'an unknown time')} at least",
            resolution="wait until that has ended, and run the command again",
        )


def _is_over(holder: dict[str, object]) -> bool:
    """Whether a lease has expired; one that cannot be read has, as no publisher writes such a thing."""
    try:
        return datetime.fromisoformat(str(holder["until"])) <= datetime.now(UTC)
    except (KeyError, ValueError, TypeError):
        return True
