# SPDX-License-Identifier: Apache-2.0
"""A layout to a registry, by skopeo of the tools tree.

What counts is written last: papers, layers, then the image of each architecture by its digest, then what the tag names,
in one request. A push that stops anywhere leaves the tag as it was, and the next one finds what has arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import IntegrityError
from zaffre.oci import named_files, read_layout
from zaffre.progress import Progress
from zaffre.registry.api import lists_referrers
from zaffre.registry.attach import Paper, referrers_tag, write_list, write_referrer
from zaffre.registry.index import join_layouts
from zaffre.registry.reference import Reference
from zaffre.registry.skopeo import Skopeo
from zaffre.sandbox import Sandbox
from zaffre.store import Store


@dataclass(frozen=True)
class Push:
    """What to push. `layouts` are folders of builds, one for each architecture; `seconds` limits each transfer.

    `papers` are documents about the image in each layout, in the same order. `plain_http` lets it speak HTTP, or TLS
    that nobody vouches for.
    """

    reference: Reference
    layouts: tuple[Path, ...]
    seconds: float
    plain_http: bool = False
    papers: tuple[tuple[Paper, ...], ...] = ()


@dataclass(frozen=True)
class Pushed:
    """`digest` is what the tag names; `files` and `bytes` are those of the layout, sent now or found there.

    `papers` is the number of documents that refer to the images.
    """

    reference: str
    digest: str
    platforms: tuple[str, ...]
    files: int
    bytes: int
    papers: int = 0


def plan(order: Push, folder: Path) -> Pushed:
    """Make in `folder`, which is absent, the layout that would be pushed. Raises what `join_layouts` does."""
    digest = join_layouts(order.layouts, folder)
    images = read_layout(folder)
    sizes = [(folder / name).stat().st_size for name in named_files(images)]
    platforms = tuple(str(image.manifest.platform or _platform(image.config)) for image in images)
    papers = sum(map(len, order.papers))
    return Pushed(str(order.reference), digest, platforms, len(sizes), sum(sizes), papers)


def push(
    order: Push,
    *,
    store: Store,
    sandbox: Sandbox,
    progress: Progress,
    environ: Mapping[str, str],
    home: Path,
    dry_run: bool = False,
) -> Pushed:
    """Push, and see that the registry has what was sent.

    Raises WorldError where the registry refuses, is too slow or goes away: the tag is then as it was before.
    IntegrityError for a layout that does not hold, DefinitionError for credentials that can't be had.
    """
    with store.scratch("push") as scratch:
        planned = plan(order, scratch / "layout")
        if dry_run:
            return planned
        skopeo = Skopeo(order.reference, sandbox, scratch, environ, home, order.seconds, order.plain_http)
        if planned.papers:
            with progress.step(f"papers of {order.reference}") as remark:
                listed = _attach(order, skopeo, scratch)
                remark(f"{planned.papers}, listed by {'the registry' if listed else 'a tag'}")
        with progress.step(f"push {order.reference}") as remark:
            sent = skopeo.send(scratch / "layout", f":{order.reference.tag}", "--all")
            if sent != planned.digest:
                raise IntegrityError(
                    f"the registry was given {sent}, not {planned.digest}",
                    where=str(order.reference),
                    resolution="the registry does not take OCI images as they are: use another one",
                )
            remark(f"{planned.bytes / 1e6:.1f} MB, {planned.digest[:19]}")
    return planned


def _attach(order: Push, skopeo: Skopeo, scratch: Path) -> bool:
    """Send the papers of each image. Whether the registry lists them by itself; else a tag does.

    The tag of an image's referrers is read and written: of two that push papers of the same image at once to such a
    registry, the later one's list stays. Papers of one build are the same whoever pushes them.
    """
    listed = True
    for number, (layout, papers) in enumerate(zip(order.layouts, order.papers, strict=True)):
        (image,) = read_layout(layout)
        subject = image.manifest
        referrers = [
            write_referrer(paper, subject, scratch / f"paper-{number}-{each}") for each, paper in enumerate(papers)
        ]
        for one in referrers:
            skopeo.send(one.layout, f"@{one.digest}")
        if lists_referrers(
            order.reference,
            subject.digest,
            plain_http=order.plain_http,
            authorities=skopeo.access.authorities,
            credentials=skopeo.access.credentials,
        ):
            continue
        listed = False
        tag = f":{referrers_tag(subject.digest)}"
        write_list(skopeo.manifest(tag), referrers, scratch / f"list-{number}")
        skopeo.send(scratch / f"list-{number}", tag, "--multi-arch=index-only")
    return listed


def _platform(config: Mapping[str, object]) -> str:
    return f"{config.get('os')}/{config.get('architecture')}"
