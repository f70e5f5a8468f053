# SPDX-License-Identifier: Apache-2.0
"""One file with a known digest, from the first of several sources that really has it, into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.store import CorruptBlobError, Store
from zaffre.upstream.download import Downloader, DownloadError
from zaffre.upstream.mirrors import Source, shown_url


@dataclass(frozen=True)
class Refusal:
    """Why one URL did not give the file. `absent`: it hasn't got it; `wrong`: it gave other bytes.

    `spare`: it need not have it.
    """

    url: str
    reason: str
    absent: bool = False
    wrong: bool = False
    spare: bool = False

    def __str__(self) -> str:
        return f"{shown_url(self.url)}: {self.reason}"


class UnobtainableError(Exception):
    """No source gave the file."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = tuple(refusals)

    @property
    def dropped(self) -> bool:
        """Whether every source that should have the file answered, and none has it."""
        return all(refusal.absent for refusal in self.refusals if not refusal.spare)

    @property
    def wrong(self) -> bool:
        """Whether a source served other bytes under the file's name."""
        return any(refusal.wrong for refusal in self.refusals)


def known_blob(digest: Sha256, store: Store) -> Path | None:
    """A blob that is in the store, hashed again: what a solver is shown must be what is signed.

    A rotten one is put aside, so that it is had anew.
    """
    try:
        return store.verified(digest) if store.has(digest) else None
    except CorruptBlobError:
        return None


def urls_at(sources: Sequence[Source], *paths: str) -> list[str]:
    """Every path at the first source, then at the next."""
    return [source.at(quote(path, safe="/~+:=,@")) for source in sources for path in paths]


def obtain(
    digest: Sha256,
    size: int,
    urls: Sequence[str],
    *,
    spare: Sequence[str] = (),
    downloader: Downloader,
    store: Store,
    advance: Callable[[int], None],
) -> Path:
    """The blob's path; downloaded only when the store hasn't got it, and by one process at a time.

    `spare` are URLs to try after all others; whether the file is there says nothing. `advance` gets `size` in total,
    whatever way was taken. Raises UnobtainableError when all URLs failed.
    """
    with store.lock(f"fetch-{digest}"):
        if store.has(digest):
            advance(size)
            return store.path(digest)
        partial = store.partial(digest)
        refusals: list[Refusal] = []
        if partial.exists():
            advance(partial.stat().st_size)
        for url, last in (*((url, False) for url in urls), *((url, True) for url in spare)):
            try:
                # A partial file may be rotten or of another mirror's making: then once more from its beginning.
                for _ in range(2):
                    resumed = downloader.save(url, partial, size=size, advance=advance)
                    try:
                        return store.adopt(digest)
                    except IntegrityError:
                        advance(-size)
                        if not resumed:
                            raise
            except IntegrityError:
                refusals.append(Refusal(url, "it does not have the SHA-256 that it must have", wrong=True, spare=last))
            except DownloadError as error:
                refusals.append(Refusal(url, str(error), absent=error.absent, wrong=error.wrong, spare=last))
        raise UnobtainableError(refusals)
