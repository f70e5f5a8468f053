# SPDX-License-Identifier: Apache-2.0
"""The module proxies that this machine's Go is set to.

GOPROXY is found where Go finds it (`go help environment`): the environment, the user's file of settings, the
toolchain's go.env.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_config_path

from zaffre.errors import WorldError

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
