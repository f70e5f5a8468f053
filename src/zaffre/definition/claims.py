# SPDX-License-Identifier: Apache-2.0
"""What an operation of an overlay lays claim to, so that two that contradict each other are found. Pure.

Operations are applied in order, and a later one sees what an earlier one did. Some pairs still make no sense:
the second undoes the first, or overwrites it, or can't find its object any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from zaffre.definition.operations import (
    BuildEnvironment,
    BuildFlag,
    BuildOptionChange,
    BuildProfile,
    Define,
    DependsAdd,
    DependsChange,
    DependsRemove,
    FileAdd,
    FileRemove,
    FileRename,
    FileReplace,
    Operation,
    PackageDrop,
    PackageSplit,
    PatchAdd,
    PatchRemove,
    SearchReplace,
    TestsSkip,
    VersionChange,
)

How: TypeAlias = Literal["owns", "makes", "uses"]


@dataclass(frozen=True)
class Claim:
    """`owns`: nobody else may touch the subject. `makes`: later ones may use it. `uses`: others may too."""

    subject: tuple[str, ...]
    how: How


def together(earlier: str, later: str) -> bool:
    """Whether two claims on the same subject, in this order, can stand beside each other."""
    return later == "uses" and earlier in {"makes", "uses"}


def claims_of(operation: Operation) -> Iterator[Claim]:
    match operation:
        case PatchAdd(file=name) | PatchRemove(patch=name):
            yield Claim(("patch", PurePosixPath(name).name), "owns")
        case FileAdd(path=path) | FileReplace(path=path) | FileRemove(path=path):
            yield Claim(("file", path), "owns")
        case FileRename(path=path, to=to):
            yield Claim(("file", path), "owns")
            yield Claim(("file", to), "makes")
        case SearchReplace(path=path):
            yield Claim(("file", path), "uses")
        case BuildOptionChange(option=name) | BuildProfile(profile=name):
            yield Claim((operation.op, name), "owns")
        case BuildFlag(flag=flag, append=append):
            yield Claim((operation.op, flag, append), "owns")
        case BuildEnvironment(name=name) | Define(name=name):
            yield Claim((operation.op, name), "owns")
        case DependsAdd() | DependsChange() | DependsRemove():
            yield from _dependency(operation)
        case PackageSplit(package=package, name=name, paths=paths):
            yield Claim(("package", package), "uses")
            yield Claim(("package", name), "makes")
            for path in paths:
                yield Claim(("installed", package, path), "owns")
        case PackageDrop(package=package):
            yield Claim(("package", package), "owns")
        case TestsSkip():
            yield Claim(("tests",), "owns")
        case VersionChange():
            yield Claim(("version",), "owns")
        case _:
            pass


def _dependency(operation: DependsAdd | DependsChange | DependsRemove) -> Iterator[Claim]:
    if operation.package is not None:
        yield Claim(("package", operation.package), "uses")
    names = [] if isinstance(operation, DependsAdd) else [operation.name]
    if not isinstance(operation, DependsRemove):
        names.append(name_in(operation.relation))
    for name in dict.fromkeys(names):
        yield Claim(("dependency", operation.field, operation.package or "", name), "owns")


def name_in(relation: str) -> str:
    """The name that a relation is about: of "libc6 (>= 2.36) | libc" it is libc6, of "pkgconfig(x) >= 1" all of it."""
    return re.split(r"\s", relation, maxsplit=1)[0].partition(":")[0]
