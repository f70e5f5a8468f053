# SPDX-License-Identifier: Apache-2.0
"""What is done in place of scripts: users, and the bundle of certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaffre.definition import User
from zaffre.errors import IntegrityError
from zaffre.image.bare import account_files, certificate_bundle
from zaffre.tree import pack, scan


def test_users_are_there_with_their_groups() -> None:
    users = (
        User(name="nonroot", uid=65532, home="/home/nonroot"),
        User(name="worker", uid=1000, gid=1001, groups=("nonroot", "elsewhere")),
    )
    files = account_files(users)
    assert files["etc/passwd"].splitlines() == [
        "root:x:0:0:root:/root:/usr/sbin/nologin",
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin",
        "worker:x:1000:1001:worker:/nonexistent:/usr/sbin/nologin",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ]
    assert files["etc/group"].splitlines() == [
        "root:x:0:",
        "nonroot:x:65532:worker",
        "worker:x:1001:",
        "nogroup:x:65534:",
    ]


def archive_of(tmp_path: Path, files: dict[str, str]) -> Path:
    root, archive = tmp_path / "root", tmp_path / "root.tar"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with archive.open("wb") as out:
        pack(root, scan(root), out, mtime=lambda _: 0)
    return archive


def certificate(name: str, end: str = "\n") -> str:
    return f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----{end}"


def test_certificates_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = "usr/share/ca-certificates/mozilla"
    archive = archive_of(
        tmp_path,
        {
            f"{folder}/b.crt": certificate("b"),
            f"{folder}/a.crt": certificate("a", end=""),
            f"{folder}/README": "no certificate",
            "etc/other.crt": certificate("other"),
        },
    )
    assert certificate_bundle(archive).decode() == certificate("a") + certificate("b")


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"usr/share/ca-certificates/a.crt": "DER"})
    with pytest.raises(IntegrityError, match="not PEM"):
        certificate_bundle(archive)


def test_a_root_without_certificates_has_no_bundle(tmp_path: Path) -> None:
    assert certificate_bundle(archive_of(tmp_path, {"etc/motd": ""})) == b""
