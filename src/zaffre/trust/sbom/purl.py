# SPDX-License-Identifier: Apache-2.0
"""Package URLs of packages, as scanners want them, and the parts of versions. Pure.

Source: the purl specification (ECMA-427) and its types `deb` and `rpm`. `upstream` is syft's and Trivy's word for the
source package; `distro` is what a scanner takes the release from. packageurl-python is the tests' oracle.

The name space is the upstream's also for what was built here: Trivy drops packages of any other without a word, and
what was rebuilt is still the upstream's source, with its holes. That it was built here is said beside it.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from zaffre.bill import Bill, BillPackage

_SAFE = ":"
_ESCAPES = {number: quote(chr(number), safe=_SAFE) for number in range(128)}


class Version(NamedTuple):
    """The parts of a package's version (deb-version(7), rpm's is alike). `release` is "" where there is none."""

    epoch: int
    version: str
    release: str


def parts(text: str) -> Version:
    """Of `[epoch:]version[-release]`."""
    head, colon, rest = text.partition(":")
    epoch, plain = (int(head), rest) if colon and head.isdecimal() else (0, text)
    version, dash, release = plain.rpartition("-")
    return Version(epoch, version, release) if dash else Version(epoch, plain, "")


def distro(bill: Bill) -> str:
    """`debian-13`."""
    return f"{bill.system.id}-{bill.system.version}"


def binary_purl(bill: Bill, package: BillPackage) -> str:
    source = package.source
    if package.source_version != package.version:
        source = f"{source}@{package.source_version}"
    architecture = dict(bill.purls.architectures).get(package.architecture, package.architecture)
    return _purl(bill, package.name, package.version, {"arch": architecture, "upstream": source})


def source_purl(bill: Bill, package: BillPackage) -> str:
    return _purl(bill, package.source, package.source_version, {"arch": bill.purls.source})


def _purl(bill: Bill, name: str, version: str, said: dict[str, str]) -> str:
    form = bill.purls
    if form.lower_case:
        name = name.lower()
    if form.epoch_apart and ":" in version:
        epoch, version = parts(version).epoch, version.partition(":")[2]
        said = {**said, "epoch": str(epoch)} if epoch else said
    said = {**said, "distro": distro(bill)}
    qualifiers = "&".join([f"{key}={_quoted(said[key])}" for key in sorted(said)])
    return f"pkg:{form.type}/{_quoted(bill.system.id.lower())}/{_quoted(name)}@{_quoted(version)}?{qualifiers}"


def _quoted(text: str) -> str:
    """Unreserved characters of RFC 3986 and the colon stay."""
    return text.translate(_ESCAPES) if text.isascii() else quote(text, safe=_SAFE)
