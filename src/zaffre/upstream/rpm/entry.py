# SPDX-License-Identifier: Apache-2.0
"""What a repository's metadata says of a package that was built here, made of its header.

Format: the element `package` of primary.xml, as createrepo_c writes it, with just what a solver reads, and all files
instead of those of a few folders; so that what is offered needs no filelists. Digest, size and place are the lock's.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from html import escape

from zaffre.upstream.rpm.header import Header, Tag
from zaffre.upstream.rpm.relations import Kind, Relation, relations_of

_GHOST = 1 << 6  # RPMFILE_GHOST
_COMMON = "http://linux.duke.edu/metadata/common"
_RPM = "http://linux.duke.edu/metadata/rpm"
_OPERATORS = {"<": "LT", ">": "GT", "=": "EQ", "<=": "LE", ">=": "GE"}


def entry_of(header: Header) -> str:
    """The element as text, one line for each part. Raises ValueError for a header that XML cannot say."""
    epoch = header.number(Tag.EPOCH) or 0
    version, release = _said(header.text(Tag.VERSION) or ""), _said(header.text(Tag.RELEASE) or "")
    lines = [
        '<package type="rpm">',
        f"<name>{_said(header.text(Tag.NAME) or '')}</name>",
        f"<arch>{_said(header.text(Tag.ARCHITECTURE) or '')}</arch>",
        f'<version epoch="{epoch}" ver="{version}" rel="{release}"/>',
        "<format>",
        f"<rpm:sourcerpm>{_said(header.text(Tag.SOURCE_RPM) or '')}</rpm:sourcerpm>",
    ]
    for kind in Kind:
        if entries := [_entry(one) for one in relations_of(header, kind)]:
            lines += [f"<rpm:{kind.word}>", *entries, f"</rpm:{kind.word}>"]
    return "\n".join([*lines, *_files(header), "</format>", "</package>", ""])


def metadata_of(entries: Iterable[str]) -> str:
    """A primary.xml with these elements."""
    body = list(entries)
    head = f'<metadata xmlns="{_COMMON}" xmlns:rpm="{_RPM}" packages="{len(body)}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *body, "</metadata>", ""])


def _entry(one: Relation) -> str:
    words = [f'name="{_said(one.name)}"']
    if one.operator:
        epoch, number, release = _parts(one.version)
        words += [f'flags="{_OPERATORS[one.operator]}"', f'epoch="{_said(epoch or "0")}"', f'ver="{_said(number)}"']
        words += [f'rel="{_said(release)}"'] if release else []
    words += ['pre="1"'] if one.before else []
    return f"<rpm:entry {' '.join(words)}/>"


def _parts(version: str) -> tuple[str, str, str]:
    epoch, _, rest = version.rpartition(":")
    number, _, release = rest.partition("-")
    return epoch, number, release


def _files(header: Header) -> Iterator[str]:
    names, folders = header.texts(Tag.BASENAMES), header.texts(Tag.DIRNAMES)
    if not names:
        return
    indexes, modes, flags = (header.numbers(tag) for tag in (Tag.DIRINDEXES, Tag.FILE_MODES, Tag.FILE_FLAGS))
    for name, index, mode, flag in zip(names, indexes, modes, flags, strict=True):
        if index >= len(folders):
            raise ValueError("a file lies in a folder that is not listed")
        kind = ' type="ghost"' if flag & _GHOST else ' type="dir"' if stat.S_ISDIR(mode) else ""
        yield f"<file{kind}>{_said(folders[index] + name)}</file>"


def _said(text: str) -> str:
    """XML 1.0, 2.2: what it has no words for is refused."""
    if any(character < " " or character in "\x7f\ufffe\uffff" for character in text):
        raise ValueError(f"it has control characters in {text[:200]!a}")
    return escape(text)
