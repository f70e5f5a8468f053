# SPDX-License-Identifier: Apache-2.0
"""What three versions of a file make of one another: a merge, or the places where two changes meet. Pure.

`base` is the upstream's old file, `theirs` its new one, `ours` the old one with an overlay. The form of a conflict
is git's "diff3": a reader has the common ancestor between the two sides.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from merge3 import Merge3

from zaffre.component.patch import lines_of

_AROUND = 3
_MARKS = (
    b"<<<<<<< the upstream's new version\n",
    b"||||||| its old version\n",
    b"=======\n",
    b">>>>>>> with the overlay\n",
)


@dataclass(frozen=True)
class Merged:
    """`content` without conflicts, or None; `conflicts` are the places, each with lines around it."""

    content: bytes | None
    conflicts: tuple[str, ...]


class _Matcher:
    """Looks at every line: those that come often, such as "}", count in a patch too."""

    def __init__(
        self,
        isjunk: Callable[[bytes], bool] | None = None,
        a: Sequence[bytes] = (),
        b: Sequence[bytes] = (),
        autojunk: bool = False,  # noqa: FBT001, FBT002 - merge3's signature
    ) -> None:
        self._matcher = difflib.SequenceMatcher(isjunk, a, b, autojunk=autojunk)

    def get_matching_blocks(self) -> list[tuple[int, int, int]]:
        return [(block.a, block.b, block.size) for block in self._matcher.get_matching_blocks()]


def merge(base: bytes, theirs: bytes, ours: bytes) -> Merged:
    groups = [*Merge3(lines_of(base), lines_of(theirs), lines_of(ours), sequence_matcher=_Matcher).merge_groups()]
    if all(group[0] != "conflict" for group in groups):
        return Merged(b"".join(line for group in groups for line in group[1]), ())
    conflicts: list[str] = []
    at = 1
    for index, group in enumerate(groups):
        if group[0] != "conflict":
            at += len(group[1])
            continue
        _, old, new, mine = group
        before = groups[index - 1][1][-_AROUND:] if index else []
        behind = groups[index + 1][1][:_AROUND] if index + 1 < len(groups) else []
        sides = [_MARKS[0], *new, _MARKS[1], *old, _MARKS[2], *mine, _MARKS[3]]
        text = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in [*before, *sides, *behind])
        conflicts.append(f"@@ line {at} @@\n{text.decode(errors='replace')}")
        at += len(new)
    return Merged(None, tuple(conflicts))
