# SPDX-License-Identifier: Apache-2.0
"""The licences that a Debian package declares, in SPDX's language. Pure.

Source: Debian's machine-readable copyright file 1.0 (DEP-5), chapters 5 and 7; SPDX 2.3, annex D and the list of
licences. What DEP-5 names as SPDX does is passed on, its short names are translated, and every other name becomes a
LicenseRef: the texts differ from package to package, so nothing is guessed from a likeness of names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zaffre.bill import BillLicence
from zaffre.tree.licencenames import spdx_name
from zaffre.upstream.deb.control import parse_stanzas

_FORMAT = re.compile(r"copyright-format/1\.0|/dep5|/dep-5|CopyrightFormat", re.IGNORECASE)
_REFERENCE = "LicenseRef-Debian-"
_AND, _OR = "AND", "OR"
_OF_AND, _OF_OR = re.compile(r"\s+and\s+", re.IGNORECASE), re.compile(r"\s+or\s+", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


def licence_of(text: str) -> BillLicence:
    """All licences that the paragraphs about files name, as one expression: they are of the source, and a binary may
    have a part of it only. Without an expression for a file of another form.
    """
    try:
        head, *others = parse_stanzas(text)
    except ValueError:
        return BillLicence()
    if not _FORMAT.search(head.get("Format", head.get("Format-Specification", ""))):
        return BillLicence()
    # A lone paragraph with a licence counts for all files, and so does the head's own.
    named = [one["License"].partition("\n")[0].strip() for one in (head, *others) if _is_of_files(one, head)]
    references: dict[str, str] = {}
    terms = {term for name in named if name for term in _terms(_expression(name, references), _AND)}
    if not terms:
        return BillLicence()
    return BillLicence(_joined(_AND, terms), tuple(sorted(references.items())))


def _is_of_files(stanza: dict[str, str], head: dict[str, str]) -> bool:
    return "License" in stanza and ("Files" in stanza or stanza is head)


def _expression(text: str, references: dict[str, str]) -> str:
    """'and' binds closer than 'or', and a comma before either undoes that (chapter 7.2)."""
    words = re.split(r",\s+(and|or)\s+", text.strip(" ,"), flags=re.IGNORECASE)
    found = _alternatives(words[0], references)
    for word, part in zip(words[1::2], words[2::2], strict=True):
        found = _joined(word.upper(), (found, _alternatives(part, references)))
    return found


def _alternatives(text: str, references: dict[str, str]) -> str:
    options = [_OF_AND.split(option) for option in _OF_OR.split(text)]
    return _joined(_OR, [_joined(_AND, [_term(one, references) for one in option]) for option in options])


def _joined(word: str, parts: Iterable[str]) -> str:
    """In one order and each once; a part that is joined by the other word is set in parentheses."""
    terms = sorted({term for part in parts for term in _terms(part, word)})
    other = _OR if word == _AND else _AND
    return f" {word} ".join(f"({one})" if len(terms) > 1 and len(_terms(one, other)) > 1 else one for one in terms)


def _terms(text: str, word: str) -> list[str]:
    """What is joined by this word, outside of parentheses."""
    found, depth = [""], 0
    for token in text.split(" "):
        if token == word and not depth:
            found.append("")
            continue
        depth += token.count("(") - token.count(")")
        found[-1] += f" {token}" if found[-1] else token
    return found


def _term(text: str, references: dict[str, str]) -> str:
    name = text.strip(" ,")
    if found := spdx_name(name):
        return found
    reference = _REFERENCE + (_NOT_IN_A_NAME.sub("-", name).strip("-") or "unnamed")
    references[reference] = name
    return reference
