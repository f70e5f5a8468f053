# SPDX-License-Identifier: Apache-2.0
"""Go modules from the module proxy that this machine's Go is set to: the only step of a Go build with a network.

Every file is checked against a checksum that was known before, so neither the proxy nor a checksum database is
trusted, and no program has the network: we fetch, and Go is given a directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from zaffre.component.gosettings import VARIABLE, Proxies, find_proxies, settings_files
from zaffre.component.gosum import MAX_MOD_BYTES, MAX_ZIP_BYTES, GoFile, escaped, sum_of_mod, sum_of_zip
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.download import CancelledError, Downloader, DownloadError, Limits
from zaffre.upstream.mirrors import shown_url


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
            proxies = self._proxies()
            with (
                progress.step(f"{len(wanted)} files of Go modules") as remark,
                Downloader(self._limits) as downloader,
                ThreadPoolExecutor(downloader.limits.connections) as pool,
            ):

                def one(file: GoFile) -> tuple[GoFile, Sha256]:
                    return file, self._obtain(file, sums[file], proxies, downloader)

                try:
                    for number, (file, digest) in enumerate(pool.map(one, wanted), 1):
                        found[file] = digest
                        remark(f"{number} of {len(wanted)}")
                except CancelledError:
                    raise
                except BaseException:
                    downloader.cancel()
                    raise
        return {file: digest for file, digest in found.items() if digest is not None}

    def learn(self, file: GoFile) -> str:
        """The checksum of a file that nobody has named one for: of what the first proxy that has it gives.

        Raises IntegrityError for what is no module, WorldError when no proxy gives it.
        """
        with Downloader(self._limits) as downloader:
            content = _content(file, self._proxies(), downloader)
        found = sum_of_mod(content) if file.mod else sum_of_zip(content, file)
        self._store.perform(self._action(file, found), lambda _: self._kept(content))
        return found

    def versions(self, module: str) -> tuple[str, ...]:
        """The versions that the proxies list, pre-releases among them; of a module without any, the latest that there
        is. Nothing vouches for them. Raises WorldError when no proxy answers."""
        folder = escaped(module)
        proxies = self._proxies()
        with Downloader(self._limits) as downloader:
            path, what = f"{folder}/@v/list", f"the versions of the Go module {module}"
            listed = (
                _from_proxies(path, what, proxies, downloader, limit=MAX_MOD_BYTES).decode(errors="replace").split()
            )
            if listed:
                return tuple(listed)
            told = _from_proxies(f"{folder}/@latest", what, proxies, downloader, limit=MAX_MOD_BYTES)
        try:
            return (str(json.loads(told)["Version"]),)
        except (ValueError, KeyError, TypeError) as error:
            raise WorldError(
                f"a module proxy does not say in the form of the protocol what the latest version of {module} is",
                where=f"{folder}/@latest",
                details=repr(told[:200]),
            ) from error

    def go_mod(self, module: str, version: str) -> str:
        """The go.mod of a version, as a proxy has it: to choose by, as nothing vouches for it."""
        file = GoFile(module, version, mod=True)
        with Downloader(self._limits) as downloader:
            return _content(file, self._proxies(), downloader).decode(errors="replace")

    def _proxies(self) -> Proxies:
        return find_proxies(self._environ, settings=settings_files(self._environ))

    def time(self, file: GoFile) -> datetime | None:
        """When a version was made, as the proxies say; None when none says it. Nothing but a date depends on it."""
        path = file.path.removesuffix(".zip") + ".info"
        with Downloader(self._limits) as downloader:
            for place in self._proxies().places:
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
            return self._kept(_checked(_content(file, proxies, downloader), file, expected))

        return self._store.perform(self._action(file, expected), produce).result.outputs["file"]

    def _kept(self, content: bytes) -> ActionResult:
        return ActionResult(outputs={"file": self._store.add_bytes(content)}, facts={"size": len(content)})


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


def _content(file: GoFile, proxies: Proxies, downloader: Downloader) -> bytes:
    limit = MAX_MOD_BYTES if file.mod else MAX_ZIP_BYTES
    return _from_proxies(file.path, f"the Go module {file}", proxies, downloader, limit=limit)


def _from_proxies(path: str, what: str, proxies: Proxies, downloader: Downloader, *, limit: int) -> bytes:
    """The file at `path` of the first proxy that has it. `what` it is, for people."""
    failures = []
    for place in proxies.places:
        try:
            return _read(f"{place.url}/{path}", downloader, limit=limit)
        except DownloadError as error:
            failures.append(f"{shown_url(place.url)}: {error}")
            if not (error.absent or place.always):
                break
    raise WorldError(
        f"{what} cannot be fetched",
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
