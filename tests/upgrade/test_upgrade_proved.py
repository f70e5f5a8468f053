# SPDX-License-Identifier: Apache-2.0
"""Real machines: Debian's release pocket to its newest state, proved by apt; and upgrades that can't be.

Both locks are made afresh. The image has an upstream of its own, so that the tools of the lab serve it too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from machines import RESTART, UNIT, put

from support.lab import Lab
from support.repository import Deb
from zaffre.cli.tools import fetch_locked, tools_sandbox
from zaffre.definition import load_distribution
from zaffre.errors import ExitCode
from zaffre.progress import SILENT
from zaffre.store import Store
from zaffre.upgrade import Order, Plan, Planner
from zaffre.upstream import Lock, LockedPackage, load_lock, save_lock

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("upgrade")]

IMAGE = "machine"
DEFINITION = """\
kind = "host"
upstream = "machine"
description = "a machine to upgrade"
packages = ["openssl", "cron"]
provides = ["linux-initramfs-tool"]
[kernel]
package = "linux-image-cloud-{arch}"
[files]
trees = ["files/machine"]
[setuid]
strip = ["/**"]
"""
RELEASE = """\
family = "deb"
keyring = "keyrings/debian-archive.asc"
architectures = ["amd64", "arm64"]
[[suites]]
archive = "debian"
suite = "trixie"
components = ["main"]
"""
NEWEST = """\
[[suites]]
archive = "debian"
suite = "trixie-updates"
components = ["main"]
[[suites]]
archive = "debian-security"
suite = "trixie-security"
components = ["main"]
"""


@dataclass(frozen=True)
class Machine:
    """A distribution with an image, locked from the release pocket alone (`old`) and from all suites (`new`)."""

    lab: Lab
    old: Path
    new: Path

    def plan(self, *words: str, code: int = 0) -> Any:
        done = self.lab.zaffre(
            "upgrade", "plan", str(self.old), str(self.new), "--image", IMAGE, *words, "--json", check=False
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def machine(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    own = Lab(tmp_path_factory.mktemp("machine"))
    shutil.copytree(lab.distro, own.distro, symlinks=True)
    (own.distro / f"images/{IMAGE}.toml").write_text(DEFINITION)
    (own.distro / "files/machine/etc").mkdir(parents=True)
    (own.distro / "files/machine/etc/probe.conf").write_text("the image's own\n")
    locks = []
    for name, upstream in (("old", RELEASE), ("new", RELEASE + NEWEST)):
        (own.distro / "upstreams/machine.toml").write_text(upstream)
        shutil.copyfile(lab.distro / "zaffre.lock", own.distro / "zaffre.lock")
        own.zaffre("lock", "--image", IMAGE)
        locks.append(Path(shutil.copyfile(own.distro / "zaffre.lock", own.root / f"{name}.lock")))
    return Machine(own, *locks)


def read(path: Path) -> Lock:
    lock = load_lock(path)
    assert lock is not None
    return lock


def versions(lock: Lock) -> dict[str, str]:
    return {one.name: one.version for one in lock.set(IMAGE, "amd64").packages}


def test_from_the_release_pocket_to_the_newest_state(machine: Machine) -> None:
    old, new = versions(read(machine.old)), versions(read(machine.new))
    found = machine.plan()
    moved = {one["name"]: (one["old_version"], one["new_version"]) for one in found["moves"]}
    assert moved == {
        name: (old.get(name), new.get(name)) for name in old.keys() | new.keys() if old.get(name) != new.get(name)
    }
    proof = found["proof"]
    assert found["possible"], proof
    assert proof["differences"] == []
    assert proof["failure"] is None
    assert proof["commands"][0] == ["apt-get", "dist-upgrade"]
    assert {one["kind"] for one in found["moves"]} <= {"upgraded", "added", "removed", "kept"}


def test_nothing_to_do_is_said_and_proved(machine: Machine) -> None:
    done = machine.lab.zaffre("upgrade", "plan", str(machine.new), str(machine.new), "--image", IMAGE)
    assert "No package differs." in done.stdout
    assert "No configuration file asks." in done.stdout
    assert "It can be done." in done.stdout


def test_another_distribution_is_refused_before_anything_is_fetched(machine: Machine, tmp_path: Path) -> None:
    other = read(machine.new).model_copy(update={"distribution": "other"})
    save_lock(other, tmp_path / "other.lock")
    done = machine.lab.zaffre(
        "upgrade", "plan", str(machine.old), str(tmp_path / "other.lock"), "--image", IMAGE, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert "the locks are of two distributions" in done.stderr


PROBE = UNIT.format("probe")
OLD = [
    Deb(
        "zf-probe",
        "1.0",
        files={"etc/probe.conf": "one\n", "etc/quiet.conf": "one\n", PROBE: "[Service]\nExecStart=/bin/true\n"},
        scripts={"conffiles": "/etc/probe.conf\n/etc/quiet.conf\n"},
    ),
    Deb("zf-back", "2.0"),
    Deb("zf-gone", "1.0"),
    Deb("zf-taken", "1.0", files={"usr/share/zf-taken": "x"}),
    Deb("zf-vital", "1.0", fields={"Essential": "yes"}),
]
NEW = [
    Deb(
        "zf-probe",
        "2.0",
        fields={"Depends": "zf-come"},
        files={"etc/probe.conf": "two\n", "etc/quiet.conf": "two\n", PROBE: "[Service]\nExecStart=/bin/false\n"},
        scripts={
            "conffiles": "/etc/probe.conf\n/etc/quiet.conf\n",
            "postinst": RESTART.format(action="restart", unit="probe"),
        },
    ),
    Deb("zf-back", "1.0"),
    Deb(
        "zf-come",
        "1.0",
        fields={"Replaces": "zf-taken", "Conflicts": "zf-taken", "Provides": "zf-taken"},
        files={"usr/share/zf-taken": "y"},
    ),
    Deb("zf-asked", "1.0"),
]


@pytest.fixture(scope="module")
def planner(machine: Machine) -> Iterator[Planner]:
    with machine.lab.workspace() as work:
        new = read(machine.new)

        def fetch(lock: Lock, packages: Iterable[LockedPackage]) -> None:
            fetch_locked(work, lock, packages)

        yield Planner(
            distribution=load_distribution(machine.lab.distro),
            store=work.store,
            progress=SILENT,
            fetch=fetch,
            sandbox=lambda: tools_sandbox(work, new),
        )


def planned(machine: Machine, planner: Planner, new: list[Deb], *, prove: bool = True) -> Plan:
    """From the release pocket with OLD to the same with `new`."""
    base = read(machine.old)
    return planner.plan(
        Order(joined(base, OLD, planner.store), joined(base, new, planner.store), IMAGE, "amd64", prove=prove)
    )


def joined(lock: Lock, debs: list[Deb], store: Store) -> Lock:
    one = lock.set(IMAGE, "amd64")
    wider = one.model_copy(update={"packages": (*one.packages, *put(debs, store))})
    return lock.model_copy(update={"sets": tuple(wider if each == one else each for each in lock.sets)})


def test_every_kind_of_move_is_foretold_and_done_by_apt(machine: Machine, planner: Planner) -> None:
    plan = planned(machine, planner, NEW)
    assert {move.name: str(move.kind) for move in plan.moves} == {
        "zf-asked": "added",
        "zf-back": "downgraded",
        "zf-come": "added",
        "zf-gone": "removed",
        "zf-probe": "upgraded",
        "zf-taken": "removed",
        "zf-vital": "removed",
    }
    assert plan.proof is not None
    assert plan.proof.proved, plan.proof
    assert plan.proof.commands == (
        ("apt-get", "dist-upgrade"),
        (
            *("apt-get", "install", "--allow-downgrades", "--allow-remove-essential"),
            *("zf-asked", "zf-back=1.0", "zf-gone-", "zf-vital-"),
        ),
    )
    foretold = {one.path: one.asks for one in plan.conffiles}
    assert foretold == {"/etc/probe.conf": "always", "/etc/quiet.conf": "if-changed"}
    assert plan.proof.asked == ("/etc/probe.conf",)  # dpkg's own word
    assert [(one.unit, one.action) for one in plan.services] == [("probe.service", "restarted")]
    assert plan.reboot == ()


def test_a_package_that_cannot_be_installed_is_apts_reason(machine: Machine, planner: Planner) -> None:
    broken = Deb("zf-probe", "2.0", fields={"Depends": "zf-nowhere (>= 3)"})
    plan = planned(machine, planner, [broken, *OLD[1:]])
    assert plan.possible is False
    assert plan.proof is not None
    assert "zf-probe needs zf-nowhere (>= 3)" in (plan.proof.failure or "")


def test_a_script_that_fails_is_quoted(machine: Machine, planner: Planner) -> None:
    words = "#!/bin/sh\necho the machine says no >&2\nexit 9\n"
    plan = planned(machine, planner, [Deb("zf-probe", "2.0", scripts={"postinst": words}), *OLD[1:]])
    assert plan.possible is False
    assert plan.proof is not None
    assert "the machine says no" in (plan.proof.failure or "")
    assert plan.proof.commands == (("apt-get", "dist-upgrade"),)


def test_without_a_proof_nothing_is_tried(machine: Machine, planner: Planner) -> None:
    plan = planned(machine, planner, NEW, prove=False)
    assert (plan.proof, plan.possible) == (None, None)
    assert len(plan.moves) == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="another store of an ordinary user's is unpacked anew")
def test_what_was_built_here_and_is_gone_is_named(machine: Machine, tmp_path: Path) -> None:
    lock = joined(read(machine.old), [Deb("zf-lost")], Store(tmp_path / "elsewhere"))
    save_lock(lock, tmp_path / "lost.lock")
    done = machine.lab.zaffre(
        "upgrade", "plan", str(tmp_path / "lost.lock"), str(machine.new), "--image", IMAGE, "--no-prove", check=False
    )
    assert done.returncode == ExitCode.FINDING
    assert "the store lacks 1 package that was built here" in done.stderr
    assert "zf-lost 1.0" in done.stderr
