# SPDX-License-Identifier: Apache-2.0
"""A lock as it was in a revision of the repository that holds it, by the host's own git: the history is the user's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from zaffre.errors import DefinitionError, WorldError
from zaffre.upstream.lock import MAX_LOCK_BYTES

_TIMEOUT = 60.0
# gitrevisions(7), without what git would take for an option or a path of another file.
_REVISION = re.compile(r"[A-Za-z0-9_@][^\s:\x00-\x1f]*")


def lock_at(lock_file: Path, revision: str) -> bytes:
    """The bytes of `lock_file` in that revision. DefinitionError when git does not know it, WorldError without git."""
    if not _REVISION.fullmatch(revision):
        raise DefinitionError(
            f"{revision!r} is no revision", resolution="name a commit, a tag or a branch, as in git:HEAD~1"
        )
    # GIT_DIR and its like (set within hooks) would make git answer for another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(lock_file.parent), "cat-file", "blob", f"{revision}:./{lock_file.name}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise WorldError("there is no git here to ask for a revision", resolution="install git") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"git did not answer within {_TIMEOUT:.0f} s", where=str(lock_file.parent)) from error
    if answer.returncode != 0 or len(answer.stdout) > MAX_LOCK_BYTES:
        raise DefinitionError(
            f"git has no {lock_file.name} in the revision '{revision}'",
            where=str(lock_file.parent),
            details=answer.stderr.decode(errors="replace").strip() or None,
            resolution="`git log -- zaffre.lock` in that folder lists the revisions that changed it",
        )
    return answer.stdout
