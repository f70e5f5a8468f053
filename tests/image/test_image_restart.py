# SPDX-License-Identifier: Apache-2.0
"""A server's restart: when its SSH and network wait for cloud-init, and when they need not.

The server's own scripts run in a bubblewrap of their own, with the folders that they look at. What a machine does with
their units is in tests/boot.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap"),
]

_FILES = Path(__file__).parents[2] / "distro/files/server/usr/lib"
_MACHINE = "11111111-2222-3333-4444-555555555555\n"
_UNITS = {
    "cloud-init-local.service": "[Unit]\nBefore=network-pre.target\nBefore=shutdown.target\nBefore=sysinit.target\n",
    "cloud-init-network.service": (
        "[Unit]\nAfter=cloud-init-local.service\nBefore=network-online.target\nBefore=sshd-keygen.service\n"
        "Before=sshd.service\nBefore=systemd-user-sessions.service\nBefore=sysinit.target\n"
    ),
}


@dataclass(frozen=True)
class Machine:
    """The folders that the scripts see; `machine` is the DMI UUID, and without one the machine has none."""

    root: Path

    @property
    def instance(self) -> Path:
        return self.root / "cloud/instance"

    @property
    def early(self) -> Path:
        return self.root / "early"

    @property
    def called(self) -> str:
        log = self.root / "bin/log"
        return log.read_text() if log.exists() else ""

    def run(self, script: str, *arguments: str) -> None:
        places = {
            self.root / "cloud": "/var/lib/cloud",
            self.root / "dmi": "/sys/class/dmi/id",
            self.root / "units": "/usr/lib/systemd/system",
            self.root / "own": "/etc/systemd/system",
            self.root / "bin": "/fakes",
            self.early: "/early",
            _FILES: "/scripts",
        }
        words = [
            "bwrap",
            "--die-with-parent",
            "--ro-bind",
            "/usr",
            "/usr",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/run",
        ]
        words += [word for one in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{one}", f"/{one}")]
        words += [word for here, there in places.items() for word in ("--bind", str(here), there)]
        words += ["--setenv", "PATH", "/fakes:/usr/bin"]
        done = subprocess.run([*words, f"/scripts/{script}", *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def starts(self) -> dict[str, str]:
        """The units that take the place of others at a start, by their names."""
        shutil.rmtree(self.early)
        self.early.mkdir()
        self.run("systemd/system-generators/zaffre-known-instance", "/nowhere", "/early", "/nowhere")
        return {
            str(path.relative_to(self.early)): path.read_text() for path in self.early.rglob("*.*") if path.is_file()
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One that cloud-init has set up, and whose instance was written down."""
    machine = Machine(tmp_path)
    for folder in ("cloud/instances/first", "dmi", "units", "own", "early", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    machine.instance.symlink_to("instances/first")
    (machine.instance / "boot-finished").touch()
    (machine.instance / "datasource").write_text("DataSourceNoCloud: DataSourceNoCloud [seed=/dev/vdb]\n")
    (tmp_path / "dmi/product_uuid").write_text(_MACHINE)
    for name, text in _UNITS.items():
        (tmp_path / "units" / name).write_text(text)
    keys = "systemd/system/zaffre-ssh-keys.service"
    shutil.copy(_FILES / keys, tmp_path / "units")
    for program in ("systemctl", "networkctl"):
        fake = tmp_path / "bin" / program
        fake.write_text(f'#!/bin/sh\necho "{program} $*" >>/fakes/log\n')
        fake.chmod(0o755)
    machine.run("zaffre/cloud-init", "remember")
    return machine


def test_a_restart_of_the_same_machine_waits_for_nothing_of_cloud_init(machine: Machine) -> None:
    units = machine.starts()
    assert units["cloud-init-local.service"] == "[Unit]\nBefore=shutdown.target\n"
    assert units["cloud-init-network.service"] == (
        "[Unit]\nAfter=cloud-init-local.service\nBefore=network-online.target\n"
    )
    assert "\nBefore=ssh.service\nConditionPathExistsGlob=" in units["zaffre-ssh-keys.service"]
    assert "ExecStartPost=-/usr/lib/zaffre/cloud-init settle" in "".join(units.values())


@pytest.mark.parametrize("source", ["DataSourceAzure: DataSourceAzure [seed=IMDS]\n", "DataSourceEc2Local: …\n", ""])
def test_the_network_waits_for_a_stage_that_may_ask_over_it(machine: Machine, source: str) -> None:
    (machine.instance / "datasource").write_text(source)
    units = machine.starts()
    assert "cloud-init-local.service" not in units
    assert "sshd" not in units["cloud-init-network.service"]


def test_cloud_init_leaves_the_processors_to_ssh_where_that_waits_for_nothing(machine: Machine) -> None:
    held = "cloud-init-main.service.d/zaffre-known-instance.conf"
    assert machine.starts()[held] == "[Service]\nExecStartPre=-/usr/lib/zaffre/cloud-init hold\n"
    (machine.instance / "datasource").write_text("DataSourceAzure: DataSourceAzure [seed=IMDS]\n")
    assert held not in machine.starts(), "there, SSH waits for cloud-init"


_REACHED = "touch /run/sshd.pid; mkdir -p /run/systemd/netif; echo OPER_STATE=routable >/run/systemd/netif/state"


@pytest.mark.parametrize(
    ("meanwhile", "seconds"),
    [(_REACHED, 1), (_REACHED.replace("routable", "carrier"), 20), ("touch /run/sshd.pid", 20), (":", 20)],
    ids=["reached", "no-address", "no-network", "nothing"],
)
def test_it_waits_for_ssh_and_not_for_ever(machine: Machine, meanwhile: str, seconds: int) -> None:
    sleep = machine.root / "bin/sleep"
    sleep.write_text(f'#!/bin/sh\necho "sleep $*" >>/fakes/log\n{meanwhile}\n')
    sleep.chmod(0o755)
    machine.run("zaffre/cloud-init", "hold")
    assert machine.called == "", "a machine that starts no SSH does not wait for it"
    (machine.root / "own/multi-user.target.wants").mkdir()
    (machine.root / "own/multi-user.target.wants/ssh.service").touch()
    machine.run("zaffre/cloud-init", "hold")
    assert machine.called == "sleep 1\n" * seconds


def test_a_unit_of_the_administrators_own_is_the_one_that_counts(machine: Machine) -> None:
    (machine.root / "own/cloud-init-local.service").write_text("[Unit]\nDescription=ours\nBefore=sysinit.target\n")
    assert machine.starts()["cloud-init-local.service"] == "[Unit]\nDescription=ours\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dmi/product_uuid", "99999999-2222-3333-4444-555555555555\n"),
        ("dmi/product_uuid", ""),
        ("dmi/product_uuid", None),
        ("cloud/instance/boot-finished", None),
        ("cloud/instance/zaffre-machine", None),
        ("cloud/instance/zaffre-machine", ""),
    ],
    ids=["another-machine", "empty-id", "no-id", "not-finished", "not-written-down", "cut-off"],
)
def test_in_doubt_it_waits(machine: Machine, path: str, text: str | None) -> None:
    if text is None:
        (machine.root / path).unlink()
    else:
        (machine.root / path).write_text(text)
    assert machine.starts() == {}


@pytest.mark.parametrize("name", ["cloud-config.txt", "vendor-cloud-config.txt", "vendor2-cloud-config.txt"])
def test_commands_that_run_before_the_network_make_each_start_wait(machine: Machine, name: str) -> None:
    (machine.instance / name).write_text("#cloud-config\nbootcmd:\n- echo\n")
    machine.run("zaffre/cloud-init", "remember")
    assert machine.starts() == {}
    (machine.instance / name).write_text("#cloud-config\nruncmd:\n- echo bootcmd:\n")
    machine.run("zaffre/cloud-init", "remember")
    assert machine.starts() != {}


def test_a_machine_without_an_identity_is_not_written_down(machine: Machine) -> None:
    (machine.root / "dmi/product_uuid").unlink()
    machine.run("zaffre/cloud-init", "remember")
    assert not (machine.instance / "zaffre-machine").exists()


def test_what_was_started_early_takes_what_cloud_init_has_written(machine: Machine) -> None:
    machine.run("zaffre/cloud-init", "settle")
    assert machine.called == "networkctl reload\n"


def test_a_new_instance_in_the_same_machine_has_ssh_start_anew(machine: Machine) -> None:
    """Its host keys are others."""
    (machine.root / "cloud/instances/second").mkdir()
    machine.instance.unlink()
    machine.instance.symlink_to("instances/second")
    machine.run("zaffre/cloud-init", "settle")
    assert machine.called == "systemctl --no-block try-restart ssh.service\nnetworkctl reload\n"
