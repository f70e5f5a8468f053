# SPDX-License-Identifier: Apache-2.0
"""A server whose seed for cloud-init is malformed: it says so, takes nothing of it, and comes up closed."""

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


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_ssh()
    server = Server.beside(lab, tmp_path_factory.mktemp("seed"), "http://127.0.0.1:9")
    set_budget(server.distro / "images/server.toml", "")  # that of a server that lets nobody in by itself
    server.let_in()
    with server.booted(server.build(), user_data=_MALFORMED):
        yield server


def test_a_malformed_seed_is_told_and_lets_nobody_in(server: Server) -> None:
    server.up()
    assert b"failure parsing userdata" in server.console, "the console says what is wrong"
    said = server.ssh("cloud-init status --long", check=False)
    assert "degraded" in said
    assert "failure parsing userdata" in said
    assert server.ssh("ls /etc/motd.local", check=False).strip().endswith("No such file or directory")
    assert "chain input" in server.ssh("sudo nft list ruleset"), "the firewall is closed"
    assert "passwordauthentication no" in server.ssh("sudo sshd -T")
