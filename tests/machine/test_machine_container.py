# SPDX-License-Identifier: Apache-2.0
"""What is judged of a container image, and who its process runs as. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zaffre.errors import DefinitionError
from zaffre.machine import Verdict
from zaffre.machine.crun import User, user_of
from zaffre.machine.judge_container import Found, Promises, judged_container

BARE = Promises(bare=True, user="65532:65532", packages=frozenset({"ca-certificates", "libc6", "tzdata"}), channel=None)
BASE = Promises(bare=False, user=None, packages=frozenset({"apt", "libc6"}), channel="stable")
NONROOT = User(65532, 65532, "nonroot", "/home/nonroot")
SOUND = Found(
    digest="sha256:" + "0" * 64,
    user=NONROOT,
    facts={"uid": "65532", "gid": "65532", "certificates": "150", "zone": "+0200", "home": "writable"},
    static="",
    libc=True,
    dynamic="nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin",
    shell="",
    programs=(),
    packages=BARE.packages,
    update=None,
)
SOUND_BASE = replace(
    SOUND,
    user=User(0, 0, "root", "/root"),
    facts={"uid": "0", "gid": "0", "passwd": "writable"},
    dynamic="root:x:0:0:root:/root:/bin/bash",
    shell="answers",
    programs=("/usr/bin/bash", "/usr/bin/apt"),
    packages=BASE.packages,
    update="Reading package lists...",
)


def failed(found: Found, promises: Promises) -> set[str]:
    return {line.name for line in judged_container(found, promises) if line.verdict is Verdict.FAILED}


def test_sound_images_pass() -> None:
    assert failed(SOUND, BARE) == set()
    assert failed(SOUND_BASE, BASE) == set()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"facts": {}, "static": "exec format error"}, "static"),
        ({"facts": {**SOUND.facts, "uid": "0"}}, "user"),
        ({"facts": {**SOUND.facts, "passwd": "writable"}}, "user"),
        ({"programs": ("/usr/bin/dash",)}, "no-shell"),
        ({"programs": ("/usr/bin/dpkg",)}, "no-shell"),
        ({"shell": "answers"}, "no-shell"),
        ({"dynamic": "not found"}, "libc"),
        ({"facts": {**SOUND.facts, "certificates": "0"}}, "certificates"),
        ({"facts": {**SOUND.facts, "certificates": ""}}, "certificates"),
        ({"facts": {**SOUND.facts, "zone": "+0000"}}, "time-zones"),
        ({"packages": frozenset({"libc6"})}, "records"),
    ],
)
def test_each_promise_can_be_broken(change: dict[str, object], line: str) -> None:
    assert line in failed(replace(SOUND, **change), BARE)


def test_a_base_without_shell_or_repository_fails() -> None:
    assert failed(replace(SOUND_BASE, shell=""), BASE) == {"shell"}
    assert failed(replace(SOUND_BASE, update="failed: NO_PUBKEY"), BASE) == {"apt"}
    assert failed(replace(SOUND, libc=True), replace(BARE, packages=frozenset({"tzdata"}))) >= {"no-libc"}


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65533::/home/nonroot:/x\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nstaff:x:50:\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, "root", "/root")),
        ("nonroot", User(65532, 65533, "nonroot", "/home/nonroot")),
        ("65532", User(65532, 65533, "nonroot", "/home/nonroot")),
        ("nonroot:staff", User(65532, 50, "nonroot", "/home/nonroot")),
        ("1000:7", User(1000, 7, "", "/")),
        ("1000", User(1000, 0, "", "/")),
    ],
)
def test_a_user_is_found_by_the_images_own_files(rootfs: Path, text: str, user: User) -> None:
    assert user_of(rootfs, text) == user


@pytest.mark.parametrize("text", ["nobody", "nonroot:wheel"])
def test_an_unknown_user_is_said(rootfs: Path, text: str) -> None:
    with pytest.raises(DefinitionError, match="the image has no"):
        user_of(rootfs, text)


def test_files_of_the_host_are_not_read_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(DefinitionError):
        user_of(tmp_path, "nobody")
