# SPDX-License-Identifier: Apache-2.0
"""QEMU, swtpm and virt-fw-vars of the tools tree themselves, with machines that hold no system."""

from __future__ import annotations

import os
import pty
import signal
import termios
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from test_machine_spec import pe

from support.lab import Lab
from zaffre.errors import DefinitionError, FindingError, WorldError
from zaffre.machine import (
    AMD64,
    Accelerator,
    ConsoleOutput,
    Disk,
    DiskFormat,
    Ended,
    Guest,
    MachineSpec,
    MonitorEvent,
    Network,
    OwnerCertificates,
    Terminal,
    Watch,
    boot,
    choose_accelerator,
    enrolled_variables,
    run_image,
    start,
)
from zaffre.machine.run import ESCAPE
from zaffre.machine.tpm import software_tpm
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.trust import Role

pytestmark = pytest.mark.tools

EMPTY = MachineSpec(architecture=AMD64, accelerator=Accelerator.TCG, memory_mib=64, cpus=1, network=Network.ISOLATED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def certificates(lab: Lab) -> OwnerCertificates:
    with lab.workspace() as work:
        return OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB)))


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "kernel").write_bytes(pe({b".linux": b"never run"}))
    return tmp_path / "kernel"


def below(pid: int) -> set[int]:
    """All processes that descend from one."""
    children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children.union(*(below(child) for child in children)) if children else set()


def named(pids: set[int], name: str) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip().startswith(name)}


def test_a_machine_answers_and_ends(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    with software_tpm(tmp_path, tools_sandbox) as tpm, start(EMPTY, tools_sandbox, mounts=[], tpm=tpm) as machine:
        answer = machine.query("query-status")
        assert isinstance(answer, dict)
        assert answer["running"] is True
        with pytest.raises(WorldError, match="refused no-such-command"):
            machine.query("no-such-command")
        machine.power_down()
        names = [event.name for event in machine.events(time.monotonic() + 1) if isinstance(event, MonitorEvent)]
        assert "POWERDOWN" in names
    assert named(below(os.getpid()), "qemu") == set()
    assert named(below(os.getpid()), "swtpm") == set()


def test_the_end_of_qemu_is_the_last_event(tools_sandbox: Sandbox) -> None:
    with start(EMPTY, tools_sandbox, mounts=[]) as machine:
        machine.query("query-status")
        machine.query("quit")
        assert list(machine.events(time.monotonic() + 10))[-1] == Ended(0, "")
        with pytest.raises(WorldError, match="did not answer"):
            machine.query("query-status", seconds=1)


def test_what_qemu_cannot_do_is_in_its_own_words(tools_sandbox: Sandbox) -> None:
    spec = MachineSpec(
        architecture=AMD64, accelerator=Accelerator.TCG, disks=(Disk("/run/nothing", DiskFormat.RAW, "root"),)
    )
    with start(spec, tools_sandbox, mounts=[]) as machine:
        *_, last = machine.events(time.monotonic() + 20)
    assert isinstance(last, Ended)
    assert last.returncode != 0
    assert "/run/nothing" in last.error


def test_a_frozen_qemu_is_killed(tools_sandbox: Sandbox) -> None:
    with start(EMPTY, tools_sandbox, mounts=[]) as machine:
        machine.query("query-status")
        (pid,) = named(below(os.getpid()), "qemu")
        os.kill(pid, signal.SIGSTOP)
        machine.stop()
        assert not Path(f"/proc/{pid}").exists()
        machine.stop()


def test_an_interruption_leaves_no_machine_behind(tools_sandbox: Sandbox) -> None:
    def interrupted() -> None:
        with start(EMPTY, tools_sandbox, mounts=[]) as machine:
            machine.query("query-status")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert named(below(os.getpid()), "qemu") == set()


def test_no_kvm_no_probe(tools_sandbox: Sandbox, store: Store, kernel: Path, tmp_path: Path) -> None:
    choice = choose_accelerator(
        kernel=kernel, architecture=AMD64, store=store, sandbox=tools_sandbox, device=tmp_path / "kvm"
    )
    assert choice.accelerator is Accelerator.TCG
    assert "No such file" in choice.why


def test_a_device_that_opens_is_no_proof_and_the_answer_is_remembered(
    tools_sandbox: Sandbox, store: Store, kernel: Path, tmp_path: Path
) -> None:
    """A file that opens but is no KVM: QEMU must fail on it, once."""
    device = tmp_path / "kvm"
    device.touch()
    first, second = (
        choose_accelerator(
            kernel=kernel, architecture=AMD64, store=Store(store.root), sandbox=tools_sandbox, device=device
        )
        for _ in range(2)
    )
    assert (first.accelerator, first.remembered) == (Accelerator.TCG, False)
    assert (second.accelerator, second.remembered) == (Accelerator.TCG, True)
    assert first.why == second.why
    assert "KVM does not work here" in first.why


def test_firmware_trusts_the_owner_alone(tools_sandbox: Sandbox, store: Store, certificates: OwnerCertificates) -> None:
    variables = enrolled_variables(certificates, AMD64, store=store, sandbox=tools_sandbox)
    content = variables.read_bytes()
    for path in (certificates.pk, certificates.kek, certificates.db):
        der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
        assert content.count(der) == 1
    assert b"Microsoft" not in content
    assert enrolled_variables(certificates, AMD64, store=store, sandbox=tools_sandbox) == variables
    swapped = OwnerCertificates(pk=certificates.pk, kek=certificates.kek, db=certificates.kek)
    assert enrolled_variables(swapped, AMD64, store=store, sandbox=tools_sandbox) != variables


def test_a_certificate_that_is_none(
    tools_sandbox: Sandbox, store: Store, certificates: OwnerCertificates, tmp_path: Path
) -> None:
    missing = OwnerCertificates(pk=tmp_path / "PK.crt", kek=certificates.kek, db=certificates.db)
    with pytest.raises(DefinitionError, match=r"PK\.crt: the certificate cannot be read"):
        enrolled_variables(missing, AMD64, store=store, sandbox=tools_sandbox)
    (tmp_path / "PK.crt").write_bytes(b"\x30\x82")
    with pytest.raises(DefinitionError, match="PEM"):
        enrolled_variables(missing, AMD64, store=store, sandbox=tools_sandbox)


def test_an_empty_disk_is_seen_to_be_empty(
    tools_sandbox: Sandbox, store: Store, certificates: OwnerCertificates, blank: Guest, tmp_path: Path
) -> None:
    """The firmware says so on the console, and what the machine wrote is nowhere."""
    watch = Watch(time.monotonic())
    with boot(blank, Accelerator.TCG, store=store, sandbox=tools_sandbox) as machine:
        for event in machine.events(watch.began + 60):
            watch.take(event, time.monotonic())
            if isinstance(event, ConsoleOutput) and watch.console.refusal:
                break
    assert watch.console.refusal is not None
    assert "nothing to boot" in watch.console.refusal
    assert blank.image.read_bytes() == bytes(1 << 20)
    with (
        pytest.raises(WorldError, match="not there"),
        boot(
            Guest(image=tmp_path / "none", architecture=AMD64, certificates=certificates),
            Accelerator.TCG,
            store=store,
            sandbox=tools_sandbox,
        ),
    ):
        pass


@pytest.fixture
def blank(tmp_path: Path, certificates: OwnerCertificates) -> Guest:
    """A machine whose disk has nothing to boot."""
    image = tmp_path / "image.raw"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    return Guest(image=image, architecture=AMD64, certificates=certificates, memory_mib=256, cpus=1)


def test_ctrl_bracket_on_a_terminal_presses_the_button_and_then_pulls_the_plug(
    tools_sandbox: Sandbox, store: Store, blank: Guest, tmp_path: Path
) -> None:
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    # Later, as what was typed before the terminal was taken over is dropped.
    for seconds in (1.5, 2.0):
        threading.Timer(seconds, os.write, (keyboard, b"x" + ESCAPE)).start()
    with (tmp_path / "console").open("wb") as console:
        report = run_image(
            blank,
            Accelerator.TCG,
            store=store,
            sandbox=tools_sandbox,
            terminal=Terminal(output=console.fileno(), input=terminal),
            on_ready=lambda _state, _seconds: None,
            seconds_to_ready=600,
        )
    assert report.state is None
    assert report.seconds < 300
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)


def test_a_machine_that_cannot_boot_says_so_and_gives_the_terminal_back(
    tools_sandbox: Sandbox, store: Store, blank: Guest, tmp_path: Path
) -> None:
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with (tmp_path / "console").open("wb") as console, pytest.raises(FindingError, match="nothing to boot") as caught:
        run_image(
            blank,
            Accelerator.TCG,
            store=store,
            sandbox=tools_sandbox,
            terminal=Terminal(output=console.fileno(), input=terminal),
            on_ready=lambda _state, _seconds: None,
            seconds_to_ready=60,
        )
    assert "in the firmware" in caught.value.brief
    assert "BdsDxe" in (caught.value.details or "")
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)
