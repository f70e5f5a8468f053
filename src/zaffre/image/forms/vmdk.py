# SPDX-License-Identifier: Apache-2.0
"""The descriptor of a sparse VMDK: its content id, which qemu-img takes from chance, is settled.

Source: "Virtual Disk Format 5.0" (VMware, 2011), "Hosted Sparse Extent Header" and "The Descriptor File": the header
says in which sectors of the file the descriptor lies, a text that zeros fill up. A content id is eight hexadecimal
digits; one of all ones means "no parent".
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from zaffre.errors import IntegrityError
from zaffre.image.forms.stamp import Stamp

MAGIC = b"KDMV"

_SECTOR = 512
_DESCRIPTOR_AT = 28
_MOST_SECTORS = 2048
_CONTENT_ID = re.compile(rb"^CID=[0-9a-f]{1,8}$", re.MULTILINE)


def settle_vmdk(path: Path, stamp: Stamp) -> None:
    """Give the descriptor the stamp's content id. Raises IntegrityError for what is no sparse VMDK of one file."""
    with path.open("r+b") as file:
        head = file.read(_SECTOR)
        if not head.startswith(MAGIC) or len(head) != _SECTOR:
            raise IntegrityError("it is no sparse VMDK", where=path.name)
        at, size = struct.unpack_from("<QQ", head, _DESCRIPTOR_AT)
        if not 0 < size <= _MOST_SECTORS:
            raise IntegrityError("the VMDK has no descriptor in it", where=path.name)
        file.seek(at * _SECTOR)
        text = file.read(size * _SECTOR).rstrip(b"\0")
        settled, count = _CONTENT_ID.subn(b"CID=%08x" % content_id(stamp), text)
        if count != 1 or len(settled) > size * _SECTOR:
            raise IntegrityError("the descriptor of the VMDK has not one content id", where=path.name)
        file.seek(at * _SECTOR)
        file.write(settled.ljust(size * _SECTOR, b"\0"))


def content_id(stamp: Stamp) -> int:
    """Never all ones."""
    return stamp.uuid("VMDK content").int & 0x7FFFFFFF
