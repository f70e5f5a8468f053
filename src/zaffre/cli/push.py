# SPDX-License-Identifier: Apache-2.0
"""`zaffre push`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ImageArgument, OutOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count
from zaffre.errors import DefinitionError, FindingError

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.registry import Paper, Pushed


def push(
    context: typer.Context,
    image: ImageArgument,
    target: Annotated[str, typer.Argument(metavar="REGISTRY/NAME[:TAG]", help="Without a tag: the image's version.")],
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="ARCH", help="Only this architecture. Repeatable. Else: all that are locked."),
    ] = None,
    out: OutOption = Path("out"),
    profile: Annotated[
        str, typer.Option(metavar="dev|release", help="dev is quick to build, release is small.")
    ] = "release",
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Speak HTTP, or TLS that nobody vouches for: for a test.")
    ] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Limit for the transfer.", min=1)] = 1800.0,
    without_papers: Annotated[
        bool, typer.Option("--without-papers", help="Send no bill of materials and no provenance.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Push a container image to a registry; for several architectures, as one index.

    Builds what is not built. Layers go first and the tag last, so a push that stops leaves the tag as it was; run
    again, it sends what is missing. Credentials are those of `podman login` or `docker login`. Bills of materials and
    provenance are sent before it, as artifacts that refer to the image (OCI 1.1).

    Examples: zaffre push base registry.example/linux/base; zaffre push distroless localhost:5000/distroless:1
    --plain-http
    """
    from zaffre.cli.making import Making
    from zaffre.definition import Kind
    from zaffre.registry import Push, parse_reference
    from zaffre.registry import push as send

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    chosen = work.distribution.image(image)
    if chosen.kind is not Kind.CONTAINER:
        raise DefinitionError(
            f"'{image}' is a {chosen.kind}, and registries take container images",
            where=f"images/{image}.toml: kind",
            resolution='name an image of the kind "container"; `zaffre show` lists them',
        )
    reference = parse_reference(target, tag=making.builder.version)
    folders = [
        making.build(image, architecture=one, profile=profile, out=out).folder for one in arch or _locked(making, image)
    ]
    order = Push(
        reference,
        tuple(folder / "oci" for folder in folders),
        seconds=timeout,
        plain_http=plain_http,
        papers=() if without_papers else tuple(_papers(folder) for folder in folders),
    )
    done = send(
        order,
        store=work.store,
        sandbox=making.sandbox,
        progress=work.progress,
        environ=os.environ,
        home=Path.home(),
        dry_run=dry_run,
    )
    work.emit({"dry_run": dry_run, **asdict(done)}, lambda: _words(done, dry_run=dry_run), as_json=json)


def _papers(folder: Path) -> tuple[Paper, ...]:
    """Of a build, with the media types of what they are: cosign's for an envelope."""
    from zaffre.bill import CYCLONEDX_NAME, PROVENANCE_NAME, SPDX_NAME
    from zaffre.registry import Paper

    cyclonedx, spdx = "application/vnd.cyclonedx+json", "application/spdx+json"
    return (
        Paper(folder / CYCLONEDX_NAME, cyclonedx, cyclonedx),
        Paper(folder / SPDX_NAME, spdx, spdx),
        Paper(folder / PROVENANCE_NAME, "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"),
    )


def _locked(making: Making, image: str) -> list[str]:
    """The architectures that the lock has the image for."""
    found = sorted(one.architecture for one in making.lock.sets if one.name == image)
    if not found:
        raise FindingError(
            f"the lock has no packages for '{image}'",
            where=str(making.work.distribution.lock_file),
            resolution="run `zaffre lock`",
        )
    return found


def _words(done: Pushed, *, dry_run: bool) -> str:
    verb = "would be" if dry_run else "is"
    files = f"{count(done.files, 'file')}, {amount(done.bytes)}"
    papers = f"\n{count(done.papers, 'paper')}: bills of materials and provenance" if done.papers else ""
    return f"{done.reference} {verb} {done.digest}\n{', '.join(done.platforms)}: {files}{papers}"
