# SPDX-License-Identifier: Apache-2.0
"""From denials to the rules that would allow them, and those that nobody should write. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zaffre.digest import JSON
from zaffre.selinux.concerns import Concern, Wanted, Weight, concern_of
from zaffre.selinux.denials import Denial


@dataclass(frozen=True)
class Rule:
    """That `source` may do `permissions` to what has the type `target` and is of a `kind`. `denials` are what asked for
    it, each with how often; `concern` is what there is against it.
    """

    source: str
    target: str
    kind: str
    permissions: tuple[str, ...]
    denials: tuple[tuple[str, int], ...]
    concern: Concern | None = None

    @property
    def text(self) -> str:
        """In the common intermediate language."""
        target = "self" if self.target == self.source else self.target
        return f"(allow {self.source} {target} ({self.kind} ({' '.join(self.permissions)})))"

    def plain(self) -> dict[str, JSON]:
        concern = self.concern
        return {
            "source": self.source,
            "target": self.target,
            "class": self.kind,
            "permissions": list(self.permissions),
            "rule": self.text,
            "denials": [{"what": what, "times": times} for what, times in self.denials],
            "concern": {"why": concern.why, "instead": concern.instead} if concern else None,
        }


@dataclass(frozen=True)
class Suggestion:
    """`rules` may go into a module, once they are looked at; `refused` may not. Both are sorted. `unread` are lines
    that tell of a denial and could not be read.
    """

    rules: tuple[Rule, ...]
    refused: tuple[Rule, ...]
    unread: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the rules allow all that was denied."""
        return not self.refused and not self.unread

    def plain(self) -> dict[str, JSON]:
        return {
            "rules": [rule.plain() for rule in self.rules],
            "refused": [rule.plain() for rule in self.refused],
            "unread": list(self.unread),
        }


def suggest(denials: Iterable[Denial], unread: Iterable[str] = (), *, domain: str | None = None) -> Suggestion:
    """Of all denials, or of those of one domain: one rule for each source, target, class and concern."""
    wanted: dict[tuple[str, str, str, Concern | None], _Asked] = defaultdict(_Asked)
    for denial in denials:
        if domain not in {None, denial.source.type}:
            continue
        for concern, permissions in _judged(denial).items():
            asked = wanted[denial.source.type, denial.target.type, denial.kind, concern]
            asked.permissions |= permissions
            asked.denials[str(denial)] += 1
    rules = sorted(
        (
            Rule(source, target, kind, tuple(sorted(asked.permissions)), tuple(sorted(asked.denials.items())), concern)
            for (source, target, kind, concern), asked in wanted.items()
        ),
        key=lambda rule: (rule.source, rule.target, rule.kind, rule.permissions),
    )
    refused = [rule for rule in rules if rule.concern is not None and rule.concern.weight is Weight.REFUSED]
    return Suggestion(tuple(rule for rule in rules if rule not in refused), tuple(refused), tuple(unread))


@dataclass
class _Asked:
    permissions: set[str] = field(default_factory=set)
    denials: Counter[str] = field(default_factory=Counter)


def _judged(denial: Denial) -> Mapping[Concern | None, set[str]]:
    """The permissions by what there is against them."""
    beyond = not denial.target.categories <= denial.source.categories
    found: dict[Concern | None, set[str]] = defaultdict(set)
    for permission in denial.permissions:
        wanted = Wanted(denial.source.type, denial.target.type, denial.kind, permission, beyond=beyond)
        found[concern_of(wanted)].add(permission)
    return found
