# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.trouble import OtherProcess, eventually
from zaffre.digest import JSON, canonical_json
from zaffre.errors import ToolError
from zaffre.store import Action, ActionResult, MissingBlobError, Store, explain_difference

ACTION = Action(kind="pack", label="pack things", inputs={"packages": ["a", "b"], "level": 3}, reason="a test")


class Producer:
    """Writes `content` to its scratch directory, adds it, and counts."""

    def __init__(self, store: Store, content: bytes = b"result") -> None:
        self.store = store
        self.content = content
        self.calls = 0
        self.scratch: Path | None = None

    def __call__(self, scratch: Path) -> ActionResult:
        self.calls += 1
        self.scratch = scratch
        (scratch / "out").write_bytes(self.content)
        return ActionResult({"out": self.store.add_file(scratch / "out", move=True)}, {"answer": 42})


def test_work_is_done_once(store: Store) -> None:
    produce = Producer(store)
    first, second = store.perform(ACTION, produce), store.perform(ACTION, produce)
    assert produce.calls == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.result == second.result
    assert second.result.facts == {"answer": 42}
    assert store.path(second.result.outputs["out"]).read_bytes() == b"result"
    assert produce.scratch is not None
    assert not produce.scratch.exists()


def test_another_input_is_another_action_and_says_why(store: Store) -> None:
    produce = Producer(store)
    assert store.perform(ACTION, produce).why == ("not built before in this store",)
    changed = Action("pack", ACTION.label, {"packages": ["a", "c"], "level": 3}, "a test")
    assert store.perform(changed, produce).why == ("packages: removed b", "packages: added c")
    assert produce.calls == 2


def test_label_and_reason_are_not_in_the_key() -> None:
    assert Action("pack", "other words", ACTION.inputs, "other reason").key == ACTION.key
    assert Action("unpack", ACTION.label, ACTION.inputs, ACTION.reason).key != ACTION.key


def test_a_cached_hit_is_what_the_label_had_last(store: Store) -> None:
    produce = Producer(store)
    other = Action("pack", ACTION.label, {"level": 9}, "")
    store.perform(ACTION, produce)
    store.perform(other, produce)
    store.perform(ACTION, produce)
    assert store.recall(ACTION.label) == ACTION.inputs


def test_without_the_cache_it_is_done_again(store: Store) -> None:
    produce = Producer(store)
    store.perform(ACTION, produce)
    assert not store.perform(ACTION, produce, use_cache=False).cached
    assert produce.calls == 2


def test_a_lost_output_is_made_again(store: Store) -> None:
    produce = Producer(store)
    digest = store.perform(ACTION, produce).result.outputs["out"]
    store.path(digest).unlink()
    assert store.lookup(ACTION.key) is None
    store.perform(ACTION, produce)
    assert store.has(digest)


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b"{}", b'{"format":1}', b"[1]", b"\xff\xfe"])
def test_a_damaged_record_is_no_record(store: Store, damage: bytes) -> None:
    produce = Producer(store)
    store.perform(ACTION, produce)
    (record,) = (store.root / "actions").glob("*/*.json")
    record.write_bytes(damage)
    assert store.verify(repair=False).corrupt_actions == (ACTION.key,)
    assert not store.perform(ACTION, produce).cached
    assert store.verify(repair=False).sound


def test_a_changed_record_is_no_record(store: Store) -> None:
    good, evil = store.add_bytes(b"good"), store.add_bytes(b"evil")
    store.record(ACTION.key, ACTION, ActionResult({"out": good}, {}))
    (record,) = (store.root / "actions").glob("*/*.json")
    record.write_text(record.read_text().replace(good, evil))
    assert store.lookup(ACTION.key) is None


def test_outputs_must_be_in_the_store(store: Store) -> None:
    digest = store.add_bytes(b"x")
    store.path(digest).unlink()
    with pytest.raises(MissingBlobError):
        store.record(ACTION.key, ACTION, ActionResult({"out": digest}, {}))


def test_a_failure_records_nothing_and_cleans_up(store: Store) -> None:
    def fail(scratch: Path) -> ActionResult:
        (scratch / "half").write_bytes(b"x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.perform(ACTION, fail)
    assert store.lookup(ACTION.key) is None
    assert [path for path in (store.root / "tmp").glob("*/*") if path.is_dir()] == []
    assert not store.perform(ACTION, Producer(store)).cached


def test_what_a_failed_tool_needs_to_be_run_again_is_kept_until_the_next_process(
    store: Store, other: Callable[[str], OtherProcess]
) -> None:
    program = """
from zaffre.errors import ToolError
def fail(scratch):
    (scratch / "input").write_text("x")
    print(scratch, flush=True)
    raise ToolError("mkfs failed", command="mkfs", returncode=1)
store.perform(Action("k", "l", {}, ""), fail)
"""
    process = other(program)
    scratch = Path(process.line())
    assert process.wait()[0] == 1
    assert (scratch / "input").read_text() == "x"
    store.add_bytes(b"the next process uses the store")
    assert not scratch.exists()


def test_a_failed_tool_raises_its_error(store: Store) -> None:
    def fail(scratch: Path) -> ActionResult:
        raise ToolError("mkfs failed", command="mkfs", returncode=1)

    with pytest.raises(ToolError):
        store.perform(ACTION, fail)


def test_two_processes_do_the_work_once(store: Store, other: Callable[[str], OtherProcess]) -> None:
    program = """
def produce(scratch):
    with open(store.root / "count", "a") as file:
        file.write("x")
    time.sleep(0.5)
    return ActionResult({"out": store.add_bytes(b"result")}, {})
print(store.perform(Action("k", "l", {}, ""), produce).cached)
"""
    results = [process.wait() for process in [other(program), other(program), other(program)]]
    assert sorted(results) == [(0, "False\n"), (0, "True\n"), (0, "True\n")]
    assert (store.root / "count").read_text() == "x"


def test_two_threads_do_the_work_once(store: Store) -> None:
    produce = Producer(store)
    threads = [threading.Thread(target=store.perform, args=(ACTION, produce)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert produce.calls == 1


def test_who_waits_for_another_process_says_so(store: Store, other: Callable[[str], OtherProcess]) -> None:
    told: list[str] = []
    patient = Store(store.root, on_wait=told.append)
    holder = other(f"""
with store.lock("action-{ACTION.key}"):
    print("holds", flush=True)
    time.sleep(60)
""")
    assert holder.line() == "holds"
    waiter = threading.Thread(target=patient.perform, args=(ACTION, Producer(patient)))
    waiter.start()
    while not told and waiter.is_alive():
        waiter.join(0.01)
    holder.kill()
    waiter.join()
    assert told == ["waiting for another build that works on pack things"]


def test_threads_of_one_build_are_not_another(tmp_path: Path) -> None:
    told: list[str] = []
    store = Store(tmp_path / "store", on_wait=told.append)
    produce = Producer(store)
    with store.lock("action-" + ACTION.key):
        waiter = threading.Thread(target=store.perform, args=(ACTION, produce))
        waiter.start()
        eventually(lambda: f"-> FLOCK  ADVISORY  WRITE {os.getpid()} " in Path("/proc/locks").read_text())
    waiter.join()
    assert (produce.calls, told) == (1, [])


def test_cpu_seconds_count_children(store: Store) -> None:
    def burn(scratch: Path) -> ActionResult:
        subprocess.run(["sh", "-c", "x=0; while [ $x -lt 300000 ]; do x=$((x+1)); done"], check=True)
        return ActionResult({}, {})

    performed = store.perform(ACTION, burn)
    assert performed.cpu_seconds > 0.05
    assert performed.wall_seconds > 0.05


def test_a_store_goes_to_worker_processes(store: Store) -> None:
    digest = store.add_bytes(b"x")
    copy: Store = pickle.loads(pickle.dumps(store))
    assert copy.path(digest).read_bytes() == b"x"


def test_history(store: Store) -> None:
    assert store.recall("label") is None
    store.remember("label", {"a": 1})
    store.remember("label", {"a": 2})
    assert store.recall("label") == {"a": 2}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
inputs = st.dictionaries(st.text(min_size=1), json_values, max_size=4)


@given(inputs, inputs)
def test_a_difference_is_explained_if_and_only_if_there_is_one(old: dict[str, JSON], new: dict[str, JSON]) -> None:
    assert bool(explain_difference(old, new)) == (canonical_json(old) != canonical_json(new))


def test_differences_are_named_by_their_path() -> None:
    old: dict[str, JSON] = {"definition": {"kernel": {"load": ["overlay"]}, "epoch": 1}, "tools": "abc", "gone": True}
    new: dict[str, JSON] = {"definition": {"kernel": {"load": ["wireguard"]}, "epoch": 2}, "tools": "abc", "new": None}
    assert explain_difference(old, new) == [
        "definition.epoch: 1 -> 2",
        "definition.kernel.load: removed overlay",
        "definition.kernel.load: added wireguard",
        "gone: removed, was true",
        "new: added null",
    ]
    assert explain_difference({"a": [1, 2]}, {"a": [2, 1]}) == ["a: the order changed"]


def test_long_differences_are_cut() -> None:
    lines = explain_difference({"packages": []}, {"packages": [f"p{n}" for n in range(400)]})
    assert lines[-1] == "… and 388 more"
