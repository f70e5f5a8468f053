# SPDX-License-Identifier: Apache-2.0
"""What was found in a `.wsl` file, rule by rule."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, computed_field


class Severity(StrEnum):
    """`error`: WSL would not install or start it, or not as it says. `warning`: the documentation advises otherwise."""

    ERROR = "error"
    WARNING = "warning"


class Finding(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity
    text: str


class Rule(BaseModel):
    """A rule of the documentation, and what does not keep it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    findings: tuple[Finding, ...]


class WslReport(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    architecture: str | None
    rules: tuple[Rule, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for rule in self.rules for finding in rule.findings)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def error(text: str) -> Finding:
    return Finding(severity=Severity.ERROR, text=text)


def warning(text: str) -> Finding:
    return Finding(severity=Severity.WARNING, text=text)
