# SPDX-License-Identifier: Apache-2.0
"""`zaffre scan`: which known vulnerabilities are in what was built, locked or found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.advisory.compare import Comparison
    from zaffre.advisory.report import Report
    from zaffre.advisory.scan import Known
    from zaffre.advisory.subject import Subject


def scan(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="An image, a build's folder, a CycloneDX document, a root, or a lock."),
    ],
    image: Annotated[
        str | None, typer.Option("--image", metavar="NAME", help="Of a lock, only the packages of this image.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="ARCH", help="Of a lock or an image: this architecture.")
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(
            "--feed",
            metavar="FILE|URL",
            help="Another feed: OSV (JSON or zip), OVAL, OpenVEX, CSAF, CISA's KEV. Repeatable.",
        ),
    ] = None,
    max_feed_age: Annotated[
        int | None,
        typer.Option(
            "--max-feed-age",
            metavar="DAYS",
            help="How old feeds may be. Else: what the definition says.",
            min=1,
            max=36500,
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Ask the archive now, however lately it was asked.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use the feeds that the store has.")] = False,
    no_statements: Annotated[
        bool, typer.Option("--no-statements", help="Leave vex/*.toml out: what is there, whatever was said of it.")
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare", metavar="PEER", help="Scan the like of an image made of Debian's own defaults too: stock."
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="List all of each source, and what is not affected.")] = False,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Write a SARIF 2.1.0 report.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a picture, in one file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say which known vulnerabilities are in an image, a build, an SBOM, a root or a lock, and what there is to do.

    Each is in one of four buckets: a fix is available; waiting for the upstream; accepted until a day, or not affected,
    by a statement in vex/*.toml. What is known comes from the archive's own signed changelogs and from the feeds that
    the definition or --feed names; the age of each stands beside the result. Nothing known, feeds that are old or
    empty, or no packages are errors, never 'no findings'.

    Exit code 1 if a fix is available; if a feed is stale or empty, or a statement has expired or matches nothing.

    Examples: zaffre scan container-host; zaffre scan distro/zaffre.lock --json; zaffre scan /mnt/root --html scan.html
    """
    from zaffre.advisory.report import Bucket
    from zaffre.advisory.scan import scan as scanned
    from zaffre.advisory.subjects import Reader
    from zaffre.cli.feeds import known
    from zaffre.cli.scanned import words

    if compare not in {None, "stock"}:
        raise DefinitionError(f"there is no peer {compare!r}", where="--compare", resolution="write --compare stock")
    work = workspace(context)
    distribution = work.distribution if work.find_distribution() is not None else None
    subjects = Reader(distribution, image, arch).read(what)
    peer = _stock(work, subjects) if compare else None
    heard = known(
        work,
        [*subjects, *([peer] if peer else [])],
        given=feed or [],
        offline=offline,
        update=update,
        max_age_days=max_feed_age,
        statements=not no_statements,
    )
    report = scanned(subjects, heard, now=work.now)
    comparison = _compared(work, peer, heard, report) if peer else None
    _write(report, sarif, html)
    work.emit(comparison or report, lambda: words(report, everything=all_, comparison=comparison), as_json=json)
    if report.of(Bucket.FIX_AVAILABLE):
        raise typer.Exit(ExitCode.FINDING)


def _write(report: Report, sarif: Path | None, html: Path | None) -> None:
    if sarif is not None:
        from zaffre.advisory.sarif import sarif_text
        from zaffre.store import write_atomic

        write_atomic(sarif, sarif_text(report).encode(), directory=sarif.parent)
    if html is not None:
        from zaffre.advisory.page import page
        from zaffre.store import write_atomic

        write_atomic(html, page(report).encode(), directory=html.parent)


def _stock(work: Workspace, subjects: Sequence[Subject]) -> Subject:
    from zaffre.advisory.peer import Peers
    from zaffre.cli.making import Making

    if len(subjects) != 1:
        raise DefinitionError(
            "one image is compared with a stock system, and the lock has several upstreams or architectures",
            where="--compare stock",
            resolution="name an image, or choose with --image and --arch",
        )
    making = Making(work)
    peers = Peers(work.distribution, making.mirrors, work.store, lambda: making.sandbox, work.progress)
    return peers.stock(subjects[0], now=work.now)


def _compared(work: Workspace, peer: Subject, heard: Known, report: Report) -> Comparison:
    from zaffre.advisory.compare import compare
    from zaffre.advisory.scan import scan as scanned

    # What the owner says is about his own images.
    return compare(report, scanned([peer], heard.without_statements(), now=work.now))
