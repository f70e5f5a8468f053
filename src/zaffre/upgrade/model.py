# SPDX-License-Identifier: Apache-2.0
"""The plan of an upgrade, as `--json` prints it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MoveKind(StrEnum):
    """`rebuilt`: the same version is another file, which apt does not see. `kept`: a kernel that the machine may still
    run, which the new lock has not got and nobody takes away yet."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"
    KEPT = "kept"


class Move(_Model):
    """A package before and after. `replaced_by`: packages of the new set that say that they replace it."""

    name: str
    kind: MoveKind
    old_version: str | None
    new_version: str | None
    replaced_by: tuple[str, ...] = ()


class Room(_Model):
    """Bytes of packages to download, and by which the system grows; both without the packages of ours."""

    download: int
    grows: int


class Conffile(_Model):
    """A configuration file (dpkg's conffile) that is another one in the new set.

    `asks`: dpkg asks what to do with it on every machine of the image ("always": the image's own tree `tree` has
    another file there), only where somebody changed it ("if-changed"), or never ("no").
    """

    path: str
    package: str
    change: Literal["changed", "new", "gone"]
    asks: Literal["always", "if-changed", "no"]
    tree: str | None = None


class Service(_Model):
    """`action`: "restarted" by a package's script; "old-code": nobody restarts it, though it has `because` in use."""

    unit: str
    package: str
    action: Literal["restarted", "old-code"]
    because: tuple[str, ...]


class Proof(_Model):
    """What apt did in a scratch root of the old set, offered nothing but the new set.

    `commands` are those that were run after `apt-get update`, and that a machine needs. `differences` are those between
    what was there in the end and the lock. `asked` are configuration files that dpkg would have asked about; it was
    told to keep them. `failure` is apt's reason, if it could not be done.
    """

    proved: bool
    commands: tuple[tuple[str, ...], ...]
    differences: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    failure: str | None = None
    seconds: float


class Plan(_Model):
    """`questions` are of packages that ask by scripts of their own; `reboot` has every reason for one.

    `proof` is null if none was asked for.
    """

    format: Literal[1] = 1
    distribution: str
    image: str
    architecture: str
    old: str
    new: str
    moves: tuple[Move, ...]
    room: Room
    conffiles: tuple[Conffile, ...]
    questions: tuple[str, ...]
    services: tuple[Service, ...]
    reboot: tuple[str, ...]
    proof: Proof | None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def possible(self) -> bool | None:
        """None: not tried."""
        return self.proof.proved if self.proof else None
