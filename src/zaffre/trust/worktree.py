# SPDX-License-Identifier: Apache-2.0
"""Would git take a file up? Asked of the host's own git, as the work tree and its rules are the user's.

This is not a step of a build: it runs when keys are made, before there is a tools tree.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_TIMEOUT = 20.0


def enclosing_work_tree(path: Path) -> Path | None:
    """The git work tree around `path`, which needs not exist; the nearest ancestor with a `.git` entry."""
    return next((parent for parent in path.absolute().parents if (parent / ".git").exists()), None)


def is_ignored(path: Path, work_tree: Path) -> bool:
    """Whether git's rules in `work_tree` exclude the directory `path`. Without a git to ask, the answer is no."""
    relative = path.absolute().relative_to(work_tree.absolute())
    # GIT_DIR and its like (set within hooks) would make git answer for another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        # A rule such as `/keys/` matches directories only: the slash says that it will be one.
        answer = subprocess.run(
            ["git", "-C", str(work_tree), "check-ignore", "--quiet", "--", f"{relative}/"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
