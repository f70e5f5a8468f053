# SPDX-License-Identifier: Apache-2.0
"""What an upgrade does, read out of real packages: moves, questions, services, reboots. Nothing is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from machines import RESTART, UNIT, index, locked

from support.repository import Deb
from zaffre.definition import load_distribution, reference_root
from zaffre.errors import DefinitionError, FindingError
from zaffre.tree.deb.model import Member, PackageIndex
from zaffre.upgrade.conffiles import Laid, conffile_changes, own_questions
from zaffre.upgrade.model import Move, MoveKind
from zaffre.upgrade.moves import comparable, moves_between, room_needed
from zaffre.upgrade.own import Side, stand_ins
from zaffre.upgrade.prove import Goal
from zaffre.upgrade.services import reboot_reasons, services
from zaffre.upstream import Lock, LockedSet

WHEN = datetime(2026, 11, 22, tzinfo=UTC)


def one_set(*debs: Deb, upstream: str = "debian") -> LockedSet:
    return LockedSet(
        name="server",
        architecture="amd64",
        upstream=upstream,
        request="0" * 64,
        packages=tuple(locked(deb) for deb in debs),
    )


def one_lock(*debs: Deb, upstream: str = "debian", distribution: str = "own") -> Lock:
    return Lock(distribution=distribution, created=WHEN, serial=1, suites=(), sets=(one_set(*debs, upstream=upstream),))


class Pair:
    """The same machine before and after."""

    def __init__(self, folder: Path, old: list[Deb], new: list[Deb]) -> None:
        self.before: Mapping[str, PackageIndex] = {deb.name: index(deb, folder / "old") for deb in old}
        self.after: Mapping[str, PackageIndex] = {deb.name: index(deb, folder / "new") for deb in new}
        self.moves: tuple[Move, ...] = moves_between(one_set(*old), one_set(*new), self.before, self.after)

    def told(self) -> dict[str, str]:
        return {move.name: str(move.kind) for move in self.moves}


def test_locks_of_different_distributions_or_upstreams_have_no_upgrade() -> None:
    old = one_lock(Deb("a"))
    with pytest.raises(DefinitionError, match="the locks are of two distributions, 'own' and 'other'"):
        comparable(old, one_lock(Deb("a"), distribution="other"), "server", "amd64")
    with pytest.raises(DefinitionError, match="'server' is of two upstreams, 'debian' in the old lock and 'fedora'"):
        comparable(old, one_lock(Deb("a"), upstream="fedora"), "server", "amd64")
    with pytest.raises(FindingError, match="the lock has no packages for 'desktop'"):
        comparable(old, old, "desktop", "amd64")


def test_every_package_has_its_fate(tmp_path: Path) -> None:
    kernel = {"boot/vmlinuz-6.1": "k", "usr/lib/modules/6.1/vmlinuz": "k"}
    pair = Pair(
        tmp_path,
        [
            Deb("same"), Deb("up", "1.0~rc1"), Deb("down", "2:1"), Deb("again"), Deb("gone"), Deb("merged"),
            Deb("wider", architecture="amd64"), Deb("linux-image-6.1", files=kernel),
        ],
        [
            Deb("same"), Deb("up", "1.0"), Deb("down", "1:9"), Deb("again", files={"usr/x": "y"}),
            Deb("come", fields={"Replaces": "merged (<< 2)", "Provides": "merged"}), Deb("wider", "2.0"),
        ],
    )  # fmt: skip
    assert pair.told() == {
        "again": "rebuilt",
        "come": "added",
        "down": "downgraded",
        "gone": "removed",
        "linux-image-6.1": "kept",
        "merged": "removed",
        "up": "upgraded",
        "wider": "upgraded",
    }
    assert {move.name: move.replaced_by for move in pair.moves if move.replaced_by} == {"merged": ("come",)}


def test_the_room_that_it_takes(tmp_path: Path) -> None:
    def sized(name: str, version: str, kib: int) -> Deb:
        return Deb(name, version, fields={"Installed-Size": str(kib)})

    new = [sized("same", "1", 50), sized("up", "2", 300), sized("come", "1", 7)]
    pair = Pair(tmp_path, [sized("same", "1", 50), sized("up", "1", 100), sized("gone", "1", 20)], new)
    room = room_needed(pair.moves, one_set(*new), pair.before, pair.after)
    assert room.grows == (300 - 100 + 7 - 20) * 1024
    assert room.download == sum(len(deb.build()) for deb in new[1:])


def test_a_server_has_two_packages_that_no_lock_names(tmp_path: Path) -> None:
    distribution = load_distribution(reference_root())
    old, new = (Deb(f"linux-image-{one}", f"{one}-1", files={f"boot/vmlinuz-{one}": "k"}) for one in ("6.1", "6.12"))

    def side(deb: Deb, serial: int) -> Side:
        lock = one_lock(deb).model_copy(update={"serial": serial})
        return Side(lock, lock.sets[0], {deb.name: index(deb, tmp_path)})

    server = distribution.image("server")
    kernel, system = stand_ins(distribution, server, side(old, 1), side(new, 2))
    assert kernel.move == Move(
        name="zaffre-server-kernel",
        kind=MoveKind.UPGRADED,
        old_version="6.1-1.20261122.1",
        new_version="6.12-1.20261122.2",
    )
    assert kernel.package.depends == ("linux-image-6.12 (= 6.12-1)", "systemd-boot")
    assert (system.old_version, system.package.version) == ("1.20261122.1", "1.20261122.2")
    assert {"zaffre-server-kernel (>= 6.12-1.20261122.2)", "openssh-server"} <= {*system.package.depends}
    assert not any(one.startswith("linux-image") for one in system.package.depends)
    assert [one.move for one in stand_ins(distribution, server, side(old, 1), side(old, 1))] == [None, None]
    assert stand_ins(distribution, distribution.image("container-host"), side(old, 1), side(new, 2)) == ()


def test_what_is_left_to_do_is_one_command_and_what_is_left_over_is_told() -> None:
    goal = Goal({"a": "2", "b": "1", "c": "1"}, kept=["linux-image-6.1"], essential=["vital"])
    installed = {"a": "1", "c": "1", "linux-image-6.1": "6.1", "vital": "1"}
    assert goal.settling(installed) == (
        "install", "--allow-downgrades", "--allow-remove-essential", "a=2", "b", "vital-",
    )  # fmt: skip
    assert goal.settling({"a": "2", "c": "1", "more": "1"}) == ("install", "b", "more-")
    assert goal.settling({**goal.versions, "linux-image-6.1": "6.1"}) == ()
    assert list(goal.differences({**installed, "c": "install ok half-configured"})) == [
        "a is 1, not 2",
        "b 1 is not there",
        "c is install ok half-configured, not 1",
        "vital 1 is there, and the new lock does not have it",
    ]


def with_conffiles(name: str, version: str, **contents: str) -> Deb:
    files = {f"etc/{key}": text for key, text in contents.items()}
    return Deb(name, version, files=files, scripts={"conffiles": "".join(f"/{path}\n" for path in files)})


def test_a_conffile_asks_only_if_both_sides_changed_it(tmp_path: Path) -> None:
    pair = Pair(
        tmp_path,
        [with_conffiles("a", "1", same="1", changed="1", ours="1", alike="1", obsolete="1", moved="1")],
        [
            with_conffiles("a", "2", same="1", changed="2", ours="2", alike="2", fresh="2", covered="2"),
            with_conffiles("b", "2", moved="1"),
        ],
    )

    def laid(content: str) -> Laid:
        return Laid("files/server", hashlib.md5(content.encode()).hexdigest())

    found = conffile_changes(
        pair.before,
        pair.after,
        {"/etc/ours": laid("own"), "/etc/alike": laid("2"), "/etc/covered": laid("own"), "/etc/same": laid("own")},
    )
    assert {one.path.removeprefix("/etc/"): (one.change, one.asks) for one in found} == {
        "alike": ("changed", "no"),
        "changed": ("changed", "if-changed"),
        "covered": ("new", "always"),
        "fresh": ("new", "if-changed"),
        "obsolete": ("gone", "no"),
        "ours": ("changed", "always"),
    }
    assert {one.tree for one in found if one.asks == "always"} == {"files/server"}


def test_packages_that_ask_by_themselves_are_named(tmp_path: Path) -> None:
    ucf = {"postinst": "#!/bin/sh\nucf --three-way /usr/share/x /etc/x\n"}
    quiet = {"postinst": "#!/bin/sh\nrm -f /etc/x.ucf-dist\n"}
    asking = {"config": "#!/bin/sh\n"}
    pair = Pair(
        tmp_path,
        [Deb("u", "1", scripts=ucf), Deb("q", "1"), Deb("d", "1", scripts={**asking, "templates": "Template: d/a\n"})],
        [
            Deb("u", "2", scripts=ucf),
            Deb("q", "2", scripts=quiet),
            Deb("d", "2", scripts={**asking, "templates": "Template: d/b\n"}),
            Deb("new", "2", scripts=ucf),
        ],
    )
    assert [one.partition(":")[0] for one in own_questions(pair.moves, pair.before, pair.after)] == ["d", "u"]


def service(
    name: str,
    version: str,
    *,
    action: str | None,
    kind: str = "simple",
    install: str = "WantedBy=multi-user.target",
    **fields: str,
) -> Deb:
    """A package with a service; `action` is what its script does with it in an upgrade."""
    text = f"[Service]\nType={kind}\nExecStart=/usr/sbin/{name}\n[Install]\n{install}\n"
    return Deb(
        name,
        version,
        fields=fields,
        files={UNIT.format(name): text, f"usr/sbin/{name}": version},
        scripts={"postinst": RESTART.format(action=action, unit=name)} if action else {},
    )


PRESET = "usr/lib/systemd/system-preset/50-test.preset"
LINK = "usr/lib/systemd/system/multi-user.target.wants/linked.service"


def test_services_restart_or_go_on_with_old_code(tmp_path: Path) -> None:
    def debs(version: str) -> list[Deb]:
        return [
            Deb("libx", version, files={"usr/lib/x86_64-linux-gnu/libx.so.1": version}),
            Deb("liby", "1", fields={"Depends": "libx (>= 1)"}, files={"usr/lib/liby.so.2": "1"}),
            Deb("setup", "1", fields={"Depends": "libx"}, files={PRESET: "disable off*\nenable *\n", LINK: "->../x"}),
            service("restarts", version, action="restart"),
            service("tries", version, action="try-restart"),
            service("stays", version, action="start"),
            service("uses", "1", action=None, Depends="missing | liby"),
            service("linked", version, action=None, install=""),
            service("called", version, action=None, kind="dbus", install=""),
            service("unused", version, action=None, install=""),
            service("other-name", version, action=None, install="Alias=name.service"),
            service("offered", version, action=None),
            service("scripted", "1", action=None, Depends="setup"),
            service("passes", "1", action=None, kind="oneshot", Depends="libx"),
            service("apart", "1", action=None),
            service("masked", version, action=None),
            Deb("other", version, scripts={"postinst": "#!/bin/sh\n_systemctl try-restart timesyncd || true\n"}),
            Deb("sysv", version, scripts={"postinst": "#!/bin/sh\ninvoke-rc.d --skip-systemd-native sysv restart\n"}),
        ]

    pair = Pair(tmp_path, debs("1"), [*debs("2"), service("fresh", "2", action="restart", Depends="libx")])

    def read_unit(name: str, member: Member) -> str:
        with (tmp_path / "new" / f"{name}_{pair.after[name].version}.tar").open("rb") as file:
            file.seek(member.offset)
            return file.read(member.size).decode()

    found = list(services(pair.moves, pair.after, masked=["masked.service"], read_unit=read_unit))
    assert {(one.unit, one.action): one.because for one in found} == {
        ("restarts.service", "restarted"): ("restarts 2",),
        ("tries.service", "restarted"): ("tries 2",),
        ("timesyncd.service", "restarted"): ("other 2",),
        ("stays.service", "old-code"): ("stays 2",),
        ("uses.service", "old-code"): ("libx 2",),
        ("linked.service", "old-code"): ("linked 2",),
        ("called.service", "old-code"): ("called 2",),
        ("other-name.service", "old-code"): ("other-name 2",),
    }


def test_what_is_only_left_behind_by_a_reboot(tmp_path: Path) -> None:
    def base(version: str) -> list[Deb]:
        return [
            Deb("libc6", version, files={"usr/lib/x86_64-linux-gnu/libc.so.6": version}),
            Deb("systemd", "1", files={"usr/lib/systemd/systemd": "1"}),
        ]

    new = Deb("linux-image-6.2", "6.2", files={"boot/vmlinuz-6.2": "k"})
    pair = Pair(tmp_path, base("1"), [*base("2"), new])
    assert [one.partition(":")[0] for one in reboot_reasons(pair.moves, pair.after)] == [
        "libc6 2",
        "linux-image-6.2 6.2",
    ]
    quiet = Pair(tmp_path / "quiet", [Deb("a", "1")], [Deb("a", "2")])
    assert list(reboot_reasons(quiet.moves, quiet.after)) == []
