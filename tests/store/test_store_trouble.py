# SPDX-License-Identifier: Apache-2.0
"""kill -9, Ctrl-C and a full disk, by real means."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.trouble import OtherProcess
from zaffre.digest import sha256_bytes, sha256_file
from zaffre.errors import DiskFullError, WorldError
from zaffre.store import Action, ActionResult, Store

ACTION = Action("k", "l", {}, "")

HANGING = """
def produce(scratch):
    (scratch / "half").write_bytes(b"x" * 100000)
    store.add_bytes(b"an output")
    print("working", flush=True)
    time.sleep(600)
store.perform(Action("k", "l", {}, ""), produce)
"""

ADDING = """
print("working", flush=True)
while True:
    file = store.root.parent / f"source-{os.getpid()}"
    file.write_bytes(os.urandom(6 << 20))
    store.add_file(file)
    store.add_bytes(os.urandom(100000))
    store.remember("label", {"x": "y" * 100000})
"""


def unsound(store: Store) -> list[Path]:
    """Files under a final name that don't have its content."""
    return [path for path in (store.root / "blobs").glob("*/*") if sha256_file(path) != path.name]


BEGINNING = """
import signal
from zaffre.store import session
take = session.acquire
def interrupted(*words, **options):
    if options.get("wait") is False and words[0].exists():
        os.kill(os.getpid(), signal.SIGINT)
    return take(*words, **options)
session.acquire = interrupted
try:
    with store.scratch("x"):
        print("it was not interrupted", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_at_the_very_beginning_leaves_nothing(store: Store, other: Callable[[str], OtherProcess]) -> None:
    process = other(BEGINNING)
    assert process.line() == "interrupted"
    process.wait()
    assert list((store.root / "tmp").iterdir()) == []


def test_kill_9_in_the_middle_of_an_action(store: Store, other: Callable[[str], OtherProcess]) -> None:
    process = other(HANGING)
    assert process.line() == "working"
    process.kill()
    assert store.lookup(ACTION.key) is None
    assert not store.perform(ACTION, lambda _: ActionResult({"o": store.add_bytes(b"done")}, {})).cached
    assert store.perform(ACTION, lambda _: pytest.fail("cached")).cached
    sessions = [path for path in (store.root / "tmp").iterdir() if path.is_dir()]
    assert len(sessions) == 1, "what the killed process left has been removed"
    assert list(sessions[0].iterdir()) == []


def test_the_waiting_process_goes_on_when_the_working_one_is_killed(
    store: Store, other: Callable[[str], OtherProcess]
) -> None:
    first = other(HANGING)
    assert first.line() == "working"
    second = other(HANGING.replace("time.sleep(600)", "return ActionResult({}, {})"))
    time.sleep(0.3)
    first.kill()
    assert second.wait() == (0, "working\n")


def test_kill_9_while_files_are_added(store: Store, other: Callable[[str], OtherProcess]) -> None:
    rng = random.Random(1)
    for number in range(1, 9):
        process = other(ADDING)
        process.line()
        time.sleep(rng.uniform(0.0, 0.05 * number))
        process.kill()
    assert list((store.root / "blobs").glob("*/*")), "something was added before the kills"
    assert unsound(store) == []
    assert store.verify(repair=False).sound
    store.add_bytes(b"the next user cleans up")
    left = [path.name for path in (store.root / "tmp").iterdir()]
    assert len(left) == 2, f"this process's directory and its lock: {left}"


def test_ctrl_c_leaves_nothing_and_the_action_works_again(store: Store, other: Callable[[str], OtherProcess]) -> None:
    process = other(HANGING)
    assert process.line() == "working"
    process.interrupt()
    code, _ = process.wait()
    assert code != 0
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").glob("n-action*")) == []
    assert not store.perform(ACTION, lambda _: ActionResult({}, {})).cached


def assert_full(caught: pytest.ExceptionInfo[DiskFullError], disk: Path) -> None:
    error = caught.value
    assert str(disk) in error.brief
    assert "zaffre store gc" in str(error.resolution)
    assert error.exit_code == 3


def files_below(path: Path) -> list[Path]:
    return [inner for inner in path.rglob("*") if inner.is_file() and inner.suffix != ".lock"]


def test_a_full_disk_while_adding_a_file(small_disk: Path, tmp_path: Path) -> None:
    store = Store(small_disk / "store")
    (tmp_path / "big").write_bytes(os.urandom(12 << 20))
    with pytest.raises(DiskFullError) as caught:
        store.add_file(tmp_path / "big")
    assert_full(caught, small_disk)
    assert (tmp_path / "big").exists()
    assert files_below(small_disk / "store" / "blobs") == []
    assert files_below(small_disk / "store" / "tmp") == []
    assert shutil.disk_usage(small_disk).free > 7 << 20


def test_a_full_disk_while_adding_bytes(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    with pytest.raises(DiskFullError) as caught:
        store.add_bytes(b"x" * (9 << 20))
    assert_full(caught, small_disk)
    assert files_below(small_disk / "store" / "blobs") == []
    assert store.add_bytes(b"small") == sha256_bytes(b"small")


def test_a_full_disk_within_an_action_then_again(small_disk: Path) -> None:
    store = Store(small_disk / "store")

    def produce(scratch: Path) -> ActionResult:
        with (scratch / "out").open("wb") as file:
            for _ in range(20):
                file.write(os.urandom(1 << 20))
        return ActionResult({"out": store.add_file(scratch / "out", move=True)}, {})

    with pytest.raises(DiskFullError) as caught:
        store.perform(ACTION, produce)
    assert_full(caught, small_disk)
    assert store.lookup(ACTION.key) is None
    assert files_below(small_disk / "store" / "tmp") == []
    assert not store.perform(ACTION, lambda _: ActionResult({"o": store.add_bytes(b"small")}, {})).cached


def test_a_full_disk_while_recording(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    action = Action("k", "l", {"long": "x" * (9 << 20)}, "")
    with pytest.raises(DiskFullError) as caught:
        store.perform(action, lambda _: ActionResult({}, {}))
    assert_full(caught, small_disk)
    assert store.lookup(action.key) is None
    left = files_below(small_disk / "store")
    assert left
    assert {path.parent for path in left} == {store.root / "locks"}


def test_a_store_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorldError, match="the store cannot be made: Not a directory") as caught:
        Store(tmp_path / "file" / "store")
    assert "ZAFFRE_STORE" in str(caught.value.resolution)


def test_a_disk_without_any_room_is_told_at_once(small_disk: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=64k"], check=False, capture_output=True)

    def use() -> None:
        store = Store(small_disk / "store")
        for number in range(10_000):
            store.add_bytes(str(number).encode())

    with pytest.raises(DiskFullError) as caught:
        use()
    assert_full(caught, small_disk)


def test_a_full_disk_while_making_a_tree(small_disk: Path) -> None:
    def fill(root: Path) -> None:
        (root / "file").write_bytes(b"x" * (9 << 20))

    store = Store(small_disk / "store")
    with pytest.raises(DiskFullError) as caught:
        store.add_tree(ACTION.key, fill)
    assert_full(caught, small_disk)
    assert store.tree(ACTION.key) is None
