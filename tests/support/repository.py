# SPDX-License-Identifier: Apache-2.0
"""A signed apt repository made on the spot, and a mirror of it on the loopback that can misbehave.

    key = signing_key()
    archive = Archive()
    archive.add(Deb("hello", depends="libc6"))
    archive.publish(keys=[key], suite="stable")
    with Mirror({"debian": archive}) as mirror:
        mirror.url                     # http://127.0.0.1:…; archives at /debian, …
        mirror.fault("debian/dists/stable/InRelease", Fault(status=404))

The packages are real: dpkg and apt take them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard
from pysequoia import ArmorKind, Cert, Profile, SignatureMode, Tsk, armor, sign
from pysequoia.packet import PacketPile

NOW = datetime.now(UTC).replace(microsecond=0)
"""The tests' time: signatures are made by the machine's own clock, so it can only be about now."""

_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"


def signing_key(owner: str = "Test Archive <archive@test.example>", *, valid: timedelta | None = None) -> Tsk:
    """A fresh key (Ed25519); with `valid`, it expires that long from now."""
    seconds = int(valid.total_seconds()) if valid is not None else None
    return Tsk.generate(owner, profile=Profile.RFC4880, validity_seconds=seconds)


def keyring(*keys: Tsk | Cert) -> bytes:
    """Armoured certificates, one block after the other, as a definition has them."""
    certs = [key.extract_certificate() if isinstance(key, Tsk) else key for key in keys]
    return "\n".join(str(cert) for cert in certs).encode()


def revoked(key: Tsk) -> Cert:
    cert = key.extract_certificate()
    return Cert.from_bytes(bytes(cert) + bytes(cert.revoke(key.certifier())))


def sign_clear(text: bytes, keys: Sequence[Tsk]) -> bytes:
    """A cleartext-signed text with one signature of each key, as archives make it."""
    parts = [sign(key.signer(), text, mode=SignatureMode.CLEAR) for key in keys]
    head = parts[0].partition(_SIGNATURE)[0]
    packets = b"".join(
        bytes(packet) for part in parts for packet in PacketPile.from_bytes(_SIGNATURE + part.partition(_SIGNATURE)[2])
    )
    return head + armor(packets, ArmorKind.Signature).encode()


@dataclass(frozen=True)
class Deb:
    """A package. `files` maps paths to contents; a content that is a str starting with '->' is a link."""

    name: str
    version: str = "1.0"
    architecture: str = "all"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    def control(self) -> dict[str, str]:
        return {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Test Archive <archive@test.example>",
            **self.fields,
            "Description": f"the test package {self.name}",
        }

    def build(self) -> bytes:
        control = {"control": ("".join(f"{key}: {value}\n" for key, value in self.control().items()), 0o644)}
        control |= {name: (text, 0o755) for name, text in self.scripts.items()}
        inner = _tar((f"./{name}", text, mode) for name, (text, mode) in control.items())
        outer = _tar((f"./{path.lstrip('/')}", content, 0o644) for path, content in sorted(self.files.items()))
        members = {"debian-binary": b"2.0\n", "control.tar.xz": _xz(inner), "data.tar.xz": _xz(outer)}
        return b"!<arch>\n" + b"".join(
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
            for name, data in members.items()
        )

    @property
    def path(self) -> str:
        version = self.version.partition(":")[2] or self.version
        return f"pool/main/{self.name[0]}/{self.name}/{self.name}_{version}_{self.architecture}.deb"


@dataclass(frozen=True)
class DebSource:
    """A source package: its .dsc and its other files by name. `binaries` are what it says that it gives."""

    name: str
    version: str
    files: Mapping[str, bytes]
    binaries: Sequence[str] = ()

    @property
    def folder(self) -> str:
        return f"pool/main/{self.name[0]}/{self.name}"

    def stanza(self) -> str:
        sums = "".join(f"\n {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in self.files.items())
        return (
            f"Package: {self.name}\nBinary: {', '.join(self.binaries or [self.name])}\nVersion: {self.version}\n"
            f"Directory: {self.folder}\nChecksums-Sha256:{sums}\n"
        )


def native_source(name: str, version: str, files: Mapping[str, str], *, binaries: Sequence[str] = ()) -> DebSource:
    """A source of format 3.0 (native), as dpkg-source makes it; names that end in debian/rules can be run."""
    entries = (
        (f"{name}-{version}/{path}", text, 0o755 if path == "debian/rules" else 0o644) for path, text in files.items()
    )
    archive, data = f"{name}_{version}.tar.xz", _xz(_tar(entries))
    sums = {
        field: f"\n {hashlib.new(method, data).hexdigest()} {len(data)} {archive}"
        for field, method in (("Checksums-Sha1", "sha1"), ("Checksums-Sha256", "sha256"), ("Files", "md5"))
    }
    dsc = (
        f"Format: 3.0 (native)\nSource: {name}\nBinary: {', '.join(binaries or [name])}\nArchitecture: any\n"
        f"Version: {version}\nMaintainer: Test Archive <archive@test.example>\n"
        + "".join(f"{field}:{text}\n" for field, text in sums.items())
    )
    return DebSource(name, version, {f"{name}_{version}.dsc": dsc.encode(), archive: data}, binaries)


def _tar(entries: Iterable[tuple[str, str | bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        made: set[str] = set()
        for name, content, mode in entries:
            for parent in [*reversed(Path(name).parents)]:
                if str(parent) not in made and str(parent) != ".":
                    made.add(str(parent))
                    folder = tarfile.TarInfo(f"./{parent}")
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(folder)
            info = tarfile.TarInfo(name)
            info.mode = mode
            if isinstance(content, str) and content.startswith("->"):
                info.type, info.linkname = tarfile.SYMTYPE, content[2:]
                archive.addfile(info)
            else:
                data = content.encode() if isinstance(content, str) else content
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".xz": _xz,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


class Archive:
    """The files of one archive. `files` may be changed by a test, before or after `publish`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._stanzas: dict[str, list[tuple[Deb, str]]] = {}
        self._sources: dict[str, list[DebSource]] = {}

    def add(self, deb: Deb, *, suite: str = "stable") -> bytes:
        """Put a package into the pool and into a suite (which must be published again); its bytes."""
        data = deb.build()
        self.files[deb.path] = data
        facts = {
            **deb.control(),
            "Filename": deb.path,
            "Size": str(len(data)),
            "SHA256": hashlib.sha256(data).hexdigest(),
        }
        stanza = "".join(f"{key}: {value}\n" for key, value in facts.items())
        self._stanzas.setdefault(suite, []).append((deb, stanza))
        return data

    def add_source(self, source: DebSource, *, suite: str = "stable") -> None:
        """Put a source package into the pool and into a suite, which then has an index of sources."""
        for name, data in source.files.items():
            self.files[f"{source.folder}/{name}"] = data
        self._sources.setdefault(suite, []).append(source)

    def remove_source(self, name: str, *, suite: str = "stable") -> None:
        """Take a source package out of a suite."""
        self._sources[suite] = [source for source in self._sources[suite] if source.name != name]

    def remove(self, name: str, *, suite: str = "stable") -> None:
        """Take a package out of a suite and, as archives do, out of the pool."""
        for deb, _ in self._stanzas[suite]:
            if deb.name == name:
                self.files.pop(deb.path, None)
        self._stanzas[suite] = [(deb, stanza) for deb, stanza in self._stanzas[suite] if deb.name != name]

    def publish(
        self,
        keys: Sequence[Tsk],
        *,
        suite: str = "stable",
        date: datetime = NOW,
        valid_until: datetime | None = None,
        by_hash: bool = True,
        suffixes: Sequence[str] = (".xz",),
        architectures: Sequence[str] = ("amd64",),
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Write the suite's indexes and its InRelease, signed by `keys` (with none: unsigned)."""
        lines: list[str] = []
        indexes = {
            f"main/binary-{architecture}/Packages": [
                stanza for deb, stanza in self._stanzas.get(suite, []) if deb.architecture in {architecture, "all"}
            ]
            for architecture in architectures
        }
        if suite in self._sources:
            indexes["main/source/Sources"] = [source.stanza() for source in self._sources[suite]]
        for name, stanzas in indexes.items():
            plain = "\n".join(stanzas).encode()
            lines.append(f" {hashlib.sha256(plain).hexdigest()} {len(plain)} {name}")
            for suffix in suffixes:
                data = PACKERS[suffix](plain)
                digest = hashlib.sha256(data).hexdigest()
                folder = f"dists/{suite}/{name.rpartition('/')[0]}"
                self.files[f"dists/{suite}/{name}{suffix}"] = data
                if by_hash:
                    self.files[f"{folder}/by-hash/SHA256/{digest}"] = data
                if suffix:
                    lines.append(f" {digest} {len(data)} {name}{suffix}")
        release = {
            "Origin": "Test",
            "Suite": suite,
            "Codename": suite,
            "Date": format_datetime(date),
            **({"Valid-Until": format_datetime(valid_until)} if valid_until is not None else {}),
            **({"Acquire-By-Hash": "yes"} if by_hash else {}),
            "Architectures": " ".join(architectures),
            "Components": "main",
            **(fields or {}),
        }
        text = "".join(f"{key}: {value}\n" for key, value in release.items()) + "SHA256:\n" + "\n".join(lines) + "\n"
        self.files[f"dists/{suite}/InRelease"] = sign_clear(text.encode(), keys) if keys else text.encode()


@dataclass
class Fault:
    """How a mirror misbehaves for a path. `times`: only so often (None: always); sizes in bytes, times in seconds.

    `drip`: bytes every 50 ms. `hang`: bytes after which it falls silent with the connection open.
    """

    status: int = 200
    truncate: int | None = None
    flip: bool = False
    endless: bool = False
    delay: float = 0.0
    drip: int = 0
    hang: int | None = None
    no_range: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None


@dataclass(frozen=True)
class Request:
    path: str
    range: str | None
    authorization: str | None


class Mirror:
    """Archives served by HTTP/1.1 on a free port of the loopback, each below its name; Range is supported.

    With `tls`, by HTTPS.
    """

    def __init__(self, archives: Mapping[str, Archive], *, tls: ssl.SSLContext | None = None) -> None:
        self.archives = dict(archives)
        self.requests: list[Request] = []
        self._faults: list[tuple[str, Fault]] = []
        self._guard = threading.Lock()
        mirror = self

        class Handler(_Handler):
            owner = mirror

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(self, pattern: str, fault: Fault) -> None:
        """Misbehave for paths (`debian/dists/stable/InRelease`) that match the pattern; the first fault counts."""
        self._faults.append((pattern, fault))

    def mend(self) -> None:
        self._faults.clear()

    def served(self, pattern: str) -> list[Request]:
        return [request for request in self.requests if fnmatch(request.path, pattern)]

    def take_fault(self, path: str) -> Fault:
        with self._guard:
            for pattern, fault in self._faults:
                if fnmatch(path, pattern) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return Fault()

    def find(self, path: str) -> bytes | None:
        name, _, rest = path.partition("/")
        archive = self.archives.get(name)
        return archive.files.get(rest) if archive is not None else None


class _Handler(BaseHTTPRequestHandler):
    owner: Mirror
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests look at `Mirror.requests`."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/").replace("%2B", "+")
        asked = self.headers.get("Range")
        self.owner.requests.append(Request(path, asked, self.headers.get("Authorization")))
        fault = self.owner.take_fault(path)
        if fault.delay:
            self.owner.stopping.wait(fault.delay)
        data = self.owner.find(path)
        if fault.status != 200 or data is None:
            self._send(fault.status if fault.status != 200 else 404, b"not here\n", fault)
        elif fault.endless:
            self._endless()
        else:
            if fault.flip:
                data = bytes([data[0] ^ 1]) + data[1:]
            start = 0
            if asked and asked.startswith("bytes=") and not fault.no_range:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start and start >= len(data):
                self._send(416, b"", fault)
            elif start:
                self._send(206, data[start:], fault, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
            else:
                self._send(200, data, fault)

    def _send(self, status: int, body: bytes, fault: Fault, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        closing = {"Connection": "close"} if fault.drip else {}
        for key, value in {**fault.headers, **(headers or {}), **closing, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if fault.truncate is not None and len(body) > fault.truncate:
            self.wfile.write(body[: fault.truncate])
            self.close_connection = True
            return
        try:
            if fault.hang is not None:
                self.wfile.write(body[: fault.hang])
                self.wfile.flush()
                self.owner.stopping.wait(30)
            elif fault.drip:
                for position in range(0, len(body), fault.drip):
                    self.wfile.write(body[position : position + fault.drip])
                    self.wfile.flush()
                    if self.owner.stopping.wait(0.05):
                        break
            else:
                self.wfile.write(body)
                return
        except OSError:
            pass
        self.close_connection = True

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline and not self.owner.stopping.is_set():
                self.wfile.write(b"\0" * 65536)
        except OSError:
            pass
