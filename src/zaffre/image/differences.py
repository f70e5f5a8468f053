# SPDX-License-Identifier: Apache-2.0
"""Where two builds of the same image differ: the artifact, and inside it the section or the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import sha256_file
from zaffre.image.container import ARCHIVE, LAYOUT
from zaffre.image.output import describe_artifacts
from zaffre.oci import read_layout, unpacking
from zaffre.pe import sections
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree import compare_trees

_EXTRACT_SECONDS = 300.0
_MOST = 50
_INITRD = ".initrd"
_SECTOR = 512
_CHUNK = 1 << 20


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
        yield from _uki_causes(first / name, second / name, sandbox=sandbox, scratch=scratch)
    elif name.endswith(".raw"):
        yield from _disk_causes(first / name, second / name, sandbox=sandbox)
    elif name == ARCHIVE:
        trees = [
            _unpacked_layer(folder / LAYOUT, scratch / f"layer-{number}", sandbox)
            for number, folder in enumerate((first, second))
        ]
        for difference in compare_trees(trees[0], trees[1], times=True):
            yield f"its layer: {difference}"


def _unpacked_layer(layout: Path, target: Path, sandbox: Sandbox) -> Path:
    """The files of the one layer that an image of ours has."""
    target.mkdir()
    for layer in read_layout(layout)[0].layers:
        sandbox.run(
            unpacking(layer.media_type, "/job/layer", "/job/tree"),
            mounts=[Mount(layout / layer.path, "/job/layer"), Mount(target, "/job/tree", writable=True)],
            timeout=_EXTRACT_SECONDS,
        )
    return target


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
            ["fsck.erofs", "--extract=/job/tree", "--overwrite", "/job/image"],
            mounts=[Mount(image, "/job/image"), Mount(target, "/job/tree", writable=True)],
            timeout=_EXTRACT_SECONDS,
        )
        trees.append(target)
    for difference in compare_trees(trees[0], trees[1]):
        yield str(difference)


def _uki_causes(first: Path, second: Path, *, sandbox: Sandbox, scratch: Path) -> Iterator[str]:
    one, other = dict(sections(first)), dict(sections(second))
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"its section {name}"
    if one == other:
        yield f"its headers or its signature ({sha256_file(first)[:12]}, {sha256_file(second)[:12]})"
    elif one.get(_INITRD) != other.get(_INITRD):
        trees = [
            _unpacked_initrd(initrd, scratch / f"initrd-{number}", sandbox)
            for number, initrd in enumerate((one.get(_INITRD, b""), other.get(_INITRD, b"")))
        ]
        for difference in compare_trees(trees[0], trees[1]):
            yield f"its initrd: {difference}"


def _unpacked_initrd(initrd: bytes, folder: Path, sandbox: Sandbox) -> Path:
    folder.mkdir()
    archive = folder.with_suffix(".cpio")
    sandbox.run(["lz4", "--quiet", "-d", "-c"], stdin=initrd, stdout=archive, timeout=_EXTRACT_SECONDS)
    sandbox.run(
        ["cpio", "--extract", "--make-directories", "--quiet", "--no-absolute-filenames"],
        mounts=[Mount(folder, "/job", writable=True)],
        cwd="/job",
        stdin=archive,
        timeout=_EXTRACT_SECONDS,
    )
    return folder


def _disk_causes(first: Path, second: Path, *, sandbox: Sandbox) -> Iterator[str]:
    """Which partitions differ; what is in them is told by the other artifacts, which they were copied from."""
    layout = sandbox.run(
        ["sfdisk", "--json", "/job/image"], mounts=[Mount(first, "/job/image")], timeout=_EXTRACT_SECONDS
    )
    with first.open("rb") as one, second.open("rb") as other:
        for entry in json.loads(layout.stdout)["partitiontable"]["partitions"]:
            one.seek(entry["start"] * _SECTOR)
            other.seek(entry["start"] * _SECTOR)
            left = entry["size"] * _SECTOR
            while left and (mine := one.read(min(_CHUNK, left))) == other.read(min(_CHUNK, left)) and mine:
                left -= len(mine)
            if left:
                yield f"its partition {entry.get('name', '?')}"
