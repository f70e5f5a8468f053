# SPDX-License-Identifier: Apache-2.0
"""Whether the forms of an image hold what they should: of the disk, image.raw; of the tree, what the inventory has."""

from __future__ import annotations

import json
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import zstandard

from zaffre.definition import Form
from zaffre.digest import sha256_file
from zaffre.errors import IntegrityError
from zaffre.trust.inspector import BUILD, Inspector, Verdict, last_words

INVENTORY = "inventory.json"

_DRIVERS = {Form.QCOW2: "qcow2", Form.VHD: "vpc", Form.VHDX: "vhdx", Form.VMDK: "vmdk"}
_MIB = 1 << 20
_CHUNK = 1 << 20
_CAPABILITY = "SCHILY.xattr.security.capability"


def check_form(form: Form, inspector: Inspector) -> Verdict:
    """Raises IntegrityError for a file that is not of its form."""
    path = inspector.directory / form.file_name
    if form.of_tree:
        return _tree(path, inspector.directory / INVENTORY)
    raw = inspector.directory / Form.RAW.file_name
    if form is Form.RAW_ZST:
        same = _unpacked_digest(path, limit=raw.stat().st_size) == sha256_file(raw)
        return Verdict(
            ok=same, detail="it unpacks to image.raw" if same else "it unpacks to another disk than image.raw"
        )
    if form is Form.VHD and raw.stat().st_size % _MIB:
        return Verdict(ok=True, detail="a larger disk, of whole MiB, than image.raw: held by its digest alone")
    done = inspector.ask(
        ["qemu-img", "compare", "-q", "-f", "raw", "-F", _DRIVERS[form], f"{BUILD}/image.raw", f"{BUILD}/{path.name}"]
    )
    match done.returncode:  # qemu-img(1), compare
        case 0:
            return Verdict(ok=True, detail="the disk in it equals image.raw")
        case 1:
            return Verdict(ok=False, detail="the disk in it is another one than image.raw")
        case _:
            return Verdict(ok=False, detail=f"it cannot be read: {last_words(done)}")


def _unpacked_digest(path: Path, *, limit: int) -> str:
    with _unpacked(path) as stream:
        return _digest(stream, limit=limit, name=path.name)


def _digest(stream: IO[bytes], *, limit: int, name: str) -> str:
    found = sha256()
    while data := stream.read(_CHUNK):
        limit -= len(data)
        if limit < 0:
            raise IntegrityError("it unpacks to more than it may", where=name)
        found.update(data)
    return found.hexdigest()


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed if its name ends in .zst."""
    with path.open("rb") as file:
        if path.suffix != ".zst":
            yield file
            return
        try:
            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                yield stream
        except zstandard.ZstdError as error:
            raise IntegrityError(f"it does not unpack: {error}", where=path.name) from error


def _tree(path: Path, inventory: Path) -> Verdict:
    """Every path with its owner, mode, size and content, and no other."""
    try:
        told = json.loads(inventory.read_bytes())
        listed = {one["path"]: one for one in told["content"]}
        capable = {one["path"] for one in told.get("privileged", ()) if one.get("capabilities")}
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{INVENTORY} has no list of content", where=str(inventory)) from error
    seen: dict[str, str] = {}
    try:
        with _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                name = "/" + info.name.removeprefix("./").strip("/")
                if name in {"/", "/."}:
                    continue
                entry = listed.get(name)
                if entry is None:
                    return Verdict(ok=False, detail=f"{name} is not in {INVENTORY}")
                digest = _content(archive, info, seen)
                seen[name] = digest
                if (_CAPABILITY in info.pax_headers) != (name in capable):
                    return Verdict(ok=False, detail=f"{name}: it has other capabilities")
                if fault := _fault(info, entry, digest):
                    return Verdict(ok=False, detail=f"{name}: {fault}")
    except tarfile.TarError as error:
        raise IntegrityError(f"it is no whole archive: {error}", where=path.name) from error
    if missing := sorted(listed.keys() - seen.keys()):
        return Verdict(ok=False, detail=f"{missing[0]} is not in it")
    return Verdict(ok=True, detail=f"{len(seen)} paths, as {INVENTORY} has them")


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, seen: Mapping[str, str]) -> str:
    """The digest of a file's content; of a hard link, that of the file that came before."""
    if info.islnk():
        return seen.get("/" + info.linkname.removeprefix("./").strip("/"), "")
    file = archive.extractfile(info) if info.isreg() else None
    return _digest(file, limit=info.size, name=info.name) if file is not None else ""


def _fault(info: tarfile.TarInfo, entry: Mapping[str, Any], digest: str) -> str | None:
    if entry.get("owner", "0:0") != f"{info.uid}:{info.gid}":
        return f"it belongs to {info.uid}:{info.gid}"
    if int(entry["mode"], 8) & 0o7777 != stat.S_IMODE(info.mode):
        return f"its mode is {info.mode:04o}"
    if (entry.get("sha256") or "") != digest:
        return "its content is another"
    if (entry.get("target") or "") != (info.linkname if info.issym() else ""):
        return "it leads elsewhere"
    return None
