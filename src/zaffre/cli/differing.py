# SPDX-License-Identifier: Apache-2.0
"""A comparison in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zaffre.cli.output import amount, count, table

if TYPE_CHECKING:
    from zaffre.compare.report import (
        ArtifactChange,
        Comparison,
        Details,
        FileChange,
        Group,
        PackageChange,
        SetChanges,
        ValueChange,
    )

_MARKS = {"added": "+", "removed": "-", "changed": "~", "rebuilt": "="}
_DETAILS = (
    ("privileged", "Files that give their caller rights"),
    ("listening", "Units that listen"),
    ("units", "Units"),
    ("sysctl", "Kernel settings (sysctl)"),
    ("command_line", "Kernel command line"),
    ("kernels", "Kernels"),
    ("modules", "Kernel modules"),
)


def words(found: Comparison, top: int | None) -> str:
    """All of it, at most `top` lines of each kind (None: all lines)."""
    blocks = [table([("A", found.a.given, found.a.title), ("B", found.b.given, found.b.title)])]
    if found.alerts:
        rows = [(f"  {alert.what}", alert.text) for alert in found.alerts]
        blocks.append("Look at these first:\n" + table(rows))
    for one in found.sets:
        blocks += _set(one, top)
    blocks += _values("What the definition says", found.settings, top)
    if found.details is not None:
        blocks += detail_words(found.details, top)
    blocks += _artifacts(found.artifacts)
    if found.left_out:
        blocks.append(f"Not compared: files, rights, units, kernel settings. {found.left_out}.")
    blocks.append("There is no difference." if found.same else _verdict(found))
    return "\n\n".join(blocks)


def _verdict(found: Comparison) -> str:
    packages = sum(len(one.packages) for one in found.sets)
    parts = [count(packages, "package")]
    if found.details is not None:
        parts.append(count(len(found.details.files), "path"))
    said = f"They differ: {' and '.join(parts)}"
    return said + (f"; {count(len(found.alerts), 'change')} to look at first" if found.alerts else "")


def _set(one: SetChanges, top: int | None) -> Iterator[str]:
    title = f"Packages of {one.name} ({one.architecture})"
    if one.missing:
        other = one.new_packages if one.missing == "A" else one.old_packages
        yield f"{title}: {one.missing} has no such set, the other has {count(other, 'package')}"
        return
    if not one:
        yield f"{title}: the same {count(one.new_packages, 'package')}"
        return
    numbers = [f"{sum(p.change == kind for p in one.packages)} {kind}" for kind in _MARKS]
    told = ", ".join(number for number in numbers if not number.startswith("0 ")) or "the same"
    lines = [f"{title}: {told}; {one.old_packages} -> {one.new_packages}{_sizes(one)}"]
    shown = sorted(one.packages, key=lambda p: (list(_MARKS).index(p.change), p.name))
    for package in shown[:top]:
        lines += _package(package)
    lines += _more(len(shown), top)
    yield "\n".join(lines)
    yield from _values(f"Users and groups of {one.name}", one.accounts, top)


def _sizes(one: SetChanges) -> str:
    if one.measure is None or one.old_bytes is None or one.new_bytes is None:
        return ""
    what = "to download" if one.measure == "download" else "in the image"
    return f", {amount(one.old_bytes)} -> {amount(one.new_bytes)} {what}"


def _package(one: PackageChange) -> Iterator[str]:
    if one.change == "changed":
        version = f"{one.old_version} -> {one.new_version}"
    elif one.change == "rebuilt":
        version = f"{one.new_version}, another file"
    else:
        version = str(one.new_version or one.old_version)
    growth = (one.new_bytes or 0) - (one.old_bytes or 0)
    size = f"  {signed(growth)}" if one.old_bytes is not None or one.new_bytes is not None else ""
    yield f"  {_MARKS[one.change]} {one.name} {version}{size}"
    origin = f"from {one.origin}" if one.origin and one.change == "added" else ""
    yield from (f"      {line}" for line in (origin, *one.why) if line)


def _values(title: str, changes: Sequence[ValueChange], top: int | None) -> Iterator[str]:
    if not changes:
        return
    rows = []
    for one in changes[:top]:
        mark = "+" if one.old is None else "-" if one.new is None else "~"
        value = f"{one.old} -> {one.new}" if one.old is not None and one.new is not None else (one.new or one.old or "")
        rows.append((f"  {mark} {one.name}", "" if value == "present" else value, one.why or ""))
    yield "\n".join([f"{title}: {count(len(changes), 'change')}", table(rows), *_more(len(changes), top)])


def detail_words(details: Details, top: int | None) -> Iterator[str]:
    """What differs between two trees, a block of each kind."""
    for name, title in _DETAILS:
        yield from _values(title, getattr(details, name), top)
    if not details.files:
        return
    growth = sum(one.growth for one in details.files)
    yield f"Files: {count(len(details.files), 'path')}, {signed(growth)}"
    for title, groups in (("FROM", details.by_origin), ("FOLDER", details.by_folder)):
        yield _groups(title, groups, top)
    largest = sorted(details.files, key=lambda one: (-max(one.old_bytes, one.new_bytes), one.path))[:top]
    rows = [
        (_file(one), "" if _is_folder(one) else signed(one.growth), "; ".join(one.how), one.origin) for one in largest
    ]
    yield "\n".join(
        [table(rows, headers=("  PATH", "GROWTH", "CHANGED", "FROM"), right=(1,)), *_more(len(details.files), top)]
    )


def _file(one: FileChange) -> str:
    return f"{_MARKS[one.change]} {one.path}"


def _is_folder(one: FileChange) -> bool:
    return one.origin == "folders"


def _groups(title: str, groups: Sequence[Group], top: int | None) -> str:
    rows = [(one.name, str(one.added), str(one.removed), str(one.changed), signed(one.growth)) for one in groups[:top]]
    headers = (title, "ADDED", "REMOVED", "CHANGED", "GROWTH")
    return "\n".join([table(rows, headers=headers, right=(1, 2, 3, 4)), *_more(len(groups), top)])


def _artifacts(changes: Sequence[ArtifactChange]) -> Iterator[str]:
    if changes:
        rows = [
            (
                one.name,
                "-" if one.old_bytes is None else amount(one.old_bytes),
                "-" if one.new_bytes is None else amount(one.new_bytes),
                signed((one.new_bytes or 0) - (one.old_bytes or 0)),
            )
            for one in changes
        ]
        yield table(rows, headers=("ARTIFACT", "A", "B", "GROWTH"), right=(1, 2, 3))


def _more(total: int, top: int | None) -> list[str]:
    return [f"  … and {total - top} more (--all lists them)"] if top is not None and total > top else []


def signed(size: int) -> str:
    """An amount with its sign; nothing that grew nor shrank has none."""
    return f"{'+' if size > 0 else '-' if size < 0 else ''}{amount(abs(size))}"
