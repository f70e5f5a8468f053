# SPDX-License-Identifier: Apache-2.0
"""Packages of a root file tree, as its own database has them: dpkg's or rpm's.

The tree may be anybody's: links in it are followed as if it were `/`, sizes are bounded. A package that was removed and
left its configuration is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zaffre.advisory.subject import Installed, Subject, SubjectKind, os_release, require_packages, telling
from zaffre.advisory.subjects.platforms import image_of_root, platform_of_root
from zaffre.advisory.versions import source_version, with_epoch
from zaffre.definition import Distribution
from zaffre.errors import FindingError, IntegrityError
from zaffre.tree.rootfs import inside, open_regular
from zaffre.tree.rpm.database import stored_headers
from zaffre.upstream.deb.control import parse_stanzas, source_of
from zaffre.upstream.rpm.header import Header, Tag
from zaffre.upstream.rpm.package import identity, source_said

_DATABASES = ("var/lib/dpkg", "usr/lib/sysimage/dpkg")
_FRAGMENTS = "var/lib/dpkg/status.d"
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
# Of what names and versions are made (deb-src-control(5), deb-version(7)); capitals are met in packages of others.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_-]*")
_MOST_STATUS = 256 << 20
_MOST_LIST = 16 << 20
_MOST_TEXT = 1 << 20
_INSTALLED = ("installed", "unpacked", "half-configured", "half-installed", "triggers-awaited", "triggers-pending")
"""States of dpkg(1) in which files of a package may be there."""
_ABSENT = ("config-files", "not-installed")
"""Those in which none is."""


def root_subject(root: Path, distribution: Distribution | None) -> Subject:
    """Raises FindingError for a root without packages or without a known distribution, IntegrityError for a database
    that is none.
    """
    text = next((said for path in _OS_RELEASE if (said := _text(root, path, _MOST_TEXT)) is not None), None)
    if text is None:
        raise FindingError(
            "the root has no os-release, so it does not say which distribution it is",
            where=str(root),
            details=f"looked for {' and '.join(_OS_RELEASE)}",
            resolution="name the top folder of a root file tree",
        )
    fields = os_release(_printable(text))
    platform = platform_of_root(fields, distribution, str(root))
    image = image_of_root(fields, distribution)
    images = (image,) if image is not None else ()
    read = _dpkg if platform.family == "deb" else _rpm
    packages = require_packages([replace(one, within=images) for one in read(root)], str(root))
    return Subject(
        kind=SubjectKind.ROOT,
        title=f"root {root}",
        platform=platform,
        architecture=_machine(packages),
        packages=packages,
        images=images,
        files=_files(root) if platform.family == "deb" else _rpm_files(root),
    )


def _machine(packages: tuple[Installed, ...]) -> str:
    counts: dict[str, int] = {}
    for one in packages:
        if one.architecture not in {"all", "noarch"}:
            counts[one.architecture] = counts.get(one.architecture, 0) + 1
    return max(counts, key=lambda name: counts[name], default="all")


def _text(root: Path, path: str, limit: int) -> str | None:
    try:
        with open_regular(root, path) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than {limit} bytes", where=f"{root}/{path}")
    return data.decode("utf-8", "surrogateescape")


def _dpkg(root: Path) -> Iterator[Installed]:
    """Of dpkg's status file, and of the fragments that container images without dpkg have in its place."""
    texts = [text for place in _DATABASES if (text := _text(root, f"{place}/status", _MOST_STATUS)) is not None][:1]
    folder = inside(root, _FRAGMENTS)
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".md5sums"))
        texts += [text for name in names if (text := _text(root, f"{_FRAGMENTS}/{name}", _MOST_TEXT)) is not None]
    for text in texts:
        try:
            for stanza in parse_stanzas(text, once=True):
                if (one := _of_stanza(stanza)) is not None:
                    yield one
        except (KeyError, ValueError) as error:
            raise IntegrityError(
                "dpkg's database is malformed", where=f"{root}/{_DATABASES[0]}/status", details=str(error)
            ) from error


def _of_stanza(stanza: Mapping[str, str]) -> Installed | None:
    # Fragments of distroless images have no Status: their packages are there.
    words = stanza.get("Status", "install ok installed").split()
    state = words[-1] if words else ""
    if state in _ABSENT:
        return None
    if state not in _INSTALLED:
        raise ValueError(f"{stanza['Package'][:80]!a} is in no state that dpkg knows: {state[:80]!a}")
    source, version = source_of(stanza)
    said = (stanza["Package"], stanza["Version"], stanza["Architecture"], source, version)
    if not all(_WORD.fullmatch(word) for word in said):
        raise ValueError(f"{' '.join(said)[:200]!a} is no package")
    return Installed(
        name=said[0],
        version=said[1],
        architecture=said[2],
        source=source,
        source_version=source_version("deb", version),
    )


def _rpm(root: Path) -> Iterator[Installed]:
    for header in stored_headers(root):
        try:
            yield _of_header(header)
        except ValueError as error:
            raise IntegrityError("rpm's database is malformed", where=str(root), details=str(error)) from error


def _of_header(header: Header) -> Installed:
    name, version, architecture = identity(header)
    source, made = source_said(header.text(Tag.SOURCE_RPM) or "") or (name, version)
    return Installed(name, version, architecture, source, with_epoch(made, version))


def _files(root: Path) -> Callable[[Installed], tuple[str, ...]]:
    def files(one: Installed) -> tuple[str, ...]:
        for place in _DATABASES:
            for name in (one.name, f"{one.name}:{one.architecture}"):
                text = _text(root, f"{place}/info/{name}.list", _MOST_LIST)
                if text is not None:
                    if "\0" in text:
                        raise IntegrityError(
                            "dpkg's list of files is malformed", where=f"{root}/{place}/info/{name}.list"
                        )
                    return _present(root, text.splitlines())
        return ()

    return files


def _rpm_files(root: Path) -> Callable[[Installed], tuple[str, ...]]:
    from zaffre.tree.installed import installed_packages  # noqa: PLC0415 - read when a finding asks for it

    known: dict[tuple[str, str], tuple[str, ...]] = {}

    def files(one: Installed) -> tuple[str, ...]:
        if not known:
            known.update({package.key: package.paths for package in installed_packages(root)})
        paths = known.get((one.name, one.architecture), ())
        return _present(root, paths)

    return files


def _present(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_printable, telling([path for path in paths if inside(root, path).is_file()])))


def _printable(text: str) -> str:
    """What was decoded with `surrogateescape`, so that a report can be written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
