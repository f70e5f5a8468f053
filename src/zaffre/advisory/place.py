# SPDX-License-Identifier: Apache-2.0
"""The bytes of a feed: of a file, or of an address, with a signature where one is expected.

What came from an address is kept in the store, so that a scan without the network has it still; its age tells.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.store import Store
from zaffre.upstream.mirrors import shown_url

if TYPE_CHECKING:
    from zaffre.upstream.download import Limits

MOST_BYTES = 512 << 20
_MOST_SIGNATURE = 1 << 20
_SIGNATURE = ".asc"


@dataclass(frozen=True)
class Place:
    """A file or a URL; with `keyring`, what lies there must be signed by one of its certificates."""

    name: str
    keyring: Path | None = None

    @property
    def remote(self) -> bool:
        return self.name.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        return shown_url(self.name) if self.remote else self.name


def bytes_at(place: Place, *, store: Store, now: dt.datetime, offline: bool, limits: Limits | None = None) -> bytes:
    """All of it. Raises DefinitionError for a file that is not there, WorldError for an address that does not give it,
    IntegrityError for what is too large or not signed as it must be.
    """
    data, signature = _remote(place, store, offline, limits) if place.remote else _local(place)
    if not data:
        raise IntegrityError("the feed is empty", where=place.shown, resolution="get it anew")
    if place.keyring is not None:
        from zaffre.upstream.keyring import Keyring  # noqa: PLC0415 - an OpenPGP library, seldom needed

        keyring = Keyring.load(place.keyring)
        if signature is None:
            raise IntegrityError(
                "the feed is not signed, and must be",
                where=place.shown,
                details=f"there is no {place.shown}{_SIGNATURE}",
                resolution="put the publisher's signature beside it, or take `keyring` out of the definition",
            )
        keyring.verify_detached(data, signature, now=now, where=place.shown)
    return data


def _local(place: Place) -> tuple[bytes, bytes | None]:
    path = Path(place.name)
    try:
        data = _bounded(path, MOST_BYTES)
    except OSError as error:
        raise DefinitionError(
            f"the feed can not be read: {error.strerror}", where=place.shown, resolution="name a file or a URL"
        ) from error
    beside = path.with_name(path.name + _SIGNATURE)
    return data, _bounded(beside, _MOST_SIGNATURE) if place.keyring is not None and beside.is_file() else None


def _bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than {limit} bytes, too large for a feed", where=str(path))
    return data


def _remote(place: Place, store: Store, offline: bool, limits: Limits | None) -> tuple[bytes, bytes | None]:  # noqa: FBT001
    from zaffre.upstream.download import Downloader, DownloadError  # noqa: PLC0415 - an HTTP client, not always needed

    label = f"feed {place.name}"
    if offline:
        return _kept(place, store, label)
    try:
        with Downloader(limits) as downloader:
            # Nothing but TLS vouches for what is not signed.
            data = downloader.read(place.name, limit=MOST_BYTES, secure=place.keyring is None)
            signature = downloader.read(place.name + _SIGNATURE, limit=_MOST_SIGNATURE) if place.keyring else None
    except DownloadError as error:
        if error.wrong:
            raise IntegrityError("the feed is not one", where=place.shown, details=str(error)) from error
        if error.absent and place.keyring is not None:
            raise IntegrityError(
                "the feed or its signature is not there, and it must be signed",
                where=place.shown,
                details=f"asked for {place.shown}{_SIGNATURE} too: {error}",
            ) from error
        raise WorldError(
            "the feed cannot be fetched",
            where=place.shown,
            details=str(error),
            resolution="try again; --offline uses what was fetched last, if that is not stale",
        ) from error
    kept = {"data": store.add_bytes(data), **({"signature": store.add_bytes(signature)} if signature else {})}
    store.remember(label, kept)
    return data, signature


def _kept(place: Place, store: Store, label: str) -> tuple[bytes, bytes | None]:
    found = store.recall(label) or {}
    digests = [Sha256(str(found[name])) for name in ("data", "signature") if name in found]
    if not digests or not all(store.has(one) for one in digests):
        raise WorldError(
            "the store does not have the feed", where=place.shown, resolution="run it once without --offline"
        )
    blobs = [store.path(one).read_bytes() for one in digests]
    return blobs[0], blobs[1] if len(blobs) > 1 else None
