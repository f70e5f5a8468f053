# SPDX-License-Identifier: Apache-2.0
"""A new component, started from a package of an upstream: files that load as they are, with room for a first change."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from zaffre.definition import Distribution, load_distribution
from zaffre.definition.component import COMPONENT_FILE, COMPONENTS
from zaffre.definition.overlay import OVERLAYS
from zaffre.definition.values import PackageName
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import Lock

_FIRST = "0001-own-build.toml"
_UNTIL_DAYS = 180
_KINDS = {"deb": "deb-source", "rpm": "rpm"}
_PLACES = {"deb": "debian/rules", "rpm": "{package}.spec"}
"""Where a source says how it is built."""

_COMPONENT = """\
description = {description}
{upstream}
[source]
kind = "{kind}"
package = {package}
"""

_OVERLAY = """\
# One overlay is one reason to differ from the upstream. `zaffre schema` describes every key; all of those that stand
# above the operations are required, and `zaffre drift` lists them.

# security, bug-fix, hardening, compliance, compatibility, performance, feature, size, build or branding
category = "build"
reason = "built here, so that it can be changed; nothing differs yet"
# pending, submitted, backport, denied, inactive or inappropriate (for us alone)
upstream_status = "inappropriate"
# an address, CVE-2026-1234, debian#1012345, or a file of this component
links = ["README.md"]
since = {since}
# When it has to be looked at: a date, or in quotes a version of the upstream.
until = {until}

# What is done, in order: all of it or nothing. This one only says in the changelog that it is our build.
[[operations]]
op = "changelog"
text = {text}

# Others, to be taken from here:
#
# [[operations]]
# op = "patch-add"
# file = "patches/a-fix.patch"
#
# [[operations]]
# op = "search-replace"
# path = "{path}"
# search = "--with-gui"
# replace = "--without-gui"
#
# [[operations]]
# op = "depends-remove"
# field = "recommends"
# package = {package}
# name = "a-package"
"""

_README = """\
# {name}

Built from the source package {package} of the upstream {upstream}, with the changes in `overlays/`.
Say here what a reader should know about them.
"""


@dataclass(frozen=True)
class Source:
    """What a component is started from. `given` is the binary package that was asked for, if it was one."""

    package: str
    given: str | None = None


def source_of(package: str, lock: Lock | None, upstream: str) -> Source:
    """The source package that is meant: of that name, or that of the locked binary package of that name."""
    packages = [one for locked in (lock.sets if lock else ()) if locked.upstream == upstream for one in locked.packages]
    if any(one.source == package for one in packages):
        return Source(package)
    binary = next((one for one in packages if one.name == package), None)
    return Source(binary.source, given=package) if binary else Source(package)


def new_component(
    distribution: Distribution, name: str, source: Source, *, upstream: str | None, today: dt.date
) -> tuple[str, ...]:
    """Make `components/NAME`, whole or not at all; return its files, relative to the distribution.

    DefinitionError if there is such a component, if the upstream is not known, or if the name can't be one.
    """
    try:
        TypeAdapter(PackageName).validate_python(name)
    except ValidationError:
        raise DefinitionError(
            f"{name!r} is not a name that a component can have",
            where="NAME",
            resolution="take letters, digits, '+', '.', '_' and '-', as for a package",
        ) from None
    if name in distribution.components:
        raise DefinitionError(
            f"there is a component {name!r} already",
            where=f"{COMPONENTS}/{name}",
            resolution=f"'zaffre component show {name}' tells what it is",
        )
    if upstream is not None and upstream not in distribution.upstreams:
        raise DefinitionError(
            f"there is no upstream {upstream!r}",
            where="--upstream",
            resolution=f"there are {', '.join(sorted(distribution.upstreams))}",
        )
    folder = distribution.root / COMPONENTS / name
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-component-", dir=distribution.root) as scratch:
        whole = Path(scratch, "component")
        for file, text in _files(distribution, name, source, upstream, today).items():
            path = whole / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        whole.rename(folder)
    try:
        load_distribution(distribution.root)
    except DefinitionError:
        shutil.rmtree(folder)
        raise
    return tuple(sorted(path.relative_to(distribution.root).as_posix() for path in folder.rglob("*") if path.is_file()))


def _files(
    distribution: Distribution, name: str, source: Source, upstream: str | None, today: dt.date
) -> dict[str, str]:
    chosen = distribution.upstream(upstream)
    title = distribution.identity.name
    return {
        COMPONENT_FILE: _COMPONENT.format(
            description=_quoted(f"{source.package}, as {title} builds it"),
            upstream=f"upstream = {_quoted(upstream)}\n" if upstream else "",
            kind=_KINDS[chosen.family],
            package=_quoted(source.package),
        ),
        f"{OVERLAYS}/{_FIRST}": _OVERLAY.format(
            since=today,
            until=today + dt.timedelta(days=_UNTIL_DAYS),
            text=_quoted(f"Built for {title}."),
            package=_quoted(source.given or source.package),
            path=_PLACES[chosen.family].format(package=source.package),
        ),
        "README.md": _README.format(name=name, package=source.package, upstream=chosen.name),
    }


def _quoted(text: str) -> str:
    """A basic string of TOML, which a string of JSON is."""
    return json.dumps(text, ensure_ascii=False)
