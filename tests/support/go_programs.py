# SPDX-License-Identifier: Apache-2.0
"""Programs that tests need and no package has: built from their Go modules by the host's Go, once, in the user's cache.

Each under the version that is named; Go's own checksums vouch for the sources.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def go_program(package: str, version: str) -> Path:
    """The program. Fails or skips, as the need is met, where there is no Go, or no sources for it."""
    name = package.rpartition("/")[2]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zaffre-tests"
    program = cache / f"{name}-{version}"
    if program.exists():
        return program
    if shutil.which("go") is None:
        _unmet(f"no go here to build {name} with")
    cache.mkdir(parents=True, exist_ok=True)
    scratch = cache / f".build-{os.getpid()}"
    environment = {**os.environ, "GOBIN": str(scratch), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    command = ["go", "install", "-ldflags=-s -w", f"{package}@{version}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _unmet(f"{name} cannot be built: {done.stderr[-800:]}")
    (scratch / name).rename(program)
    scratch.rmdir()
    return program


def _unmet(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
