# SPDX-License-Identifier: Apache-2.0
"""Unified diffs: parsed, applied and applied in reverse. Pure: content in, content out.

The form is that of diff(1) -u and git-diff(1), as dpkg-source takes it: one leading directory is left out (-p1)
and a hunk must match without fuzz, though it may have moved. So a patch that applies here applies there, and
a question like "does the source contain this already?" has an answer that no tool has to be started for.

Guaranteed: all of a patch applies, or nothing does; no path leaves the source; a malformed patch is an error
with its line, never a guess.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from zaffre.errors import ZaffreError

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_NULL = "/dev/null"
_NO_NEWLINE = b"\\ No newline"
_MODE = "changes what a file is; only its lines can be patched: replace the file by one that is a program"
_UNSUPPORTED = {
    b"rename from ": "renames a file; make the patch with --no-renames",
    b"copy from ": "copies a file; make the patch without -C",
    b"GIT binary patch": "is binary; add or replace the file instead",
    b"Binary files ": "holds no content for a binary file; add or replace the file instead",
    b"old mode ": _MODE,
    b"new mode ": _MODE,
}
_PLAIN_MODE = re.compile(rb"(?:new file mode 100644|deleted file mode 100(?:644|755)|index \S+ 100(?:644|755))\s*\Z")
_HAS_MODE = re.compile(rb"(?:new file mode|deleted file mode|index [0-9a-f]+\.\.[0-9a-f]+) \d+\s*\Z")


@dataclass(frozen=True)
class Hunk:
    """One place. `start` is the line it was made at, from 1; 0 for an empty file. `lines`: " ", "-" or "+" and text."""

    start: int
    new_start: int
    lines: tuple[tuple[str, bytes], ...]

    def before(self) -> tuple[bytes, ...]:
        return tuple(text for sign, text in self.lines if sign != "+")

    def after(self) -> tuple[bytes, ...]:
        return tuple(text for sign, text in self.lines if sign != "-")

    def context(self) -> tuple[int, int]:
        """How many unchanged lines stand before and behind the change."""
        signs = "".join(sign for sign, _ in self.lines)
        return len(signs) - len(signs.lstrip(" ")), len(signs) - len(signs.rstrip(" "))

    def reversed(self) -> Hunk:
        signs = {"+": "-", "-": "+", " ": " "}
        return Hunk(self.new_start, self.start, tuple((signs[sign], text) for sign, text in self.lines))


@dataclass(frozen=True)
class FilePatch:
    """The change of one file. `old` is None for one that is made, `new` for one that is deleted."""

    old: str | None
    new: str | None
    hunks: tuple[Hunk, ...]

    @property
    def only_adds(self) -> bool:
        """Whether it is made for an empty file, or for one that diff -N took for empty."""
        return all(hunk.start == 0 and not hunk.before() for hunk in self.hunks)

    @property
    def path(self) -> str:
        path = self.new or self.old
        if path is None:
            message = "a change of no file"
            raise AssertionError(message)
        return path

    def reversed(self) -> FilePatch:
        return FilePatch(self.new, self.old, tuple(hunk.reversed() for hunk in self.hunks))


Patch = tuple[FilePatch, ...]


class PatchError(ZaffreError):
    """A patch that is malformed. `where` is a line of it."""


@dataclass(frozen=True)
class Reject:
    """A hunk that has no place: which file, its number from 1, and why."""

    path: str
    hunk: int
    why: str


class RejectedError(ZaffreError):
    """A well-formed patch that does not apply to these files."""

    def __init__(self, rejects: tuple[Reject, ...]) -> None:
        super().__init__(
            "the patch does not apply",
            details="\n".join(f"{one.path}, hunk {one.hunk}: {one.why}" for one in rejects),
        )
        self.rejects = rejects


def parse(data: bytes) -> Patch:
    """The changes of a patch, in order. PatchError when it is malformed or holds no change."""
    return _Parser(data.split(b"\n")).parse()


def reverse(patch: Patch) -> Patch:
    return tuple(one.reversed() for one in reversed(patch))


def paths_of(patch: Patch) -> frozenset[str]:
    return frozenset(one.path for one in patch)


def unified(old: bytes, new: bytes, path: str) -> bytes:
    """The change of one file as a unified diff; nothing if there is none."""
    made = difflib.diff_bytes(
        difflib.unified_diff, lines_of(old), lines_of(new), f"a/{path}".encode(), f"b/{path}".encode()
    )
    return b"".join(
        line if line.endswith(b"\n") else line + b"\n" + _NO_NEWLINE + b" at end of file\n" for line in made
    )


def description_of(data: bytes) -> bytes:
    """What stands in a patch before its first change, such as the fields of DEP-3."""
    lines = data.split(b"\n")
    for index, line in enumerate(lines):
        if line.startswith((b"--- ", b"diff --git ", b"Index: ", b"diff -")):
            return b"".join(one + b"\n" for one in lines[:index])
    return b""


def apply(patch: Patch, files: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """New content by path, None for a file that goes. `files` holds those of the patch's paths that exist.

    RejectedError names every hunk that has no place.
    """
    changed: dict[str, bytes | None] = {}
    rejects: list[Reject] = []
    for one in patch:
        content = changed[one.path] if one.path in changed else files.get(one.path)
        if one.old is None and content:
            rejects.append(Reject(one.path, 1, "the patch makes this file, and it is there already"))
            continue
        if one.old is not None and content is None and not one.only_adds:
            rejects.append(Reject(one.path, 1, "there is no such file"))
            continue
        lines, bad = _apply_hunks(one, lines_of(content or b""))
        rejects += bad
        if one.new is None and lines and not bad:
            rejects.append(Reject(one.path, len(one.hunks), "the patch deletes this file, and more is in it"))
        changed[one.path] = None if one.new is None else b"".join(lines)
    if rejects:
        raise RejectedError(tuple(rejects))
    return changed


def lines_of(content: bytes) -> list[bytes]:
    r"""Lines with their ends. Only \n ends a line, as for diff(1)."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _apply_hunks(change: FilePatch, lines: list[bytes]) -> tuple[list[bytes], list[Reject]]:
    out: list[bytes] = []
    rejects: list[Reject] = []
    done = 0
    offset = 0
    for number, hunk in enumerate(change.hunks, start=1):
        before = hunk.before()
        # A hunk without old lines stands behind line `start`, all others begin at it.
        expected = hunk.start - 1 + offset if before else hunk.start + offset
        place = _find(lines, hunk, expected, least=done)
        if place is None:
            rejects.append(Reject(change.path, number, _why(lines, before, expected)))
            continue
        offset += place - expected
        out += lines[done:place]
        out += hunk.after()
        done = place + len(before)
    return [*out, *lines[done:]], rejects


def _find(lines: list[bytes], hunk: Hunk, expected: int, *, least: int) -> int | None:
    """The place nearest to the expected one where all old lines stand.

    As for patch(1): with less context behind than before, a hunk was made at the end of the file and fits there
    only; with less before than behind, at its beginning. So a line added at the end is not added twice.
    """
    wanted = hunk.before()
    if not wanted:
        return min(max(expected, least), len(lines))
    last = len(lines) - len(wanted)
    before, behind = hunk.context()
    first = least
    if before < behind and hunk.start <= 1:
        last = min(last, 0)
    elif behind < before:
        first = max(last, least)
    return _nearest(lines, wanted, expected, range(first, last + 1))


def _nearest(lines: list[bytes], wanted: tuple[bytes, ...], expected: int, places: range) -> int | None:
    for distance in range(max(abs(expected - places.start), abs(places.stop - expected)) + 1):
        for place in dict.fromkeys((expected - distance, expected + distance)):
            if place in places and tuple(lines[place : place + len(wanted)]) == wanted:
                return place
    return None


def _why(lines: list[bytes], wanted: tuple[bytes, ...], expected: int) -> str:
    """The first line that is not as the patch has it, at the place where most lines agree."""
    if not lines:
        return "the file is empty"
    best = max(
        range(max(1, len(lines) - len(wanted) + 1)),
        key=lambda place: (
            sum(mine == other for mine, other in zip(lines[place : place + len(wanted)], wanted, strict=False)),
            -abs(place - expected),
        ),
    )
    for index, text in enumerate(wanted):
        here = lines[best + index] if best + index < len(lines) else b""
        if here != text:
            return f"line {best + index + 1} is {_shown(here)}, and the patch expects {_shown(text)}"
    return "the lines that it changes come before those of the hunk above"


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").rstrip("\n")
    return repr(text if len(text) <= 80 else text[:79] + "…") if line else "the end of the file"


class _Parser:
    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._at = 0

    def parse(self) -> Patch:
        found: list[FilePatch] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            for start, why in _UNSUPPORTED.items():
                if line.startswith(start):
                    raise self._error(f"the patch {why}")
            if _HAS_MODE.match(line) and not _PLAIN_MODE.match(line):
                raise self._error("the patch makes or changes a program or a link; add or replace the file instead")
            if line.startswith(b"--- ") and self._peek(1).startswith(b"+++ "):
                found.append(self._file())
            elif line.startswith(b"@@ -"):
                raise self._error("a hunk without the names of its file (--- and +++) above it")
            else:
                self._at += 1  # the description, or what tools write between files
        if not found:
            raise PatchError("the patch holds no change: it has no lines --- and +++ with hunks below")
        return tuple(found)

    def _peek(self, ahead: int) -> bytes:
        return self._lines[self._at + ahead] if self._at + ahead < len(self._lines) else b""

    def _file(self) -> FilePatch:
        old, new = self._name(0), self._name(1)
        if old is None and new is None:
            raise self._error("a change from no file to no file")
        if old is not None and new is not None:
            # As patch(1) does it: the name of an existing file counts, which is the new one but for *.orig.
            old = new
        self._at += 2
        hunks: list[Hunk] = []
        while self._peek(0).startswith(b"@@"):
            hunks.append(self._hunk())
            self._refuse_more()
        if not hunks:
            raise self._error("a file without a hunk (@@)")
        only_old = all(sign == "-" for hunk in hunks for sign, _ in hunk.lines)
        if new is None and not only_old:
            raise self._error("deletes a file and keeps some of its lines")
        return FilePatch(old, new, tuple(hunks))

    def _name(self, ahead: int) -> str | None:
        raw = self._peek(ahead)[4:].split(b"\t")[0].rstrip(b"\r")
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise self._error("the name of a file is not UTF-8") from error
        name = name.strip()
        if name == _NULL:
            return None
        if name.startswith('"'):
            raise self._error(f"the name {name} is quoted; set core.quotePath=false when the patch is made")
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise self._error(f"{name!r} leads out of the source")
        inner = "/".join(part for part in parts[1:] if part not in {"", "."})
        if not inner:
            raise self._error(f"{name!r} has no leading directory to leave out (-p1), such as a/ and b/")
        return inner

    def _hunk(self) -> Hunk:
        match = _HUNK.match(self._peek(0))
        if match is None:
            raise self._error(f"this is no head of a hunk: {_shown(self._peek(0))}")
        start, new_start = int(match[1]), int(match[3])
        old_left, new_left = (1 if count is None else int(count) for count in (match[2], match[4]))
        self._at += 1
        lines: list[tuple[str, bytes]] = []
        while old_left or new_left:
            if self._at >= len(self._lines):
                raise self._error("the patch ends within a hunk")
            # Editors and mail programs cut the only blank of an empty line off; patch(1) forgives it too.
            line = self._lines[self._at] or b" "
            sign, text = chr(line[0]), line[1:] + b"\n"
            old_left -= sign in " -"
            new_left -= sign in " +"
            if sign not in " -+" or old_left < 0 or new_left < 0:
                raise self._error("this line is not of the hunk, whose head promises more or others")
            lines.append((sign, text))
            self._at += 1
            if self._peek(0).startswith(_NO_NEWLINE):
                lines[-1] = (sign, line[1:])
                self._at += 1
        if self._at >= len(self._lines) and lines and lines[-1][1] == b"\n":
            raise self._error("the patch ends within a hunk")
        return Hunk(start, new_start, tuple(lines))

    def _refuse_more(self) -> None:
        """Lines of a change behind the end that the head promised would be lost. (A mail ends with "-- " and more.)"""
        ahead = next((n for n in range(len(self._lines) - self._at) if self._peek(n).strip()), 0)
        line = self._peek(ahead)
        names = line.startswith(b"--- ") and self._peek(ahead + 1).startswith(b"+++ ")
        more = line[:1] in {b"+", b"-"} and not names and line.rstrip() != b"--"
        if more or (line[:1] == b" " and not ahead):
            self._at += ahead
            raise self._error("the hunk has more lines than its head promises")

    def _error(self, message: str) -> PatchError:
        return PatchError(message, where=f"line {self._at + 1}")
