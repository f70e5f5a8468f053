# SPDX-License-Identifier: Apache-2.0
"""Units of a tree are switched by the tools' systemctl, whatever machine the tree's own programs are for; and which of
them are on, as systemd would read them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.definition import Units
from zaffre.tree.inventory import inventory_of
from zaffre.tree.rootfs import make_link, write_text
from zaffre.tree.units import apply_units, unit_states

ETC, LOCAL, USR = "etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"


def test_units_are_enabled_in_a_tree_whose_programs_do_not_run_here(lab: Lab, tmp_path: Path) -> None:
    """As those of another architecture, where systemctl would call update-rc.d for a unit with an old script."""
    write_text(tmp_path, "usr/lib/systemd/system/a.service", "[Install]\nWantedBy=multi-user.target\n")
    write_text(tmp_path, "usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    for program in ("etc/init.d/a", "usr/sbin/update-rc.d", "usr/lib/systemd/systemd-sysv-install"):
        write_text(tmp_path, program, "\x7fELF of another machine", mode=0o755)
    units = Units.model_validate({"enable": ["a.service"], "default_target": "multi-user.target"})
    with lab.workspace() as work:
        apply_units(tmp_path, units, sandbox=Making(work).sandbox)
    assert unit_states(tmp_path)["a.service"] == "enabled"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """It starts multi-user.target, which has neither links nor lines yet."""
    write_text(tmp_path, f"{USR}/multi-user.target", "[Unit]\nRequires=basic.target\n")
    write_text(tmp_path, f"{USR}/basic.target", "[Unit]\n")
    make_link(tmp_path, "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    return tmp_path


@pytest.mark.parametrize(
    ("weaker", "stronger", "state"),
    [
        ("->/dev/null", "[Service]\n", "enabled"),
        ("[Service]\n", "->/dev/null", "masked"),
    ],
)
@pytest.mark.parametrize("folders", [(USR, ETC), (USR, LOCAL), (LOCAL, ETC)])
def test_the_strongest_folder_says_whether_a_unit_is_masked(
    root: Path, folders: tuple[str, str], weaker: str, stronger: str, state: str
) -> None:
    for folder, text in zip(folders, (weaker, stronger), strict=True):
        if text.startswith("->"):
            make_link(root, f"{folder}/a.service", text.removeprefix("->"))
        else:
            write_text(root, f"{folder}/a.service", text)
    make_link(root, f"{LOCAL}/multi-user.target.wants/a.service", "../a.service")
    assert unit_states(root)["a.service"] == state


def test_an_instance_of_a_masked_template_is_masked_unless_it_has_a_file(root: Path) -> None:
    make_link(root, f"{ETC}/a@.service", "/dev/null")
    write_text(root, f"{USR}/a@.service", "[Service]\n")
    write_text(root, f"{USR}/a@own.service", "[Service]\n")
    for name in ("one", "own"):
        make_link(root, f"{USR}/multi-user.target.wants/a@{name}.service", "../a@.service")
    states = unit_states(root)
    assert (states["a@one.service"], states["a@own.service"]) == ("masked", "enabled")


@pytest.mark.parametrize(
    ("files", "listens"),
    [
        ({f"{USR}/a@.socket": "ListenStream=22"}, ("ListenStream=22",)),
        ({f"{USR}/a@.socket": "Accept=yes", f"{ETC}/a@1.socket.d/b.conf": "ListenStream=80"}, ("ListenStream=80",)),
        ({f"{USR}/a@.socket": "", f"{LOCAL}/a@.socket.d/b.conf": "ListenStream = 80"}, ("ListenStream=80",)),
        ({f"{LOCAL}/a@.socket": "ListenStream=1", f"{USR}/a@.socket": "ListenStream=2"}, ("ListenStream=1",)),
        ({f"{USR}/a@.socket": "ListenStream=1", f"{ETC}/a@1.socket": "ListenStream=2"}, ("ListenStream=2",)),
        ({f"{USR}/a@.socket": "ListenStream=1", f"{ETC}/socket.d/b.conf": "ListenFIFO="}, None),
        (
            {
                f"{USR}/a@.socket": "ListenStream=1",
                f"{USR}/a@.socket.d/b.conf": "ListenStream=2",
                f"{ETC}/a@.socket.d/b.conf": "ListenStream=3",
                f"{ETC}/a@.socket.d/a.conf": "ListenStream=4",
            },
            ("ListenStream=1", "ListenStream=4", "ListenStream=3"),
        ),
    ],
)
def test_a_socket_listens_as_template_and_drop_ins_say(
    root: Path, files: dict[str, str], listens: tuple[str, ...] | None
) -> None:
    for path, text in files.items():
        write_text(root, path, f"[Socket]\n{text}\n")
    make_link(root, f"{USR}/sockets.target.wants/a@1.socket", "../a@.socket")
    found = {one.name: (one.listens, one.enabled) for one in inventory_of(root).listening}
    assert found.get("a@1.socket") == (None if listens is None else (listens, True))


def test_lines_of_targets_that_are_started_pull_in_too(root: Path) -> None:
    for name in ("by-line", "by-drop-in", "later", "of-timer", "of-service", "of-other"):
        write_text(root, f"{USR}/{name}.service", "[Service]\n")
    write_text(root, f"{USR}/basic.target", "[Unit]\nUpholds=absent.service \\\n by-line.service\n")
    write_text(root, f"{USR}/by-line.service", "[Unit]\nWants=of-service.service\n")
    write_text(root, f"{ETC}/multi-user.target.d/10.conf", "[Unit]\nWants=by-drop-in.service\n")
    write_text(root, f"{USR}/late.target", "[Unit]\nWants=later.service\n")
    write_text(root, f"{USR}/late.timer", "[Timer]\nUnit=late.target\n")
    write_text(root, f"{USR}/of-timer.timer", "[Timer]\nUnit=of-timer.service\n")
    write_text(root, f"{USR}/rescue.target", "[Unit]\nWants=of-other.service\n")
    for name in ("late.timer", "of-timer.timer"):
        make_link(root, f"{USR}/multi-user.target.wants/{name}", f"../{name}")
    states = unit_states(root)
    on = {name for name, state in states.items() if name.endswith(".service") and state == "enabled"}
    assert on == {"by-line.service", "by-drop-in.service", "later.service"}
    assert "absent.service" not in states
