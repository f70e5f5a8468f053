# SPDX-License-Identifier: Apache-2.0
"""Digests and the one canonical form of structured data that they are taken over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NewType, TypeAlias

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

EMPTY = Sha256(hashlib.sha256(b"").hexdigest())


def canonical_json(value: JSON) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_json(value: JSON) -> Sha256:
    return sha256_bytes(canonical_json(value))


@cache
def source_digest(*packages: str) -> Sha256:
    """Digest of the source of some of our own packages, for the keys of what they make.

    A result made by other code is another result, and nobody has to remember to raise a number.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for package in sorted(packages):
        for path in sorted((folder / package).rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return Sha256(digest.hexdigest())


def sha256_file(path: Path) -> Sha256:
    """Digest of a file's content, read in bounded memory. Raises OSError."""
    with path.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())
