# SPDX-License-Identifier: Apache-2.0
"""`zaffre surface`: what of an image faces an attacker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import count, table
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.manifest import Manifest
    from zaffre.surface import SurfaceReport
    from zaffre.tree import Inventory

_TITLES = {
    "packages": "packages",
    "setuid": "setuid and setgid files",
    "capabilities": "files with capabilities",
    "listening": "sockets at boot",
    "services": "services at boot",
    "shells": "shells",
    "interpreters": "interpreters",
    "compilers": "compilers and linkers",
    "world_writable": "files that everybody may write",
    "unowned": "files of nobody that is known",
    "unhardened": "programs that lack hardening",
    "unsafe_units": "services that systemd calls unsafe",
}
_MOST_NAMES = 3
_MOST_UNITS = 10
_SECONDS = 600.0


def surface(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="An image, the folder of a host's build, or the top of a root file tree."),
    ],
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    image: Annotated[
        str | None, typer.Option("--budget", metavar="IMAGE", help="Of a root: hold it against this image's budget.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Name every file and unit, and not the first few.")] = False,
    json: JsonOption = False,
) -> None:
    """Count what of an image faces an attacker, and hold it against the budget of its definition.

    Packages, setuid files and capabilities, sockets and services at boot, shells, interpreters, compilers, files that
    everybody may write or that belong to nobody; how programs are hardened, from their ELF headers; how exposed
    services are, by systemd-analyze. An image is built first if it isn't built. The budget is [surface] of the image.

    Exit code 1 if anything is over the budget: the difference is named.

    Examples: zaffre surface container-host; zaffre surface /mnt/root --budget server --json
    """
    from zaffre.cli.making import Making
    from zaffre.definition import Surface
    from zaffre.surface import SurfaceReport, facts_of, hardening_of, judged
    from zaffre.surface.units import exposures

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    with _root(making, what, arch=arch, out=out, profile=profile) as (title, name, root, inventory):
        facts = facts_of(inventory)
        with work.progress.step("read programs and libraries") as remark:
            binaries = hardening_of(root)
            remark(count(binaries.files, "file"))
        with work.progress.step("judge services"):
            units = exposures(root, facts.services, making.sandbox)
    chosen = image or name
    budget = work.distribution.image(chosen).surface if chosen is not None else Surface()
    report = judged(SurfaceReport(title=title, facts=facts, binaries=binaries, units=units), budget)
    work.emit(report, lambda: "\n".join(_lines(report, everything=all_)), as_json=json)
    if not report.holds:
        raise typer.Exit(ExitCode.FINDING)


@contextmanager
def _root(
    making: Making, what: str, *, arch: str | None, out: Path, profile: str
) -> Iterator[tuple[str, str | None, Path, Inventory]]:
    """A title, the image that it is of, the files, and their inventory."""
    from zaffre.manifest import MANIFEST_NAME
    from zaffre.tree.inventory import inventory_of

    work, path = making.work, Path(what)
    if (path / MANIFEST_NAME).is_file():
        with _built(making, path) as found:
            yield found
    elif what in work.distribution.images:
        folder = making.build(what, architecture=arch, profile=profile, out=out).folder
        with _built(making, folder, profile=profile) as found:
            yield found
    elif (path / "usr").is_dir():
        with work.progress.step("read the root"):
            inventory = inventory_of(path)
        yield f"root {what}", None, path, inventory
    else:
        raise DefinitionError(
            "there is no image of that name, and no folder with a build or a root file tree",
            where=what,
            resolution="`zaffre show` lists the images; of a root, name the folder that has usr/",
        )


@contextmanager
def _built(
    making: Making, folder: Path, *, profile: str | None = None
) -> Iterator[tuple[str, str | None, Path, Inventory]]:
    """Of a build, with the inventory that its manifest vouches for. `profile`: it was built now, with that one."""
    from zaffre.advisory.subjects.build import read_inventory, read_manifest

    work = making.work
    manifest = read_manifest(folder)
    inventory = read_inventory(folder, manifest)
    if inventory is None or manifest.kind not in {"host", "server", "wsl"}:
        raise DefinitionError(
            f"a {manifest.kind} has no root that is looked at here",
            where=str(folder),
            resolution="name a host, a server, an image for WSL, or the top of an unpacked root",
        )
    title = f"{manifest.image} {manifest.version} ({manifest.architecture}, {manifest.profile})"
    with work.store.scratch("surface") as scratch:
        root = scratch / "root"
        with work.progress.step("unpack the root"):
            if manifest.kind == "host":
                _extract(making, folder, root)
            else:
                _make_again(making, folder, manifest, profile, root)
        yield title, manifest.image if manifest.image in work.distribution.images else None, root, inventory


def _extract(making: Making, folder: Path, root: Path) -> None:
    """The files of a host's sealed root."""
    from zaffre.sandbox import Mount

    root.mkdir()
    making.sandbox.run(
        ["fsck.erofs", "--extract=/run/root", "--overwrite", "/run/build/root.erofs"],
        mounts=[Mount(folder.resolve(), "/run/build"), Mount(root, "/run/root", writable=True)],
        timeout=_SECONDS,
    )


def _make_again(making: Making, folder: Path, manifest: Manifest, profile: str | None, root: Path) -> None:
    """The files of a writable root, from the store. Raises DefinitionError for a build that may be an older one."""
    from zaffre.image import Order
    from zaffre.tree.restore import extract_root

    if profile is None:
        raise DefinitionError(
            f"the root of a built {manifest.kind} is in a file system that is not read here",
            where=str(folder),
            resolution="name the image instead: its root is made again from the store",
        )
    order = Order(image=manifest.image, architecture=manifest.architecture, profile=profile, out=folder.parent)
    extract_root(making.work.store.path(making.builder.tree(order)), root)


def _lines(report: SurfaceReport, *, everything: bool) -> Iterator[str]:
    from zaffre.surface.report import counted

    over = {one.what for one in report.excess}
    rows = []
    for name, (number, items) in counted(report).items():
        allowed = str(report.budget[name]) if name in report.budget else ""
        shown = ", ".join(items if everything else items[:_MOST_NAMES])
        more = f" and {number - _MOST_NAMES} more" if not everything and len(items) > _MOST_NAMES else ""
        rows.append(("OVER" if name in over else "", _TITLES[name], str(number), allowed, shown + more))
    yield report.title
    yield ""
    yield table(rows, headers=("", "", "FOUND", "MOST", ""), right=(2, 3))
    if (found := report.binaries) is not None:
        parts = (
            ("position independent", found.pie),
            ("with full RELRO", found.full_relro),
            ("without an executable stack", found.stack),
            ("with stack protectors", found.canary),
            ("fortified", found.fortified),
        )
        words = ", ".join(f"{number} {name}" for name, number in parts)
        yield ""
        yield f"Of {count(found.files, 'ELF file')}: {words}"
        if found.unreadable:
            yield f"not readable: {', '.join(found.unreadable)}"
    if report.units:
        shown_units = report.units if everything else report.units[:_MOST_UNITS]
        yield ""
        yield table(
            [(one.unit, f"{one.exposure:.1f}", one.word) for one in shown_units],
            headers=("SERVICE", "EXPOSURE", ""),
            right=(1,),
        )
    yield ""
    for excess in report.excess:
        told = f": {', '.join(excess.items)}" if excess.items else ""
        yield f"{_TITLES[excess.what]}: {excess.found}, and the budget is {excess.allowed}{told}"
    if not report.excess:
        yield "within its budget" if report.budget else "it has no budget: [surface] in its definition makes one"
