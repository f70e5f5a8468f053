# SPDX-License-Identifier: Apache-2.0
"""The README and the pages of docs/, read as Markdown: links, headings, code, command lines. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLS = frozenset({"sh", "console"})

_FENCE = re.compile(r"^ *```(?P<language>\w*)\n(?P<body>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)|<img[^>]+src=\"(?P<source>[^\"]+)\"")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _FENCE.sub("", self.text)

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Language and content of each block of code."""
        for match in _FENCE.finditer(self.text):
            yield match["language"], match["body"]

    def spans(self) -> Iterator[str]:
        """What stands between backticks within the prose."""
        for match in _SPAN.finditer(self.prose):
            yield " ".join(match[1].split())

    def links(self) -> Iterator[str]:
        for match in _LINK.finditer(_SPAN.sub("", self.prose)):
            yield match["target"] or match["source"]

    def anchors(self) -> frozenset[str]:
        """What headings can be linked by, in the way of the large Git hosts."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return frozenset(_slug(heading) for heading in headings)

    def commands(self, program: str) -> Iterator[list[str]]:
        """The words after `program` in each command line of the page.

        In a block `console`, a command is what follows a prompt; in a block `sh`, each line is one.
        """
        for language, body in self.blocks():
            if language in SHELLS:
                joined = re.sub(r"\\\n\s*", " ", body)
                for line in joined.splitlines():
                    if language == "sh" or line.startswith(("$ ", "# ")):
                        yield from _calls(line.strip().removeprefix("$ ").removeprefix("# "), program)
        for span in self.spans():
            yield from _calls(span, program)


def pages() -> list[Page]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [Page(path, path.read_text("utf-8")) for path in paths]


def _slug(heading: str) -> str:
    """`Words, of a heading` -> `words-of-a-heading`."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _calls(line: str, program: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # words of prose, such as an apostrophe
        return
    for command in _split(words):
        while command and _ASSIGNMENT.fullmatch(command[0]):
            command.pop(0)
        if command and Path(command[0]).name == program:
            yield command[1:]


def _split(words: list[str]) -> Iterator[list[str]]:
    """Commands of a line, each up to what ends it or sends its output elsewhere."""
    command: list[str] = []
    skip = False
    for word in words:
        if word in {"|", "&&", "||", ";"}:
            yield command
            command, skip = [], False
        elif skip or word.startswith((">", "2>", "<")):
            skip = word in {">", ">>", "<", "2>"}
        else:
            command.append(word)
    yield command
