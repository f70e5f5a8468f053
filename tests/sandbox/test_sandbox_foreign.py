# SPDX-License-Identifier: Apache-2.0
"""Programs of another processor: who runs them, and what is said where nobody does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from zaffre.errors import WorldError
from zaffre.sandbox import Mount, Sandbox, ToolsTree, emulated, foreign
from zaffre.sandbox.command import faketime_library

# elf(5): a little-endian program for EM_AARCH64 with nothing behind its header.
ARM64_PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100)
MAGIC = "7f454c460201010000000000000000000200b700"
ENTRY = (
    "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: {flags}\noffset 0\nmagic {magic}\nmask ff\n"
)


@pytest.fixture
def lets(unmet: Callable[[str], NoReturn]) -> None:
    if obstacle := foreign.kernel_obstacle():
        unmet(f"this kernel registers no emulator in a user namespace (Linux 6.7 and later do): {obstacle}")


def program(path: Path) -> Path:
    path.write_bytes(ARM64_PROGRAM)
    path.chmod(0o755)
    return path


def emulator(tools: Path, program: str) -> ToolsTree:
    path = tools / foreign.emulator_path("arm64")
    path.parent.mkdir(parents=True)
    shutil.copy(program, path)
    return ToolsTree(tools, "foreign", emulates="arm64")


@pytest.mark.usefixtures("lets")
def test_it_works_from_a_folder_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, sys.argv[1:])"
    words = foreign.emulation(emulator(tmp_path / "tools", "/bin/true"))
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "/bin/true"], cwd=tmp_path / "gone", capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("lets")
def test_whether_the_kernel_lets_us_does_not_depend_on_the_path_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # Another emulator than the one of the fixture, whose answer is remembered.
    assert foreign.emulation(emulator(tmp_path / "tools", sys.executable))


@pytest.mark.usefixtures("lets")
def test_a_program_of_another_processor_is_handed_to_the_emulator(tmp_path: Path, sandbox: Sandbox) -> None:
    """The whole way, with an emulator that only says what it was started with, in a root that has none."""
    tree = tmp_path / "a-tools-tree-with-a-long-name-as-the-store-gives-it" / ("f" * 64)
    tools = emulator(tree, "/usr/bin/echo")
    root = tmp_path / "root"
    root.mkdir()
    (root / "usr").symlink_to("/run/host/usr")
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "dev", "tmp", "run"):
        (root / name).mkdir()
    program(root / "hello")
    done = Sandbox(tools).run(["/hello", "one"], root=root, mounts=[Mount(Path("/usr"), "/run/host/usr")], timeout=30)
    assert done.stdout.decode().split() == ["/hello", "/hello", "one"]
    with pytest.raises(OSError, match="Exec format error"):
        subprocess.run([root / "hello"], check=False)
    assert not Path(emulated.BINFMT, "zaffre").exists()
    assert sandbox.run(["true"], timeout=30).returncode == 0


@pytest.mark.usefixtures("lets")
def test_ids_stay_what_they_are(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", emulated.__file__, r"\x00", r"\xff", "/bin/true"]
    before = Path("/proc/self/uid_map").read_text().split()
    done = subprocess.run([*words, "cat", "/proc/self/uid_map"], capture_output=True, text=True, check=True)
    inside, outside, length = done.stdout.split()
    assert (inside, outside, length) == (before[0], before[0], before[2])
    if os.geteuid() == 0 and int(length) > 1000:
        target = tmp_path / "owned"
        target.touch()
        subprocess.run([*words, "chown", "33:44", str(target)], check=True)
        assert (target.stat().st_uid, target.stat().st_gid) == (33, 44)


def test_tools_of_the_machine_itself_need_none() -> None:
    assert foreign.emulation(ToolsTree(Path("/"), "host")) == ()


def test_nobody_emulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an older kernel: what the host's administrator has registered is taken, else it is said what to do."""
    tools = ToolsTree(tmp_path, "foreign", emulates="arm64")  # without an emulator in it
    assert not (tmp_path / foreign.emulator_path("arm64")).exists()
    monkeypatch.setattr(foreign, "registered_by_host", lambda _: False)
    with pytest.raises(WorldError) as caught:
        foreign.emulation(tools)
    assert "programs of arm64 cannot be run here" in str(caught.value)
    assert "qemu-user-static" in (caught.value.resolution or "")
    monkeypatch.setattr(foreign, "registered_by_host", lambda _: True)
    assert foreign.emulation(tools) == ()


@pytest.mark.parametrize(
    ("flags", "magic", "usable"),
    [("POCF", MAGIC, True), ("F", MAGIC, True), ("OC", MAGIC, False), ("F", MAGIC.replace("b700", "f300"), False)],
)
def test_what_the_host_has_registered(tmp_path: Path, flags: str, magic: str, *, usable: bool) -> None:
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").touch()
    (tmp_path / "qemu-aarch64").write_text(ENTRY.format(flags=flags, magic=magic))
    assert foreign.registered_by_host("arm64", folder=tmp_path) is usable
    assert not foreign.registered_by_host("amd64", folder=tmp_path)
    assert not foreign.registered_by_host("arm64", folder=tmp_path / "absent")


def test_each_processor_has_its_own_clock(tmp_path: Path) -> None:
    for triplet in ("aarch64-linux-gnu", "x86_64-linux-gnu"):
        folder = tmp_path / "usr/lib" / triplet / "faketime"
        folder.mkdir(parents=True)
        (folder / "libfaketime.so.1").touch()
    tools = ToolsTree(tmp_path, "foreign", emulates="arm64")
    assert "x86_64" in str(faketime_library(tools))
    assert "aarch64" in str(faketime_library(tools, architecture="arm64"))
