# SPDX-License-Identifier: Apache-2.0
"""Sealing: a directory becomes an erofs image, its dm-verity tree and the root hash that vouches for both."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import ToolError
from zaffre.sandbox import Mount, Sandbox

_SEAL_SECONDS = 1800.0
# On a full disk, mkfs.erofs 1.8.6 may say so and hang, or exit 0 with a damaged image.
_ERROR = "<E> "
_SALT = sha256_bytes(b"zaffre dm-verity")
_ROOT_HASH = re.compile(r"^Root hash:\s+([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Compression:
    """`algorithm` as mkfs.erofs(1) spells it ("zstd,level=12"), empty for none; `cluster` in bytes."""

    algorithm: str
    cluster: int


def make_erofs(
    source: Path,
    target: Path,
    *,
    compression: Compression,
    epoch: int,
    label: str,
    sandbox: Sandbox,
    labels: tuple[Path, Path] | None = None,
) -> None:
    """Write `target` from the directory `source`, with its owners and modes, every time stamp at `epoch`.

    With `labels`, a table of SELinux labels (file_contexts(5)) and one of paths that stand for others, each file has
    the label that is for its path.
    """
    target.touch()
    argv = ["mkfs.erofs", "--quiet", f"-T{epoch}", "--all-time", f"-U{_uuid(label)}", f"-L{label[:15]}"]
    if compression.algorithm:
        argv += [f"-z{compression.algorithm}", f"-C{compression.cluster}"]
    mounts = [Mount(source, "/job/tree"), Mount(target, "/job/out.erofs", writable=True)]
    if labels is not None:
        argv.append("--file-contexts=/job/contexts")
        mounts += [Mount(labels[0], "/job/contexts"), Mount(labels[1], "/job/contexts.subs_dist")]
    sandbox.run(
        [*argv, "/job/out.erofs", "/job/tree"],
        mounts=mounts,
        timeout=_SEAL_SECONDS,
        fatal=(_ERROR,),
    )


def make_verity(data: Path, target: Path, *, digest: Sha256, sandbox: Sandbox) -> str:
    """Write the dm-verity hash tree of `data` to `target` and return the root hash (SHA-256, hexadecimal).

    The UUID comes from `digest`, that of the data. The salt is always the same: so a block that two versions share has
    the same hash in both, and the delta of a tree is small.
    """
    target.touch()
    completed = sandbox.run(
        [
            "veritysetup",
            "format",
            f"--salt={_SALT}",
            f"--uuid={uuid.UUID(sha256_bytes(digest.encode())[:32])}",
            "/job/data",
            "/job/hash",
        ],
        mounts=[Mount(data, "/job/data"), Mount(target, "/job/hash", writable=True)],
        timeout=_SEAL_SECONDS,
    )
    match = _ROOT_HASH.search(completed.stdout.decode())
    if match is None:
        raise ToolError(
            "veritysetup printed no root hash",
            command="veritysetup format",
            returncode=0,
            details=completed.stdout.decode(errors="replace")[-2000:],
        )
    return match[1]


def _uuid(label: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"zaffre erofs {label}")
