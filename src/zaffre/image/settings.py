# SPDX-License-Identifier: Apache-2.0
"""Reads systemd's configuration files in a root tree: unit files with their drop-ins, and their like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from zaffre.tree.rootfs import read_text

UNIT_FOLDERS = ("usr/lib/systemd/system", "usr/local/lib/systemd/system", "etc/systemd/system")
"""Where units lie that an image brings, the weakest first (systemd.unit(5), "Unit file load path")."""

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]")


class Settings:
    """The settings of a file with its drop-ins, in order: `[Section]`, `Key=value` (systemd.syntax(7))."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._pairs = [pair for text in texts for pair in _pairs(text)]

    def all(self, section: str, key: str) -> tuple[str, ...]:
        """Every value of a list; an empty one forgets those before it."""
        found: list[str] = []
        for where, name, value in self._pairs:
            if (where, name) == (section, key):
                found = [*found, value] if value else []
        return tuple(found)

    def last(self, section: str, key: str) -> str:
        """The value that counts of a setting that has one; "" if it is not set."""
        return next(iter(self.all(section, key)[-1:]), "")

    def words(self, section: str, key: str) -> tuple[str, ...]:
        return tuple(word for value in self.all(section, key) for word in value.split())


def unit_settings(root: Path, unit: str) -> Settings | None:
    """A unit of the tree with its drop-ins; None if it is not there or masked."""
    text = None
    for folder in UNIT_FOLDERS:
        path = root / folder / unit
        if path.is_symlink() and str(path.readlink()) == "/dev/null":
            text = None
        elif path.is_file():
            text = read_text(root, f"{folder}/{unit}")
    return None if text is None else Settings([text, *files_of(root, UNIT_FOLDERS, f"{unit}.d", ".conf").values()])


def files_of(root: Path, folders: Sequence[str], below: str, suffix: str) -> dict[str, str]:
    """Contents by file name, in the order of names; of files of one name that in the last folder counts."""
    found: dict[str, str] = {}
    for folder in folders:
        place = root / folder / below
        if not place.is_dir():
            continue
        for path in place.iterdir():
            if path.name.endswith(suffix):
                masked = path.is_symlink() and str(path.readlink()) == "/dev/null"
                found[path.name] = "" if masked else read_text(root, f"{folder}/{below}/{path.name}".replace("//", "/"))
    return {name: found[name] for name in sorted(found) if found[name]}


def required_by(root: Path, target: str, *, kind: str = "requires") -> tuple[str, ...]:
    """Names of the units that the tree's links have `target` require (or, with "wants", want)."""
    folders = (root / folder / f"{target}.{kind}" for folder in UNIT_FOLDERS)
    return tuple(sorted({path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}))


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if match := _SECTION.fullmatch(stripped):
            section = match["name"]
        elif stripped and stripped[0] not in "#;":
            key, _, value = stripped.partition("=")
            yield section, key.strip(), value.strip()
