# SPDX-License-Identifier: Apache-2.0
"""Small `.wsl` files to hold against the rules: one that keeps them all, and what a test changes in it."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.image.wsl.units import masks

CONF = """
[oobe]
command = /usr/lib/wsl/oobe
defaultUid = 1000
defaultName = Acme
[shortcut]
icon = /usr/lib/wsl/acme.ico
[windowsterminal]
profileTemplate = /usr/lib/wsl/terminal.json
"""


def elf(machine: int = 62) -> bytes:
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, machine) + bytes(44)


@dataclass
class Entry:
    content: bytes | str = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    kind: bytes = tarfile.REGTYPE
    name: str = ""


@dataclass
class Tree:
    """Paths and what is there. A text that begins with `->` is the target of a link."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, path: str, content: bytes | str = b"", **fields: object) -> None:
        self.entries[path] = Entry(content, **fields)  # type: ignore[arg-type]

    def tar(self, *, prefix: str = "") -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, entry in self.entries.items():
                info = tarfile.TarInfo(prefix + path)
                info.mode, info.uid, info.gid, info.type = entry.mode, entry.uid, entry.gid, entry.kind
                info.uname = entry.name
                data = entry.content.encode() if isinstance(entry.content, str) else entry.content
                if data.startswith(b"->"):
                    info.type, info.linkname = tarfile.SYMTYPE, data[2:].decode()
                    archive.addfile(info)
                else:
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def write(self, path: Path, *, prefix: str = "") -> Path:
        path.write_bytes(gzip.compress(self.tar(prefix=prefix), mtime=0))
        return path


def sound_tree() -> Tree:
    tree = Tree()
    for folder in ("etc", "usr", "usr/bin", "usr/lib"):
        tree.put(folder, mode=0o755, kind=tarfile.DIRTYPE)
    tree.put("bin", "->usr/bin")
    tree.put("sbin", "->usr/bin")
    tree.put("etc/wsl-distribution.conf", CONF)
    tree.put("etc/wsl.conf", "[boot]\nsystemd=true\n")
    tree.put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n")
    tree.put("etc/shadow", "root:*:20000:0:99999:7:::\ndaemon:!*:20000::::::\n", mode=0o640, gid=42)
    tree.put("usr/bin/dash", elf(), mode=0o755)
    tree.put("usr/bin/sh", "->dash")
    tree.put("usr/bin/bash", elf(), mode=0o755)
    tree.put("usr/lib/systemd/systemd", elf(), mode=0o755)
    tree.put("usr/bin/init", "->../lib/systemd/systemd")
    tree.put("usr/lib/systemd/system/systemd-resolved.service", "[Service]\n")
    tree.put("usr/lib/systemd/system/sysinit.target.wants/systemd-resolved.service", "->../systemd-resolved.service")
    tree.put("usr/lib/wsl/oobe", "#!/bin/bash\n", mode=0o755)
    tree.put("usr/lib/wsl/acme.ico", b"\0\0\1\0\1\0")
    tree.put("usr/lib/wsl/terminal.json", '{"profiles": []}')
    for path, target in masks().items():
        tree.put(path, target)
    return tree
