# SPDX-License-Identifier: Apache-2.0
"""Every command of the tutorials in docs/tutorial/, run in order as a newcomer would.

A home of its own, the user's store: packages that are there need not be fetched and configured again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import ROOT, Page

from zaffre.store import Store

pytestmark = [pytest.mark.tools, pytest.mark.long]

TUTORIALS = [Page(path, path.read_text("utf-8")) for path in sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
PORT = "8000"
"""What the pages serve at, where perhaps somebody else does."""
TIMEOUT = 3600
# Two things that differ are a result, and no failure.
PREAMBLE = """
set -euo pipefail
zaffre() {
  local code=0
  command zaffre "$@" || code=$?
  [[ $1 == diff && $code == 1 ]] || return "$code"
}
set -x
"""


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.path.stem)
def test_every_command_works(page: Page, tmp_path: Path) -> None:
    script, log = tmp_path / "script", tmp_path / "log"
    script.write_text(PREAMBLE + commands_of(page).replace(PORT, str(free_port())))
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "GIT_", "APT_"))}
    environment = {
        **kept,
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ZAFFRE_STORE": str(Store.default_root()),
    }
    with log.open("w") as output:
        running = subprocess.Popen(
            ["bash", str(script)],
            cwd=tmp_path / "home",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = running.wait(TIMEOUT)
        finally:
            kill_all(running)
    assert code == 0, "\n".join(log.read_text().splitlines()[-40:])


def commands_of(page: Page) -> str:
    """Blocks of `sh` as they are; of `console`, what follows a prompt."""
    found = []
    for language, body in page.blocks():
        if language == "sh":
            found.append(body)
        elif language == "console":
            found += [f"{line.removeprefix('$ ')}\n" for line in body.splitlines() if line.startswith("$ ")]
    assert found
    return "".join(found)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def kill_all(running: subprocess.Popen[bytes]) -> None:
    """Whatever it has started in the background."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    running.wait()
