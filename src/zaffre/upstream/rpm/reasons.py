# SPDX-License-Identifier: Apache-2.0
"""libsolv's reasons for refusing a set of packages, in plain words.

libsolv lists a rule for every version of a package that it tried; for people, the newest one says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import solv

from zaffre.upstream.lock import BUILD_PREFIX

_MOST_LINES = 30
_FORMS = {
    solv.Solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP: "{one} needs {wanted}, which no repository has",
    solv.Solver.SOLVER_RULE_PKG_REQUIRES: "{one} needs {wanted}, which cannot be installed with the others",
    solv.Solver.SOLVER_RULE_PKG_CONFLICTS: "{one} and {other} exclude each other",
    solv.Solver.SOLVER_RULE_PKG_SELF_CONFLICT: "{one} excludes itself",
    solv.Solver.SOLVER_RULE_PKG_OBSOLETES: "{one} takes the place of {other}",
    solv.Solver.SOLVER_RULE_PKG_IMPLICIT_OBSOLETES: "{one} takes the place of {other}",
    solv.Solver.SOLVER_RULE_PKG_SAME_NAME: "only one of {one} and {other} can be installed",
}


@dataclass(frozen=True)
class Reasons:
    """Sentences; names of the packages that occur in them; whether one lacks a file, which `filelists` may have."""

    text: str
    involved: frozenset[str]
    lacks_a_file: bool


def reasons_of(problems: Iterable[solv.Problem]) -> Reasons:
    """Sentences that say who excludes or lacks whom; below them what libsolv itself said."""
    sentences: dict[tuple[int, str, str, str], tuple[solv.XSolvable | None, str]] = {}
    involved: set[str] = set()
    own: list[str] = []
    lacks_a_file = False
    for problem in problems:
        own.append(str(problem))
        for rule in problem.findallproblemrules():
            info = rule.info()
            wanted = str(info.dep) if info.dep is not None else ""
            parties = [one.name for one in (info.solvable, info.othersolvable) if one is not None]
            involved.update(parties)
            if info.type == solv.Solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
                lacks_a_file = lacks_a_file or any(word.lstrip("(").startswith("/") for word in wanted.split())
            sentence = _sentence(info, wanted)
            if sentence is None:
                continue
            key = (info.type, *([*parties, "", ""][:2]), wanted)
            known = sentences.get(key)
            if known is None or _newer(info.solvable, known[0]):
                sentences[key] = (info.solvable, sentence)
    lines = list(dict.fromkeys(sentence for _, sentence in sentences.values()))
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more"]
    lines += ["libsolv's own words:", *(f"  {line}" for line in own[:_MOST_LINES])]
    return Reasons("\n".join(lines), frozenset(involved), lacks_a_file)


def _sentence(info: solv.Ruleinfo, wanted: str) -> str | None:
    """What a rule says; None for "was asked for", which is known."""
    if info.type == solv.Solver.SOLVER_RULE_JOB:
        return None
    form = _FORMS.get(info.type)
    if form is None:
        return str(info.problemstr())
    return form.format(one=_said(info.solvable), other=_said(info.othersolvable or info.solvable), wanted=wanted)


def _said(one: solv.XSolvable | None) -> str:
    if one is None:
        return "a package"
    return one.name if one.name.startswith(BUILD_PREFIX) else f"{one.name} {one.evr}"


def _newer(one: solv.XSolvable | None, other: solv.XSolvable | None) -> bool:
    return one is not None and other is not None and one.evrcmp(other) > 0
