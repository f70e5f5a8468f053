# SPDX-License-Identifier: Apache-2.0
"""Relations between Debian packages as text: reduced to one architecture and profile, changed one at a time. Pure.

Form: Debian policy 7.1; restrictions of build profiles as in deb-src-control(5). The text of what stays is kept as
it is, so that apt reads what the source wrote.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_ARCHITECTURES = re.compile(r"\[([^\]]*)\]")
_PROFILES = re.compile(r"<([^>]*)>(?!=|>)")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9+.-]*)")
# An operator of a version stands in parentheses, so angle brackets outside of them are of profiles.
_VERSION = re.compile(r"\([^)]*\)")


def split_groups(field: str) -> list[str]:
    """What stands between the commas, without white space around it."""
    return [" ".join(group.split()) for group in field.split(",") if group.strip()]


def name_of(alternative: str) -> str:
    """Name of the package that one alternative is on. Raises ValueError for what is no relation."""
    match = _NAME.match(alternative)
    if match is None:
        raise ValueError(f"{alternative[:80]!r} is not a relation to a package")
    return match[1]


def reduced(field: str, *, architecture: str, profiles: Collection[str] = ()) -> Iterator[str]:
    """The groups of a build dependency that count on that architecture with those profiles, without restrictions."""
    for group in split_groups(field):
        alternatives = [_plain(one) for one in group.split("|") if _counts(one, architecture, profiles)]
        if alternatives:
            yield " | ".join(alternatives)


def _counts(alternative: str, architecture: str, profiles: Collection[str]) -> bool:
    bare = _VERSION.sub("", alternative)
    for match in _ARCHITECTURES.finditer(bare):
        words = match[1].split()
        named = [word.removeprefix("!") for word in words]
        present = any(_is(architecture, word) for word in named)
        if words and (present if words[0].startswith("!") else not present):
            return False
    restrictions = [match[1].split() for match in _PROFILES.finditer(bare)]
    # One list in brackets is a conjunction; of several lists one must hold.
    return not restrictions or any(
        all((word[1:] not in profiles) if word.startswith("!") else word in profiles for word in one)
        for one in restrictions
    )


def _is(architecture: str, wildcard: str) -> bool:
    """Wildcards as in policy 11.1, for machines that run Linux."""
    return wildcard in {architecture, "any", "linux-any", f"any-{architecture}", f"linux-{architecture}"}


def _plain(alternative: str) -> str:
    version = _VERSION.search(alternative)
    bare = _PROFILES.sub("", _ARCHITECTURES.sub("", _VERSION.sub("", alternative)))
    return " ".join((*bare.split(), *([version[0]] if version else [])))


def added(field: str, relation: str) -> str:
    return ", ".join((*split_groups(field), relation))


def changed(field: str, name: str, relation: str | None) -> str | None:
    """The field with `relation` in the place of what is on `name`; without it, where `relation` is None.

    None when nothing is on `name`. Of alternatives, only that one changes.
    """
    groups, found = [], False
    for group in split_groups(field):
        kept: list[str] = []
        for alternative in (one.strip() for one in group.split("|")):
            if name_of(alternative) != name:
                kept.append(alternative)
                continue
            found = True
            if relation is not None:
                kept.append(relation)
        if kept:
            groups.append(" | ".join(kept))
    return ", ".join(groups) if found else None
