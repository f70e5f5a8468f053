# SPDX-License-Identifier: Apache-2.0
"""A server that runs: its definition, its repository on the loopback, and its administrator's log-in over SSH.

with served(root / "published") as url:
    server = Server.beside(lab, root, url)
    server.zaffre("lock")
    server.publish()
    with server.booted(server.build()):
        server.up()
        server.ssh("uname -r")
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from support.emulated import Patience
from support.lab import Lab, for_this_machine_alone
from zaffre.cli.making import Making
from zaffre.machine import AMD64, Accelerator, Guest, Network, OwnerCertificates, boot
from zaffre.machine.judge_selinux import denials_of
from zaffre.machine.qemu import ConsoleOutput, Ended, Machine
from zaffre.machine.seed import SEED_DISK, make_seed
from zaffre.sandbox import Mount
from zaffre.trust import Role
from zaffre.upstream import Lock, load_lock

SECURE_BOOT = (
    "sudo od --address-radix=n --format=u1 /sys/firmware/efi/efivars/SecureBoot-* | tr -s ' ' '\\n' | tail -n 1"
)
"""The command that says 1 on a machine that was started by Secure Boot."""

_BOOT = 240.0


def require_ssh() -> None:
    if shutil.which("ssh") is None and not os.environ.get("CI"):
        pytest.skip("ssh is not there")


@dataclass
class Server:
    """A distribution whose image `server` runs, its repository, and the machine."""

    lab: Lab
    root: Path
    url: str
    port: int
    machine: Machine | None = None
    console: bytearray = field(default_factory=bytearray)
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def beside(cls, lab: Lab, root: Path, url: str) -> Server:
        """With the lab's definition and lock, to be changed. `url`: where `published` is served to this machine."""
        # The host, as QEMU's network has it.
        server = cls(lab, root, url.replace("127.0.0.1", "10.0.2.2"), _free_port())
        shutil.copytree(lab.distro, server.distro, symlinks=True)
        for_this_machine_alone(server.distro)
        server.change("zaffre.toml", r'^url = ".*"$', f'url = "{server.url}"')
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "id"], check=True)
        return server

    @property
    def distro(self) -> Path:
        return self.root / "distro"

    @property
    def key(self) -> str:
        """The administrator's public key."""
        return (self.root / "id.pub").read_text().strip()

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def lock(self) -> Lock:
        lock = load_lock(self.distro / "zaffre.lock")
        assert lock is not None
        return lock

    def zaffre(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.lab.zaffre("--distro", str(self.distro), *words, check=check)

    def change(self, name: str, pattern: str, text: str) -> None:
        """Change the one place of a file of the definition that matches."""
        path = self.distro / name
        changed, count = re.subn(pattern, text, path.read_text(), flags=re.MULTILINE)
        assert count == 1, (name, pattern, count)
        path.write_text(changed)

    def let_in(self) -> None:
        """Have the image let its administrator in by itself, without cloud-init."""
        self.change("images/server.toml", r'^trees = \["files/server"\]$', 'trees = ["files/server", "files/access"]')
        user = '[[users]]\nname = "admin"\nuid = 1000\nhome = "/"\nshell = "/bin/bash"\n\n[prune]'
        self.change("images/server.toml", r"^\[prune\]$", user)
        for name, text in (
            ("usr/lib/access/key", self.key),
            ("etc/ssh/sshd_config.d/20-access.conf", "AuthorizedKeysFile /usr/lib/access/key"),
            ("etc/sudoers.d/admin", "admin ALL=(ALL) NOPASSWD:ALL"),
        ):
            path = self.distro / "files/access" / name
            path.parent.mkdir(parents=True)
            path.write_text(f"{text}\n")

    def publish(self, *options: str) -> None:
        """What the lock names, to the channel that the machine follows."""
        self.zaffre("repo", "build", "--channel", "stable", "--to", str(self.published), "--image", "server", *options)

    def build(self) -> Path:
        out = str(self.root / "out")
        return Path(self.lab.json("--distro", str(self.distro), "build", "server", "--out", out)["directory"])

    @contextmanager
    def booted(self, build: Path, *, user_data: str | None = None) -> Iterator[None]:
        """The machine runs, with a seed from which cloud-init, if it has that, lets its administrator in; or with
        that text for it.
        """
        root = self.root
        with self.lab.workspace() as work:
            sandbox = Making(work).sandbox
            settings = {"ssh_authorized_keys": [self.key]}
            make_seed(root / "seed.img", instance="story", settings=settings, scratch=root, sandbox=sandbox)
            if user_data is not None:
                (root / "user-data").write_text(user_data)
                mounts = [Mount(root / name, f"/job/{name}", writable=True) for name in ("seed.img", "user-data")]
                words = ["mcopy", "-o", "-i", "/job/seed.img", "/job/user-data", "::user-data"]
                sandbox.run(words, mounts=mounts, timeout=60)
            guest = Guest(
                image=build / "image.raw",
                architecture=AMD64,
                certificates=OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB))),
                disks={SEED_DISK: root / "seed.img"},
                network=Network.HOST,
                forwards={self.port: 22},
            )
            try:
                with boot(guest, Accelerator.TCG, store=work.store, sandbox=sandbox) as machine:
                    self.machine = machine
                    yield
            finally:
                (root / "console.log").write_bytes(self.console)

    def drain(self, seconds: float) -> None:
        """Keep the machine running for so long."""
        assert self.machine is not None
        for event in self.patience.events(self.machine, time.monotonic() + seconds):
            if isinstance(event, ConsoleOutput):
                self.console += event.data
            assert not isinstance(event, Ended), self.console[-2000:].decode(errors="replace")

    def ssh(self, command: str, *, check: bool = True, seconds: float = 300.0) -> str:
        """What a command prints that the machine's administrator gives over SSH, with the machine kept running."""
        options = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
            "ServerAliveInterval=15",
        )
        words = [
            *("ssh", "-p", str(self.port), "-i", str(self.root / "id"), "-o", "BatchMode=yes"),
            *(word for option in options for word in ("-o", option)),
            *("admin@127.0.0.1", command),
        ]
        with (
            TemporaryFile() as output,
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as process,
        ):
            deadline = time.monotonic() + seconds
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()
                self.drain(0.2)
            output.seek(0)
            said = output.read().decode(errors="replace")
        if process.returncode == 0:
            self.patience.comes_up()
        if check:
            assert process.returncode == 0, f"{command}\n{said}\n{self.console[-2000:].decode(errors='replace')}"
        return said

    def wait(self, holds: Callable[[], bool], seconds: float = _BOOT) -> None:
        deadline = time.monotonic() + seconds
        before = self.patience.again
        while not holds():
            more = _BOOT if self.patience.again and not before else 0.0
            assert time.monotonic() < deadline + more, self.console[-3000:].decode(errors="replace")
            self.drain(1.0)

    def up(self, *, other_than: str = "", seconds: float = _BOOT) -> str:
        """The id of the boot that is now running and settled, once it is another one than `other_than`."""
        found = ""

        def settled() -> bool:
            nonlocal found
            # One session that waits: each log-in costs an emulated machine seconds of the boot that is waited for.
            said = self.ssh(
                f"id=$(cat /proc/sys/kernel/random/boot_id); echo $id; [ $id = '{other_than}' ] || "
                "systemctl is-system-running --wait",
                check=False,
                seconds=seconds,
            ).split()
            found = said[0] if said else ""
            return len(said) == 2 and said[1] == "running" and found != other_than

        self.wait(settled, seconds)
        return found

    def denials(self, *, boot: str = "all") -> list[str]:
        """What SELinux has refused, in all boots or in one, by journalctl's name."""
        words = f"sudo journalctl --no-pager --output=cat --boot={boot} _TRANSPORT=audit + _TRANSPORT=kernel"
        said = self.ssh(words)
        return sorted(set(denials_of(said)))

    def mislabelled(self) -> list[str]:
        """Files with other labels than those of the policy's table; what programs write below /var is theirs."""
        return self.ssh("sudo restorecon -R -n -v /etc /home /usr").splitlines()

    def label(self, path: str) -> str:
        """The type that a file has."""
        return self.ssh(f"stat --format=%C {path}").split(":")[2]

    def entries(self) -> list[str]:
        return sorted(self.ssh("sudo ls /efi/EFI/Linux").split())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
