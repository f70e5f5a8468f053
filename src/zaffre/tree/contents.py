# SPDX-License-Identifier: Apache-2.0
"""The regular files of one package, for those who take single files out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from zaffre.errors import DefinitionError
from zaffre.tree.globs import matcher

_IS_PATTERN = re.compile(r"[*?\[]")


class PackagedFile(NamedTuple):
    """Where a file's content is in the package's archive, in bytes, and its permission bits."""

    offset: int
    size: int
    mode: int


@dataclass(frozen=True)
class PackageFiles:
    """`archive` is the package's payload as an uncompressed archive; `files` are by path, without a leading slash."""

    package: str
    archive: Path
    files: Mapping[str, PackagedFile]

    def matching(self, pattern: str, without: Iterable[str], *, key: str) -> tuple[str, ...]:
        """The paths that a glob pattern takes, sorted; one that is no pattern takes itself.

        Raises DefinitionError for a pattern of nothing; `key` is where the definition has it.
        """
        if not _IS_PATTERN.search(pattern):
            return (pattern,)
        wanted, not_wanted = matcher([pattern]), matcher(without)
        found = sorted(f"/{name}" for name in self.files if wanted(f"/{name}") and not not_wanted(f"/{name}"))
        if not found:
            raise DefinitionError(
                f"the package {self.package} has no file that matches {pattern}",
                where=key,
                resolution="mend the pattern, or name another package",
            )
        return tuple(found)

    def take(self, path: str, target: Path, *, key: str) -> None:
        """Copy one file; a merged-usr name (/bin/x for /usr/bin/x) finds it too.

        Raises DefinitionError when there is none; `key` is where the definition asks for it.
        """
        names = (path.lstrip("/"), f"usr{path}", path.removeprefix("/usr/"))
        found = next((self.files[name] for name in names if name in self.files), None)
        if found is None:
            near = get_close_matches(path, [f"/{one}" for one in self.files], n=3)
            raise DefinitionError(
                f"the package {self.package} has no file {path}",
                where=key,
                resolution=f"did you mean {' or '.join(near)}?" if near else "mend the path, or name another package",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.archive.open("rb") as source, target.open("wb") as out:
            source.seek(found.offset)
            out.write(source.read(found.size))
        target.chmod(0o755 if found.mode & 0o111 else 0o644)
