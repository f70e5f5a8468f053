# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and kill -9 in the middle of every step, and then the same command again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from support.own import packages, seed, unbuilt
from support.program import Place, Running, leftovers
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.store import Store
from zaffre.upstream import COMPONENTS

IMAGE = "container-host"

Moment = Callable[[Running], bool]


def laid_out(place: Place) -> Moment:
    """The packages' files are being written, in memory or in the store."""

    def reached(run: Running) -> bool:
        sessions = (*run.scratch, *place.store.glob(f"tmp/{run.pid}-*"))
        return any(any(session.glob("configure-*/root/usr/lib")) for session in sessions)

    return reached


def in_its_place(place: Place) -> Moment:
    """The first file of the build is in its directory, which has no final name yet."""
    return lambda _: any(place.out.glob(".*/root.erofs"))


def running(*programs: str) -> Moment:
    return lambda run: any(run.runs(program) for program in programs)


def ctrl_c(place: Place, run: Running) -> None:
    """A line, exit code 3, nothing left, and no process."""
    run.signal(signal.SIGINT)
    done = run.end(seconds=20)
    assert done.code == 3, done.err
    assert done.said.splitlines() == [
        "error: interrupted; finished steps are kept",
        "  what next: run the same command again: it goes on from there",
    ]
    assert done.json["error"]["exit_code"] == 3
    assert run.left() == []
    assert [*leftovers(place), *run.scratch] == []


def kill_9(_: Place, run: Running) -> None:
    """What ran inside ends too; scratch files may be left for the next run to remove."""
    run.kill()
    assert run.left() == []


def test_a_build_goes_on_from_wherever_it_was_ended(own: Place, tmp_path: Path) -> None:
    place = unbuilt(own, tmp_path)
    runs = []
    for moment, end in (
        (laid_out(place), kill_9),
        (laid_out(place), ctrl_c),
        (running("dpkg"), kill_9),
        (running("dpkg"), ctrl_c),
        (running("cpio"), kill_9),
        (running("mkfs.erofs"), ctrl_c),
        (running("mkfs.erofs"), kill_9),
        (running("ukify", "sbsign"), ctrl_c),
        (in_its_place(place), ctrl_c),
        (in_its_place(place), kill_9),
    ):
        with place.start_build(IMAGE) as run:
            run.until(moment)
            end(place, run)
        runs.append(run)
        assert not any(place.out.glob(f"{IMAGE}-*")), "nothing has a final name before it is finished"
    folder = place.build(IMAGE)
    assert list(leftovers(place)) == [], "what the killed left has been removed"
    assert [scratch for run in runs for scratch in run.scratch] == []
    assert list(place.out.iterdir()) == [folder]
    manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    cached = {step.name for step in manifest.build.steps if step.cached}
    assert cached == {"packages", "SELinux policy", "initrd", "pruned root", "root", "kernel image"}
    assert "everything holds" in place.run("verify", str(folder)).out
    assert place.run("store", "verify", "--json").json["ok"] is True
    assert "nothing has changed" in place.run("build", IMAGE, "--out", str(place.out)).out


def test_what_was_built_stays_until_what_replaces_it_is_whole(own: Place) -> None:
    folder = own.build(IMAGE)
    before = (folder / MANIFEST_NAME).read_bytes()
    (folder / "inventory.json").unlink()  # so it has to be built again, under the name that it has
    for end in (ctrl_c, kill_9):
        with own.start_build(IMAGE) as run:
            run.until(in_its_place(own))
            end(own, run)
        assert (folder / MANIFEST_NAME).read_bytes() == before
    assert own.build(IMAGE) == folder
    assert (folder / "inventory.json").exists()
    assert list(leftovers(own)) == []


def test_impatience_changes_nothing(own: Place, tmp_path: Path) -> None:
    """Ctrl-C again and again, from the first line of the program on."""
    for after in (0.0, 0.03, 0.1, 0.2, 0.4, 0.8):
        with own.start("build", IMAGE, "--out", str(tmp_path / "out"), "--no-cache", "--quiet") as run:
            run.until(Running.listens)
            time.sleep(after)
            while not run.ended:
                run.signal(signal.SIGINT)
                time.sleep(0.01)
            done = run.end()
            # Python 3.11 ends by the signal itself if it came while a dataclass was being made, words and all.
            assert done.code in {3, -signal.SIGINT}, done.err
            assert done.err.count("\n") == 2, done.err
            assert run.left() == []
            assert [*leftovers(own), *run.scratch] == []
    assert not (tmp_path / "out").exists()


def test_downloads_go_on_from_where_they_were_ended(own: Place, tmp_path: Path) -> None:
    place = own.at(store=tmp_path / "store")
    seed(place, "tools", trees=False, unpacked=False)
    image = {digest for digest, one in packages(own, IMAGE).items() if one.archive != COMPONENTS}
    wanted = image - set(packages(own, "tools"))
    arriving = place.store / "partial"

    def half(_: Running) -> bool:
        return any(path.stat().st_size for path in arriving.glob("*"))

    for end in (ctrl_c, kill_9):
        with place.start("lock", "--dropped", "--json") as run:
            run.until(half)
            end(place, run)
        store = Store(place.store)
        assert not all(store.has(digest) for digest in wanted)
    assert place.run("lock", "--dropped", "--json").json == {"changed": False, "dropped": []}
    assert all(store.has(digest) for digest in wanted)
    assert list(arriving.iterdir()) == []
    assert place.run("store", "verify", "--json").json["ok"] is True
