# SPDX-License-Identifier: Apache-2.0
"""Which files may give their caller another user's rights: only those that the definition declares."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from zaffre.definition import Image
from zaffre.digest import JSON
from zaffre.errors import DefinitionError
from zaffre.tree.globs import matcher


class Verdict(StrEnum):
    ALLOW = "allow"
    STRIP = "strip"
    UNDECLARED = "undeclared"


@dataclass(frozen=True)
class SetuidPolicy:
    """Globs of absolute paths. `strip` wins over `allow`; a file in neither must not be setuid, setgid or capable.

    Directories are not meant: setgid on a directory hands down a group and gives nobody rights.
    """

    allow: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()

    def verdict(self, path: str) -> Verdict:
        """`path` without its leading slash, as everywhere in `tree`."""
        if matcher(self.strip)(f"/{path}"):
            return Verdict.STRIP
        return Verdict.ALLOW if matcher(self.allow)(f"/{path}") else Verdict.UNDECLARED

    def to_json(self) -> JSON:
        return {"allow": sorted(self.allow), "strip": sorted(self.strip)}


def setuid_policy(image: Image) -> SetuidPolicy:
    """What an image's definition declares."""
    return SetuidPolicy(allow=image.setuid.allow, strip=image.setuid.strip)


STRIP_ALL = SetuidPolicy(strip=("/**",))


def is_privileged(mode: int, capability: str | bytes) -> bool:
    return bool(mode & (stat.S_ISUID | stat.S_ISGID)) or bool(capability)


def undeclared_error(found: Iterable[tuple[str, str]]) -> DefinitionError:
    """`found`: absolute path and the package (or script) that it comes from."""
    lines = sorted(set(found))
    paths = ", ".join(f'"{path}"' for path, _ in lines)
    return DefinitionError(
        f"{len(lines)} file(s) with setuid, setgid or capabilities are not declared",
        where="setuid",
        details="\n".join(f"{path} ({origin})" for path, origin in lines),
        resolution=f"add to the image `[setuid] strip = [{paths}]`, "
        "or to `allow` each one whose callers need the rights that it gives",
    )
