# SPDX-License-Identifier: Apache-2.0
"""cosign, from Debian's archive: the program alone, unpacked for the tests. Nothing of the product needs it."""

from __future__ import annotations

from pathlib import Path

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.definition import DebUpstream
from zaffre.sandbox import Completed, Mount, Sandbox
from zaffre.tree import package_files
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.fetch import fetch


class Cosign:
    """Runs it in the sandbox, without a network, on the files of one folder."""

    def __init__(self, program: Path, sandbox: Sandbox) -> None:
        self._program, self._sandbox = program, sandbox

    def verify(self, folder: Path, key: Path, paper: str, blob: str) -> Completed:
        """Whether a statement about a file was signed by that key, as anybody would ask."""
        return self._sandbox.run(
            ["/run/cosign", "verify-blob-attestation", "--insecure-ignore-tlog", "--key=/run/release.pub",
             "--type=slsaprovenance1", f"--signature=/run/build/{paper}", f"/run/build/{blob}"],
            mounts=[Mount(self._program, "/run/cosign"), Mount(key, "/run/release.pub"), Mount(folder, "/run/build")],
            env={"HOME": "/tmp"},
            timeout=60,
            check=False,
        )  # fmt: skip


def cosign(lab: Lab, target: Path, sandbox: Sandbox) -> Cosign:
    with lab.workspace() as work:
        making = Making(work)
        upstream = work.distribution.upstreams["debian"]
        assert isinstance(upstream, DebUpstream)
        mirrors, architecture = making.mirrors.at(making.lock.created), making.tools_architecture
        indexes = refresh(upstream, mirrors, work.store, architectures=(architecture,), now=work.now)
        package = indexes.universe(architecture).candidates("cosign")[0].locked()
        fetch(
            (package,),
            mirrors,
            work.store,
            work.progress,
            acceptance=Acceptance((upstream,), work.store, now=making.lock.created),
        )
        found = package_files((package,), upstream=upstream, store=work.store, sandbox=sandbox, progress=work.progress)
        found["cosign"].take("/usr/bin/cosign", target, key="tests")
    return Cosign(target, sandbox)
