# SPDX-License-Identifier: Apache-2.0
"""What an RPM says of itself in its header: its licence, and the system's name and version if it brings them."""

from __future__ import annotations

import re
from pathlib import Path

from zaffre.bill import BillLicence, BillSystem
from zaffre.errors import IntegrityError
from zaffre.tree.licencenames import spdx_names
from zaffre.tree.said import Said
from zaffre.upstream.rpm.header import Header, Tag, read_head

_OS_RELEASE = ("/usr/lib/", "os-release")
_WORDS = re.compile(r"[()]|[^\s()]+")
_OPERATORS = frozenset({"AND", "OR", "(", ")"})
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


def declared(path: Path) -> Said:
    """Of a package file. Raises IntegrityError for what is none."""
    try:
        with path.open("rb") as file:
            header = read_head(file).header
        return Said(licence_of(header.text(Tag.LICENSE) or ""), system=_system(header))
    except (ValueError, IndexError) as error:
        raise IntegrityError("the package is malformed", where=str(path), details=str(error)) from error


def licence_of(text: str) -> BillLicence:
    """Fedora's tags are SPDX's since 2022, others' need not be: one with an unknown name is not taken apart."""
    words = _WORDS.findall(text)
    if not words:
        return BillLicence()
    if set(words) <= _OPERATORS | set(spdx_names()):
        return BillLicence(" ".join(words).replace("( ", "(").replace(" )", ")"))
    reference = f"LicenseRef-RPM-{_NOT_IN_A_NAME.sub('-', text).strip('-')}"
    return BillLicence(reference, ((reference, text),))


def _system(header: Header) -> BillSystem | None:
    """A package with os-release that is called NAME-release…, as RPM distributions have it: its version is the
    system's. What is called otherwise says nothing.
    """
    folders, places = header.texts(Tag.DIRNAMES), header.numbers(Tag.DIRINDEXES)
    names = zip(header.texts(Tag.BASENAMES), places, strict=True)
    if not any(name == _OS_RELEASE[1] and folders[place] == _OS_RELEASE[0] for name, place in names):
        return None
    name, release, _ = (header.text(Tag.NAME) or "").partition("-release")
    return BillSystem(name, header.text(Tag.VERSION) or "", name) if release else None
