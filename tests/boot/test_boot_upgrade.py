# SPDX-License-Identifier: Apache-2.0
"""The far upgrade: a server of Debian 12 becomes one of Debian 13 in place, and its plan said beforehand what happens.

The definition is the reference server's. Its lock of Debian 12 makes the machine and the first snapshot of its
repository, its lock of Debian 13 the second one. Everything that the plan says is held against what the machine did.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pysequoia import ArmorKind, armor

from support.budget import set_budget
from support.lab import Lab
from support.server import SECURE_BOOT, Server, require_ssh
from support.shop import served
from zaffre.cli.making import Making

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-upgrade")]

_KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"
_OLD = """
family = "deb"
keyring = "keyrings/debian-12.asc"
architectures = ["amd64"]
suites = [{ archive = "debian", suite = "bookworm", components = ["main"] }]
[archives.debian]
path = "debian"
"""
_SMALLER = (
    # Its Python is most of the set, and of the time that an upgrade takes in an emulated machine.
    (r'^  "cloud-init",\n', ""),
    (r'^  "curl",\n', ""),
)
"""What makes the reference server one without cloud-init."""

_ONLY_IN_NEW = (
    (r'^  "systemd-repart",\n', ""),
    (r'^  "/usr/lib/systemd/systemd-executor",\n', ""),
    # SELinux comes by the upgrade, to a root that has no labels.
    (r'^profiles = \["hardened", "selinux-server"\]$', 'profiles = ["hardened"]'),
    (r',integrity,selinux"', ',integrity,apparmor"'),
)
"""What Debian 12 knows nothing of, or did not have."""

_ONLY_IN_OLD = (
    # systemd 252 fails to measure its progress without libraries for the TPM; later ones pass that over.
    r"^\[units\]$",
    '[units]\nmask = ["systemd-pcrphase.service", "systemd-pcrphase-sysinit.service"]',
)

_KEPT = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_ASKED = re.compile(r"^Configuration file '(?P<path>[^']+)'", re.MULTILINE)
_PACKAGES = "dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Abbrev}\\n'"
_SERVICES = "systemctl show --property=Id,InvocationID,ActiveState '*.service'"
_STALE = (
    "for maps in $(sudo grep --files-with-matches --extended-regexp ' /usr/.* \\(deleted\\)$' /proc/[0-9]*/maps "
    "2>/dev/null); do cat ${maps%/maps}/cgroup 2>/dev/null || true; done"
)
_PASSING = {f"systemd-{name}.service" for name in ("hostnamed", "localed", "timedated")}
_CHANGED = "/etc/bash.bashrc"
"""A configuration file that the machine's administrator has changed."""


@dataclass
class Upgrade:
    """A machine that runs the old lock, with the new one published; what the plan said; and what was there before."""

    server: Server
    plan: Any
    new: Mapping[str, str]


@pytest.fixture(scope="module")
def upgrade(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    require_ssh()
    root = tmp_path_factory.mktemp("upgrade")
    (root / "published").mkdir()
    with served(root / "published") as url:
        server = Server.beside(lab, root, url)
        server.distro.joinpath("images/wsl.toml").unlink()  # it is made of what is changed here
        definition, upstream = server.distro / "images/server.toml", server.distro / "upstreams/machine.toml"
        server.change("images/server.toml", r'^kind = "server"$', 'kind = "server"\nupstream = "machine"')
        server.change("images/server.toml", r'^root = ".*"$', 'root = "2G"')
        set_budget(definition, "")  # that of Debian 13's packages
        for pattern, text in _SMALLER:
            server.change("images/server.toml", pattern, text)
        server.let_in()
        newer = definition.read_text()
        for pattern, text in _ONLY_IN_NEW:
            server.change("images/server.toml", pattern, text)
        server.change("images/server.toml", *_ONLY_IN_OLD)
        upstream.write_text(_OLD)
        (server.distro / "upstreams/keyrings/debian-12.asc").write_text(_keys(lab))
        server.zaffre("lock", "--image", "server")
        server.publish()
        build = server.build()
        old = shutil.copyfile(server.distro / "zaffre.lock", root / "old.lock")

        definition.write_text(newer)
        upstream.write_text((server.distro / "upstreams/debian.toml").read_text())
        server.zaffre("lock", "--update", "--image", "server")
        server.publish()
        words = ("upgrade", "plan", str(old), str(server.distro / "zaffre.lock"), "--image", "server", "--json")
        said = server.zaffre(*words, check=False)
        (root / "plan.json").write_text(said.stdout)
        assert said.returncode == 0, said.stdout + said.stderr
        new = {one.name: one.version for one in server.lock.set("server", "amd64").packages}
        with server.booted(build):
            yield Upgrade(server, json.loads(said.stdout), new)


def _keys(lab: Lab) -> str:
    """The keys of Debian 12, as the tools have them."""
    with lab.workspace() as work:
        return armor((Making(work).sandbox.tools.root / _KEYRING).read_bytes(), ArmorKind.PublicKey)


def test_the_machine_does_what_the_plan_said(upgrade: Upgrade) -> None:
    server, plan = upgrade.server, upgrade.plan
    first = server.up()
    assert server.ssh("cat /etc/debian_version").strip().startswith("12.")
    assert server.ssh(SECURE_BOOT).strip() == "1"
    (original,) = server.entries()
    server.ssh(f"echo '# ours' | sudo tee --append {_CHANGED} >/dev/null")
    packages, services = _packages(server), _services(server)

    said = "".join(_unattended(server, words) for words in plan["proof"]["commands"])

    now, after = _packages(server), _services(server)
    moved = {
        name: (packages.get(name), now.get(name))
        for name in packages.keys() | now.keys()
        if packages.get(name) != now.get(name)
    }
    planned = {one["name"]: (one["old_version"], one["new_version"]) for one in plan["moves"] if one["kind"] != "kept"}
    assert moved == planned
    own = {"zaffre-server", "zaffre-server-kernel"}
    kept = {one["name"] for one in plan["moves"] if one["kind"] == "kept"}
    assert {name: version for name, version in now.items() if name not in own | kept} == upgrade.new
    assert kept <= now.keys()

    asks = {one["path"]: one["asks"] for one in plan["conffiles"]}
    asked = {match["path"] for match in _ASKED.finditer(said)}
    assert asked == {path for path, when in asks.items() if when == "always"} | {_CHANGED}
    assert asks[_CHANGED] == "if-changed"

    restarted = {unit for unit, run in services.items() if unit in after and after[unit] != run}
    told = {one["unit"]: one["action"] for one in plan["services"]}
    assert restarted == {unit for unit, action in told.items() if action == "restarted" and unit in services}
    assert _stale(server) <= {unit for unit, action in told.items() if action == "old-code"}

    assert plan["reboot"]
    (newer,) = (name for name in server.entries() if name != original)
    assert newer.endswith("+3.efi"), "it is on trial"
    server.ssh("sudo systemctl reboot", check=False)
    # The first start with SELinux labels files, and starts anew.
    server.up(other_than=first, seconds=900.0)
    assert server.ssh("cat /etc/debian_version").strip().startswith("13.")
    kernels = {name.removeprefix("linux-image-") for name in upgrade.new if name.startswith("linux-image-")}
    assert server.ssh("uname --kernel-release").strip() in kernels
    assert server.ssh(SECURE_BOOT).strip() == "1"
    assert server.ssh("sudo dpkg --audit; apt-get --simulate dist-upgrade | grep ^Inst || true") == ""
    assert server.ssh(f"sudo tail -n 1 {_CHANGED}").strip() == "# ours"
    assert server.ssh("/usr/sbin/getenforce").strip() == "Enforcing"
    assert server.denials(boot="0") == []
    # What was written after the labels were given, by the old kernel, was labelled in a start before this one.
    assert {one for one in server.denials() if not one.endswith(": read of unlabeled_t (file)")} == set()
    server.wait(lambda: newer.replace("+3.efi", ".efi") in server.entries(), 60.0)
    assert original in server.entries(), "the kernel before stays bootable"
    assert server.mislabelled() == []


def _unattended(server: Server, words: list[str]) -> str:
    """What apt and dpkg say while the machine carries out a command of the plan, whatever becomes of the connection."""
    tool, *rest = words
    line = shlex.join([tool, "--yes", *_KEPT, *rest])
    server.ssh(
        f"sudo apt-get --quiet update && sudo systemd-run --unit=upgrade --setenv=DEBIAN_FRONTEND=noninteractive {line}"
    )
    server.wait(
        lambda: server.ssh("systemctl is-active upgrade", check=False).strip() in {"inactive", "failed"}, 3000.0
    )
    said = server.ssh("sudo journalctl --unit=upgrade --output=cat --no-pager")
    (server.root / f"{rest[0]}.log").write_text(said)
    assert server.ssh("systemctl is-failed upgrade", check=False).strip() == "inactive", said[-3000:]
    return said


def _packages(server: Server) -> dict[str, str]:
    """Versions of what is installed, by name."""
    rows = [line.split() for line in server.ssh(_PACKAGES).splitlines()]
    return {name: version for name, version, state in rows if state == "ii"}


def _services(server: Server) -> dict[str, str]:
    """Which run of a service is active: another number after a restart. Without those that come and go by themselves:
    instances of templates, and what ends when nobody asks it.
    """
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in server.ssh(_SERVICES).split("\n\n")]
    runs = {one["Id"]: one["InvocationID"] for one in blocks if one and one["ActiveState"] == "active"}
    return {unit: run for unit, run in runs.items() if "@" not in unit and unit not in _PASSING}


def _stale(server: Server) -> set[str]:
    """Services, no instances of templates, with a process that has files of the old packages in use."""
    groups = [line.strip() for line in server.ssh(_STALE).splitlines() if ":/system.slice/" in line]
    units = {part for group in groups for part in group.split("/") if part.endswith(".service")}
    return {unit for unit in units if "@" not in unit}
