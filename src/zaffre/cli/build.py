# SPDX-License-Identifier: Apache-2.0
"""`zaffre build` and `zaffre reproduce`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import amount, table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.image import Build
    from zaffre.image.reproduce import Comparison

ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="An image of the definition ('zaffre show').")]
ArchOption = Annotated[
    str | None, typer.Option("--arch", metavar="ARCH", help="amd64 or arm64. Else: the definition's default.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where builds go, each in a folder of its own.")]
ProfileOption = Annotated[str, typer.Option(metavar="dev|release", help="dev is quick to build, release is small.")]


def build(
    context: typer.Context,
    image: ImageArgument,
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do every step anew.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Say which input changed since the last build.")] = False,
    json: JsonOption = False,
) -> None:
    """Build and sign an image: DIR/<image>-<version>-<arch>/ with its artifacts and manifest.json.

    Works from zaffre.lock; the network is used for locked packages that are not in the store yet, and for nothing else.

    Examples: zaffre build container-host; zaffre build container-host --profile release --why
    """
    from zaffre.cli.making import Making

    require_profile(profile)
    work = workspace(context)
    done = Making(work).build(image, architecture=arch, profile=profile, out=out, use_cache=not no_cache)
    work.emit(
        {
            "directory": str(done.folder),
            "fresh": done.fresh,
            "why": list(done.why),
            "manifest": done.manifest.model_dump(mode="json"),
        },
        lambda: _words(done, why=why),
        as_json=json,
    )


def require_profile(profile: str) -> None:
    from zaffre.image import PROFILES

    if profile not in PROFILES:
        raise typer.BadParameter(f"{profile!r} is not one of {', '.join(PROFILES)}", param_hint="--profile")


def _words(done: Build, *, why: bool) -> str:
    lines, manifest = [], done.manifest
    if not done.fresh:
        lines.append("nothing has changed since this was built:")
    elif why:
        lines += ["built because", *(f"  {line}" for line in done.why), ""]
    if done.fresh:
        rows = [
            (
                step.name,
                "cached" if step.cached else f"{step.wall_seconds:.1f} s",
                "" if step.cached else f"{step.cpu_seconds:.1f} s",
                amount(step.bytes),
                step.reason if why else "",
            )
            for step in manifest.build.steps
        ]
        report = manifest.build
        rows.append(("all", f"{report.wall_seconds:.1f} s", f"{report.cpu_seconds:.1f} s", "", ""))
        lines += [table(rows, headers=("STEP", "TIME", "CPU", "SIZE", ""), right=(1, 2, 3)), ""]
    artifacts = [(f"  {name}", amount(one.size), one.sha256[:16]) for name, one in manifest.artifacts.items()]
    lines += [f"{done.folder}/", table(artifacts, right=(1,))]
    lines.append(f"  {len(manifest.packages)} packages, version {manifest.version}, profile {manifest.profile}")
    return "\n".join(lines)


def reproduce(
    context: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="IMAGE", help="An image of the definition ('zaffre show').")
    ] = None,
    component: Annotated[
        str | None, typer.Option("--component", metavar="NAME", help="Not an image but this component.")
    ] = None,
    repository: Annotated[
        bool, typer.Option("--repository", help="Not an image but the repository ('zaffre repo build').")
    ] = False,
    arch: ArchOption = None,
    profile: ProfileOption = "dev",
    json: JsonOption = False,
) -> None:
    """Build an image, a component or the repository twice from nothing, under other circumstances; compare every bit.

    The second build has another clock, folder, umask, locale, time zone, host name and number of processors. Exit
    code 1 if anything differs; what differs is shown down to the file.

    Examples: zaffre reproduce container-host; zaffre reproduce --component crictl; zaffre reproduce --repository
    """
    if sum((image is not None, component is not None, repository)) != 1:
        raise typer.BadParameter(
            "name an image, or a component with --component, or give --repository", param_hint="IMAGE"
        )
    require_profile(profile)
    if component is not None:
        from zaffre.cli.building import reproduce_component

        reproduce_component(workspace(context), component, arch, as_json=json)
    elif repository:
        from zaffre.cli.repository import reproduce_all

        reproduce_all(workspace(context), as_json=json)
    elif image is not None:
        _reproduce_image(workspace(context), image, arch, profile, as_json=json)


def _reproduce_image(work: Workspace, image: str, arch: str | None, profile: str, *, as_json: bool) -> None:
    from zaffre.cli.making import Making
    from zaffre.image import Order
    from zaffre.image.reproduce import Recipe
    from zaffre.image.reproduce import reproduce as build_twice

    making = Making(work)
    chosen = work.distribution.image(image)
    architecture = str(work.distribution.architecture_for(chosen, arch))
    making.fetch(making.lock.set(chosen.name, architecture).packages)
    recipe = Recipe(
        distribution=work.distribution.root,
        lock=making.lock,
        order=Order(image=image, architecture=architecture, profile=profile, out=Path()),
        keys=making.signing_keys,
        signer=work.keys.release_signer(),
        papers=work.keys.papers(),
        tools=making.sandbox_for(architecture).tools,
        packages=work.store.root,
        archive_keyring=work.archive_certificate.keyring if chosen.channel is not None else b"",
    )
    found = build_twice(recipe, progress=work.progress)
    same = not found.differences
    work.emit(
        {
            "reproducible": same,
            "artifacts": dict(found.artifacts),
            "differences": [asdict(one) for one in found.differences],
        },
        lambda: _comparison(image, found),
        as_json=as_json,
    )
    if not same:
        raise typer.Exit(ExitCode.FINDING)


def _comparison(image: str, found: Comparison) -> str:
    bad = {one.artifact: one.causes for one in found.differences}
    rows = [("differs" if name in bad else "same", name, digest) for name, digest in found.artifacts.items()]
    lines = [table(rows)]
    for name, causes in bad.items():
        lines += ["", f"{name}:", *(f"  {cause}" for cause in causes)]
    verdict = f"{len(bad)} artifacts differ" if bad else "two builds from nothing are bit for bit the same"
    return "\n".join([*lines, "", f"{image}: {verdict}"])
