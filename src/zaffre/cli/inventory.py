# SPDX-License-Identifier: Apache-2.0
"""`zaffre inventory`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, ImageArgument, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count, table
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from zaffre.tree import Inventory

INVENTORY_NAME = "inventory.json"


def inventory(
    context: typer.Context,
    image: ImageArgument,
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    top: Annotated[int, typer.Option(metavar="N", help="How many packages and folders to list; 0: all.", min=0)] = 20,
    json: JsonOption = False,
) -> None:
    """Say what is in an image: packages, files, bytes by package and folder, setuid files, listening units.

    Builds the image first if it isn't built. Sizes are those before compression.

    Example: zaffre inventory container-host --top 0
    """
    from zaffre.cli.making import Making
    from zaffre.tree import Inventory

    require_profile(profile)
    work = workspace(context)
    folder = Making(work).build(image, architecture=arch, profile=profile, out=out).folder
    path = folder / INVENTORY_NAME
    if not path.is_file():
        raise DefinitionError(
            f"'{image}' has no root of its own to look at",
            resolution="name a host, a server or a container image; `zaffre show` lists them",
        )
    found = Inventory.model_validate_json(path.read_bytes())
    work.emit(found, lambda: _words(found, top or None), as_json=json)


def _words(found: Inventory, top: int | None) -> str:
    packages = [
        (one.name, one.version, str(one.files), amount(one.bytes))
        for one in sorted(found.packages, key=lambda one: -one.bytes)[:top]
    ]
    folders = [(one.path, str(one.files), amount(one.bytes)) for one in found.folders[:top]]
    lines = [
        table(packages, headers=("PACKAGE", "VERSION", "FILES", "SIZE"), right=(2, 3)),
        *_more(len(found.packages), top, "package"),
        "",
        table(folders, headers=("FOLDER", "FILES", "SIZE"), right=(1, 2)),
        *_more(len(found.folders), top, "folder"),
        "",
    ]
    lines += _section(
        "Files that give their caller rights (setuid, setgid, capabilities):",
        [(f"  {one.path}", one.mode, one.owner) for one in found.privileged],
    )
    lines += _section(
        "Units that listen:",
        [
            (f"  {one.name}", "at boot" if one.enabled else "not at boot", ", ".join(one.listens))
            for one in found.listening
        ],
    )
    loose = found.unpackaged
    lines.append(
        f"{count(len(found.packages), 'package')}, {count(found.files, 'file')}, {amount(found.bytes)}; "
        f"{count(loose.files, 'file')} of no package ({amount(loose.bytes)})"
    )
    return "\n".join(lines)


def _more(total: int, top: int | None, what: str) -> list[str]:
    return [f"… and {count(total - top, what)} more (--top 0 lists all)"] if top and total > top else []


def _section(title: str, rows: list[tuple[str, ...]]) -> list[str]:
    return [title, table(rows) if rows else "  none", ""]
