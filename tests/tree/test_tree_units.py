# SPDX-License-Identifier: Apache-2.0
"""Units of a tree are switched by the tools' systemctl, whatever machine the tree's own programs are for."""

from __future__ import annotations

from pathlib import Path

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.definition import Units
from zaffre.tree.rootfs import write_text
from zaffre.tree.units import apply_units, unit_states


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
