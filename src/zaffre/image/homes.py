# SPDX-License-Identifier: Apache-2.0
"""Labels of what belongs to users, of an SELinux policy: the upstream's patterns, and what they become. Pure.

A policy's table (file_contexts(5)) has lines for homes with words in place of paths: HOME_DIR, HOME_ROOT, %{USERNAME}
and %{USERID}. genhomedircon(8) fills them in on a running system, from its users. Here all users are one: who logs in
is unconfined_u, and lives below /home, or is root.
"""

from __future__ import annotations

from collections.abc import Iterator

SEUSERS = "root:unconfined_u:s0-s0:c0.c1023\n__default__:unconfined_u:s0-s0:c0.c1023\n"
"""Who is which user of the policy (seusers(5)), as the upstream's package has it."""

_WORDS = ("HOME_DIR", "HOME_ROOT", "%{")
_NAMES = {"%{USERNAME}": "[^/]+", "%{USERID}": "[0-9]+"}
_HOMES = ("/home/[^/]+", "/root")
_ROOT = "/home"
_OWNER = ("system_u:object_r:", "unconfined_u:object_r:")


def without_homes(contexts: str) -> str:
    """The lines of file_contexts(5) that stand as they are, for a system that nobody logs in to."""
    return "".join(f"{line}\n" for line in contexts.splitlines() if not _is_pattern(line))


def with_homes(contexts: str) -> str:
    """All lines, those for homes filled in and last, since of two that match the later counts. What is in a home is its
    user's; what is elsewhere keeps the user that the policy gives it.
    """
    filled = (one for line in contexts.splitlines() if _is_pattern(line) for one in _filled(line))
    return without_homes(contexts) + "".join(f"{line}\n" for line in filled)


def _is_pattern(line: str) -> bool:
    return line.startswith(_WORDS[:2]) or _WORDS[2] in line


def _filled(line: str) -> Iterator[str]:
    for word, pattern in _NAMES.items():
        line = line.replace(word, pattern)
    if line.startswith("HOME_DIR"):
        yield from (line.replace("HOME_DIR", home, 1).replace(*_OWNER) for home in _HOMES)
    else:
        yield line.replace("HOME_ROOT", _ROOT, 1)
