# SPDX-License-Identifier: Apache-2.0
"""Other people's scanners, with vulnerability data that is written here: Trivy, debsecan.

What they find is (binary package, CVE). `scripts/setup tests` installs both.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from zaffre.advisory.model import Advisory

Found = set[tuple[str, str]]
_PAGE = 4096
_SECONDS = 300


def needed(program: str) -> str:
    """Path of a scanner. What is missing skips a test on a laptop and fails it in CI."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed (scripts/setup tests)")
        pytest.skip(f"{program} is not installed (scripts/setup tests)")
    return found


def trivy(kind: str, target: Path, advisories: Iterable[Advisory], folder: Path, *, system: str = "debian 13") -> Found:
    """What Trivy finds in a root ("rootfs") or an SBOM ("sbom") by a database of these advisories alone."""
    program = needed("trivy")
    database = folder / "cache/db"
    database.mkdir(parents=True, exist_ok=True)
    write_database(database, advisories, system)
    options = ["--cache-dir", str(folder / "cache"), "--skip-db-update", "--skip-java-db-update", "--offline-scan"]
    argv = [program, kind, *options, "--scanners", "vuln", "--format", "json", "--quiet", str(target)]
    done = subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads(done.stdout).get("Results") or []
    return {
        (one["PkgName"], one["VulnerabilityID"]) for result in results for one in result.get("Vulnerabilities") or []
    }


def debsecan(status: Path, advisories: Iterable[Advisory], folder: Path) -> Found:
    """What debsecan finds in dpkg's status file by these advisories alone."""
    program = needed("debsecan")
    names: dict[str, int] = {}
    lines = []
    for one in advisories:
        number = names.setdefault(one.cves[0], len(names))
        # Flags: a source package, no urgency, not remote, a fix is there.
        fixed = one.ranges[0].fixed
        lines.append(f"{one.package},{number},S  {'F' if fixed else ' '},{fixed or ''},")
    head = "".join(f"{name},,a test\n" for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    data = f"VERSION 1\n{head}\n" + "".join(f"{line}\n" for line in lines) + "\n\n"
    (folder / "trixie").write_bytes(zlib.compress(data.encode()))
    source = folder.absolute().as_uri()
    argv = [program, "--suite", "trixie", "--source", source, "--status", str(status), "--format", "simple"]
    done = subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    pairs = (line.split() for line in done.stdout.decode().splitlines())
    return {(package, cve) for cve, package in pairs}


def write_database(folder: Path, advisories: Iterable[Advisory], system: str) -> None:
    """Trivy's database (https://github.com/aquasecurity/trivy-db, schema 2): a bbolt file, and its age."""
    packages: dict[str, dict[str, bytes]] = {}
    details: dict[str, bytes] = {}
    for one in advisories:
        cve = one.cves[0]
        packages.setdefault(one.package, {})[cve] = _json({"FixedVersion": one.ranges[0].fixed or ""})
        details[cve] = _json({"Title": "a test", "Severity": "HIGH"})
    source = {system: _json({"ID": "debian", "Name": "a test", "URL": "https://tracker.example"})}
    buckets: Mapping[str, object] = {"data-source": source, system: packages, "vulnerability": details}
    (folder / "trivy.db").write_bytes(bolt_file(buckets))
    future = "2099-01-01T00:00:00Z"
    (folder / "metadata.json").write_bytes(
        _json({"Version": 2, "NextUpdate": future, "UpdatedAt": future, "DownloadedAt": future})
    )


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def bolt_file(buckets: Mapping[str, object]) -> bytes:
    """A bbolt file (https://github.com/etcd-io/bbolt, page.go and db.go) of nested buckets, written in one go."""
    pages = _Pages()
    root = pages.bucket(buckets)
    out = bytearray(pages.next * _PAGE)
    for number, content in pages.written.items():
        out[number * _PAGE : number * _PAGE + len(content)] = content
    for number in (0, 1):
        struct.pack_into("<QHHI", out, number * _PAGE, number, 0x04, 0, 0)
        meta = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, _PAGE, 0, root, 0, 2, pages.next, number)
        meta += struct.pack("<Q", _fnv1a(meta))
        out[number * _PAGE + 16 : number * _PAGE + 16 + len(meta)] = meta
    struct.pack_into("<QHHI", out, 2 * _PAGE, 2, 0x10, 0, 0)  # the list of free pages, empty
    return bytes(out)


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


_Item = tuple[int, bytes, bytes]


class _Pages:
    """Pages from the third on: two are for the meta data, one for the list of free ones."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}
        self.next = 3

    def bucket(self, content: Mapping[str, object]) -> int:
        """The page at the root of a B+ tree of that content."""
        items: list[_Item] = []
        for key, value in sorted(content.items(), key=lambda one: one[0].encode()):
            if isinstance(value, Mapping):
                items.append((1, key.encode(), struct.pack("<QQ", self.bucket(value), 0)))
            elif isinstance(value, bytes):
                items.append((0, key.encode(), value))
        level = [(group[0][1], self._leaf(group)) for group in _groups(items, lambda one: 16 + len(one[1] + one[2]))]
        if not level:
            return self._leaf([])
        while len(level) > 1:
            level = [(group[0][0], self._branch(group)) for group in _groups(level, lambda one: 16 + len(one[0]))]
        return level[0][1]

    def _leaf(self, items: Sequence[_Item]) -> int:
        rows = [(struct.pack("<I", flags), key, value) for flags, key, value in items]
        return self._page(
            0x02, len(rows), lambda at, row: row[0] + struct.pack("<III", at, len(row[1]), len(row[2])), rows
        )

    def _branch(self, children: Sequence[tuple[bytes, int]]) -> int:
        rows = [(struct.pack("<Q", page), key, b"") for key, page in children]
        return self._page(0x01, len(rows), lambda at, row: struct.pack("<II", at, len(row[1])) + row[0], rows)

    def _page(self, kind: int, count: int, element, rows) -> int:  # type: ignore[no-untyped-def]
        """Elements of 16 bytes, then keys and values; each element says how far its own are from it."""
        head, body = bytearray(), bytearray()
        for index, row in enumerate(rows):
            head += element(16 * (count - index) + len(body), row)
            body += row[1] + row[2]
        size = -(-(16 + len(head) + len(body)) // _PAGE)
        number, self.next = self.next, self.next + size
        content = struct.pack("<QHHI", number, kind, count, size - 1) + bytes(head) + bytes(body)
        self.written[number] = content
        return number


def _groups(items, weight):  # type: ignore[no-untyped-def]
    """What goes on one page: as much as fits, of a branch two at least."""
    group, size = [], 16
    for one in items:
        if len(group) > 1 and size + weight(one) > _PAGE:
            yield group
            group, size = [], 16
        group.append(one)
        size += weight(one)
    if group:
        yield group
