# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from support.trouble import OtherProcess, eventually
from zaffre.store import Action, ActionKey, ActionResult, Kind, Store, remove_tree
from zaffre.store.collect import Collector, Entry, choose
from zaffre.store.layout import Layout
from zaffre.store.locks import HeldLock, acquire
from zaffre.store.trees import Trees

KEY = ActionKey("ab" * 32)
DAY = 86_400 * 10**9


def fill(root: Path) -> None:
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "tool").write_text("tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "secret").mkdir()
    (root / "secret" / "file").write_text("x")
    (root / "secret").chmod(0)


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def entry(name: str, size: int, used: int) -> Entry:
    return Entry(Kind.BLOB, name, Path(name), size, used)


def test_age_first_then_least_recently_used() -> None:
    found = [entry("old", 10, 0), entry("a", 10, 9 * DAY), entry("b", 10, 8 * DAY), entry("new", 10, 10 * DAY)]
    chosen = choose(found, now=10 * DAY, protected_since=None, max_age_days=5, max_bytes=20)
    assert [removal.entry.name for removal in chosen] == ["old", "b"]
    assert [removal.reason for removal in chosen] == [
        "not used for 10.0 days",
        "the store is larger than 20 bytes",
    ]


def test_what_a_living_session_used_stays_whatever_the_limits() -> None:
    found = [entry("theirs", 10, 5), entry("unused", 10, 4)]
    chosen = choose(found, now=10 * DAY, protected_since=5, max_age_days=0, max_bytes=0)
    assert [removal.entry.name for removal in chosen] == ["unused"]


def test_without_limits_only_the_corrupted_go() -> None:
    found = [entry("a", 10, 0), entry("b.corrupt", 10, 0)]
    chosen = choose(found, now=10 * DAY, protected_since=None, max_age_days=None, max_bytes=None)
    assert [removal.entry.name for removal in chosen] == ["b.corrupt"]


def test_old_things_go_and_used_ones_stay(store: Store) -> None:
    old, used = store.add_bytes(b"old"), store.add_bytes(b"used")
    for digest in (old, used):
        age(store.path(digest), 40)
    store.has(used)
    dry = store.gc(max_age_days=30, max_bytes=None, dry_run=True)
    assert [removal.entry.name for removal in dry.removed] == [old]
    assert store.path(old).exists()
    age(store.path(old), 40)
    report = store.gc(max_age_days=30, max_bytes=None, dry_run=False)
    assert [removal.entry.name for removal in report.removed] == [old]
    assert report.freed_bytes == 4096
    assert (store.has(old), store.has(used)) == (False, True)


def test_an_action_whose_output_went_is_done_again(store: Store) -> None:
    action = Action("k", "l", {}, "")

    def produce(_: Path) -> ActionResult:
        return ActionResult({"o": store.add_bytes(b"x")}, {})

    store.perform(action, produce)
    store.gc(max_age_days=None, max_bytes=0, dry_run=False)
    assert store.size().total_bytes == 0
    assert not store.perform(action, produce).cached


def test_what_another_living_process_used_stays(store: Store, other: Callable[[str], OtherProcess]) -> None:
    digest, unused = store.add_bytes(b"theirs"), store.add_bytes(b"nobody's")
    for blob in (digest, unused):
        age(store.path(blob), 100)
    process = other(f"store.path({digest!r}); print('uses', flush=True); sys.stdin.read()")
    assert process.line() == "uses"
    report = store.gc(max_age_days=0, max_bytes=0, dry_run=False)
    assert report.in_use == 1
    assert report.protected_since is not None
    assert (store.root / "blobs" / digest[:2] / digest).exists()
    assert not (store.root / "blobs" / unused[:2] / unused).exists()
    process.kill()
    store.gc(max_age_days=0, max_bytes=0, dry_run=False)
    assert not store.has(digest)


def test_a_tree_in_use_stays_and_an_unused_one_goes(store: Store) -> None:
    store.add_tree(KEY, fill)
    held = store.tree(KEY)
    assert held is not None
    with held as root:
        assert (root / "bin" / "tool").read_text() == "tool"
        assert store.gc(max_age_days=0, max_bytes=0, dry_run=False).in_use == 1
        assert (root / "usr" / "bin" / "tool").exists()
    report = store.gc(max_age_days=0, max_bytes=0, dry_run=False)
    assert [removal.entry.kind for removal in report.removed] == [Kind.TREE]
    assert store.tree(KEY) is None
    assert list((store.root / "trees").iterdir()) == []


def test_a_tree_is_made_once_and_whole(store: Store) -> None:
    def fail(root: Path) -> None:
        fill(root)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.add_tree(KEY, fail)
    assert store.tree(KEY) is None
    store.add_tree(KEY, fill)
    store.add_tree(KEY, fail)
    assert store.tree(KEY) is not None


def test_adding_a_tree_that_is_in_use_does_not_wait(store: Store) -> None:
    store.add_tree(KEY, fill)
    held = store.tree(KEY)
    assert held is not None
    with held:
        Store(store.root).add_tree(KEY, lambda _: pytest.fail("it exists"))


def test_a_damaged_tree_is_found_and_removed(store: Store) -> None:
    store.add_tree(KEY, fill)
    assert store.verify(repair=False).sound
    tool = store.root / "trees" / KEY / "root" / "usr" / "bin" / "tool"
    tool.write_text("")
    assert store.verify(repair=True).corrupt_trees == (KEY,)
    assert store.tree(KEY) is None


def test_size_counts_what_lies_on_the_disk(store: Store, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    store.add_file(tmp_path / "sparse")
    store.add_bytes(b"x")
    store.add_tree(KEY, fill)
    size = store.size()
    assert (size.blobs, size.trees) == (2, 1)
    assert size.blob_bytes < 1 << 20
    assert size.total_bytes == size.blob_bytes + size.tree_bytes + size.partial_bytes


def test_leftovers_of_the_dead_go(store: Store, other: Callable[[str], OtherProcess]) -> None:
    store.add_bytes(b"this process's session")
    process = other(
        "with store.scratch('s') as s: (s / 'f').write_bytes(b'x' * 9000); print('up', flush=True); time.sleep(99)"
    )
    process.line()
    assert store.size().leftover_bytes == 0
    process.kill()
    assert store.size().leftover_bytes > 9000
    dry = store.gc(max_age_days=None, max_bytes=None, dry_run=True)
    assert [removal.entry.kind for removal in dry.removed] == [Kind.LEFTOVER]
    report = store.gc(max_age_days=None, max_bytes=None, dry_run=False)
    assert report.freed_bytes > 9000
    assert store.size().leftover_bytes == 0


def test_collecting_beside_builds_never_takes_what_they_use(store: Store, other: Callable[[str], OtherProcess]) -> None:
    builders = [
        other(
            f"""
for number in range(150):
    action = Action("k", str(number % 7), {{"n": number % 7, "p": {worker}}}, "")
    def produce(scratch):
        (scratch / "f").write_bytes(os.urandom(3000))
        return ActionResult({{"o": store.add_file(scratch / "f", move=True)}}, {{}})
    done = store.perform(action, produce)
    assert store.verified(done.result.outputs["o"])
print("well")
"""
        )
        for worker in (1, 1)
    ]
    for _ in range(60):
        store.gc(max_age_days=0, max_bytes=0, dry_run=False)
    assert [builder.wait() for builder in builders] == [(0, "well\n"), (0, "well\n")]


def test_many_things_are_taken_away_under_one_lock_and_none_that_was_used_since(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zaffre.store.collect._BATCH", 256)
    blobs = sorted(store.add_bytes(f"{number}".encode()) for number in range(600))
    for digest in blobs:
        age(store.path(digest), 40)
    layout, sessions = store._layout, store._sessions
    used = layout.blob(blobs[400])
    taken = 0

    class Counting(Layout):
        """Its second lock finds that a build has come in between."""

        def collecting(self) -> HeldLock:
            nonlocal taken
            taken += 1
            if taken == 2:
                os.utime(used)
            return super().collecting()

    collector = Collector(Counting(layout.root), sessions, Trees(layout, sessions))
    report = collector.collect(max_age_days=30, max_bytes=None, dry_run=False)
    assert taken == 3
    assert len(report.removed) == 599
    assert used.exists()
    assert list((store.root / "tmp").glob("*/*")) == []


def test_a_collection_beside_busy_builds_gets_its_turn(store: Store, other: Callable[[str], OtherProcess]) -> None:
    """Each of two builds is nearly always at the point of using something: without turns, this would never end."""
    for number in range(2000):
        age(store.path(store.add_bytes(f"{number}".encode())), 40)
    program = """
print("busy", flush=True)
while True:
    with store._layout.using():
        time.sleep(0.004)
"""
    builds = [other(program), other(program)]
    assert [build.line() for build in builds] == ["busy", "busy"]
    assert len(store.gc(max_age_days=30, max_bytes=None, dry_run=False).removed) == 2000


def test_a_tree_says_its_size_and_one_that_does_not_is_counted(store: Store) -> None:
    store.add_tree(KEY, fill)
    told = store.size().tree_bytes
    (store.root / "trees" / KEY / "size").unlink()
    assert store.size().tree_bytes == pytest.approx(told, abs=8192)
    (store.root / "trees" / KEY / "root" / "usr" / "more").write_bytes(b"x" * 100_000)
    assert store.size().tree_bytes > told + 90_000


def test_locks_exclude_and_leave_no_files(store: Store, other: Callable[[str], OtherProcess]) -> None:
    process = other("with store.lock('a b/c'): print('held', flush=True); time.sleep(99)")
    assert process.line() == "held"
    (file,) = (store.root / "locks").glob("n-*")
    assert acquire(file, wait=False) is None
    process.kill()
    eventually(lambda: acquire(file, wait=False) is not None)
    with store.lock("a b/c"):
        pass
    assert list((store.root / "locks").glob("n-*")) == []


def test_many_processes_count_under_a_lock(store: Store, other: Callable[[str], OtherProcess]) -> None:
    program = """
for _ in range(200):
    with store.lock("counter"):
        file = store.root / "counter"
        number = int(file.read_text()) if file.exists() else 0
        file.write_text(str(number + 1))
"""
    assert [process.wait()[0] for process in [other(program) for _ in range(3)]] == [0, 0, 0]
    assert (store.root / "counter").read_text() == "600"


def test_closed_directories_are_removed_by_an_ordinary_user_too(
    tmp_path: Path, unmet: Callable[[str], NoReturn]
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    fill(root)
    (root / "link").symlink_to("/")
    (root / "secret").chmod(0o700)
    (root / "secret" / "inner").mkdir()
    (root / "secret" / "inner" / "deep").mkdir()
    (root / "secret" / "inner").chmod(0)
    (root / "secret").chmod(0)
    if os.geteuid() != 0:
        remove_tree(root)
        assert not root.exists()
        return
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.lchown(path, 65534, 65534)
    child = os.fork()
    if not child:  # an ordinary user, in this interpreter, which that user could perhaps not start
        code = 1
        try:
            os.chdir(tmp_path)
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            remove_tree(Path("tree"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not root.exists()


def test_removing_what_is_not_there_or_a_file_is_fine(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    remove_tree(tmp_path / "link")
    assert (tmp_path / "file").exists()
    remove_tree(tmp_path / "file")
    assert not (tmp_path / "file").exists()
