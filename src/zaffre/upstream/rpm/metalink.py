# SPDX-License-Identifier: Apache-2.0
"""A project's metalink: which repomd.xml is genuine, said by hash over TLS.

Format: Metalink 3.0 with MirrorManager's extension for files of some days ago (`mm0:alternates`), which mirrors
that lag behind still have. Its list of mirrors is not used: where files come from is this machine's business.
"""

from __future__ import annotations

import re

from zaffre.errors import IntegrityError
from zaffre.upstream.rpm.xml import Element, parse_xml

MAX_METALINK_BYTES = 4 * 1024 * 1024
_MOST_ELEMENTS = 50_000
_FILE = "repomd.xml"


def genuine_hashes(text: bytes, *, where: str) -> frozenset[str]:
    """SHA-256 of each repomd.xml that the metalink vouches for. Raises IntegrityError for one without."""
    try:
        root = parse_xml(text, most_elements=_MOST_ELEMENTS)
    except ValueError as error:
        raise IntegrityError("the metalink is not one", where=where, details=str(error)) from error
    files = [file for holder in root.all("files") for file in holder.all("file")]
    mine = [file for file in files if file.attributes.get("name") == _FILE]
    alternates = [one for file in mine for holder in file.all("alternates") for one in holder.all("alternate")]
    found = frozenset(digest for one in (*mine, *alternates) for digest in _hashes(one))
    if not found:
        raise IntegrityError(
            f"the metalink has no SHA-256 of {_FILE}",
            where=where,
            resolution="check the `metalink` of the upstream's definition",
        )
    return found


def _hashes(one: Element) -> list[str]:
    return [
        digest
        for verification in one.all("verification")
        for hashed in verification.all("hash")
        if hashed.attributes.get("type") == "sha256" and re.fullmatch(r"[0-9a-f]{64}", digest := hashed.text.strip())
    ]
