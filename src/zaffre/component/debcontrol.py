# SPDX-License-Identifier: Apache-2.0
"""Edits debian/control, keeping its comments and layout (deb-src-control(5), Debian policy 5.2 and 7).

python-debian's round-trip parser does it; its module has an underscore in its name, and is what debmutate and the
Debian Janitor edit with, so the range of versions in pyproject.toml is narrow on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from debian._deb822_repro import (
    LIST_COMMA_SEPARATED_INTERPRETATION,
    Deb822FileElement,
    Deb822ParagraphElement,
    SyntaxOrParseError,
    parse_deb822_file,
)

from zaffre.component.faults import AlreadyError, NoMatchError, OperationError, near_matches
from zaffre.definition.operations import DependencyField, DependsAdd, DependsChange, DependsRemove, PackageSplit

CONTROL = "debian/control"

_ONE = (
    r"(?:\$\{[A-Za-z0-9:-]+\}|[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?)"
    r"(?:\s*\((?:<<|<=|=|>=|>>)\s*[^\s()]+\))?(?:\s*\[[^\]]+\])?(?:\s*<[^>]+>)*"
)
_RELATION = re.compile(rf"{_ONE}(?:\s*\|\s*{_ONE})*")
_RELATION_FIELDS = ("Depends", "Pre-Depends", "Recommends")
_INHERITED = ("Architecture", "Multi-Arch", "Section", "Priority", "Build-Profiles")

Dependency = DependsAdd | DependsChange | DependsRemove


class Control:
    """debian/control as it is edited. OperationError for what is no such file."""

    def __init__(self, text: str) -> None:
        try:
            self._file: Deb822FileElement = parse_deb822_file(text.splitlines(keepends=True))
        except SyntaxOrParseError as error:
            raise OperationError("", f"{CONTROL} is malformed: {error}") from error
        self._paragraphs: list[Deb822ParagraphElement] = [*self._file]
        if not self._paragraphs or "Source" not in self._paragraphs[0]:
            raise OperationError("", f"{CONTROL} does not begin with a Source")

    def text(self) -> str:
        return self._file.dump()

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(str(one["Package"]) for one in self._paragraphs[1:] if "Package" in one)

    def change_dependency(self, operation: Dependency) -> None:
        paragraph = self._paragraphs[0] if operation.package is None else self.package(operation.package)
        field = _title(operation.field)
        if not isinstance(operation, DependsRemove):
            _check_relation(operation.relation)
        match operation:
            case DependsAdd():
                _add(paragraph, field, operation.relation)
            case DependsChange():
                _replace(paragraph, field, operation.name, operation.relation)
            case DependsRemove():
                _replace(paragraph, field, operation.name, None)

    def package(self, name: str, *, key: str = "package") -> Deb822ParagraphElement:
        for paragraph in self._paragraphs[1:]:
            if paragraph.get("Package") == name:
                return paragraph
        raise NoMatchError(key, f"{CONTROL} has no package {name!r}", near=near_matches(name, self.packages))

    def drop(self, name: str) -> None:
        """Remove a binary package that no other one of this source needs."""
        paragraph = self.package(name)
        others = [one for one in self.packages if one != name]
        if not others:
            raise OperationError("package", f"{name!r} is the only package of this source")
        needing = [
            other
            for other in others
            for field in _RELATION_FIELDS[:2]
            if name in _alternatives_alone(self.package(other), field)
        ]
        if needing:
            raise OperationError("package", f"{name!r} is needed by {', '.join(dict.fromkeys(needing))} of this source")
        self._file.remove(paragraph)
        self._paragraphs.remove(paragraph)

    def split(self, operation: PackageSplit) -> None:
        """Add the package that is split off, after that which it leaves."""
        old = self.package(operation.package)
        if operation.name in self.packages:
            raise AlreadyError("name", f"{CONTROL} has a package {operation.name!r} already")
        for relation in operation.depends:
            _check_relation(relation, key="depends")
        new = Deb822ParagraphElement.new_empty_paragraph()
        new["Package"] = operation.name
        for field in _INHERITED:
            if field in old:
                new[field] = old[field]
        # In the older version of the package that is left the files are still its own.
        earlier = f"{operation.package} (<< ${{binary:Version}})"
        new["Depends"] = ", ".join(["${misc:Depends}", "${shlibs:Depends}", *operation.depends])
        new["Breaks"] = earlier
        new["Replaces"] = earlier
        new["Description"] = f"{operation.description}\n Files of {operation.package}, in a package of their own."
        index = self._paragraphs.index(old) + 1
        self._file.insert(index, new)
        self._paragraphs.insert(index, new)


def _title(field: DependencyField) -> str:
    return "-".join(part.capitalize() for part in field.split("-"))


def _check_relation(relation: str, *, key: str = "relation") -> None:
    if not _RELATION.fullmatch(relation):
        raise OperationError(key, f"{relation!r} is no dependency of a Debian package, such as 'libc6 (>= 2.36)'")


def _add(paragraph: Deb822ParagraphElement, field: str, relation: str) -> None:
    if field not in paragraph:
        paragraph[field] = relation
        if "Description" in paragraph:
            paragraph.order_before(field, "Description")
        return
    with paragraph.as_interpreted_dict_view(LIST_COMMA_SEPARATED_INTERPRETATION)[field] as relations:
        if any(_normal(one) == _normal(relation) for one in relations):
            raise AlreadyError("relation", f"{field} has {relation!r} already")
        relations.append(relation)


def _replace(paragraph: Deb822ParagraphElement, field: str, name: str, relation: str | None) -> None:
    """Replace what depends on `name` in a field, or remove it. Of alternatives, the one on `name` only."""
    if field not in paragraph:
        raise NoMatchError(
            "field", f"{_whose(paragraph)} has no {field}", near=near_matches(field, map(str, paragraph))
        )
    found = False
    names: list[str] = []
    with paragraph.as_interpreted_dict_view(LIST_COMMA_SEPARATED_INTERPRETATION)[field] as relations:
        references = [*relations.iter_value_references()]
        everything = [reference.value for reference in references]
        for reference, text in zip(references, everything, strict=True):
            alternatives = [one.strip() for one in text.split("|")]
            names += map(_name, alternatives)
            if name not in map(_name, alternatives):
                continue
            found = True
            new = [relation if _name(one) == name else one for one in alternatives]
            kept = " | ".join(one for one in new if one is not None)
            if kept == text:
                raise AlreadyError("relation", f"{field} has {relation!r} already")
            if kept:
                reference.value = kept
            else:
                reference.remove()
    if not found:
        if relation is not None and any(_normal(one) == _normal(relation) for one in everything):
            raise AlreadyError("relation", f"{field} has {relation!r} already")
        message = f"nothing in {field} of {_whose(paragraph)} is on {name!r}"
        raise NoMatchError("name", message, near=near_matches(name, names))
    if not [*_values(paragraph, field)]:
        del paragraph[field]


def _values(paragraph: Deb822ParagraphElement, field: str) -> Iterator[str]:
    if field in paragraph:
        yield from (one.strip() for one in re.sub(r"(?m)^#.*\n", "", paragraph[field]).split(",") if one.strip())


def _alternatives_alone(paragraph: Deb822ParagraphElement, field: str) -> set[str]:
    """Names that a field depends on without an alternative."""
    return {_name(one) for one in _values(paragraph, field) if "|" not in one}


def _name(relation: str) -> str:
    match = re.match(r"\s*(\$\{[^}]*\}|[^\s(\[<:]+)", relation)
    return match[1] if match else relation


def _normal(relation: str) -> str:
    return re.sub(r"\s+", "", relation)


def _whose(paragraph: Deb822ParagraphElement) -> str:
    return str(paragraph.get("Package") or "the source")
