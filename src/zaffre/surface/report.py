# SPDX-License-Identifier: Apache-2.0
"""The attack surface of an image, as `zaffre surface --json` prints it; and what of it is over a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zaffre.definition import Surface
from zaffre.surface.binaries import Hardening
from zaffre.surface.facts import Facts
from zaffre.surface.kernel import KernelJudgement

UNSAFE = frozenset({"unsafe", "dangerous"})
"""systemd-analyze's words for the two worst."""
TITLES = {
    "packages": "packages",
    "setuid": "setuid and setgid files",
    "capabilities": "files with capabilities",
    "listening": "sockets at boot",
    "services": "services at boot",
    "shells": "shells",
    "interpreters": "interpreters",
    "compilers": "compilers and linkers",
    "world_writable": "files that everybody may write",
    "unowned": "files of nobody that is known",
    "unhardened": "programs that lack hardening",
    "unsafe_units": "services that systemd calls unsafe",
    "kernel": "what the kernel lacks",
}
"""What each line of a budget counts, in words."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnitExposure(_Model):
    """A service, from 0 (shut in) to 10 (open), and systemd-analyze's word for that."""

    unit: str
    exposure: float
    word: str


class Excess(_Model):
    """A line of the budget that does not hold. `items` are what was counted, as far as it has names."""

    what: str
    found: int
    allowed: int
    items: tuple[str, ...] = ()


class SurfaceReport(_Model):
    """`binaries` and `units` are None where the files themselves were not looked at, `kernel` where there is none, or
    none whose configuration is known; `budget` is what was allowed.
    """

    format: Literal[1] = 1
    title: str
    facts: Facts
    binaries: Hardening | None = None
    units: tuple[UnitExposure, ...] | None = None
    kernel: KernelJudgement | None = None
    budget: dict[str, int] = Field(default_factory=dict)
    excess: tuple[Excess, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.excess


def counted(report: SurfaceReport) -> Mapping[str, tuple[int, tuple[str, ...]]]:
    """By name of the budget: how many, and which."""
    facts = report.facts
    found: dict[str, tuple[int, tuple[str, ...]]] = {"packages": (facts.packages, ())}
    lists: Mapping[str, tuple[str, ...]] = {
        "setuid": facts.setuid,
        "capabilities": facts.capabilities,
        "listening": facts.listening,
        "services": facts.services,
        "shells": facts.shells,
        "interpreters": facts.interpreters,
        "compilers": facts.compilers,
        "world_writable": facts.world_writable,
        "unowned": facts.unowned,
    }
    found |= {name: (len(items), items) for name, items in lists.items()}
    if report.binaries is not None:
        lacking = (
            *(f"{one.path} ({', '.join(one.lacks)})" for one in report.binaries.lacking),
            *(f"{path} (not readable)" for path in report.binaries.unreadable),
        )
        found["unhardened"] = (len(lacking), lacking)
    if report.units is not None:
        unsafe = tuple(f"{one.unit} ({one.exposure})" for one in report.units if one.word in UNSAFE)
        found["unsafe_units"] = (len(unsafe), unsafe)
    if report.kernel is not None:
        lacks = tuple(f"{one.name} ({one.found})" for one in report.kernel.lacking)
        found["kernel"] = (len(lacks), lacks)
    return found


def judged(report: SurfaceReport, budget: Surface) -> SurfaceReport:
    """The report with what is over the budget."""
    allowed = budget.model_dump(exclude_none=True)
    excess = tuple(
        Excess(what=name, found=number, allowed=allowed[name], items=items)
        for name, (number, items) in counted(report).items()
        if name in allowed and number > allowed[name]
    )
    return report.model_copy(update={"budget": allowed, "excess": excess})


def excess_in_words(excess: Excess) -> str:
    """One line, which names all that was counted."""
    told = f": {', '.join(excess.items)}" if excess.items else ""
    return f"{TITLES[excess.what]}: {excess.found}, and the budget is {excess.allowed}{told}"
