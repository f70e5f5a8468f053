# SPDX-License-Identifier: Apache-2.0
"""A server whose seed for cloud-init is malformed: it says so, comes up closed, and takes one that is mended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.budget import set_budget
from support.lab import Lab
from support.server import Server, require_ssh

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-seed")]

_MALFORMED = """#cloud-config
write_files: [{path: /etc/motd.local, content: "never"]
"""
_MENDED = """#cloud-config
write_files: [{path: /etc/motd.local, content: "now"}]
"""
_SEED = "/var/lib/cloud/seed/nocloud"
"""A seed that is a folder of the machine goes before one on a disk (cloud-init's documentation, NoCloud)."""


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_ssh()
    server = Server.beside(lab, tmp_path_factory.mktemp("seed"), "http://127.0.0.1:9")
    set_budget(server.distro / "images/server.toml", "")  # that of a server that lets nobody in by itself
    server.let_in()
    with server.booted(server.build(), user_data=_MALFORMED):
        yield server


def test_a_malformed_seed_is_told_and_can_be_mended(server: Server) -> None:
    first = server.up()
    assert b"user-data" in server.console.split(b"cloud-init", 1)[-1], "the console says what is wrong"
    said = server.ssh("cloud-init status --long", check=False)
    assert "degraded" in said
    assert "user-data" in said
    assert server.ssh("ls /etc/motd.local", check=False).strip().endswith("No such file or directory")
    assert "chain input" in server.ssh("sudo nft list ruleset"), "the firewall is closed"
    assert "passwordauthentication no" in server.ssh("sudo sshd -T")

    server.ssh(f"sudo mkdir -p {_SEED} && echo 'instance-id: mended' | sudo tee {_SEED}/meta-data")
    server.ssh(f"printf %s '{_MENDED}' | sudo tee {_SEED}/user-data")
    server.ssh("sudo cloud-init clean --reboot", check=False)
    server.up(other_than=first)
    assert server.ssh("cloud-init status").strip() == "status: done"
    assert server.ssh("cat /etc/motd.local").strip() == "now"
