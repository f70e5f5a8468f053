# SPDX-License-Identifier: Apache-2.0
"""`zaffre surface`: what of an image faces an attacker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import count, table
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.surface import KernelJudgement, SurfaceReport, UnitExposure

_MOST_NAMES = 3
_MOST_UNITS = 10
_PARTS = {"option": "how it was built", "word": "its command line", "setting": "its settings"}


def surface(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="An image, the folder of a host's build, or the top of a root file tree."),
    ],
    arch: ArchOption = None,
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
    services are, by systemd-analyze; how the kernel was built, is started and is set. The root of an image is made
    first. The budget is [surface] of the image.

    Exit code 1 if anything is over the budget: the difference is named.

    Examples: zaffre surface container-host; zaffre surface /mnt/root --budget server --json
    """
    from zaffre.cli.making import Making
    from zaffre.cli.surfaced import judged_kernel, looked_at
    from zaffre.definition import Surface
    from zaffre.surface import SurfaceReport, facts_of, hardening_of, judged
    from zaffre.surface.units import exposures

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    with looked_at(making, what, arch=arch, profile=profile) as looked:
        facts = facts_of(looked.inventory)
        with work.progress.step("read programs and libraries") as remark:
            binaries = hardening_of(looked.root)
            remark(count(binaries.files, "file"))
        with work.progress.step("judge services"):
            units = exposures(looked.root, facts.services, making.sandbox)
        kernel = judged_kernel(making, looked)
    chosen = image or looked.image
    budget = work.distribution.image(chosen).surface if chosen is not None else Surface()
    if budget.kernel is not None and kernel is None and looked.inventory.kernels:
        raise DefinitionError(
            "the budget counts on the kernel, which cannot be judged here",
            where=f"images/{chosen}.toml: surface.kernel",
            resolution="see the remark above; or take the line out of the budget",
        )
    report = SurfaceReport(title=looked.title, facts=facts, binaries=binaries, units=units, kernel=kernel)
    report = judged(report, budget)
    work.emit(report, lambda: "\n".join(_lines(report, everything=all_)), as_json=json)
    if not report.holds:
        raise typer.Exit(ExitCode.FINDING)


def _lines(report: SurfaceReport, *, everything: bool) -> Iterator[str]:
    from zaffre.surface.report import TITLES, counted, excess_in_words

    over = {one.what for one in report.excess}
    rows = []
    for name, (number, items) in counted(report).items():
        allowed = str(report.budget[name]) if name in report.budget else ""
        shown = ", ".join(items if everything else items[:_MOST_NAMES])
        more = f" and {number - _MOST_NAMES} more" if not everything and len(items) > _MOST_NAMES else ""
        rows.append(("OVER" if name in over else "", TITLES[name], str(number), allowed, shown + more))
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
    if report.kernel is not None:
        yield ""
        yield from _kernel_lines(report.kernel, everything=everything)
    if report.units:
        yield ""
        yield _unit_table(report.units if everything else report.units[:_MOST_UNITS])
    yield ""
    yield from map(excess_in_words, report.excess)
    if not report.excess:
        yield "within its budget" if report.budget else "it has no budget: [surface] in its definition makes one"


def _kernel_lines(kernel: KernelJudgement, *, everything: bool) -> Iterator[str]:
    parts = Counter(one.part for one in kernel.lacking)
    told = ", ".join(f"{parts[part]} in {_PARTS[part]}" for part in sorted(parts))
    failed = f"{len(kernel.lacking)} do not hold ({told})" if kernel.lacking else "all hold"
    yield f"Of {kernel.checks} checks of the kernel {kernel.version}, {failed}"
    if everything and kernel.lacking:
        yield table(
            [(one.name, one.found, " or ".join(map(_value, one.wanted)), one.why) for one in kernel.lacking],
            headers=("KERNEL", "FOUND", "WANTED", ""),
        )


def _value(wanted: str) -> str:
    return wanted or "without a value"


def _unit_table(units: Sequence[UnitExposure]) -> str:
    rows = [(one.unit, f"{one.exposure:.1f}", one.word) for one in units]
    return table(rows, headers=("SERVICE", "EXPOSURE", ""), right=(1,))
