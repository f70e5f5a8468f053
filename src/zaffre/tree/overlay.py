# SPDX-License-Identifier: Apache-2.0
"""Files of the definition, and files that Zaffre generates, laid over a root file tree."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.tree.policy import SetuidPolicy, Verdict, is_privileged
from zaffre.tree.rootfs import inside, make_folder, make_link, read_text, remove, walk, write_bytes

_OWNER = re.compile(r"(?P<user>[^:]+):(?P<group>[^:]+):(?P<mode>[0-7]{3,4})")


def lay_tree(root: Path, source: Path) -> None:
    """Lay the content of a directory over the root: folders are joined, files and links replace what is there.

    Owner is root; mode 0755 for what its owner may execute, else 0644, whatever umask it was checked out with.
    Raises DefinitionError for anything that is no file, link or folder.
    """
    if not source.is_dir():
        raise DefinitionError(
            "the directory does not exist", where=str(source), resolution="create it, or mend `files.trees`"
        )
    for folder, folders, files in os.walk(source):
        folders.sort()
        here = Path(folder)
        below = here.relative_to(source).as_posix()
        for name in [name for name in folders if not (here / name).is_symlink()]:
            make_folder(root, f"{below}/{name}")
        for name in sorted([*files, *(name for name in folders if (here / name).is_symlink())]):
            path = here / name
            if path.is_symlink():
                make_link(root, f"{below}/{name}", str(path.readlink()))
            elif path.is_file():
                _replace(root, f"{below}/{name}", path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
            else:
                raise DefinitionError("only files, links and folders can be laid over an image", where=str(path))


def laid_paths(root: Path, trees: Mapping[str, Path]) -> dict[str, str]:
    """Names of the trees by the paths of `root` that their files and links were laid at; the last one counts."""
    return {
        inside(root, path, follow=False).relative_to(root).as_posix(): name
        for name, source in trees.items()
        for path, status in walk(source)
        if not stat.S_ISDIR(status.st_mode)
    }


def lay_files(root: Path, files: Mapping[str, str]) -> None:
    """Write generated files (mode 0644). A content that begins with `->` is the target of a link."""
    for path, content in files.items():
        if content.startswith("->"):
            make_link(root, path, content.removeprefix("->"))
        else:
            _replace(root, path, content.encode(), 0o644)


def _replace(root: Path, path: str, content: bytes, mode: int) -> None:
    place = inside(root, path, follow=False)
    if place.is_symlink():
        remove(place)
    write_bytes(root, path, content, mode=mode)
    os.chown(inside(root, path), 0, 0)


def give_owners(root: Path, owners: Mapping[str, str], *, setuid: SetuidPolicy) -> None:
    """Apply `files.owners` ("user:group:mode" by absolute path), by the root's own users.

    Raises DefinitionError, also for a setuid or setgid file that `setuid` does not allow: it is declared there.
    """
    users, groups = ids_of(root, "etc/passwd"), ids_of(root, "etc/group")
    for path, text in owners.items():
        where = f'files.owners."{path}"'
        match = _OWNER.fullmatch(text)
        if match is None:
            raise DefinitionError(f"{text!r} is not user:group:mode", where=where)
        place = inside(root, path)
        if not place.exists():
            raise DefinitionError(f"the image has no {path}", where=where)
        mode = int(match["mode"], 8)
        allowed = setuid.verdict(path.lstrip("/")) is Verdict.ALLOW
        if is_privileged(mode, "") and not place.is_dir() and not allowed:
            raise DefinitionError(
                f"{path} would be setuid or setgid, which is not declared",
                where=where,
                resolution=f'add "{path}" to setuid.allow, or give it a mode without those bits',
            )
        for kind, known in (("user", users), ("group", groups)):
            if match[kind] not in known:
                raise DefinitionError(
                    f"the image has no {kind} {match[kind]}",
                    where=where,
                    resolution="add it to `users`, or install the package that makes it",
                )
        os.chown(place, users[match["user"]], groups[match["group"]])
        place.chmod(mode)


def ids_of(root: Path, path: str) -> dict[str, int]:
    """Numbers by name, of passwd(5) or group(5)."""
    rows = [line.split(":") for line in read_text(root, path).splitlines()]
    return {row[0]: int(row[2]) for row in rows if len(row) > 2}
