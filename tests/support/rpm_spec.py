# SPDX-License-Identifier: Apache-2.0
"""The spec of a source package whose binary packages are given as .debs: the same files, the same relations, as RPM.

Pure: indexes of unpacked packages in, text out. All packages of one source and one architecture are in one spec, so
that the name of the source RPM tells the source, as in a distribution that was built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from support.rpm_scripts import FIRST, LEFT_OUT, adaptation
from zaffre.tree.deb.model import Kind, Member, PackageIndex
from zaffre.upstream.deb.control import Relation, parse_relations, source_of

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "all": "noarch"}
BUILD_ROOT_DATA = "/job/data"
LISTS = "/job/lists"
_OPERATORS = {"<<": "<", ">>": ">", "<=": "<=", ">=": ">=", "=": "="}


@dataclass(frozen=True)
class Spec:
    """A spec's name and text, and the lists of files that it includes, by file name."""

    name: str
    text: str
    lists: dict[str, str]
    packages: tuple[PackageIndex, ...]


def specs(packages: Sequence[PackageIndex]) -> list[Spec]:
    """One for each source and architecture, in order of name."""
    present = [one for one in packages if one.name not in LEFT_OUT]
    groups: dict[tuple[str, str], list[PackageIndex]] = {}
    for one in present:
        groups.setdefault((source_of(one.fields)[0], one.architecture), []).append(one)
    base = {f"/{member.path}" for one in present if one.name == "base-files" for member in one.members}
    essential = sorted(one.name for one in present if one.fields.get("Essential") == "yes" and one.name not in FIRST)
    return [
        _spec(source, architecture, sorted(group, key=lambda one: one.name), essential, base)
        for (source, architecture), group in sorted(groups.items())
    ]


def _spec(
    source: str, architecture: str, group: list[PackageIndex], essential: Sequence[str], base: Collection[str]
) -> Spec:
    main = next((one for one in group if one.name == source), None)
    version = main.version if main else source_of(group[0].fields)[1]
    head = [
        f"Name: {source}",
        *_version_tags(version),
        "Summary: a source package",
        "License: as in its copyright file",
    ]
    if architecture == "all":
        head.append("BuildArch: noarch")
    lines = [*head, *(_relations(main, essential) if main else ()), "", "%description", f"{source}", ""]
    for one in group:
        if one is not main:
            lines += [f"%package -n {one.name}", *_version_tags(one.version), "Summary: a package"]
            lines += [*_relations(one, essential), "", f"%description -n {one.name}", one.name, ""]
    lines += ["%install", "set -eu", "mkdir -p %{buildroot}", "cd %{buildroot}"]
    for one in group:
        change = adaptation(one.name)
        lines += [
            f"tar -x --same-owner --numeric-owner -p -f {BUILD_ROOT_DATA}/{one.name}.tar",
            _escaped(change.install),
        ]
    lines.append("")
    lists = {}
    for one in group:
        change = adaptation(one.name)
        option = "" if one is main else f"-n {one.name}"
        lists[f"{one.name}.list"] = "\n".join([*_files(one, base), *change.files]) + "\n"
        lines += [f"%files {option} -f {LISTS}/{one.name}.list", "%defattr(-, root, root, -)", ""]
        lines += [change.scriptlets.format(name=option), ""]
    return Spec(f"{source}.{architecture}", "\n".join(lines), lists, tuple(group))


def rpm_version(version: str) -> tuple[str, str, str]:
    """Epoch, version and release of a Debian version; each may be empty but the second."""
    epoch, colon, rest = version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    return (epoch if colon else ""), (upstream if dash else rest).replace("-", "_"), revision if dash else ""


def _version_tags(version: str) -> list[str]:
    epoch, number, release = rpm_version(version)
    return [*([f"Epoch: {epoch}"] if epoch else []), f"Version: {number}", f"Release: {release or '0'}"]


def _evr(version: str) -> str:
    epoch, number, release = rpm_version(version)
    return (f"{epoch}:" if epoch else "") + number + (f"-{release}" if release else "")


def _relations(index: PackageIndex, essential: Sequence[str]) -> Iterator[str]:
    """Tags of a package. The essential ones are what the first package requires, since nobody names them."""
    yield "AutoReqProv: no"
    change = adaptation(index.name)
    if index.name == FIRST[0]:
        yield from (f"Requires: {name}" for name in (*essential, FIRST[1]))
    else:
        yield from (f"Requires(pre): {name}" for name in FIRST if name != index.name)
        for field, tag in (("Pre-Depends", "Requires(pre)"), ("Depends", "Requires")):
            yield from (f"{tag}: {text}" for text in _groups(index, field))
    for field in ("Recommends", "Suggests"):
        yield from (f"{field}: {text}" for text in _groups(index, field))
    for field in ("Conflicts", "Breaks"):
        for group in parse_relations(index.fields.get(field, "")):
            if group[0].name != index.name:  # Debian's way to say that only one may provide a name
                yield f"Conflicts: {_relation(group[0])}"
    for group in parse_relations(index.fields.get("Provides", "")):
        if group[0].name not in LEFT_OUT:
            yield f"Provides: {_relation(group[0])}"
    yield from (f"Requires(posttrans): {name}" for name in change.requires)
    yield from (f"Provides: {text}" for text in change.provides)


def _groups(index: PackageIndex, field: str) -> Iterator[str]:
    """Each group of alternatives that says something about packages of this distribution."""
    for group in parse_relations(index.fields.get(field, "")):
        if any(one.name in LEFT_OUT or one.name.startswith("debconf-") for one in group):
            continue
        words = [_relation(one) for one in group]
        yield words[0] if len(words) == 1 else f"({' or '.join(words)})"


def _relation(one: Relation) -> str:
    if not one.operator:
        return one.name
    version = _evr(one.version)
    # To rpm a version without a release is equal to it with any; to dpkg it is lower than it with one.
    release = "-0" if one.operator in {">>", "<="} and "-" not in version else ""
    return f"{one.name} {_OPERATORS[one.operator]} {version}{release}"


def _files(index: PackageIndex, base: Collection[str]) -> Iterator[str]:
    """Lines of %files. Folders of the first package are its own alone."""
    change = adaptation(index.name)
    settings = {path for path, _ in index.conffiles}
    for member in index.members:
        path = f"/{member.path}"
        if not member.path or _under(member.path, change.gone):
            continue
        if member.kind is Kind.DIRECTORY and index.name != FIRST[0] and path in base:
            continue
        words = [_attribute(member)]
        if member.kind is Kind.DIRECTORY:
            words.append("%dir")
        if path in settings:
            words.append("%config(noreplace)")
        yield " ".join((*words, f'"{_escaped(path)}"'))  # in quotes nothing is a pattern


def _attribute(member: Member) -> str:
    mode = "-" if member.kind is Kind.SYMLINK else f"{member.mode:04o}"
    owners = {0: "root", 42: "shadow"}
    return f"%attr({mode}, {owners[member.uid]}, {owners[member.gid]})"


def _under(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _escaped(text: str) -> str:
    """Without macros."""
    return text.replace("%", "%%")
