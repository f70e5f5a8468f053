# SPDX-License-Identifier: Apache-2.0
"""Signatures of files that the firmware starts: whose they are, and files without them."""

from __future__ import annotations

from pathlib import Path

from zaffre.authenticode import Signed
from zaffre.customiser.report import Signature
from zaffre.sandbox import Mount, Sandbox

_SECONDS = 120.0


def signatures_of(folder: Path, *names: str) -> tuple[Signature, ...]:
    return tuple(
        Signature(path=name, signers=tuple(one.subject.rfc4514_string() for one in Signed(folder / name).signers))
        for name in names
    )


def strip_signatures(source: Path, target: Path, *, sandbox: Sandbox) -> None:
    """Write `source` without its signatures to `target`, which a new one can then be made of."""
    target.write_bytes(source.read_bytes())
    while Signed(target).signatures:
        sandbox.run(
            ["sbattach", "--remove", "/job/file.efi"],
            mounts=[Mount(target, "/job/file.efi", writable=True)],
            timeout=_SECONDS,
        )
