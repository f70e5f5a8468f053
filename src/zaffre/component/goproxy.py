# SPDX-License-Identifier: Apache-2.0
"""Go modules from the module proxy that this machine's Go is set to: the only step of a Go build with a network.

Every file is checked against a checksum that was known before, so neither the proxy nor a checksum database is
trusted, and no program has the network: we fetch, and Go is given a directory. GOPROXY is found where Go finds
it (`go help environment`): the environment, the user's file of settings, the toolchain's go.env.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from platformdirs import user_config_path

from zaffre.component.gosum import MAX_MOD_BYTES, MAX_ZIP_BYTES, GoFile, sum_of_mod, sum_of_zip
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.download import CancelledError, Downloader, DownloadError, Limits
from zaffre.upstream.mirrors import shown_url

VARIABLE = "GOPROXY"
_MAX_SETTINGS = 1 << 20


@dataclass(frozen=True)
class Proxy:
    """One place of GOPROXY. `always`: the next one is asked after any failure, not just when a file is not there."""

    url: str
    always: bool = False


@dataclass(frozen=True)
class Proxies:
    """GOPROXY as a list, and who said so."""

    places: tuple[Proxy, ...]
    origin: str


def find_proxies(environ: Mapping[str, str], *, settings: Sequence[Path]) -> Proxies:
    """The proxies that are set. Raises WorldError, saying how to set one, when there are none.

    "direct" is passed over: it means version control, whose answers no checksum is taken of before they are unpacked.
    """
    value, origin = environ.get(VARIABLE, "").strip(), f"${VARIABLE}"
    for path in settings:
        if not value:
            value, origin = _setting(path), str(path)
    places = []
    for word, separator in re.findall(r"([^,|]+)([,|]?)", value):
        name = word.strip()
        if urlsplit(name).scheme in {"http", "https", "file"}:
            places.append(Proxy(name.rstrip("/"), always=separator == "|"))
    if not places:
        raise WorldError(
            "no Go module proxy is known" if not value else "Go is set to no module proxy",
            where=origin if value else None,
            details=f"{VARIABLE} is {value!r}" if value else None,
            resolution=f"set one with `go env -w {VARIABLE}=URL`, or in the environment ({VARIABLE}=URL); "
            "file:///DIR is one too, such as another machine's module cache (…/pkg/mod/cache/download)",
        )
    return Proxies(tuple(places), origin)


def settings_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where Go keeps settings: the user's file, then the toolchain's own."""
    user = environ.get("GOENV", "") or str(user_config_path() / "go/env")
    found = [Path(user)] if user != "off" else []
    root = environ.get("GOROOT", "")
    program = shutil.which("go", path=environ.get("PATH"))
    if not root and program:
        root = str(Path(program).resolve().parent.parent)
    return (*found, Path(root, "go.env")) if root else tuple(found)


def _setting(path: Path) -> str:
    try:
        text = path.read_bytes()[:_MAX_SETTINGS].decode(errors="replace")
    except OSError:
        return ""
    values = [line.partition("=")[2].strip() for line in text.splitlines() if line.startswith(f"{VARIABLE}=")]
    return values[-1] if values else ""


class Modules:
    """Fetches files of modules into the store. Finds the proxies when the first file is really missing there."""

    def __init__(self, store: Store, *, environ: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._store = store
        self._environ = os.environ if environ is None else environ
        self._limits = limits

    def fetch(self, sums: Mapping[GoFile, str], progress: Progress) -> dict[GoFile, Sha256]:
        """Every file as a blob of the store; those that it has are not asked for.

        Raises IntegrityError when a proxy gives what has another checksum, WorldError when none gives it.
        """
        found = {file: self._known(file, expected) for file, expected in sums.items()}
        wanted = sorted(file for file, digest in found.items() if digest is None)
        if wanted:
            proxies = find_proxies(self._environ, settings=settings_files(self._environ))
            with (
                progress.transfer(f"{len(wanted)} files of Go modules", len(wanted)) as advance,
                Downloader(self._limits) as downloader,
                ThreadPoolExecutor(downloader.limits.connections) as pool,
            ):

                def one(file: GoFile) -> tuple[GoFile, Sha256]:
                    digest = self._obtain(file, sums[file], proxies, downloader)
                    advance(1)
                    return file, digest

                try:
                    found.update(pool.map(one, wanted))
                except CancelledError:
                    raise
                except BaseException:
                    downloader.cancel()
                    raise
        return {file: digest for file, digest in found.items() if digest is not None}

    def time(self, file: GoFile) -> datetime | None:
        """When a version was made, as the proxies say; None when none says it. Nothing but a date depends on it."""
        path = file.path.removesuffix(".zip") + ".info"
        with Downloader(self._limits) as downloader:
            for place in find_proxies(self._environ, settings=settings_files(self._environ)).places:
                try:
                    told = json.loads(_read(f"{place.url}/{path}", downloader, limit=MAX_MOD_BYTES))
                    return datetime.fromisoformat(told["Time"]).astimezone(UTC)
                except (DownloadError, ValueError, KeyError, TypeError):
                    continue
        return None

    def _action(self, file: GoFile, expected: str) -> Action:
        return Action(
            kind="go-module",
            label=f"go module {file}",
            inputs={"module": file.module, "version": file.version, "mod": file.mod, "sum": expected},
            reason="a Go program is built from modules with known checksums",
        )

    def _known(self, file: GoFile, expected: str) -> Sha256 | None:
        result = self._store.lookup(self._action(file, expected).key)
        return result.outputs["file"] if result else None

    def _obtain(self, file: GoFile, expected: str, proxies: Proxies, downloader: Downloader) -> Sha256:
        def produce(_: Path) -> ActionResult:
            content = _checked(_from_proxies(file, proxies, downloader), file, expected)
            return ActionResult(outputs={"file": self._store.add_bytes(content)}, facts={"size": len(content)})

        return self._store.perform(self._action(file, expected), produce).result.outputs["file"]


def _checked(content: bytes, file: GoFile, expected: str) -> bytes:
    found = sum_of_mod(content) if file.mod else sum_of_zip(content, file)
    if found != expected:
        raise IntegrityError(
            f"the Go module {file} does not have the checksum that it must have",
            where=str(file),
            details=f"wanted {expected}\nfound  {found}",
            resolution="the module was changed after it was published, or the proxy is wrong: compare with another "
            "proxy, and tell the module's owner; a checksum that was mistyped is in the component's definition",
        )
    return content


def _from_proxies(file: GoFile, proxies: Proxies, downloader: Downloader) -> bytes:
    failures = []
    for place in proxies.places:
        try:
            limit = MAX_MOD_BYTES if file.mod else MAX_ZIP_BYTES
            return _read(f"{place.url}/{file.path}", downloader, limit=limit)
        except DownloadError as error:
            failures.append(f"{shown_url(place.url)}: {error}")
            if not (error.absent or place.always):
                break
    raise WorldError(
        f"the Go module {file} cannot be fetched",
        where=f"{VARIABLE} of {proxies.origin}",
        details="\n".join(failures),
        resolution=f"check the network and the module's version, or set another {VARIABLE}",
    )


def _read(url: str, downloader: Downloader, *, limit: int) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return downloader.read(url, limit=limit)
    path = Path(url2pathname(parts.path))
    try:
        if path.stat().st_size > limit:
            raise DownloadError(f"it is larger than it may be (at most {limit} bytes)", wrong=True)
        return path.read_bytes()
    except OSError as error:
        raise DownloadError(error.strerror or str(error), absent=isinstance(error, FileNotFoundError)) from error
