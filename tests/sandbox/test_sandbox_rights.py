# SPDX-License-Identifier: Apache-2.0
"""What a program in a sandbox may do where we are the real root."""

from __future__ import annotations

import os

import pytest

from zaffre.errors import ToolError
from zaffre.sandbox import Sandbox
from zaffre.sandbox.namespace import current_privilege

pytestmark = pytest.mark.tools


@pytest.mark.skipif(
    os.geteuid() != 0 or current_privilege().namespaced, reason="only the real root has rights that reach outside"
)
def test_root_has_no_rights_that_reach_out_of_the_sandbox(sandbox: Sandbox) -> None:
    lines = sandbox.run(["cat", "/proc/self/status"], timeout=20).stdout.decode().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    held = {number for number in range(64) if int(status["CapPrm"], 16) >> number & 1}
    # linux/capability.h: files and their owners, processes' users, chroot
    assert held == {0, 1, 3, 4, 5, 6, 7, 8, 18, 31}
    assert status["NoNewPrivs"] == "1", "and none can be had by running another program (capabilities(7))"
    with pytest.raises(ToolError):
        sandbox.run(["mount", "-t", "devtmpfs", "none", "/run"], timeout=20)
