# SPDX-License-Identifier: Apache-2.0
"""XML from strangers: read by expat, which Python maintains, with all that can be turned into a weapon refused.

Entities, and so the bombs made of them and the files they can name, are declared in a document type and nowhere
else (XML 1.0, 4.2). Repository metadata has none, so one that declares a document type is refused before it is
looked at. Large metadata is read by libsolv; `refuse_declarations` gives it the same guarantee beforehand. What
it looks for can only be hidden in another encoding than UTF-8, so other encodings are refused too.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?<(?:\?xml\s([^?<>]{0,200})\?>|[A-Za-z_!])")
_ENCODING = re.compile(rb"encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")
_DEEPEST = 64
_MOST_ELEMENTS = 5_000_000
_PIECE = 1 << 20  # expat begins a tag anew with each piece, as long as it has not ended
_MOST_KEPT = 500_000
_MOST_TEXT = 16 << 20
"""Elements below one that is kept as a whole, and characters of their texts and attributes."""


class HostileXmlError(ValueError):
    """XML that no honest repository would publish."""


@dataclass
class Element:
    """An element without its namespace: the formats read here use each name in one namespace only."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        return next(self.all(name), None)

    def said(self, name: str) -> str | None:
        """The text of the first child of that name, without white space around it."""
        child = self.first(name)
        return child.text.strip() if child is not None else None


def parse_xml(data: bytes, *, most_elements: int) -> Element:
    """The root element of a small document. Raises ValueError, which is a HostileXmlError for a weapon."""
    roots = list(elements(data, depth=0, most_elements=most_elements))
    return roots[0]


def elements(data: bytes, *, depth: int, most_elements: int = _MOST_ELEMENTS) -> Iterator[Element]:
    """Every element at `depth` below the root (0: the root itself) as it ends, so that a document need not be kept.

    Raises HostileXmlError for what declares a document type or is too deep or too large, all of it or one of these
    elements; ValueError for what is not well-formed.
    """
    _refuse(data[:1024], data)
    parser = expat.ParserCreate("UTF-8", " ")
    stack: list[Element] = []
    texts: list[list[str]] = []
    ready: list[Element] = []
    count = kept = said = 0

    def weigh(characters: int) -> None:
        nonlocal said
        said += characters
        if kept > _MOST_KEPT or said > _MOST_TEXT:
            raise HostileXmlError(f"an element has more than {_MOST_KEPT} others, or {_MOST_TEXT} characters")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count, kept, said
        count += 1
        if count > most_elements or len(stack) >= _DEEPEST:
            raise HostileXmlError(f"it has more than {most_elements} elements, or is nested deeper than {_DEEPEST}")
        kept, said = (0, 0) if len(stack) <= depth else (kept + 1, said)
        plain = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        weigh(sum(len(key) + len(value) for key, value in plain.items()))
        stack.append(Element(name.rpartition(" ")[2], plain))
        texts.append([])

    def end(_: str) -> None:
        element = stack.pop()
        element.text = "".join(texts.pop())
        if len(stack) == depth:
            ready.append(element)
        elif len(stack) > depth:
            stack[-1].children.append(element)

    def text(piece: str) -> None:
        if len(stack) > depth:
            weigh(len(piece))
            texts[-1].append(piece)

    def doctype(*_: object) -> None:
        raise HostileXmlError("it declares a document type, in which entities could be")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.buffer_text = True
    for position in range(0, len(data) + 1, _PIECE):
        piece = data[position : position + _PIECE]
        try:
            parser.Parse(piece, len(piece) < _PIECE)
        except expat.ExpatError as error:
            raise ValueError(f"it is not well-formed XML: {error}") from error
        yield from ready
        ready.clear()


def refuse_declarations(path: Path) -> None:
    """Raise HostileXmlError for a file with a document type or entities, or not in UTF-8; ValueError for no XML."""
    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _refuse(content[:1024], content)


def _refuse(head: bytes, content: bytes | mmap.mmap) -> None:
    match = _HEAD.match(head)
    if match is None:
        raise ValueError(f"it is not XML, it begins with {head[:40]!r}")
    for declared in _ENCODING.findall(match[1] or b""):
        if declared.lower() not in {b"utf-8", b"us-ascii", b"ascii"}:
            raise HostileXmlError(f"it is not in UTF-8 but in {declared.decode()}")
    for declaration in _DECLARATIONS:
        if content.find(declaration) >= 0:
            raise HostileXmlError("it declares a document type, in which entities could be")
