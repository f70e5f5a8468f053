# SPDX-License-Identifier: Apache-2.0
"""A spec file as text with a known outline: sections, tags, macros that it defines itself. Pure.

After the RPM Reference Manual, "Spec file format" and "Macro syntax". Only rpm can tell what a spec means, since
macros may make any of it; so nothing is rendered anew from a model. Lines stay as they are, edits are made to the
lines that are meant, and whoever asks for something that stands behind a macro of the distribution gets an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zaffre.component.faults import OperationError

_SECTION = re.compile(
    r"%(package|description|prep|generate_buildrequires|conf|build|install|check|clean"
    r"|(?:pre|post)(?:un|trans|untrans)?|(?:trans)?(?:file)?trigger(?:in|un|prein|postun)?|verifyscript"
    r"|files|changelog|sourcelist|patchlist)(?:\s+(.*))?$"
)
_TAG = re.compile(r"(?P<name>[A-Za-z]+)(?P<number>\d*)(?P<qualifier>\([^)]*\))?(?P<space>\s*:\s*)(?P<value>.*?)\s*$")
_DEFINE = re.compile(r"\s*%(?:define|global)\s+(?P<name>\w+)(?P<options>\([^)]*\))?\s+(?P<value>.*)$")
_MACRO = re.compile(r"%(?:\{(\w+)\}|(\w+))")
_IF = re.compile(r"\s*%if\w*\b")
_CONDITIONAL = re.compile(r"\s*%(?:if\w*|el\w+|endif)\b")
_ENDIF = re.compile(r"\s*%endif\b")

# What every distribution defines alike.
_STANDARD = {
    "_prefix": "/usr",
    "_bindir": "/usr/bin",
    "_sbindir": "/usr/sbin",
    "_libdir": "/usr/lib64",
    "_libexecdir": "/usr/libexec",
    "_includedir": "/usr/include",
    "_datadir": "/usr/share",
    "_mandir": "/usr/share/man",
    "_infodir": "/usr/share/info",
    "_docdir": "/usr/share/doc",
    "_sysconfdir": "/etc",
    "_localstatedir": "/var",
    "_sharedstatedir": "/var/lib",
    "_rundir": "/run",
    "_unitdir": "/usr/lib/systemd/system",
    "_presetdir": "/usr/lib/systemd/system-preset",
    "_tmpfilesdir": "/usr/lib/tmpfiles.d",
    "_sysusersdir": "/usr/lib/sysusers.d",
}


@dataclass(frozen=True)
class Section:
    """Lines `start` to `end` (exclusive); the first is its head, but for the preamble, whose kind is ""."""

    kind: str
    arguments: str
    start: int
    end: int

    @property
    def body(self) -> int:
        return self.start + 1 if self.kind else self.start


@dataclass(frozen=True)
class Tag:
    """A line like "Requires(post): systemd"."""

    line: int
    name: str
    number: str
    qualifier: str
    value: str


class Spec:
    """The lines of a spec and where things are in them. Places are computed from the lines each time."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        if not self.main_name():
            raise OperationError("", "the spec is malformed: it has no Name")
        depth = 0
        for number, line in enumerate(self.lines, start=1):
            depth += _nesting(line)
            if depth < 0:
                raise OperationError("", f"the spec is malformed: line {number} has an %endif without its %if")
        if depth:
            raise OperationError("", "the spec is malformed: an %if has no %endif")

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _heads(self) -> Iterator[tuple[int, str, str]]:
        """Heads of sections, but not those in the body of a macro."""
        skip_to = 0
        for index, line in enumerate(self.lines):
            if index < skip_to:
                continue
            if _DEFINE.match(line) or line.lstrip().startswith("%{"):
                skip_to = self.end_of_macro(index)
            elif match := _SECTION.match(line):
                yield index, match[1], (match[2] or "").strip()

    def end_of_macro(self, index: int) -> int:
        """The line after a %define, %global or %{…} that may go on over several lines."""
        depth = 0
        for number in range(index, len(self.lines)):
            line = self.lines[number]
            depth += line.count("{") - line.count("}")
            if depth <= 0 and not line.endswith("\\"):
                return number + 1
        raise OperationError("", f"the spec is malformed: the macro of line {index + 1} does not end")

    def sections(self) -> list[Section]:
        heads = [*self._heads()]
        ends = [*(index for index, _, _ in heads), len(self.lines)]
        return [
            Section("", "", 0, ends[0]),
            *(
                Section(kind, arguments, index, end)
                for (index, kind, arguments), end in zip(heads, ends[1:], strict=True)
            ),
        ]

    def section(self, kind: str) -> Section | None:
        return next((one for one in self.sections() if one.kind == kind), None)

    def tags(self, section: Section) -> Iterator[Tag]:
        for index in range(section.body, section.end):
            if match := _TAG.match(self.lines[index]):
                yield Tag(index, match["name"].lower(), match["number"], match["qualifier"] or "", match["value"])

    def preamble(self) -> Section:
        return self.sections()[0]

    def main_name(self) -> str:
        return self.expanded(self.tag("name"), names=False)

    def tag(self, name: str) -> str:
        """The value of a tag of the main package, or "" without one."""
        return next((one.value for one in self.tags(self.preamble()) if one.name == name), "")

    def set_value(self, tag: Tag, value: str) -> None:
        match = _TAG.match(self.lines[tag.line])
        if match is None:
            message = f"line {tag.line} was a tag"
            raise AssertionError(message)
        self.lines[tag.line] = self.lines[tag.line][: match.start("value")] + value

    # Packages

    def package_of(self, section: Section) -> str:
        """The binary package that a section is of, by its arguments: "-n NAME", a suffix of the main name, or none."""
        words = section.arguments.split()
        while words:
            word = words.pop(0)
            if word == "-n" and words:
                return self.expanded(words[0])
            if word in {"-f", "-l", "-p"} and words:
                words.pop(0)
            elif not word.startswith("-"):
                return f"{self.main_name()}-{self.expanded(word)}"
        return self.main_name()

    def packages(self) -> list[str]:
        return [self.main_name(), *(self.package_of(one) for one in self.sections() if one.kind == "package")]

    # Macros

    def definitions(self) -> Iterator[tuple[int, re.Match[str]]]:
        for index, line in enumerate(self.lines):
            if match := _DEFINE.match(line):
                yield index, match

    def expanded(self, text: str, *, names: bool = True) -> str:
        """The text with macros expanded that the spec defines plainly, or that are the same everywhere."""
        known = dict(_STANDARD)
        known |= {match["name"]: match["value"].strip() for _, match in self.definitions() if not match["options"]}
        if names:
            known |= {"name": self.main_name(), "version": self.tag("version")}
        for _ in range(8):
            new = _MACRO.sub(lambda match: known.get(match[1] or match[2], match[0]), text)
            if new == text:
                break
            text = new
        return text

    # Places

    def place(self, section: Section, index: int) -> int:
        """The first line from `index` on where a line can be added that no conditional within the section is about."""
        depth = 0
        for number in range(section.body, section.end):
            if number >= index and depth == 0:
                return number
            depth += _nesting(self.lines[number])
            if depth < 0:  # the end of a conditional around the section
                return number
        return section.end if depth == 0 else section.body

    def place_before(self, kinds: Sequence[str]) -> int:
        """Where a section can be added: before the first of these if no conditional is around it, else at the end."""
        depth = 0
        starts = {one.start for one in self.sections() if one.kind in kinds}
        for number, line in enumerate(self.lines):
            if number in starts and depth == 0:
                return number
            depth += _nesting(line)
        return len(self.lines)

    def insert(self, index: int, lines: Sequence[str]) -> None:
        self.lines[index:index] = lines

    def end_of(self, section: Section) -> int:
        """Where a line can be added to a section: after its last line that is not empty, outside of conditionals."""
        index = section.end
        while index > section.body and not self.lines[index - 1].strip():
            index -= 1
        return self.place(section, index)


def is_conditional(line: str) -> bool:
    return bool(_CONDITIONAL.match(line))


def _nesting(line: str) -> int:
    return bool(_IF.match(line)) - bool(_ENDIF.match(line))


def escaped(text: str) -> str:
    """Text in which no macro is meant."""
    return text.replace("%", "%%")
