# SPDX-License-Identifier: Apache-2.0
"""The order of versions by family, as cached sort keys; and the source version behind a rebuilt binary. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from zaffre.component.rpmversion import rpm_version_key
from zaffre.upstream.deb.version import version_key

Order = Callable[[str], Any]
"""A sort key of a version. Raises ValueError for what is no version."""

# [epoch:]version[-release] of the characters that rpm allows (rpm-spec(5)), with a digit in the version.
_RPM = re.compile(r"(?:[0-9]+:)?(?=[^-]*[0-9])[0-9A-Za-z._+~^]+(?:-[0-9A-Za-z._+~^]+)?")
# Debian's builders append it where they build anew from the same source; no source version ends so.
_REBUILD = re.compile(r"\+b[0-9]+\Z")


def order_of(family: str) -> Order:
    """The order of "deb" or "rpm" versions."""
    return version_key if family == "deb" else _rpm_key


def _rpm_key(version: str) -> Any:
    """Raises ValueError: rpm itself compares any text with any other, and finds what is no version older or newer."""
    if not _RPM.fullmatch(version):
        raise ValueError(f"{version[:80]!r} is no version of an RPM package")
    return rpm_version_key(version)


def source_version(family: str, version: str) -> str:
    """The version of the source, where only that of a binary package is known."""
    return _REBUILD.sub("", version) if family == "deb" else version


def with_epoch(source: str, binary: str) -> str:
    """An RPM's source version with the epoch of the binary's: the name of a source file has none."""
    epoch, colon, _ = binary.rpartition(":")
    return source if ":" in source or not colon else f"{epoch}:{source}"
