# SPDX-License-Identifier: Apache-2.0
"""`zaffre sbom`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import Workspace, workspace
from zaffre.errors import DefinitionError, IntegrityError

if TYPE_CHECKING:
    from zaffre.manifest import Manifest


class Format(StrEnum):
    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"


def sbom(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(metavar="IMAGE|BUILD", help="An image of the definition, or the folder of a build.")
    ],
    form: Annotated[
        Format, typer.Option("--format", metavar="cyclonedx|spdx", help="CycloneDX 1.6 or SPDX 2.3, as JSON.")
    ] = Format.CYCLONEDX,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there, and not to stdout.")
    ] = None,
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
) -> None:
    """Print the bill of materials of an image: packages, their sources, licences and files, from what it was built of.

    Builds the image first if it isn't built. A build has both forms beside its artifacts, sbom.cdx.json and
    sbom.spdx.json; they are held against its manifest before they are printed.

    Examples: zaffre sbom container-host; zaffre sbom out/base-1.20261126.1-amd64 --format spdx -o base.spdx.json
    """
    from zaffre.bill import CYCLONEDX_NAME, SPDX_NAME

    require_profile(profile)
    work = workspace(context)
    folder = Path(subject) if Path(subject).is_dir() else _built(work, subject, arch, profile, out)
    text = _read(folder, {Format.CYCLONEDX: CYCLONEDX_NAME, Format.SPDX: SPDX_NAME}[form])
    if output is None:
        typer.echo(text, nl=False)
        return
    from zaffre.store import write_atomic

    write_atomic(output, text, directory=output.parent)
    work.progress.note(f"written to {output}")


def _built(work: Workspace, image: str, arch: str | None, profile: str, out: Path) -> Path:
    from zaffre.cli.making import Making

    return Making(work).build(image, architecture=arch, profile=profile, out=out).folder


def _read(folder: Path, name: str) -> bytes:
    """One of a build's papers, as its manifest has it."""
    from zaffre.digest import sha256_bytes

    told = _manifest(folder).artifacts.get(name)
    if told is None:
        raise DefinitionError(
            f"the build has no {name}",
            where=str(folder),
            resolution="it was made by an older Zaffre: build it anew",
        )
    data = (folder / name).read_bytes()
    if sha256_bytes(data) != told.sha256:
        raise IntegrityError(
            "the file is not the one that the manifest names",
            where=str(folder / name),
            resolution="'zaffre verify' says what else is wrong; build it anew",
        )
    return data


def _manifest(folder: Path) -> Manifest:
    from zaffre.manifest import MANIFEST_NAME, Manifest

    try:
        return Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise DefinitionError(
            "the folder is no build",
            where=str(folder),
            details=str(error).partition("\n")[0],
            resolution="give the folder that 'zaffre build' made: DIR/<image>-<version>-<arch>",
        ) from error
