# SPDX-License-Identifier: Apache-2.0
"""`zaffre attest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import table
from zaffre.cli.releasedesk import RootOption, SignersOption, read_root
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zaffre.release.attest import AttestReport, Known

_MAX_KEY = 4096


def attest(
    context: typer.Context,
    quote: Annotated[
        Path, typer.Argument(metavar="QUOTE", help="What 'zaffre-agent quote' printed on the node.", exists=True)
    ],
    nonce: Annotated[str, typer.Option("--nonce", metavar="HEX", help="The one that the node was given.")],
    release: Annotated[
        str | None,
        typer.Option("--release", metavar="PLACE", help="Releases: a folder, s3://bucket/folder, or their URL."),
    ] = None,
    build: Annotated[
        Path | None, typer.Option("--build", metavar="DIR", help="Instead of releases: the folder of one build.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The node's attestation key, as it was pinned.")
    ] = None,
    pin: Annotated[
        Path | None,
        typer.Option("--pin", metavar="FILE", help="First sight of the node: write its key there if all holds."),
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Hold what a node's TPM says of its boot against what your releases predict.

    The quote is signed by the node's key, over your nonce; its log comes to the quoted registers; Secure Boot was on,
    by your certificate; boot loader and kernel image are those of a release, which is not revoked; nothing was taken
    from beside them. Exit code 1 if anything does not hold.

    Examples: zaffre attest node7.json --nonce 5be10c77d1e0a2f4 --release /srv/releases --key node7.pub
    """
    from zaffre.measured.quote import MAX_BUNDLE, key_text, read_bundle
    from zaffre.release.attest import attest as attest_node
    from zaffre.release.evidence import read_bounded

    work = workspace(context)
    if (key is None) == (pin is None):
        raise DefinitionError(
            "whose key it must be is not said" if key is None else "both a key and a first sight of one are given",
            where="--key",
            resolution="--key FILE for a node that you know, --pin FILE for one that is seen for the first time",
        )
    if pin is not None and pin.exists():
        raise DefinitionError(
            "there is a key already", where=str(pin), resolution=f"hold the node to it: --key {pin}; or remove it first"
        )
    evidence = read_bundle(read_bounded(quote, MAX_BUNDLE), str(quote))
    report = attest_node(
        evidence,
        nonce=_bytes(nonce),
        pinned=read_bounded(key, _MAX_KEY) if key is not None else None,
        known=_known(work, release, build, signers, root),
    )
    if pin is not None and report.ok:
        _pin(pin, key_text(evidence.key))
        work.progress.note(f"pinned: {pin}")
    work.emit(report, lambda: _words(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def _known(
    work: Workspace, release: str | None, build: Path | None, signers: Sequence[Path] | None, root: Path | None
) -> tuple[Known, ...]:
    from zaffre.place.target import open_readable
    from zaffre.release.attest import known_build, known_releases

    if build is not None and release is None:
        return (known_build(build, work.certificates),)
    if release is None or build is not None:
        raise DefinitionError(
            "what the node may run is not said, or twice",
            where="--release",
            resolution="give the place of your releases (--release PLACE) or the folder of a build (--build DIR)",
        )
    return known_releases(open_readable(release), read_root(work, signers, root))


def _bytes(nonce: str) -> bytes:
    try:
        return bytes.fromhex(nonce)
    except ValueError as error:
        raise DefinitionError(
            f"{nonce!r} is not hexadecimal",
            where="--nonce",
            resolution="give the very nonce that the node was given, by 'zaffre-agent quote --nonce'",
        ) from error


def _pin(path: Path, key: bytes) -> None:
    from zaffre.store import write_atomic

    write_atomic(path, key, directory=path.parent)


def _words(report: AttestReport) -> str:
    rows = [("ok" if line.ok else "BAD", line.name, line.found) for line in report.lines]
    bad = sum(not line.ok for line in report.lines)
    verdict = f"the node booted {report.image} {report.version}" if report.ok else f"{bad} of {len(rows)} do NOT hold"
    return f"{table(rows)}\n\n{verdict}"
