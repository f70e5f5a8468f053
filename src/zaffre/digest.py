# SPDX-License-Identifier: Apache-2.0
"""Digests and the one canonical form of structured data that they are taken over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NewType, TypeAlias

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"

EMPTY = Sha256(hashlib.sha256(b"").hexdigest())


def canonical_json(value: JSON) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_json(value: JSON) -> Sha256:
    return sha256_bytes(canonical_json(value))


def sha256_file(path: Path) -> Sha256:
    """Digest of a file's content, read in bounded memory. Raises OSError."""
    with path.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())
