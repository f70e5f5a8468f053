# SPDX-License-Identifier: Apache-2.0
"""`zaffre feed`: what we know of vulnerabilities, for other people's scanners."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import amount, count, table
from zaffre.errors import FindingError, IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from zaffre.advisory.published import FeedIndex
    from zaffre.digest import JSON

app = typer.Typer(help="What is known of vulnerabilities, published for other people's scanners.", no_args_is_help=True)

_MOST_BYTES = 16 << 20


@app.command()
def publish(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="PLACE", help="A folder, or s3://bucket/folder.")],
    advisories: Annotated[
        Path,
        typer.Option("--advisories", metavar="DIR", help="Where 'zaffre patch' has left its signed advisories."),
    ] = Path("out/advisories"),
    offline: Annotated[bool, typer.Option("--offline", help="Use the feeds that the store has.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be published, and write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Publish what is known of the lock's packages: OSV, OpenVEX, a Trivy database, and our own signed advisories.

    Files first, the signed list last: readers see the old feed or the new one. What was made of the archive is
    published; feeds of others are theirs to publish.

    Example: zaffre feed publish --to /srv/feeds
    """
    from zaffre.advisory.published import index_of, publish_feed
    from zaffre.place.target import open_target
    from zaffre.trust import Role
    from zaffre.trust.provenance import envelope

    work = workspace(context)
    files = {**_made(work, offline=offline), **_ours(work, advisories)}
    index = index_of(files, distribution=work.distribution.identity.id, at=work.now)
    if not dry_run:
        signer, half = work.keys.release_signer(), work.certificates[Role.RELEASE]
        publish_feed(
            open_target(to), index, files, lambda said: envelope(said, signer, key=half.fingerprint), _key(work)
        )
    verb = "would publish" if dry_run else "published"
    work.emit(_plain(index, published=not dry_run), lambda: _words(index, f"{verb} to {to}"), as_json=json)


@app.command()
def verify(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder, s3://bucket/folder, or a URL.")],
    max_age: Annotated[int, typer.Option("--max-age", metavar="DAYS", help="How old it may be.", min=1, max=36500)] = 7,
    json: JsonOption = False,
) -> None:
    """Verify a published feed: the signature of its list, its age, and every file.

    Example: zaffre feed verify /srv/feeds
    """
    from zaffre.advisory.published import verify_feed
    from zaffre.place.target import open_readable

    work = workspace(context)
    index = verify_feed(open_readable(place), _key(work), now=work.now, max_age=dt.timedelta(days=max_age))
    work.emit(_plain(index, published=True), lambda: _words(index, "all of it holds"), as_json=json)


def _key(work: Workspace) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    from zaffre.trust import Role

    key = work.certificates[Role.RELEASE].public_key
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise IntegrityError("the release key is not one of an elliptic curve", where=str(work.keys_path))
    return key


def _made(work: Workspace, *, offline: bool) -> Mapping[str, bytes]:
    """What is made of the archive's feeds and of the owner's statements."""
    from zaffre.advisory.scan import check_age
    from zaffre.advisory.statements import check_expiry
    from zaffre.advisory.subjects import Reader
    from zaffre.advisory.writing.feed import OPENVEX_NAME, OSV_NAME, osv_zip, own_feeds, trivy_files
    from zaffre.advisory.writing.openvex import openvex_text
    from zaffre.cli.feeds import known

    distribution = work.distribution
    subjects = Reader(distribution).read(str(distribution.lock_file))
    heard = known(work, subjects, given=[], offline=offline, update=False, max_age_days=None, statements=True)
    feeds = own_feeds(heard.feeds)
    if not feeds:
        raise FindingError("there is no feed of the archive's own to publish", resolution="run `zaffre scan` first")
    for one in feeds:
        check_age(one, work.now)
    check_expiry(heard.statements, work.now.date())
    sources = {package.source for subject in subjects for package in subject.packages}
    sources |= {new[0] for feed in feeds for new in feed.aliases.values()}
    packages = {package.name for subject in subjects for package in subject.packages}
    namespace = distribution.repository.url if distribution.repository else f"urn:zaffre:{distribution.identity.id}"
    vex = openvex_text(
        heard.statements,
        subjects,
        author=distribution.identity.name,
        namespace=namespace,
        at=work.now,
        feeds=heard.feeds,
    )
    return {
        OSV_NAME: osv_zip(feeds, sources, packages),
        **trivy_files(feeds, sources, work.now),
        **({OPENVEX_NAME: vex.encode()} if vex is not None else {}),
    }


def _ours(work: Workspace, folder: Path) -> Mapping[str, bytes]:
    """Advisories of ours, as far as our key has signed them. Raises IntegrityError for one that it has not."""
    from zaffre.release.evidence import read_bounded, require_signed, signature_path

    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        signature = signature_path(path)
        if not signature.is_file():
            raise IntegrityError("the advisory is not signed", where=str(path), resolution="remove it, or make it anew")
        data = read_bounded(path, _MOST_BYTES)
        require_signed(path, data, read_bounded(signature, _MOST_BYTES), work.certificates)
        found[f"advisories/{path.name}"] = data
    return found


def _plain(index: FeedIndex, *, published: bool) -> JSON:
    return {
        "distribution": index.distribution,
        "made": index.made.isoformat(),
        "published": published,
        "files": [{"name": one.name, "path": one.path, "sha256": one.sha256, "bytes": one.size} for one in index.files],
    }


def _words(index: FeedIndex, verdict: str) -> str:
    return "\n".join(_lines(index, verdict))


def _lines(index: FeedIndex, verdict: str) -> Iterator[str]:
    yield table([(one.name, amount(one.size), one.sha256[:16]) for one in index.files], right=(1,))
    yield f"{index.distribution}, made {index.made:%Y-%m-%d %H:%M} UTC, {count(len(index.files), 'file')}: {verdict}"
