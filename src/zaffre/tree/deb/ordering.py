# SPDX-License-Identifier: Apache-2.0
"""The order in which packages are taken: after what they depend on, by name where nothing else decides. Pure.

A function of the set of packages alone, so that neither the lock's order nor the host shows in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from zaffre.tree.deb.model import PackageIndex
from zaffre.upstream.deb.control import parse_relations

FIRST = ("base-files", "base-passwd")
"""Before all others, whatever they depend on: the folders and the users that every script takes for granted."""

_T = TypeVar("_T")


def needed_by(packages: Sequence[PackageIndex], wanted: Sequence[PackageIndex]) -> list[PackageIndex]:
    """Those of the packages that `wanted` are or need, directly or not, in the order of `packages`."""
    by_name = _by_name(packages)
    todo = [number for number, index in enumerate(packages) if index in wanted]
    seen = set(todo)
    while todo:
        for number in _needs(packages[todo.pop()], by_name):
            if number not in seen:
                seen.add(number)
                todo.append(number)
    return [packages[number] for number in sorted(seen)]


def dependency_order(packages: Sequence[tuple[PackageIndex, _T]]) -> list[tuple[PackageIndex, _T]]:
    """Depth first over Pre-Depends and Depends; a cycle is entered at its first name and cut where it closes."""
    ordered = sorted(packages, key=lambda one: (_rank(one[0]), one[0].name, one[0].architecture))
    by_name = _by_name([index for index, _ in ordered])
    needs = [_needs(index, by_name) for index, _ in ordered]
    out: list[int] = []
    seen: set[int] = set()
    for start in range(len(ordered)):
        if start in seen:
            continue
        seen.add(start)
        stack = [(start, iter(needs[start]))]
        while stack:
            number, rest = stack[-1]
            following = next((one for one in rest if one not in seen), None)
            if following is None:
                out.append(number)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(needs[following])))
    first = [number for number in range(len(ordered)) if ordered[number][0].name in FIRST]
    return [ordered[number] for number in (*first, *(number for number in out if number not in first))]


def _by_name(packages: Sequence[PackageIndex]) -> dict[str, list[int]]:
    """Numbers of the packages by their own names, and after those by the names that they provide."""
    by_name: dict[str, list[int]] = {}
    for number, index in enumerate(packages):
        by_name.setdefault(index.name, []).append(number)
    for number, index in enumerate(packages):
        for group in parse_relations(index.fields.get("Provides", "")):
            by_name.setdefault(group[0].name, []).append(number)
    return by_name


def _rank(index: PackageIndex) -> int:
    return FIRST.index(index.name) if index.name in FIRST else len(FIRST)


def _needs(index: PackageIndex, by_name: dict[str, list[int]]) -> list[int]:
    """Numbers of the packages that it needs, those of Pre-Depends first. What the image provides itself is skipped."""
    found: list[int] = []
    for field in ("Pre-Depends", "Depends"):
        for group in parse_relations(index.fields.get(field, "")):
            for relation in group:
                if relation.name in by_name:
                    found.extend(by_name[relation.name][:1])
                    break
    return found
