# SPDX-License-Identifier: Apache-2.0
"""Package files: what a signature, a digest and a name must be, with rpm's own `rpmkeys --checksig` as the oracle."""

from __future__ import annotations

import hashlib
import struct
from datetime import timedelta
from pathlib import Path

import pytest
import solv
from hypothesis import given, settings
from hypothesis import strategies as st
from pysequoia import CipherSuite, Profile, Tsk

from support.repository import NOW, keyring, revoked, signing_key
from support.rpms import rpm_parts, signature_header, signed
from support.upstreams import said
from zaffre.errors import IntegrityError
from zaffre.sandbox import Mount, Sandbox
from zaffre.upstream import LockedPackage
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.rpm.header import Tag, read_head
from zaffre.upstream.rpm.package import verify_package

pytestmark = pytest.mark.tools

SOON = NOW + timedelta(minutes=1)


def locked(data: bytes, name: str = "app", version: str = "1.1-1", architecture: str = "amd64") -> LockedPackage:
    return LockedPackage(
        name=name,
        version=version,
        architecture=architecture,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        path=f"Packages/{name}.rpm",
        suite="main",
        archive="rpms",
        source=name,
        source_version=version,
    )


def check(folder: Path, data: bytes, key: Tsk, package: LockedPackage | None = None) -> None:
    path = folder / "package.rpm"
    path.write_bytes(data)
    verify_package(path, package or locked(data), Keyring(keyring(key), where="test.asc"), now=SOON)


def refused(folder: Path, data: bytes, key: Tsk, package: LockedPackage | None = None) -> str:
    with pytest.raises(IntegrityError) as caught:
        check(folder, data, key, package)
    return said(caught.value)


def rpmkeys(sandbox: Sandbox, folder: Path, data: bytes, certificates: bytes) -> bool:
    """rpm's own verdict, with a signature required."""
    job = folder / "oracle"
    job.mkdir(exist_ok=True)
    (job / "key.asc").write_bytes(certificates)
    (job / "package.rpm").write_bytes(data)
    script = (
        "mkdir /tmp/db && rpmkeys --dbpath /tmp/db --import /job/key.asc && "
        "rpmkeys --dbpath /tmp/db --define '_pkgverify_level all' --checksig /job/package.rpm"
    )
    return sandbox.run(["/bin/sh", "-c", script], mounts=[Mount(job, "/job")], timeout=60, check=False).returncode == 0


@pytest.fixture(scope="session")
def app(rpms: dict[str, bytes]) -> bytes:
    return rpms["app-1.1-1"]


@pytest.mark.parametrize("suite", [CipherSuite.Cv25519, CipherSuite.RSA2k, CipherSuite.P256])
def test_a_good_package_is_good_for_rpm_too(
    tmp_path: Path, app: bytes, suite: CipherSuite, tools_sandbox: Sandbox
) -> None:
    key = Tsk.generate("Suite <suite@test.example>", profile=Profile.RFC4880, cipher_suite=suite)
    data = signed(app, key)
    check(tmp_path, data, key)
    assert rpmkeys(tools_sandbox, tmp_path, data, keyring(key))


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_damage_anywhere_is_found_by_us_and_by_rpm(
    tmp_path: Path, app: bytes, key: Tsk, tools_sandbox: Sandbox
) -> None:
    data = signed(app, key)
    lead, signature, header, payload = rpm_parts(data)
    start = len(lead) + len(signature)
    for position in (start + 40, start + len(header) // 2, start + len(header) - 3, len(data) - len(payload) // 2):
        bad = _flipped(data, position)
        refused(tmp_path, bad, key)
        assert not rpmkeys(tools_sandbox, tmp_path, bad, keyring(key))


def test_a_payload_that_was_changed(tmp_path: Path, app: bytes, key: Tsk) -> None:
    message = refused(tmp_path, _flipped(signed(app, key), len(signed(app, key)) - 5), key)
    assert "payload does not have the digest that its signed header states" in message


def test_a_header_that_was_changed(tmp_path: Path, app: bytes, key: Tsk) -> None:
    lead, signature, header, payload = rpm_parts(signed(app, key))
    changed = lead + signature + header.replace(b"the test package app", b"the best package app") + payload
    message = refused(tmp_path, changed, key)
    assert "the package's signature does not count: the signature is wrong: the file was changed" in message


def test_an_unsigned_package(tmp_path: Path, app: bytes, key: Tsk, tools_sandbox: Sandbox) -> None:
    assert "the package is not signed" in refused(tmp_path, app, key)
    assert not rpmkeys(tools_sandbox, tmp_path, app, keyring(key))


def test_a_package_signed_by_a_stranger(tmp_path: Path, app: bytes, key: Tsk, tools_sandbox: Sandbox) -> None:
    data = signed(app, signing_key("Stranger <stranger@test.example>"))
    message = refused(tmp_path, data, key)
    assert "signed only by keys that are not in the keyring" in message
    assert "add it to test.asc" in message
    assert not rpmkeys(tools_sandbox, tmp_path, data, keyring(key))


def test_a_revoked_key_does_not_count(tmp_path: Path, app: bytes) -> None:
    key = signing_key("Gone <gone@test.example>")
    path = tmp_path / "package.rpm"
    path.write_bytes(signed(app, key))
    with pytest.raises(IntegrityError) as caught:
        verify_package(path, locked(b""), Keyring(keyring(revoked(key)), where="test.asc"), now=SOON)
    assert "is revoked" in said(caught.value)


def test_the_signature_of_another_package(tmp_path: Path, rpms: dict[str, bytes], key: Tsk) -> None:
    other = rpm_parts(rpms["tool-1.0-1"])[2]
    assert "does not fit the text" in refused(tmp_path, signed(rpms["app-1.1-1"], key, header=other), key)


def test_a_package_under_another_name(tmp_path: Path, app: bytes, key: Tsk) -> None:
    data = signed(app, key)
    message = refused(tmp_path, data, key, locked(data, version="9.9-1"))
    assert "the package is another one than its repository says" in message
    assert "it calls itself app 1.1-1 amd64, the lock has app 9.9-1 amd64" in message


def test_epochs_and_architectures(tmp_path: Path, rpms: dict[str, bytes], key: Tsk) -> None:
    data = signed(rpms["libgreet-2.2-1"], key)
    check(tmp_path, data, key, locked(data, "libgreet", "1:2.2-1", "all"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is not an RPM package"),
        (b"!<arch>\n" + b"x" * 200, "it is not an RPM package"),
        (b"\xed\xab\xee\xdb\x03\0\0\0" + b"\0" * 88, "a header is missing"),
        (b"\xed\xab\xee\xdb\x03\0\0\1" + b"\0" * 88, "it is a source package"),
        (
            b"\xed\xab\xee\xdb\x03\0\0\0" + b"\0" * 88 + b"\x8e\xad\xe8\x01\0\0\0\0" + b"\xff" * 8,
            "a header is announced with 4294967295 entries",
        ),
        (
            b"\xed\xab\xee\xdb\x03\0\0\0" + b"\0" * 88 + b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", 1, 1 << 25),
            "it ends within a header",
        ),
    ],
)
def test_what_is_no_package(tmp_path: Path, data: bytes, words: str, key: Tsk) -> None:
    message = refused(tmp_path, data, key)
    assert "the package is malformed" in message
    assert words in message


def test_entries_that_lie_outside_of_their_header(tmp_path: Path, app: bytes, key: Tsk) -> None:
    lead, _, header, payload = rpm_parts(app)
    head = bytearray(signature_header([(268, 7, b"x" * 40)]))
    index = head.index(struct.pack(">II", 268, 7))
    head[index + 8 : index + 12] = struct.pack(">I", 1 << 20)
    assert "an entry lies outside of the header" in refused(tmp_path, lead + bytes(head) + header + payload, key)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_breaks_more_than_the_package(
    data: st.DataObject, app: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a head holds, reading it ends in a head or in ValueError."""
    lead, signature, header, _ = rpm_parts(app)
    whole = bytearray(lead + signature + header)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "package.rpm"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        with path.open("rb") as file:
            head = read_head(file)
        for tag in Tag:
            head.header.text(tag)
    except ValueError:
        pass


def test_libsolv_orders_versions_as_rpm_does(tools_sandbox: Sandbox) -> None:
    versions = ["1.0", "1.0~rc1", "1.0^git1", "1.0.1", "1.10", "1.9", "1a", "1.a", "2:0.1", "1:9", "0:1.0", "01.0"]
    versions += ["1..0", "1_0", "1.0+z1", "1.0~~", "1.0^", "10000000000000000000", "9999999999999999999"]
    releases = ["1", "1.fc43", "1~bootstrap", "10", "2", "1+z1"]
    words = [f"{version}-1" for version in versions] + [f"1.0-{release}" for release in releases]
    pairs = [(one, other) for one in words for other in words]
    lua = "".join(f"print(rpm.vercmp('{one}', '{other}') .. ' ')" for one, other in pairs)
    done = tools_sandbox.run(["rpm", "--eval", f"%{{lua:{lua}}}"], timeout=60)
    said_by_rpm = [int(word) for word in done.stdout.decode().split()]
    pool = solv.Pool()

    def compare(one: str, other: str) -> int:
        repository = pool.add_repo("versions")
        first, second = repository.add_solvable(), repository.add_solvable()
        first.evr, second.evr = one, other
        verdict = first.evrcmp(second)
        repository.free()
        return (verdict > 0) - (verdict < 0)

    assert [compare(one, other) for one, other in pairs] == said_by_rpm
