# SPDX-License-Identifier: Apache-2.0
"""Glob patterns of absolute paths: `*` and `?` stop at a slash, `**` does not, `[…]` is a set of characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator


def translate(pattern: str) -> str:
    """The regular expression of a pattern. `/a/**` matches all below `/a` and not `/a` itself."""
    out = ""
    i = 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out += "(?:.*/)?"
            i += 3
        elif pattern.startswith("**", i):
            out += ".*"
            i += 2
        elif pattern[i] == "*":
            out += "[^/]*"
            i += 1
        elif pattern[i] == "?":
            out += "[^/]"
            i += 1
        elif pattern[i] == "[" and (end := pattern.find("]", i + 2)) > 0:
            body = pattern[i + 1 : end].replace("\\", "\\\\")
            out += f"[^{body[1:]}]" if body[0] in "!^" else f"[{body}]"
            i = end + 1
        else:
            out += re.escape(pattern[i])
            i += 1
    return out


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether an absolute path matches one of the patterns."""
    joined = "|".join(f"(?:{translate(pattern)})" for pattern in patterns)
    if not joined:
        return lambda _: False
    expression = re.compile(joined, re.DOTALL)
    return lambda path: expression.fullmatch(path) is not None


def alternatives(pattern: str) -> Iterator[str]:
    """The patterns that one with `{a,b}` stands for; a pattern has at most one such place."""
    head, brace, rest = pattern.partition("{")
    if not brace:
        yield pattern
        return
    words, _, tail = rest.partition("}")
    for word in words.split(","):
        yield f"{head}{word}{tail}"
