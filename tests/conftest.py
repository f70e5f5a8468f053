# SPDX-License-Identifier: Apache-2.0
"""What tests of every package share: the tools tree, skipped without on a laptop, a failure without in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.definition import reference_root
from zaffre.errors import ZaffreError
from zaffre.sandbox import Sandbox, ToolsTree


@pytest.fixture(scope="session")
def tools_sandbox() -> Iterator[Sandbox]:
    """A sandbox with the reference distribution's locked tools, made in the user's store when it is not there.

    `ZAFFRE_TEST_TOOLS` names a directory with a tools tree to use instead.
    """
    chosen = os.environ.get("ZAFFRE_TEST_TOOLS")
    if chosen:
        yield Sandbox(ToolsTree(Path(chosen), "chosen"))
        return
    work = Workspace()
    work.distro = reference_root()
    with work:
        try:
            sandbox = Making(work).sandbox
        except ZaffreError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no tools tree: {error}")
        yield sandbox
