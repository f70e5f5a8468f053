# SPDX-License-Identifier: Apache-2.0
"""A server and its repository: one machine that is logged in to, upgraded, given a newer kernel, and a broken one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.lab import Lab
from support.shop import served
from zaffre.cli.making import Making
from zaffre.machine import AMD64, Accelerator, Guest, Network, OwnerCertificates, boot
from zaffre.machine.qemu import ConsoleOutput, Ended, Machine
from zaffre.machine.seed import SEED_DISK, make_seed
from zaffre.trust import Role
from zaffre.upstream import load_lock

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-server")]

_BOOT = 240.0
_RELEASE = """
family = "deb"
keyring = "keyrings/debian-archive.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "trixie", components = ["main"] }]
[archives.debian]
path = "debian"
"""


@dataclass
class Story:
    """A distribution of one server, its repository, and the machine."""

    lab: Lab
    root: Path
    url: str
    port: int
    machine: Machine | None = None
    console: bytearray = field(default_factory=bytearray)

    @property
    def distro(self) -> Path:
        return self.root / "distro"

    @property
    def published(self) -> Path:
        return self.root / "published"

    def zaffre(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.lab.zaffre("--distro", str(self.distro), *words)

    def change(self, name: str, pattern: str, text: str) -> None:
        path = self.distro / name
        changed, count = re.subn(pattern, text, path.read_text(), flags=re.MULTILINE)
        assert count == 1, (name, pattern, count)
        path.write_text(changed)

    def make(self) -> None:
        shutil.copytree(self.lab.distro, self.distro, symlinks=True)
        (self.distro / "upstreams/release.toml").write_text(_RELEASE)
        self.change("images/server.toml", r'^kind = "server"$', 'kind = "server"\nupstream = "release"')
        self.change("images/server.toml", r'"panic=10"', '"panic=1"')
        self.change("zaffre.toml", r'^url = ".*"$', f'url = "{self.url}"')

    def publish(self, *options: str) -> None:
        images = ("--image", "server", "--image", "container-host")
        self.zaffre("repo", "build", "--channel", "stable", "--to", str(self.published), *images, *options)

    def drain(self, seconds: float) -> None:
        assert self.machine is not None
        for event in self.machine.events(time.monotonic() + seconds):
            if isinstance(event, ConsoleOutput):
                self.console += event.data
            assert not isinstance(event, Ended), self.console[-2000:].decode(errors="replace")

    def ssh(self, command: str, *, check: bool = True, seconds: float = 300.0) -> str:
        """What a command prints that the machine's administrator gives over SSH, with the machine kept running."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10")
        with subprocess.Popen(
            [
                *("ssh", "-p", str(self.port), "-i", str(self.root / "id"), "-o", "BatchMode=yes"),
                *(word for option in options for word in ("-o", option)),
                *("admin@127.0.0.1", command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            deadline = time.monotonic() + seconds
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()
                self.drain(0.2)
            assert process.stdout is not None
            said = process.stdout.read()
        if check:
            assert process.returncode == 0, f"{command}\n{said}\n{self.console[-2000:].decode(errors='replace')}"
        return said

    def wait(self, holds: Callable[[], bool], seconds: float = _BOOT) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.console[-3000:].decode(errors="replace")
            self.drain(1.0)

    def up(self, *, other_than: str = "") -> str:
        """The id of the boot that is now running and settled, once it is another one than `other_than`."""
        found = ""

        def settled() -> bool:
            nonlocal found
            said = self.ssh(
                "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running", check=False, seconds=20.0
            ).split()
            found = said[0] if said else ""
            return len(said) == 2 and said[1] == "running" and found != other_than

        self.wait(settled)
        return found

    def kernels(self) -> set[str]:
        """Releases of the kernels in the server's set of the lock."""
        lock = load_lock(self.distro / "zaffre.lock")
        assert lock is not None
        names = [package.name for package in lock.set("server", "amd64").packages]
        return {name.removeprefix("linux-image-") for name in names if name.startswith("linux-image-")}

    def entries(self) -> list[str]:
        return sorted(self.ssh("sudo ls /efi/EFI/Linux").split())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    if shutil.which("ssh") is None and not os.environ.get("CI"):
        pytest.skip("ssh is not there")
    root = tmp_path_factory.mktemp("server")
    (root / "published").mkdir()
    with served(root / "published") as url:
        # The host, as QEMU's network has it.
        story = Story(lab, root, url.replace("127.0.0.1", "10.0.2.2"), free_port())
        story.make()
        story.zaffre("lock")
        story.publish()
        image = Path(
            lab.json("--distro", str(story.distro), "build", "server", "--out", str(root / "out"))["directory"]
        )
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "id"], check=True)
        with lab.workspace() as work:
            sandbox = Making(work).sandbox
            key = (root / "id.pub").read_text().strip()
            settings = {"ssh_authorized_keys": [key]}
            make_seed(root / "seed.img", instance="story", settings=settings, scratch=root, sandbox=sandbox)
            guest = Guest(
                image=image / "image.raw",
                architecture=AMD64,
                certificates=OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB))),
                disks={SEED_DISK: root / "seed.img"},
                network=Network.HOST,
                forwards={story.port: 22},
            )
            with boot(guest, Accelerator.TCG, store=work.store, sandbox=sandbox) as machine:
                story.machine = machine
                yield story
        (root / "console.log").write_bytes(story.console)


def test_a_server_from_its_first_boot_to_a_kernel_that_does_not_come_up(story: Story) -> None:
    first = story.up()
    assert story.ssh("id --user --name; sudo id --user --name").split() == ["admin", "root"]
    story.wait(lambda: b"Zaffre Linux 1 story ttyS0" in story.console, 60.0)
    assert story.ssh("cat /etc/issue.net").strip() == "Zaffre Linux 1"
    assert "Welcome to Zaffre Linux 1." in story.ssh("grep --no-filename . /run/motd /usr/lib/motd /etc/motd || true")
    old = story.ssh("uname --kernel-release").strip()
    (original,) = story.entries()
    secure = "sudo od --address-radix=n --format=u1 /sys/firmware/efi/efivars/SecureBoot-*"
    assert story.ssh(secure).split()[-1] == "1"

    # The machine has one repository, and there are packages in it that are in no server.
    story.ssh("sudo apt-get --quiet update && sudo apt-get --quiet --yes install conntrack")
    assert story.ssh("apt-get indextargets --format '$(SITE)' | sort --unique").split() == [story.url]
    assert story.ssh("/usr/sbin/conntrack --version").startswith("conntrack v")

    # A newer snapshot: the security archive's packages, and a newer kernel.
    story.change("images/server.toml", '^upstream = "release"$', 'upstream = "debian"')
    story.zaffre("lock", "--update", "--image", "server")
    if old in story.kernels():
        # Right after a point release both archives have the same one.
        story.change("images/server.toml", 'package = "linux-image-cloud-{arch}"', 'package = "linux-image-{arch}"')
        story.zaffre("lock")
    story.publish()
    story.ssh("sudo apt-get --quiet update && sudo apt-get --quiet --yes dist-upgrade", seconds=900.0)
    assert story.ssh("dpkg --audit; apt-get --simulate dist-upgrade | grep ^Inst || true") == ""
    assert "Debian" not in story.ssh("/usr/sbin/agetty --show-issue; ls /etc/issue /etc/motd 2>&1 || true")
    newer = [name for name in story.entries() if name != original]
    assert [name.endswith("+3.efi") for name in newer] == [True], "it is on trial"
    story.ssh("sudo systemctl reboot", check=False)
    second = story.up(other_than=first)
    new = story.ssh("uname --kernel-release").strip()
    assert new != old
    assert story.ssh(secure).split()[-1] == "1"
    story.wait(lambda: newer[0].replace("+3.efi", ".efi") in story.entries(), 60.0)
    assert original in story.entries(), "the kernel before stays bootable"

    # A kernel that panics: after three tries the one before is taken, by nobody's hand.
    story.change("images/server.toml", '"panic=1"', '"panic=1",\n  "rdinit=/nowhere"')
    story.publish("--revision", "2")
    story.ssh("sudo apt-get --quiet update && sudo apt-get --quiet --yes dist-upgrade", seconds=900.0)
    assert original in story.entries(), "two that are good stay"
    story.console.clear()
    story.ssh("sudo systemctl reboot", check=False)
    story.up(other_than=second)
    assert story.console.count(b"Kernel panic") >= 3
    assert story.ssh("uname --kernel-release").strip() == new
    assert any(re.search(r"\+0-3\.efi$", name) for name in story.entries())
