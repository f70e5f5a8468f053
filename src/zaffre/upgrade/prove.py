# SPDX-License-Identifier: Apache-2.0
"""The proof of an upgrade: apt does it, in a scratch root of the old set that is offered the new set alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from zaffre.store import Stopwatch
from zaffre.upgrade.model import Proof
from zaffre.upgrade.scratch import Answer, ScratchRoot, simulated
from zaffre.upstream.deb.aptwords import plain_reason

_UPGRADE = ("dist-upgrade",)
_DOWNGRADES = ("--allow-downgrades",)
_ESSENTIAL = ("--allow-remove-essential",)
_ANSWER_YES = "--yes"
_MOST_LINES = 30


@dataclass(frozen=True)
class Goal:
    """Versions of the new set by name; old packages that may stay (kernels); and those that the old set cannot do
    without, by its own packages' word: the new set, which is whole, can."""

    versions: Mapping[str, str]
    kept: Collection[str] = ()
    essential: Collection[str] = ()

    def differences(self, installed: Mapping[str, str]) -> Iterator[str]:
        """Every way in which what is installed is not the goal, in words."""
        for name in sorted(self.versions.keys() | installed.keys()):
            want, have = self.versions.get(name), installed.get(name)
            if want is None and name not in self.kept:
                yield f"{name} {have} is there, and the new lock does not have it"
            elif want is not None and have is None:
                yield f"{name} {want} is not there"
            elif want is not None and have != want:
                yield f"{name} is {have}, not {want}"

    def settling(self, installed: Mapping[str, str]) -> tuple[str, ...]:
        """The command of apt-get that gets from what is installed to the goal: name, name=version, name-; empty if
        nothing is to be done."""
        words = []
        for name in sorted(self.versions.keys() | installed.keys()):
            want, have = self.versions.get(name), installed.get(name)
            if want is None and name not in self.kept:
                words.append(f"{name}-")
            elif want is not None and have is None:
                words.append(name)
            elif want is not None and have != want:
                words.append(f"{name}={want}")
        if not words:
            return ()
        older = _DOWNGRADES if any("=" in word for word in words) else ()
        essential = _ESSENTIAL if any(word.endswith("-") and word[:-1] in self.essential for word in words) else ()
        return ("install", *older, *essential, *words)


def prove(scratch: ScratchRoot, goal: Goal, *, note: Callable[[str], None]) -> Proof:
    """Simulate, then do it, then compare. `note` is told of each step. Raises ToolError when apt can't be run."""
    watch = Stopwatch()
    commands: list[tuple[str, ...]] = []
    asked: list[str] = []

    def ended(*, failure: str | None = None) -> Proof:
        installed = scratch.installed()
        differences = tuple(goal.differences(installed)) if failure is None else ()
        return Proof(
            proved=failure is None and not differences,
            commands=tuple(commands),
            differences=differences,
            asked=tuple(dict.fromkeys(asked)),
            failure=failure,
            seconds=round(watch.wall, 1),
        )

    updated = scratch.apt("update")
    if updated.returncode != 0:
        return ended(failure=_reason("apt cannot read the packages of the new lock", updated))
    before = scratch.installed()
    plan = scratch.apt("--simulate", *_UPGRADE)
    if plan.returncode != 0:
        return ended(failure=_reason("apt finds no way from the old set to the new one", plan))
    steps: list[tuple[str, ...]] = [_UPGRADE]
    if settling := goal.settling(simulated(plan, before)):
        steps.append(settling)
    for step in steps:
        note(step[0])
        commands.append(("apt-get", *step))
        done = scratch.apt(_ANSWER_YES, *step, joined=True)
        asked += done.asked
        if done.returncode != 0:
            return ended(failure=_reason(f"'apt-get {step[0]}' failed", done))
    return ended()


def _reason(brief: str, answer: Answer) -> str:
    """The brief, apt's reasons in plain words, and the end of what was said: there a script's own words are."""
    plain = plain_reason(answer.stdout, answer.stderr)
    last = "\n".join(answer.stdout.strip().splitlines()[-_MOST_LINES:])
    return "\n".join(dict.fromkeys([brief, plain, last]))
