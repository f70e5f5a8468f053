# SPDX-License-Identifier: Apache-2.0
"""Every path of a root file tree: what it is, what is in it, and where it comes from."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zaffre.tree.kmod import plain_name
from zaffre.tree.tarball import Node

_CHUNK = 1 << 20


class Content(BaseModel):
    """One path. A file has `sha256` and `sha1` (which SPDX demands), a link `target`, a directory neither. `bytes` is a
    file's apparent size.

    `package` is the name of who has it in the root's own database; `tree` is the tree of the definition that it was
    laid from, over the package's if both are there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    mode: str
    owner: str = "0:0"
    bytes: int = 0
    sha256: str | None = None
    sha1: str | None = None
    target: str | None = None
    package: str | None = None
    tree: str | None = None


def listing(
    root: Path, nodes: Iterable[Node], owned: Mapping[str, tuple[str, str]], laid: Mapping[str, str]
) -> Iterator[Content]:
    """All of `nodes` but the root itself. `owned` has keys of packages, `laid` names of trees, by tree path."""
    base = os.fspath(root)
    known: dict[tuple[int, int], tuple[str, str]] = {}
    for node in nodes:
        status = node.status
        regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
        if not node.path:
            continue
        identity = (status.st_dev, status.st_ino)
        if regular and identity not in known:
            known[identity] = _digests(f"{base}/{node.path}")
        shared = stat.S_ISDIR(status.st_mode)
        yield Content(
            path=f"/{node.path}",
            mode=f"{stat.S_IMODE(status.st_mode):04o}",
            owner=f"{status.st_uid}:{status.st_gid}",
            bytes=status.st_size if regular else 0,
            sha256=known[identity][0] if regular else None,
            sha1=known[identity][1] if regular else None,
            target=node.target if link else None,
            package=None if shared else owned.get(plain_name(node.path), (None, ""))[0],
            tree=None if shared else laid.get(node.path),
        )


def _digests(path: str) -> tuple[str, str]:
    """SHA-256 and SHA-1, in one reading."""
    found = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while chunk := os.read(file, _CHUNK):
            for one in found:
                one.update(chunk)
    finally:
        os.close(file)
    return found[0].hexdigest(), found[1].hexdigest()
