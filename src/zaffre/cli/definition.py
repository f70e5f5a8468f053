# SPDX-License-Identifier: Apache-2.0
"""`zaffre init`, `show` and `schema`: the definition and what can be said about it."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import count, table

if TYPE_CHECKING:
    from zaffre.definition import Distribution


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="ID in os-release. Else: from the folder's name.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="NAME in os-release. Else: from the ID, with capitals.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="IMAGE", help="A further image of the reference distribution. Repeatable."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a small distribution of your own, which builds as it is.

    It has the container host and what checks it; the reference distribution has a server too.

    Examples: zaffre init acme-linux --name "Acme Linux"; zaffre init acme-linux --with server
    """
    from zaffre.definition import init_distribution

    chosen = identity or _identifier(directory.absolute().name)
    title = name or " ".join(word.capitalize() for word in re.split("[-_.]", chosen))
    files = init_distribution(directory, id=chosen, name=title, also=also or ())
    workspace(context).emit(
        {"directory": str(directory), "id": chosen, "name": title, "files": [str(file) for file in files]},
        lambda: _initialised(directory, title, len(files)),
        as_json=json,
    )


def _identifier(folder: str) -> str:
    """A folder's name in the letters that os-release(5) allows for ID."""
    return re.sub("[^a-z0-9._-]+", "-", folder.lower()).strip("-._")


def _initialised(directory: Path, title: str, files: int) -> str:
    steps = [
        (f"cd {directory}", ""),
        ("zaffre show container-host", "what the image is, and where each value comes from"),
        ("zaffre lock", "choose exact packages"),
        ("zaffre build container-host", ""),
    ]
    return f"{title} is in {directory}: {count(files, 'file')}.\n\nNext:\n" + table(
        [("", command, comment) for command, comment in steps]
    )


def show(
    context: typer.Context,
    image: Annotated[
        str | None,
        typer.Argument(help="Its name, or 'repository' for your own one. Left away: which images there are."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print an image's merged definition, and which file each value came from.

    Examples: zaffre show; zaffre show container-host; zaffre show repository --json
    """
    from zaffre.definition import OWN, explain, explain_repository

    work = workspace(context)
    distribution = work.distribution
    if image is None:
        images = [
            {"name": one.name, "kind": one.kind.value, "description": one.description}
            for one in distribution.images.values()
        ]
        work.emit(images, lambda: _images(distribution), as_json=json)
        return
    rows = explain_repository(distribution) if image == OWN else explain(distribution, image)
    work.emit(
        [asdict(row) for row in rows],
        lambda: table([(row.key, str(row.value), row.origin) for row in rows], headers=("KEY", "VALUE", "FROM")),
        as_json=json,
    )


def _images(distribution: Distribution) -> str:
    rows = [(one.name, one.kind.value, one.description) for one in distribution.images.values()]
    title = f"{distribution.identity.name} {distribution.identity.version} ({distribution.root})"
    return f"{title}\n\n" + table(rows, headers=("IMAGE", "KIND", "DESCRIPTION"))


def schema(
    context: typer.Context,
    markdown: Annotated[bool, typer.Option("--markdown", help="A page to read instead of JSON Schema.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON Schema, which it prints anyway.")] = False,
) -> None:
    """Print the JSON Schema of the definition's files: every key, its type, default and meaning.

    Examples: zaffre schema > zaffre.schema.json; zaffre schema --markdown > reference.md
    """
    from zaffre.cli.reference import reference_page
    from zaffre.definition import json_schema

    if markdown and json:
        raise typer.BadParameter("it is one or the other", param_hint="--markdown and --json")
    found = json_schema()
    workspace(context).emit(found, lambda: reference_page(found), as_json=not markdown)
