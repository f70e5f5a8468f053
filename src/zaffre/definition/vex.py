# SPDX-License-Identifier: Apache-2.0
"""The model of a statement about a vulnerability, `vex/*.toml`: what its owner found, why, and until when it holds.

The words are OpenVEX's (https://github.com/openvex/spec, 0.2.0), which are CISA's. Somebody signs for each statement,
and it ends: what nobody has looked at since is not known.
"""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.problems import Problem, near
from zaffre.definition.reader import Reader
from zaffre.definition.values import (
    Day,
    Identifier,
    Line,
    Link,
    Model,
    PackageName,
    VulnerabilityName,
    is_file_link,
)

VEX = "vex"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.toml")


class Status(StrEnum):
    """What a statement says. `accepted` is OpenVEX's `affected`, with an action: the owner lives with it until then."""

    NOT_AFFECTED = "not_affected"
    ACCEPTED = "accepted"
    UNDER_INVESTIGATION = "under_investigation"


class Justification(StrEnum):
    """Why something is not affected (OpenVEX, "Status Justifications")."""

    COMPONENT_NOT_PRESENT = "component_not_present"
    VULNERABLE_CODE_NOT_PRESENT = "vulnerable_code_not_present"
    VULNERABLE_CODE_NOT_IN_EXECUTE_PATH = "vulnerable_code_not_in_execute_path"
    VULNERABLE_CODE_CANNOT_BE_CONTROLLED_BY_ADVERSARY = "vulnerable_code_cannot_be_controlled_by_adversary"
    INLINE_MITIGATIONS_ALREADY_EXIST = "inline_mitigations_already_exist"


class StatementFile(Model):
    """`vex/*.toml`: what is known of one vulnerability in packages of the distribution's images."""

    vulnerability: VulnerabilityName
    """The CVE, or the id of a record that names none."""
    packages: Annotated[Items[PackageName], Field(min_length=1)]
    """Names of the source packages that it is about."""
    images: Items[Identifier] = ()
    """The images that it holds for. Without any: for all of them."""
    status: Annotated[Status, Field(strict=False)]
    """What was found. "accepted" needs a reason and ends like everything else."""
    justification: Annotated[Justification, Field(strict=False)] | None = None
    """Why it is not affected: required with status = "not_affected", and only there."""
    reason: Line
    """The same in a sentence, or what is done meanwhile."""
    evidence: Annotated[Items[Link], Field(min_length=1)]
    """Where it can be checked: an address, a known hole or bug, or a file beside the statement."""
    author: Line
    """Who says it."""
    since: Day
    """The day on which it was said."""
    expires: Day
    """The day from which it does not hold any more, unless it was looked at again."""

    @model_validator(mode="after")
    def _consistent(self) -> StatementFile:
        if (self.status is Status.NOT_AFFECTED) != (self.justification is not None):
            message = 'a justification belongs to status = "not_affected", and to nothing else'
            raise ValueError(message)
        if self.expires <= self.since:
            message = f"expires ({self.expires}) is not after since ({self.since})"
            raise ValueError(message)
        return self


class Statement(StatementFile):
    """A loaded statement."""

    file: str
    """Relative to the distribution."""

    def is_expired(self, today: dt.date) -> bool:
        return today >= self.expires

    def speaks_of(self, vulnerability: str, source: str) -> bool:
        return self.vulnerability == vulnerability and source in self.packages


class StatementLoader(Reader):
    """Loads statements; a faulty one is left out, and `problems` says why."""

    def load(self, images: set[str]) -> tuple[Statement, ...]:
        """The statements by the names of their files. `images` are those that there are."""
        folder = self.root / VEX
        if not folder.is_dir():
            return ()
        found = []
        for path in sorted(folder.iterdir()):
            file = f"{VEX}/{path.name}"
            if path.suffix != ".toml":
                continue  # evidence
            if not _NAME.fullmatch(path.name):
                self._add(file, (), "the name of a statement is letters, digits, '.', '_' and '-'")
                continue
            if (loaded := self._model(file, StatementFile)) is None:
                continue
            statement = Statement(**dict(loaded), file=file)
            self.problems += self._faults(statement, images)
            found.append(statement)
        self.problems += _twice(found)
        return tuple(found)

    def _faults(self, statement: Statement, images: set[str]) -> list[Problem]:
        problems = [
            Problem(statement.file, ("images", number), f"there is no image {name!r}", near(name, images))
            for number, name in enumerate(statement.images)
            if name not in images
        ]
        problems += [
            Problem(statement.file, ("evidence", number), f"there is no file {VEX}/{link}")
            for number, link in enumerate(statement.evidence)
            if is_file_link(link) and not (self.root / VEX / link).is_file()
        ]
        return problems


def _twice(statements: list[Statement]) -> list[Problem]:
    """Two statements about one thing, of which one would have to be wrong."""
    seen: dict[tuple[str, str, str], str] = {}
    problems = []
    for one in statements:
        for package in one.packages:
            for image in one.images or ("",):
                first = seen.setdefault((one.vulnerability, package, image), one.file)
                if first != one.file:
                    problems.append(
                        Problem(
                            one.file, ("packages",), f"{one.vulnerability} in {package} is spoken of in {first} too"
                        )
                    )
    return problems
