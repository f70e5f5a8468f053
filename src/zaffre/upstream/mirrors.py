# SPDX-License-Identifier: Apache-2.0
"""Where this machine gets an archive from. The definition names archives; hosts are only known here, at run time.

Five levels are asked in this order: `--mirror`, `$ZAFFRE_MIRROR`, the user's `mirrors.toml`, the host's own
apt sources, and what the project itself publishes, if the upstream's definition says so. The first level that
names an archive decides for it, so that a mirror that was asked for is never silently replaced; a level may
name several sources, which are tried in order. A URL that only implies an archive (the neighbour of
`…/debian`) is tried first, but does not keep later levels out. Snapshot services stand last at every level:
they are for files that mirrors have dropped. So is a repository of our own, which is asked after them, by digest:
`repository` stands for it where an archive is named, and the definition's `[repository]` is its last level.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zaffre.definition.repository import OWN
from zaffre.errors import DefinitionError, WorldError

ENVIRONMENT_VARIABLE = "ZAFFRE_MIRROR"
MIRRORS_FILE = "zaffre/mirrors.toml"
_SCHEMES = ("http", "https")
_MAX_CONFIG_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One place that has an archive. `origin` says who named it; `implied`: derived from a neighbour's URL."""

    archive: str
    url: str
    origin: str
    snapshot: bool = False
    implied: bool = False

    def at(self, path: str) -> str:
        """URL of a file, by its path below the archive's root."""
        return f"{self.url.rstrip('/')}/{path}"

    @property
    def shown(self) -> str:
        return shown_url(self.url)


@dataclass(frozen=True)
class Mirrors:
    """All sources, in the order in which they are tried. `own`: repositories of ours, which have files by digest."""

    entries: tuple[Source, ...]
    own: tuple[Source, ...] = ()

    def sources(self, archive: str) -> tuple[Source, ...]:
        """Sources of an archive whose URL is complete. Raises WorldError that says how to set one."""
        found = tuple(source for source in self.entries if source.archive == archive and "{" not in source.url)
        if not found:
            raise WorldError(
                f"no mirror is known for the archive '{archive}'",
                details=_HOW_TO.format(archive=archive),
                resolution="name a mirror in one of these ways",
            )
        return found

    def at(self, time: datetime) -> Mirrors:
        """The same with the snapshot services turned to `time`: what a lock made then can be fetched from."""
        stamp = f"{time:%Y%m%dT%H%M%SZ}"
        return Mirrors(tuple(replace(one, url=one.url.replace("{timestamp}", stamp)) for one in self.entries), self.own)


_HOW_TO = """\
  --mirror URL                 an archive's root (…/{archive}) or the directory of several archives
  --mirror {archive}=URL       this archive alone
  ZAFFRE_MIRROR                the same values in the environment, separated by spaces
  ~/.config/zaffre/mirrors.toml
                               [[mirror]]
                               archive = "{archive}"
                               url = "https://mirror.example/{archive}"
  /etc/apt/sources.list(.d)    a source whose URI ends in /{archive}"""


def shown_url(url: str) -> str:
    """The URL without user name, password and query: what may stand in messages and logs."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def find_mirrors(
    archives: Mapping[str, str],
    *,
    explicit: Sequence[str] = (),
    environ: Mapping[str, str],
    config_home: Path,
    apt: Path = Path("/etc/apt"),
    published: Mapping[str, Sequence[str]] | None = None,
    own: str | None = None,
) -> Mirrors:
    """Sources of the archives. `archives` maps their names to the directory that mirrors usually keep them in.

    `published` maps names of archives to the URLs under which their projects publish them; `own` is where the
    definition says that our own repository is.

    Raises DefinitionError for a value that is no mirror. Finding none is only an error once one is needed.
    """
    levels = (
        [one for value in explicit for one in _parse_value(value, archives, "--mirror")],
        [
            one
            for value in re.split(r"[\s,]+", environ.get(ENVIRONMENT_VARIABLE, "").strip())
            if value
            for one in _parse_value(value, archives, f"${ENVIRONMENT_VARIABLE}")
        ],
        list(_from_config(config_home / MIRRORS_FILE, archives)),
        list(_from_apt(apt, archives)),
        [
            *(
                Source(name, url, "the upstream's definition")
                for name, urls in (published or {}).items()
                for url in urls
            ),
            *([Source(OWN, own, "[repository] of the definition")] if own is not None else []),
        ],
    )
    chosen: list[Source] = []
    for archive in archives:
        snapshots: list[Source] = []
        for level in levels:
            mine = [one for one in level if one.archive == archive]
            chosen.extend(one for one in mine if not one.snapshot)
            snapshots.extend(one for one in mine if one.snapshot)
            if any(not one.snapshot and not one.implied for one in mine):
                break
        chosen.extend(snapshots)
    unique = {(one.archive, one.url.rstrip("/")): one for one in reversed(chosen)}
    ours = next(filter(None, ([one for one in level if one.archive == OWN] for level in levels)), [])
    return Mirrors(tuple(reversed(unique.values())), tuple(ours))


def _parse_value(value: str, archives: Mapping[str, str], origin: str) -> Iterator[Source]:
    name, equals, rest = value.partition("=")
    if equals and name == OWN:
        yield _own(rest, origin)
        return
    if equals and re.fullmatch(r"[A-Za-z0-9._-]+", name):
        if name not in archives:
            raise DefinitionError(
                f"there is no archive '{name}'",
                where=f"{origin} {name}=…",
                resolution=f"archives of this definition: {', '.join(sorted(archives))}",
            )
        yield Source(name, _checked(rest, origin), origin, snapshot="{timestamp}" in rest)
        return
    base, path = _split(_checked(value, origin), archives)
    for archive, directory in archives.items():
        yield Source(
            archive,
            f"{base}/{directory}",
            origin,
            snapshot="{timestamp}" in value,
            implied=path is not None and path != directory,
        )


def _own(url: str, origin: str) -> Source:
    """Our own repository keeps all of its past at one place, so no snapshot service stands for it."""
    if "{timestamp}" in url:
        raise DefinitionError(
            "a repository of one's own has no {timestamp} in its URL",
            where=origin,
            resolution="give the URL of the folder above its dists/ and pool/",
        )
    return Source(OWN, _checked(url, origin), origin)


def _split(url: str, archives: Mapping[str, str]) -> tuple[str, str | None]:
    """Parent of an archive's URL and the archive's directory; a URL that ends in no archive is itself the parent."""
    url = url.rstrip("/")
    for path in sorted(archives.values(), key=len, reverse=True):
        if url.endswith(f"/{path}"):
            return url.removesuffix(f"/{path}"), path
    return url, None


def _checked(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in url):
        raise DefinitionError(
            f"'{url if '@' not in url else '…'}' is not the URL of a mirror",
            where=where,
            resolution="give an http:// or https:// URL, such as https://mirror.example/debian",
        )
    return url


def _from_config(path: Path, archives: Mapping[str, str]) -> Iterator[Source]:
    try:
        config = tomllib.loads(path.read_bytes()[:_MAX_CONFIG_BYTES].decode())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError("this is not TOML", where=str(path), details=str(error)) from error
    entries = config.pop("mirror", [])
    if config or not isinstance(entries, list):
        raise DefinitionError(
            f"only [[mirror]] tables belong here, not {', '.join(sorted(config)) or 'mirror = …'}",
            where=str(path),
            resolution='write [[mirror]] with archive = "…" and url = "…"',
        )
    for number, entry in enumerate(entries):
        where = f"{path}: mirror[{number}]"
        if not isinstance(entry, dict) or set(entry) - {"archive", "url", "snapshot"} or "url" not in entry:
            raise DefinitionError(
                "a mirror has the keys archive, url and perhaps snapshot = true",
                where=where,
                details=f"found {', '.join(sorted(entry)) or 'none'}" if isinstance(entry, dict) else None,
            )
        archive, url, snapshot = entry.get("archive"), entry["url"], entry.get("snapshot", False)
        if not isinstance(url, str) or not isinstance(archive, str | None) or not isinstance(snapshot, bool):
            raise DefinitionError("archive and url are strings, snapshot is true or false", where=where)
        if snapshot != ("{timestamp}" in url):
            raise DefinitionError("a snapshot service has snapshot = true and {timestamp} in its url", where=where)
        if archive == OWN:
            yield _own(url, where)
        elif archive is None:
            yield from _parse_value(url, archives, str(path))
        elif archive in archives:
            yield Source(archive, _checked(url, where), str(path), snapshot=snapshot)


def _from_apt(directory: Path, archives: Mapping[str, str]) -> Iterator[Source]:
    """The host's own sources, by the last components of their URIs; what apt alone can read is passed over."""
    for path in (directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))):
        try:
            text = path.read_bytes()[:_MAX_CONFIG_BYTES].decode(errors="replace")
        except OSError:
            continue
        uris: Iterable[str] = ()
        if path.suffix == ".list":
            uris = _uris_of_lines(text)
        elif path.suffix == ".sources":
            uris = _uris_of_stanzas(text)
        for uri in uris:
            url = uri.rstrip("/")
            for archive, directory_name in archives.items():
                if urlsplit(url).scheme in _SCHEMES and url.endswith(f"/{directory_name}"):
                    yield Source(archive, url, str(path))


def _uris_of_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S+", line)
        if match:
            yield match[1]


def _uris_of_stanzas(text: str) -> Iterator[str]:
    from zaffre.upstream.deb.control import parse_stanzas  # noqa: PLC0415 - a family, which itself needs mirrors

    try:
        for stanza in parse_stanzas(text):
            if "deb" in stanza.get("Types", "").split() and stanza.get("Enabled", "yes").lower() != "no":
                yield from stanza.get("URIs", "").split()
    except ValueError:
        return  # apt will tell its owner; it is not ours to judge
