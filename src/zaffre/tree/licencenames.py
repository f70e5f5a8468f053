# SPDX-License-Identifier: Apache-2.0
"""The names of licences that packages use, in SPDX's words. Pure.

Sources: SPDX's list of licences, and the short names of Debian's machine-readable copyright file 1.0, chapter 7.1.
A name is translated only where both mean the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_GNU = re.compile(
    r"(?P<family>A?GPL|LGPL|GFDL)-(?P<version>[0-9]+(?:\.[0-9]+)?)(?P<later>\+|-or-later|-only)?", re.IGNORECASE
)
_GNU_VERSIONS = {
    "AGPL": {"1": "1.0", "1.0": "1.0", "3": "3.0", "3.0": "3.0"},
    "GPL": {"1": "1.0", "1.0": "1.0", "2": "2.0", "2.0": "2.0", "3": "3.0", "3.0": "3.0"},
    "LGPL": {"2": "2.0", "2.0": "2.0", "2.1": "2.1", "3": "3.0", "3.0": "3.0"},
    "GFDL": {"1.1": "1.1", "1.2": "1.2", "1.3": "1.3"},
}
# By lower case.
_NAMES = {
    "apache-1.0": "Apache-1.0",
    "apache-2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "artistic-1.0": "Artistic-1.0",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "bsl-1.0": "BSL-1.0",
    "0bsd": "0BSD",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cddl-1.0": "CDDL-1.0",
    "cpl-1.0": "CPL-1.0",
    "curl": "curl",
    "expat": "MIT",
    "fsful": "FSFUL",
    "fsfullr": "FSFULLR",
    "isc": "ISC",
    "lppl-1.0": "LPPL-1.0",
    "lppl-1.3c": "LPPL-1.3c",
    "mit-0": "MIT-0",
    "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0",
    "openssl": "OpenSSL",
    "perl": "Artistic-1.0-Perl OR GPL-1.0-or-later",
    "python-2.0": "Python-2.0",
    "qpl-1.0": "QPL-1.0",
    "unicode-dfs-2016": "Unicode-DFS-2016",
    "unlicense": "Unlicense",
    "w3c": "W3C",
    "zlib": "Zlib",
    "zpl-2.1": "ZPL-2.1",
}


def spdx_name(name: str) -> str | None:
    """An expression of SPDX for one name; None where it has none that is sure."""
    if found := _NAMES.get(name.lower()):
        return found
    if gnu := _GNU.fullmatch(name):
        family = gnu["family"].upper()
        if version := _GNU_VERSIONS[family].get(gnu["version"]):
            return f"{family}-{version}-{'or-later' if gnu['later'] in {'+', '-or-later'} else 'only'}"
    return None


def spdx_names() -> Iterator[str]:
    """Every name of SPDX's list that `spdx_name` can give."""
    for one in _NAMES.values():
        yield from one.split(" OR ")
    for family, versions in _GNU_VERSIONS.items():
        for version in set(versions.values()):
            yield from (f"{family}-{version}-only", f"{family}-{version}-or-later")
