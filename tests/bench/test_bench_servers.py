# SPDX-License-Identifier: Apache-2.0
"""A log-in is timed once for each boot, what a guest tells is read, and a comparison is of two that do the same."""

import base64
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from doors import Door, Visitor, free_port, greets
from figures import rows
from guests import Told, script
from measure import BenchError
from servers import ServerFacts, Servers, _facts, server_figures
from stockcloud import grub_arguments

from zaffre.sandbox import Completed

BOOTS = ("8a3c5b1e-0000-4000-8000-000000000001", "8a3c5b1e-0000-4000-8000-000000000002")


class FakeMachine:
    """Answers on a port as sshd does, and lets in whoever comes, from the third try of each boot on."""

    def __init__(self) -> None:
        self.boot = BOOTS[0]
        self.tries = 0

    def run(self, argv, *, mounts, network, timeout, check) -> Completed:
        assert argv[0] == "ssh"
        assert (network, check) == (True, False)
        assert [Path(mount.source).stat().st_mode & 0o777 for mount in mounts] == [0o600]
        self.tries += 1
        said = f"{self.tries}.25 9.00\n{self.boot}\n" if self.tries % 3 == 0 else ""
        return Completed(0 if said else 255, said.encode(), "", 0.1, 0.1)

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(0.1)
            over = threading.Event()

            def serve() -> None:
                while not over.is_set():
                    try:
                        connection, _ = server.accept()
                    except TimeoutError:
                        continue
                    with connection:
                        connection.sendall(b"SSH-2.0-OpenSSH_10.0p1\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()


def passed(door: Door) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            return door.passed()
        except BenchError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_log_in_counts_once_for_each_boot(tmp_path: Path):
    machine, port = FakeMachine(), free_port()
    assert not greets(port), "nobody is there yet"
    with machine.listening(port), Door(machine, Visitor.made(tmp_path), port) as door:
        with pytest.raises(BenchError, match="nobody could log in"):
            door.passed()
        passed(door)
        time.sleep(1.5)  # the first boot is still there: being let in by it says nothing
        machine.boot = BOOTS[1]
        passed(door)
    first, second = door.log_ins
    assert (first.seconds, first.boot) == (3.25, BOOTS[0])
    assert second.boot == BOOTS[1]
    assert second.seconds > first.seconds


def test_a_visitors_key_is_one_that_openssh_reads(tmp_path: Path):
    visitor = Visitor.made(tmp_path)
    private = load_ssh_private_key(visitor.private.read_bytes(), None)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert visitor.public == f"{public} bench"
    assert visitor.private.stat().st_mode & 0o777 == 0o600


def test_what_the_guest_sends_is_json_with_the_answers(tmp_path: Path):
    """The script by a real shell, up to where it speaks; programs of a running system are stood in for."""
    port = tmp_path / "port"
    port.touch()
    text = script({"question": "printf 'a \"b\"\\n'; printf c"}, 0).replace(
        "/dev/virtio-ports/org.zaffre.notify", str(port)
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "systemd-analyze"):
        (programs / name).write_text("#!/bin/sh\necho running\n")
        (programs / name).chmod(0o755)
    subprocess.run(["/bin/sh", "-c", text], check=True, env={"PATH": f"{programs}:/usr/bin:/bin"}, timeout=30)
    said = {name: base64.b64decode(value).decode() for name, value in json.loads(port.read_text()).items()}
    assert said["question"] == 'a "b"\nc'
    assert said["state"] == "running\n"
    assert "MemAvailable:" in said["memory"]


def told(status: str = "done") -> Told:
    packages = "installed apt\ninstalled bash\nconfig-files old\n"
    return Told("running", 150_000_000, "", {"packages": packages, "cloud": json.dumps({"status": status})})


def test_packages_are_those_that_are_installed():
    assert _facts("Zaffre", told(), 12.5) == ServerFacts(12.5, 150_000_000, 2, "running")


@pytest.mark.parametrize("status", ["running", "error"])
def test_a_machine_that_cloud_init_has_not_finished_is_not_compared(status: str):
    with pytest.raises(BenchError, match=f"cloud-init says '{status}'"):
        _facts("Zaffre", told(status), 12.5)


def test_the_rows_of_a_server():
    ours = [(ServerFacts(20.0, 160_000_000, 204, "running"), ServerFacts(15.0, 150_000_000, 204, "running"))]
    stock = [(ServerFacts(40.0, 250_000_000, 340, "running"), ServerFacts(30.0, 200_000_000, 340, "running"))]
    assert rows(server_figures(Servers(ours, stock, [0.0]))) == [
        ("server: packages", "204", "340", "stock cloud image", "0.60", "≤ 0.6", "held"),
        (
            "server: first boot: kernel to log-in by SSH",
            "20.0 s",
            "40.0 s",
            "stock cloud image",
            "0.50",
            "≤ 0.7",
            "held",
        ),
        ("server: restart: kernel to log-in by SSH", "15.0 s", "30.0 s", "stock cloud image", "0.50", "≤ 0.7", "held"),
        ("server: memory in use after boot", "150 MB", "200 MB", "stock cloud image", "0.75", "≤ 0.8", "held"),
    ]


def test_the_kernels_arguments_are_those_of_its_boot_loader(tmp_path: Path):
    drop_ins = tmp_path / "etc/default/grub.d"
    drop_ins.mkdir(parents=True)
    (tmp_path / "etc/default/grub").write_text(
        '# GRUB_CMDLINE_LINUX="no"\nGRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\n'
        'GRUB_CMDLINE_LINUX_DEFAULT=""\n'
    )
    (drop_ins / "10_more.cfg").write_text('GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    assert grub_arguments(tmp_path) == "console=tty0 console=ttyS0,115200 quiet"
