# SPDX-License-Identifier: Apache-2.0
"""A suggestion as a file in the common intermediate language, to be read by a person first. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

from zaffre.selinux.suggest import Rule, Suggestion

_WIDTH = 118
_HEAD = """\
; From what SELinux has refused. Each rule is a right for good: keep those that a service is for, and say why instead of
; what was refused. "look" marks one that few services need.
"""
_REFUSED = "; ---- not allowed: rules that would undo the policy"


def module_text(suggestion: Suggestion) -> str:
    """The file. What is refused, and what could not be read, is in comments."""
    return "".join(f"{line}\n" for line in (_HEAD.rstrip("\n"), *_rules(suggestion), *_left_out(suggestion)))


def _rules(suggestion: Suggestion) -> Iterator[str]:
    for source, rules in groupby(suggestion.rules, key=lambda rule: rule.source):
        yield from ("", f"; ---- {source}")
        for rule in rules:
            yield from _why(rule)
            if rule.concern is not None:
                yield from _comment(f"look: {rule.concern.why}; {rule.concern.instead}")
            yield rule.text


def _left_out(suggestion: Suggestion) -> Iterator[str]:
    if suggestion.refused:
        yield from ("", _REFUSED)
    for rule in suggestion.refused:
        yield from _why(rule)
        yield f";   {rule.text}"
        if rule.concern is not None:
            yield from _comment(f"{rule.concern.why}; {rule.concern.instead}")
    if suggestion.unread:
        yield from ("", "; ---- not read")
    for line in suggestion.unread:
        yield from _comment(line)


def _why(rule: Rule) -> Iterator[str]:
    for what, times in rule.denials:
        yield from _comment(what if times == 1 else f"{what} ({times} times)")


def _comment(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH, initial_indent="; ", subsequent_indent=";   ", break_on_hyphens=False)
