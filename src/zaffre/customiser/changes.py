# SPDX-License-Identifier: Apache-2.0
"""What somebody wants of a ready image: every key of `changes.toml`, declared once, and its reader.

The words are those of an image's definition, so that a change which proves itself can be taken over into one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from zaffre.definition import Files, User, tree_digest
from zaffre.definition.image import Items
from zaffre.definition.problems import Problem, raise_problems
from zaffre.definition.reader import Reader
from zaffre.definition.values import (
    AbsolutePath,
    Compressor,
    Line,
    Model,
    PackageName,
    RelativePath,
    Size,
    SysctlKey,
    UnitName,
)
from zaffre.digest import Sha256, sha256_file, sha256_json
from zaffre.errors import DefinitionError

_HOST_NAME = re.compile(
    r"(?=.{1,64}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        message = f"{value!r} is not a host name of at most 64 letters, digits, '-' and '.', such as \"web1\""
        raise ValueError(message)
    return value


HostName = Annotated[str, AfterValidator(_host_name)]
"""hostname(5)."""


class UnitChanges(Model):
    """The state of systemd units. A unit that is not named stays as it is."""

    enable: Items[UnitName] = ()
    disable: Items[UnitName] = ()
    mask: Items[UnitName] = ()
    default_target: UnitName | None = None
    """What the system starts into; as the image has it unless said."""


class CommandLine(Model):
    """The kernel command line. What names the root and its hash is the image's own, and can't be changed."""

    remove: Items[Line] = ()
    """Arguments to take away, each in full: "quiet", or "loglevel=4"."""
    add: Items[Line] = ()
    """Arguments to add at the end, after `remove` was done."""


class PackageChanges(Model):
    """Packages, by the image's own package manager. Of an image that has none, nothing is taken."""

    install: Items[RelativePath] = ()
    """Files of packages (.deb), relative to the file of the changes. What they depend on must be in the image or among
    them."""
    remove: Items[PackageName] = ()


class SizeChanges(Model):
    """Sizes of partitions, none of which may become smaller."""

    esp: Size | None = None
    """EFI system partition of a sealed image."""
    root: Size | None = None
    """One root slot of a sealed image."""
    verity: Size | None = None
    """One slot of dm-verity hashes of a sealed image."""
    total: Size | None = None
    """The whole disk. What is new belongs to /var of a sealed image, or to the root of another one, which take it when
    they start (systemd-repart, or cloud-init's growpart)."""


class Rights(Model):
    """Files with the setuid or setgid bit."""

    allow: Items[AbsolutePath] = ()
    """Files of `files.owners` that may be given the bit."""


class Changes(Model):
    """All that is to change. What is not said stays as it is, down to the last bit where the file system allows."""

    hostname: HostName | None = None
    files: Files = Files()
    """Trees are relative to the file of the changes. Later ones win over earlier ones, and all over the image's."""
    users: Items[User] = ()
    units: UnitChanges = UnitChanges()
    sysctl: Mapping[SysctlKey, str | int] = {}
    command_line: CommandLine = CommandLine()
    setuid: Rights = Rights()
    packages: PackageChanges = PackageChanges()
    disk: SizeChanges = SizeChanges()
    compression: Compressor | None = None
    """How the root of a sealed image is compressed. Unless said: by the algorithm that it has, quickly."""

    @property
    def of_tree(self) -> bool:
        """Whether anything in the root changes."""
        kept = self.model_dump(exclude={"command_line", "disk", "compression", "setuid"})
        return kept != Changes().model_dump(exclude={"command_line", "disk", "compression", "setuid"})


class ChangesFile(Reader):
    """Changes with the folder that their paths are relative to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent, [])
        self.path = path
        changes = self._model(path.name, Changes)
        if changes is not None:
            self._check(changes)
        raise_problems(self.problems, str(path))
        if changes is None:
            raise AssertionError("changes without problems have not been read")
        self.changes: Changes = changes

    def _check(self, changes: Changes) -> None:
        for number, tree in enumerate(changes.files.trees):
            if not (self.root / tree).is_dir():
                self._missing(("files", "trees", number), tree, "directory")
        for number, package in enumerate(changes.packages.install):
            if not (self.root / package).is_file():
                self._missing(("packages", "install", number), package, "file")
        both = set(changes.units.enable) & {*changes.units.disable, *changes.units.mask}
        for name in sorted(both):
            key = ("units", "enable", changes.units.enable.index(name))
            self._add(self.path.name, key, f"{name} is to be disabled or masked, too", "name it once")

    def _missing(self, key: tuple[str | int, ...], name: str, what: str) -> None:
        said = f"there is no {what} {name} beside it"
        self.problems.append(Problem(self.path.name, key, said, "create it, or mend the path"))

    @property
    def digest(self) -> Sha256:
        """Of the changes and of every file that they bring."""
        return sha256_json(
            {
                "changes": self.changes.model_dump(mode="json"),
                "trees": [tree_digest(self.root / tree) for tree in self.changes.files.trees],
                "packages": [sha256_file(self.root / one) for one in self.changes.packages.install],
            }
        )

    def refuse(self, key: str, message: str, resolution: str) -> DefinitionError:
        """The error for a key that this image can't take."""
        return DefinitionError(message, where=f"{self.path.name}: {key}", resolution=resolution)
