# SPDX-License-Identifier: Apache-2.0
"""Every file that is in an image against the bill of materials: what is there, whose it is, and that it is unchanged.

Read are a container's layer, what WSL installs, and a sealed root. What lies in the file system of a writable root is
not read here: that system changes it anyway, by its package manager, which keeps records of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import zstandard

from zaffre.digest import sha256_file
from zaffre.errors import IntegrityError
from zaffre.manifest import Manifest
from zaffre.oci import read_layout
from zaffre.trust.attested import Listed, listed_files
from zaffre.trust.container import LAYOUT
from zaffre.trust.forms import INVENTORY
from zaffre.trust.generated import unknown
from zaffre.trust.inspector import BUILD, SCRATCH, Inspector, Verdict, last_words

READ = {"container": f"{LAYOUT}/index.json", "wsl": "image.wsl", "host": "root.erofs"}
"""By kind of image, the artifact in which its files are looked up."""

_MOST_NAMED = 5
_MOST_BYTES = 64 << 30


def check_files(manifest: Manifest, inspector: Inspector) -> Verdict:
    """All files of the inventory and of the image, and no others, with the content that is recorded; those of nobody
    are named.
    """
    listed = listed_files(inspector.directory)
    inventory = _inventory(inspector.directory / INVENTORY)
    digests = {path: one.sha256 for path, one in inventory.items() if one.sha256 is not None}
    if fault := _fault(listed, digests, f"{INVENTORY} lacks"):
        return Verdict(ok=False, detail=fault)
    words = _words(listed, {path for path, one in inventory.items() if one.package})
    if manifest.kind not in READ:
        return Verdict(ok=True, detail=f"{words} (by {INVENTORY}: a writable root is not read)")
    if fault := _fault(listed, _found(manifest, inspector), "the image lacks"):
        return Verdict(ok=False, detail=fault)
    return Verdict(ok=True, detail=words)


def _fault(listed: Mapping[str, Listed], found: Mapping[str, str], lacks: str) -> str | None:
    for fault, paths in (
        ("no record has", found.keys() - listed.keys()),
        (lacks, listed.keys() - found.keys()),
        ("changed", {path for path in found.keys() & listed.keys() if found[path] != listed[path].sha256}),
    ):
        if paths:
            return f"{fault} {_some(sorted(paths))}"
    return None


class _Entry(NamedTuple):
    sha256: str | None
    package: str | None


def _inventory(path: Path) -> dict[str, _Entry]:
    """Files, folders and links; only files have a digest."""
    try:
        content = json.loads(path.read_bytes())["content"]
        return {one["path"]: _Entry(one.get("sha256"), one.get("package")) for one in content}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{INVENTORY} has no list of content", where=str(path)) from error


def _words(listed: Mapping[str, Listed], packaged: Container[str]) -> str:
    kinds = Counter("packages" if one.package else one.origin.partition(":")[0] for one in listed.values())
    loose = [path for path, one in listed.items() if one.package is None and one.origin == "generated"]
    said = (
        f"{len(listed)} files: {kinds['packages']} of packages, {kinds['definition']} of the definition, "
        f"{kinds['generated']} made by scripts and the build"
    )
    strange = unknown(loose, packaged)
    return f"{said}; of nobody that is known: {_some(strange, all_of_them=True)}" if strange else said


def _some(paths: list[str], *, all_of_them: bool = False) -> str:
    if all_of_them or len(paths) <= _MOST_NAMED:
        return ", ".join(paths)
    return f"{', '.join(paths[:_MOST_NAMED])} and {len(paths) - _MOST_NAMED} more"


def _found(manifest: Manifest, inspector: Inspector) -> dict[str, str]:
    """Digests of the regular files of the image, by absolute path."""
    folder = inspector.directory
    match manifest.kind:
        case "container":
            (image,) = read_layout(folder / LAYOUT)
            found: dict[str, str] = {}
            for layer in image.layers:
                found |= _of_archive(folder / LAYOUT / layer.path)
            return found
        case "wsl":
            return _of_archive(folder / READ["wsl"])
        case _:
            return _of_sealed(folder / READ["host"], inspector)


def _of_archive(path: Path) -> dict[str, str]:
    """Raises IntegrityError for what is no archive, and for one that unpacks to more than any image."""
    found: dict[str, str] = {}
    left = _MOST_BYTES
    try:
        with _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                name = "/" + info.name.removeprefix("./").strip("/")
                left -= info.size
                if left < 0:
                    raise IntegrityError("it unpacks to more than it may", where=path.name)
                if info.islnk():
                    found[name] = found["/" + info.linkname.removeprefix("./").strip("/")]
                elif info.isreg() and (file := archive.extractfile(info)) is not None:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (tarfile.TarError, KeyError, EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise IntegrityError("it is no whole archive", where=path.name, details=str(error)) from error
    return found


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed by what it begins with."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield cast("IO[bytes]", unzipped)
        elif magic == b"\x28\xb5\x2f\xfd":
            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                yield stream
        else:
            yield file


def _of_sealed(root: Path, inspector: Inspector) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="zaffre-verify-") as scratch:
        tree = Path(scratch, "tree")
        tree.mkdir()
        done = inspector.ask(["fsck.erofs", f"--extract={SCRATCH}", "--overwrite", f"{BUILD}/{root.name}"], output=tree)
        if done.returncode != 0:
            raise IntegrityError(f"{root.name} cannot be read: {last_words(done)}")
        return {
            f"/{Path(folder, name).relative_to(tree).as_posix()}": sha256_file(Path(folder, name))
            for folder, _, names in os.walk(tree)
            for name in names
            if stat.S_ISREG(Path(folder, name).lstat().st_mode)
        }
