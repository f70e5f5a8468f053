# SPDX-License-Identifier: Apache-2.0
"""Asking the field's tools about a build: a tool's 'no' is an answer, only a tool that can't run is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.sandbox import Completed, Mount, Sandbox
from zaffre.trust.keys import Certificates, Role

BUILD = "/build"
SCRATCH = "/scratch"
DB_CERTIFICATE = "/certificates/db.crt"
VERITY_CERTIFICATE = "/certificates/verity.crt"

_TIMEOUT = 600.0
_SANDBOX_WORDS = "bwrap: "


@dataclass(frozen=True)
class Verdict:
    ok: bool
    detail: str


@dataclass(frozen=True)
class Inspector:
    """Runs tools that see the build at `BUILD` and the certificates, all read-only."""

    directory: Path
    certificates: Certificates
    sandbox: Sandbox

    def ask(
        self,
        argv: Sequence[str],
        *,
        scratch: Path | None = None,
        output: Path | None = None,
        stdout: Path | None = None,
    ) -> Completed:
        """Run a tool, with `scratch` at `SCRATCH`, or `output`, which it may write to. Raises ToolError if it can't be
        started or does not end.
        """
        mounts = [
            Mount(self.directory.resolve(), BUILD),
            Mount(self.certificates[Role.DB].path.resolve(), DB_CERTIFICATE),
            Mount(self.certificates[Role.VERITY].path.resolve(), VERITY_CERTIFICATE),
        ]
        if scratch is not None:
            mounts.append(Mount(scratch, SCRATCH))
        if output is not None:
            mounts.append(Mount(output, SCRATCH, writable=True))
        # If it was the sandbox that failed, that is no answer about the build: let the sandbox say what is wrong.
        for strict in (False, True):
            done = self.sandbox.run(argv, mounts=mounts, stdout=stdout, timeout=_TIMEOUT, check=strict)
            if not done.stderr_tail.startswith(_SANDBOX_WORDS):
                break
        return done

    def hash_tree(self, data: str, tree: str, root_hash: str, *, scratch: Path | None = None) -> Verdict:
        """Whether every block of `data` (a path in the sandbox) is under `root_hash` through `tree`."""
        done = self.ask(["veritysetup", "verify", data, tree, root_hash], scratch=scratch)
        if done.returncode == 0:
            return Verdict(ok=True, detail="every block is under the root hash")
        return Verdict(ok=False, detail=f"veritysetup: {last_words(done)}")


def last_words(done: Completed) -> str:
    """The last line that a tool wrote to standard error."""
    lines = [line.strip() for line in done.stderr_tail.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit {done.returncode}"
