# SPDX-License-Identifier: Apache-2.0
"""What a program in a sandbox may do: where we are the real root, in a user namespace, and as an ordinary user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from zaffre.errors import ToolError
from zaffre.sandbox import Sandbox
from zaffre.sandbox.command import Privilege, Request, bwrap_arguments
from zaffre.sandbox.namespace import current_privilege

pytestmark = pytest.mark.tools

# linux/capability.h: files and their owners, processes' users, chroot
BUILDING = {0, 1, 3, 4, 5, 6, 7, 8, 18, 31}

ENTERING = {
    "root": (Privilege(root=True, namespaced=False), ()),
    "namespace": (Privilege(root=True, namespaced=True), ("unshare", "--user", "--map-root-user", "--")),
    "ordinary": (
        Privilege(root=False, namespaced=False),
        ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"),
    ),
}
"""Each way of being root in a sandbox, and what a real root runs a program by to come to it."""


@pytest.mark.skipif(os.geteuid() != 0 or current_privilege().namespaced, reason="only the real root can be all three")
@pytest.mark.parametrize("way", ENTERING)
def test_no_root_has_rights_that_reach_out_of_the_sandbox(
    sandbox: Sandbox, unmet: Callable[[str], NoReturn], way: str
) -> None:
    privilege, through = ENTERING[way]

    def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        request = Request(argv, sandbox.tools, None, privilege, confined=True)
        words = [*through, *bwrap_arguments(request, bwrap="bwrap")]
        return subprocess.run(words, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    first = run(["cat", "/proc/self/status"])
    if "unshare" in through and first.returncode != 0:
        unmet(f"no user namespace can be made here: {first.stderr}")
    assert first.returncode == 0, first.stderr
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in first.stdout.splitlines())}
    for kind in ("CapPrm", "CapEff"):
        assert {number for number in range(64) if int(status[kind], 16) >> number & 1} == BUILDING, kind
    assert status["NoNewPrivs"] == "1", "and none can be had by running another program (capabilities(7))"
    for words in (
        ["mount", "-o", "remount,bind,rw", "/usr"],
        ["chroot", "/proc/1/root", "mount", "-o", "remount,bind,rw", "/usr"],
        ["unshare", "--mount", "mount", "-o", "remount,bind,rw", "/usr"],
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "-o", "remount,bind,rw", "/usr"],
        ["mount", "-t", "tmpfs", "none", "/run"],
    ):
        assert run(words).returncode != 0, words
    assert run(["sh", "-c", "! touch /usr/zaffre-was-here && chown 0:0 /tmp"]).returncode == 0
    assert not Path("/usr/zaffre-was-here").exists()


def test_our_own_steps_are_confined(sandbox: Sandbox) -> None:
    lines = sandbox.run(["cat", "/proc/self/status"], timeout=20).stdout.decode().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert {number for number in range(64) if int(status["CapPrm"], 16) >> number & 1} == BUILDING
    with pytest.raises(ToolError):
        sandbox.run(["mount", "-t", "devtmpfs", "none", "/run"], timeout=20)
