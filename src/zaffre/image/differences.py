# SPDX-License-Identifier: Apache-2.0
"""Where two builds of the same image differ: the artifact, and inside it the section or the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import sha256_file
from zaffre.image.output import describe_artifacts
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree import compare_trees

_EXTRACT_SECONDS = 300.0
_MOST = 50


@dataclass(frozen=True)
class Difference:
    """An artifact that differs, and why as far as it can be said."""

    artifact: str
    causes: tuple[str, ...]


def differences(first: Path, second: Path, *, sandbox: Sandbox, scratch: Path) -> list[Difference]:
    """Every artifact that is not bit for bit the same in both folders. `scratch` is for what is unpacked."""
    one, other = describe_artifacts(first), describe_artifacts(second)
    found = []
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            found.append(Difference(name, (f"only in the {'first' if name in one else 'second'} build",)))
        elif one[name] != other[name]:
            causes = tuple(_causes(name, first, second, sandbox=sandbox, scratch=scratch))
            found.append(Difference(name, causes[:_MOST]))
    return found


def _causes(name: str, first: Path, second: Path, *, sandbox: Sandbox, scratch: Path) -> Iterator[str]:
    yield _first_byte(first / name, second / name)
    if name.endswith(".erofs"):
        yield from _erofs_causes(first / name, second / name, sandbox=sandbox, scratch=scratch)
    elif name.endswith(".efi"):
        yield from _uki_causes(first / name, second / name, sandbox=sandbox)


def _first_byte(first: Path, second: Path) -> str:
    sizes = first.stat().st_size, second.stat().st_size
    if sizes[0] != sizes[1]:
        return f"{sizes[0]} bytes and {sizes[1]} bytes"
    position = 0
    with first.open("rb") as one, second.open("rb") as other:
        while (mine := one.read(1 << 20)) == (yours := other.read(1 << 20)) and mine:
            position += len(mine)
    offset = next((index for index, pair in enumerate(zip(mine, yours, strict=False)) if pair[0] != pair[1]), 0)
    return f"the first difference is at byte {position + offset}"


def _erofs_causes(first: Path, second: Path, *, sandbox: Sandbox, scratch: Path) -> Iterator[str]:
    trees = []
    for number, image in enumerate((first, second)):
        target = scratch / f"{image.stem}-{number}"
        target.mkdir()
        sandbox.run(
            ["fsck.erofs", "--extract=/work/tree", "--overwrite", "/work/image"],
            mounts=[Mount(image, "/work/image"), Mount(target, "/work/tree", writable=True)],
            timeout=_EXTRACT_SECONDS,
        )
        trees.append(target)
    for difference in compare_trees(trees[0], trees[1]):
        yield str(difference)


def _uki_causes(first: Path, second: Path, *, sandbox: Sandbox) -> Iterator[str]:
    one, other = (_sections(path, sandbox) for path in (first, second))
    for section in sorted(one.keys() | other.keys()):
        if one.get(section) != other.get(section):
            yield f"its section {section}"
    if one == other:
        yield f"its headers or its signature ({sha256_file(first)[:12]}, {sha256_file(second)[:12]})"


def _sections(path: Path, sandbox: Sandbox) -> dict[str, str]:
    completed = sandbox.run(
        ["ukify", "inspect", "--json=short", "--all", "/work/uki.efi"],
        mounts=[Mount(path, "/work/uki.efi")],
        timeout=_EXTRACT_SECONDS,
    )
    return {name: str(facts.get("sha256")) for name, facts in json.loads(completed.stdout).items()}
