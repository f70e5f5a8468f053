# SPDX-License-Identifier: Apache-2.0
"""A server and its repository: one machine that is logged in to, upgraded, given a newer kernel, and a broken one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from support.budget import set_budget
from support.lab import Lab
from support.server import SECURE_BOOT, Server, require_ssh
from support.shop import served

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-server")]

_RELEASE = """
family = "deb"
keyring = "keyrings/debian-archive.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "trixie", components = ["main"] }]
[archives.debian]
path = "debian"
"""
_RULES = """
(type story_t)
(roletype object_r story_t)
(typeattributeset file_type (story_t))
(typeattributeset non_security_file_type (story_t))
(filecon "/opt/story(/.*)?" any (system_u object_r story_t ((s0) (s0))))
"""
"""What a later policy has more: a type, and files that are there by then."""
ADMINISTRATOR = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
_NIGHT = """date --date '+12 hours' '+Unattended-Upgrade::Automatic-Reboot-Time "%H:%M";'"""
"""A restart that is far away, whenever this runs: in the five minutes before it, nobody is let in (shutdown(8))."""
_FURTHER = ("--image", "container-host")
"""An image whose packages the repository has too."""
_LOCKED = (*_FURTHER, "--image", "server", "--image", "wsl")
"""What is locked: the image of the repository's other packages, and the two that are of one set."""


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_ssh()
    root = tmp_path_factory.mktemp("server")
    (root / "published").mkdir()
    with served(root / "published") as url:
        story = Server.beside(lab, root, url)
        (story.distro / "upstreams/release.toml").write_text(_RELEASE)
        story.change("images/server.toml", r'^kind = "server"$', 'kind = "server"\nupstream = "release"')
        story.change("images/server.toml", r'"panic=10"', '"panic=1"')
        story.change(
            "images/server.toml", r"^profiles = .*$", 'profiles = ["hardened", "selinux-server", "unattended-upgrades"]'
        )
        set_budget(story.distro / "images/server.toml", "")  # that of a server that does not upgrade by itself
        story.zaffre("lock", *_LOCKED)
        story.publish(*_FURTHER)
        with story.booted(story.build()):
            yield story


def kernels(story: Server) -> set[str]:
    """Releases of the kernels in the server's set of the lock."""
    names = [package.name for package in story.lock.set("server", "amd64").packages]
    return {name.removeprefix("linux-image-") for name in names if name.startswith("linux-image-")}


def test_a_server_from_its_first_boot_to_a_kernel_that_does_not_come_up(story: Server) -> None:
    first = story.up()
    assert story.ssh("id --user --name; sudo id --user --name").split() == ["admin", "root"]
    story.wait(lambda: b"Zaffre Linux 1 story ttyS0" in story.console, 60.0)
    assert story.ssh("cat /etc/issue.net").strip() == "Zaffre Linux 1"
    assert "Welcome to Zaffre Linux 1." in story.ssh("grep --no-filename . /run/motd /usr/lib/motd /etc/motd || true")
    old = story.ssh("uname --kernel-release").strip()
    (original,) = story.entries()
    assert story.ssh(SECURE_BOOT).strip() == "1"
    assert story.ssh("/usr/sbin/getenforce; id --context").split() == ["Enforcing", ADMINISTRATOR]
    assert story.mislabelled() == []

    # The machine has one repository, and there are packages in it that are in no server.
    story.ssh("sudo apt-get --quiet update && sudo apt-get --quiet --yes install conntrack")
    assert story.ssh("apt-get indextargets --format '$(SITE)' | sort --unique").split() == [story.url]
    assert story.ssh("/usr/sbin/conntrack --version").startswith("conntrack v")

    # A newer snapshot: the security archive's packages, a newer kernel, and a policy with a label for what is there.
    story.ssh("sudo mkdir /opt/story && sudo touch /opt/story/old")
    assert story.label("/opt/story/old") == "usr_t"
    with (story.distro / "selinux/server.cil").open("a") as rules:
        rules.write(_RULES)
    story.change("images/server.toml", '^upstream = "release"$', 'upstream = "debian"')
    story.zaffre("lock", "--update", "--image", "server", "--image", "wsl")  # the second one extends the first
    if old in kernels(story):
        # Right after a point release both archives have the same one.
        story.change("images/server.toml", 'package = "linux-image-cloud-{arch}"', 'package = "linux-image-{arch}"')
        story.zaffre("lock", *_LOCKED)
    story.publish(*_FURTHER)
    assert story.ssh("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer").split() == ["enabled"] * 2
    story.ssh(f"{_NIGHT} | sudo tee /etc/apt/apt.conf.d/99night")
    story.ssh("sudo apt-get --quiet update && sudo unattended-upgrade", seconds=900.0)
    assert "MODE=reboot" in story.ssh("cat /run/systemd/shutdown/scheduled"), "it restarts at night"
    assert story.ssh("dpkg --audit; apt-get --simulate dist-upgrade | grep ^Inst || true") == ""
    assert story.mislabelled() == [], "dpkg labels what it unpacks"
    story.ssh("sudo touch /opt/story/new")
    assert [story.label(f"/opt/story/{name}") for name in ("old", "new")] == ["story_t"] * 2
    assert "Debian" not in story.ssh("/usr/sbin/agetty --show-issue; ls /etc/issue /etc/motd 2>&1 || true")
    newer = [name for name in story.entries() if name != original]
    assert [name.endswith("+3.efi") for name in newer] == [True], "it is on trial"
    story.ssh("sudo systemctl reboot", check=False)
    second = story.up(other_than=first)
    new = story.ssh("uname --kernel-release").strip()
    assert new != old
    assert story.ssh(SECURE_BOOT).strip() == "1"
    assert "cloud-init-network.service" in story.ssh("ls /run/systemd/generator.early"), "a restart waits for no seed"
    assert story.ssh("cloud-init status --wait").strip().endswith("status: done")
    story.wait(lambda: newer[0].replace("+3.efi", ".efi") in story.entries(), 60.0)
    assert original in story.entries(), "the kernel before stays bootable"

    # A kernel that panics: after three tries the one before is taken, by nobody's hand.
    story.change("images/server.toml", '"panic=1"', '"panic=1",\n  "rdinit=/nowhere"')
    story.publish(*_FURTHER, "--revision", "2")
    story.ssh("sudo apt-get --quiet update && sudo apt-get --quiet --yes dist-upgrade", seconds=900.0)
    assert original in story.entries(), "two that are good stay"
    story.console.clear()
    story.ssh("sudo systemctl reboot", check=False)
    story.up(other_than=second)
    assert story.console.count(b"Kernel panic") >= 3
    assert story.ssh("uname --kernel-release").strip() == new
    assert any(re.search(r"\+0-3\.efi$", name) for name in story.entries())
    assert story.denials() == []


@pytest.mark.long
def test_what_was_written_without_selinux_is_labelled_when_it_is_back(story: Server) -> None:
    boot = story.up()
    story.ssh("sudo sed -i s/^SELINUX=.*/SELINUX=disabled/ /etc/selinux/config")
    story.ssh("sudo systemctl reboot", check=False)
    boot = story.up(other_than=boot)
    assert story.ssh("/usr/sbin/getenforce").strip() == "Disabled"
    story.ssh("sudo touch /etc/written && sudo mkdir /opt/written")
    # As an upgrade does, of what every program needs.
    library = story.ssh("readlink --canonicalize /usr/lib/*/libpcre2-8.so.0").strip()
    story.ssh(f"sudo cp {library} {library}.new && sudo mv {library}.new {library}")
    assert story.ssh("ls /etc/selinux/.relabel").strip(), "it is remembered"

    story.ssh("sudo sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config")
    story.ssh("sudo systemctl reboot", check=False)
    story.up(other_than=boot, seconds=900.0)
    assert story.ssh("/usr/sbin/getenforce").strip() == "Enforcing"
    assert [story.label(path) for path in ("/etc/written", "/opt/written", library)] == ["etc_t", "usr_t", "lib_t"]
    assert story.mislabelled() == []
    assert story.ssh("ls /etc/selinux/.relabel || true").startswith("ls: ")
