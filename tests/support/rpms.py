# SPDX-License-Identifier: Apache-2.0
"""Small RPM packages made by rpmbuild, signed here, and repositories of them that can be made wrong in any way.

    built = build_rpms([Rpm("hello", requires=("libgreet",))], sandbox=sandbox, store=store)
    repository = RpmRepository("main/x86_64")
    repository.add(signed(built["hello"], key))
    repository.publish([key])
    with Mirror({"rpms": repository.archive}) as mirror: ...

Bodies of packages come from rpmbuild in the tools tree and what is said of them from createrepo_c, so that neither
is in our own words. Signing, repomd.xml and metalinks are done here, for tests need wrong ones too.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import createrepo_c
from pysequoia import ArmorKind, Sig, SignatureMode, Tsk, armor, sign
from pysequoia.packet import PacketPile

from support.repository import NOW, PACKERS, Archive
from zaffre.digest import Sha256
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult, Store

_COMMON = "http://linux.duke.edu/metadata/"
_MACROS = {
    "_topdir": "/tmp/build",
    "_rpmdir": "/job/packages",
    "_tmppath": "/tmp",
    "_dbpath": "/tmp/rpmdb",
    "_buildhost": "test.example",
    "_rpmfilename": "%%{NAME}.rpm",
    "debug_package": "%{nil}",
    "__os_install_post": "%{nil}",
    "__find_requires": "%{nil}",
    "_use_internal_dependency_generator": "0",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
}
_EPOCH = "1700000000"


@dataclass(frozen=True)
class Rpm:
    """A package. `files` maps paths to contents; `requires` and the others are written as in a spec.

    `links` maps further names to files that they are hard links to.
    """

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: int = 0
    noarch: bool = False
    source: str = ""
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    scriptlets: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What `build_rpms` calls it."""
        return f"{self.name}-{self.version}-{self.release}"

    @property
    def spec(self) -> str:
        """A spec with one binary package, which is a sub-package where its source has another name."""
        source = self.source or self.name
        relations = {
            "Requires": self.requires,
            "Provides": self.provides,
            "Conflicts": self.conflicts,
            "Obsoletes": self.obsoletes,
            "Recommends": self.recommends,
        }
        tags = [f"{tag}: {word}" for tag, words in relations.items() for word in words]
        if self.noarch:
            tags.append("BuildArch: noarch")
        epoch = [f"Epoch: {self.epoch}"] if self.epoch else []
        head = [f"Name: {source}", *epoch, f"Version: {self.version}", f"Release: {self.release}"]
        head += ["Summary: a test package", "License: CC0-1.0"]
        sub = source != self.name
        if sub:
            head += ["%description", "nothing", "", f"%package -n {self.name}", "Summary: a test package"]
        option = f" -n {self.name}" if sub else ""
        body = [*head, *tags, f"%description{option}", f"the test package {self.name}", "", "%install"]
        body += ["mkdir -p %{buildroot}"]
        for path, content in self.files.items():
            body.append(f"mkdir -p %{{buildroot}}{Path(path).parent} && printf %s '{content}' > %{{buildroot}}{path}")
        body += [f"ln %{{buildroot}}{target} %{{buildroot}}{path}" for path, target in self.links.items()]
        return "\n".join([*body, "", self.scriptlets, "", f"%files{option}", *self.files, *self.links, ""])


def build_rpms(packages: Sequence[Rpm], *, sandbox: Sandbox, store: Store) -> dict[str, bytes]:
    """Their files by `Rpm.key`, unsigned. Kept in the store, so that rpmbuild runs once."""
    action = Action(
        kind="test-rpms",
        label="RPM packages for tests",
        inputs={
            "specs": {package.key: package.spec for package in packages},
            "macros": dict(_MACROS),
            "tools": sandbox.tools.key,
        },
        reason="tests need packages that rpmbuild made",
    )

    def produce(scratch: Path) -> ActionResult:
        outputs: dict[str, Sha256] = {}
        for package in packages:
            job = scratch / package.key
            (job / "packages").mkdir(parents=True)
            (job / "package.spec").write_text(package.spec)
            defines = [word for name, value in _MACROS.items() for word in ("--define", f"{name} {value}")]
            sandbox.run(
                ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *defines, "/job/package.spec"],
                mounts=[Mount(job, "/job", writable=True)],
                env={"SOURCE_DATE_EPOCH": _EPOCH},
                timeout=120,
            )
            outputs[package.key] = store.add_bytes((job / "packages" / f"{package.name}.rpm").read_bytes())
        return ActionResult(outputs, {})

    result = store.perform(action, produce).result
    return {key: store.path(digest).read_bytes() for key, digest in result.outputs.items()}


def rpm_parts(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Lead, signature header (with its padding), header and payload of a package file."""
    signature_end = _header_end(data, 96)
    padded = signature_end + (-(signature_end - 96) % 8)
    header_end = _header_end(data, padded)
    return data[:96], data[96:padded], data[padded:header_end], data[header_end:]


def _header_end(data: bytes, start: int) -> int:
    count, size = struct.unpack_from(">II", data, start + 8)
    return start + 16 + 16 * count + size


def signed(data: bytes, key: Tsk, *, header: bytes | None = None) -> bytes:
    """The package with a signature of its header as rpmsign makes it; `header`: sign another one in its place."""
    lead, _, body, payload = rpm_parts(data)
    packets = PacketPile.from_bytes(sign(key.signer(), header or body, mode=SignatureMode.DETACHED))
    (packet,) = [bytes(one) for one in packets]
    entries = [
        (268 if _is_rsa(packet) else 267, 7, packet),
        (273, 6, hashlib.sha256(body).hexdigest().encode() + b"\0"),
    ]
    return lead + signature_header(entries) + body + payload


def _is_rsa(packet: bytes) -> bool:
    return "RSA" in str(Sig.from_bytes(packet).key_algorithm)


def signature_header(entries: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A signature header with entries (tag, type, data) in a region of its own, padded."""
    ordered = sorted(entries)
    store = b""
    index = b""
    for tag, kind, data in ordered:
        index += struct.pack(">IIII", tag, kind, len(store), len(data) if kind == 7 else 1)
        store += data
    # The region's trailer points back over all entries, itself included (format_header.md).
    region = struct.pack(">IIII", 62, 7, len(store), 16)
    store += struct.pack(">IIiI", 62, 7, -16 * (len(ordered) + 1), 16)
    raw = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(ordered) + 1, len(store)) + region + index + store
    return raw + b"\0" * (-len(raw) % 8)


Edit = Callable[[bytes], bytes]


class RpmRepository:
    """One repository in an archive. After `publish`, what is in `archive.files` may be changed by a test."""

    def __init__(self, path: str, archive: Archive | None = None) -> None:
        self.path = path
        self.archive = archive or Archive()
        self._packages: dict[str, bytes] = {}
        self.repomd = b""

    def add(self, data: bytes) -> str:
        """Put a package into the repository; its name of a file."""
        package = _described(data)
        name = f"Packages/{package.name}-{package.version}-{package.release}.{package.arch}.rpm"
        self._packages[name] = data
        self.archive.files[f"{self.path}/{name}"] = data
        return name

    def remove(self, name: str) -> None:
        """Take a package out, by the beginning of its file's name."""
        for one in [one for one in self._packages if one.startswith(f"Packages/{name}")]:
            del self._packages[one]
            del self.archive.files[f"{self.path}/{one}"]

    def publish(
        self,
        keys: Sequence[Tsk],
        *,
        date: datetime = NOW,
        suffix: str = ".gz",
        edit: Mapping[str, Edit] | None = None,
        edit_repomd: Edit | None = None,
        extra: Mapping[str, bytes] | None = None,
        kinds: Sequence[str] = ("primary", "filelists"),
    ) -> None:
        """Write the metadata and repomd.xml, signed by `keys` (with none: unsigned).

        `edit` changes the XML of a kind before it is hashed: wrong, and yet published like this. `extra` adds
        metadata of other kinds.
        """
        texts = {
            "primary": self._text("metadata", "common", createrepo_c.xml_dump_primary),
            "filelists": self._text("filelists", "filelists", createrepo_c.xml_dump_filelists),
        }
        data = ""
        for kind, text in {**{kind: texts[kind.removesuffix("_zck")] for kind in kinds}, **(extra or {})}.items():
            plain = (edit or {}).get(kind, bytes)(text)
            packed = PACKERS[suffix](plain)
            name = f"repodata/{hashlib.sha256(packed).hexdigest()}-{kind}.xml{suffix}"
            self.archive.files[f"{self.path}/{name}"] = packed
            data += _DATA.format(
                kind=kind,
                digest=hashlib.sha256(packed).hexdigest(),
                open_digest=hashlib.sha256(plain).hexdigest(),
                href=name,
                time=int(date.timestamp()),
                size=len(packed),
                open_size=len(plain),
            )
        repomd = f'<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="{_COMMON}repo">\n{data}</repomd>\n'.encode()
        self.sign((edit_repomd or bytes)(repomd), keys)

    def sign(self, repomd: bytes, keys: Sequence[Tsk]) -> None:
        """Put a repomd.xml in place, with a signature of each key."""
        self.repomd = repomd
        place = f"{self.path}/repodata/repomd.xml"
        self.archive.files[place] = repomd
        self.archive.files.pop(f"{place}.asc", None)
        if keys:
            self.archive.files[f"{place}.asc"] = detached(repomd, keys)

    def _text(self, root: str, namespace: str, dump: Callable[[createrepo_c.Package], str]) -> bytes:
        body = ""
        for name, data in self._packages.items():
            package = _described(data)
            package.location_href = name
            body += dump(package)
        spaces = f'xmlns="{_COMMON}{namespace}" xmlns:rpm="{_COMMON}rpm"'
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        return f'{head}\n<{root} {spaces} packages="{len(self._packages)}">\n{body}</{root}>\n'.encode()


_DATA = """\
  <data type="{kind}">
    <checksum type="sha256">{digest}</checksum>
    <open-checksum type="sha256">{open_digest}</open-checksum>
    <location href="{href}"/>
    <timestamp>{time}</timestamp>
    <size>{size}</size>
    <open-size>{open_size}</open-size>
  </data>
"""


def _described(data: bytes) -> createrepo_c.Package:
    """What createrepo_c says of a package file."""
    with tempfile.NamedTemporaryFile(suffix=".rpm") as file:
        file.write(data)
        file.flush()
        return createrepo_c.package_from_rpm(file.name, checksum_type=createrepo_c.SHA256)


def detached(data: bytes, keys: Sequence[Tsk]) -> bytes:
    """Armoured signatures of each key."""
    packets = b"".join(
        bytes(packet)
        for key in keys
        for packet in PacketPile.from_bytes(sign(key.signer(), data, mode=SignatureMode.DETACHED))
    )
    return armor(packets, ArmorKind.Signature).encode()


def metalink(current: bytes, older: Sequence[bytes] = ()) -> bytes:
    """A metalink that vouches for a repomd.xml, and for older ones, in MirrorManager's form."""

    def hashes(text: bytes) -> str:
        digests = "".join(f'<hash type="{m}">{hashlib.new(m, text).hexdigest()}</hash>' for m in ("md5", "sha256"))
        return f"<size>{len(text)}</size><verification>{digests}</verification>"

    alternates = "".join(f"<mm0:alternate>{hashes(text)}</mm0:alternate>" for text in older)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<metalink version="3.0" xmlns="http://www.metalinker.org/" '
        'xmlns:mm0="http://fedorahosted.org/mirrormanager"><files><file name="repomd.xml">'
        f"{hashes(current)}<mm0:alternates>{alternates}</mm0:alternates><resources/></file></files></metalink>\n"
    ).encode()
