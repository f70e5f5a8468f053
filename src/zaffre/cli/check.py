# SPDX-License-Identifier: Apache-2.0
"""`zaffre check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.machine import CpusOption, MemoryOption
from zaffre.cli.output import amount, table
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.machine.report import BootTimes, CheckReport

_SECONDS, _SECONDS_WITH_UPDATE = 600.0, 900.0
_MARKS = {"passed": "ok", "failed": "FAILED", "noted": "-"}


def check(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="An image of the definition, or a .wsl file from anywhere.")
    ],
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    extension: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="SYSEXT",
            help="The extension that carries the probes. Else: 'check', or 'check-IMAGE' of an image that has its own.",
        ),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="An earlier build of the host: the machine starts from it, and is updated to what is checked.",
        ),
    ] = None,
    memory: MemoryOption = 1024,
    cpus: CpusOption = 2,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Limit for the whole check. Default: 600, and 900 with --from.", min=10),
    ] = None,
    console: Annotated[bool, typer.Option("--console", help="Show the machine's console while it runs.")] = False,
    json: JsonOption = False,
) -> None:
    """Boot or run an image as it ships, and prove what it promises.

    Two boots in one machine with Secure Boot and your keys. A host: units, verity, read-only root, what a restart
    keeps, a container. A server: cloud-init, SSH, firewall, packages, the growing root. Both: addresses, boot times,
    memory. An extension: all of that of the host that it is for, with the extension laid over it. A container
    image: its user, what runs in it, certificates, apt. An image for WSL, and a .wsl file: the
    rules of WSL's documentation, without a boot. With --from, a host gets there by an update: the earlier build
    writes it into its other slot, and what SELinux refuses to that counts too. Exit code 1 if anything fails. The
    report is left beside the build, <build>.check.json, signed by the release key: 'zaffre release create' asks for
    it.

    Examples: zaffre check container-host --profile release; zaffre check container-host --from
    out/container-host-1.20261001.1-amd64; zaffre check other.wsl
    """
    from zaffre.cli.checking import CheckOrder, build_for, check_build, require_check
    from zaffre.cli.making import Making
    from zaffre.cli.wsl import check_file, is_wsl_file

    require_profile(profile)
    work = workspace(context)
    if is_wsl_file(image):
        if before is not None:
            raise DefinitionError("a .wsl file is not updated", where="--from", resolution="leave --from out")
        check_file(work, Path(image), as_json=json)
        return
    order = CheckOrder(
        image=image,
        architecture=arch,
        profile=profile,
        out=out,
        extension=extension,
        before=before,
        memory=memory,
        cpus=cpus,
        seconds=timeout or (_SECONDS if before is None else _SECONDS_WITH_UPDATE),
        console=_show if console else None,
    )
    making = Making(work)
    require_check(making, order)
    built = build_for(making, order)
    if work.distribution.image(image).kind == "wsl":
        check_file(work, built.folder / "image.wsl", as_json=json)
        return
    report = check_build(making, order, built)
    work.emit(report, lambda: report_words(report), as_json=json)
    if not report.passed:
        raise typer.Exit(ExitCode.FINDING)


def report_words(report: CheckReport) -> str:
    rows = [
        (
            _MARKS[line.verdict],
            line.title,
            line.found if line.wanted is None else f"{line.found} (wanted: {line.wanted})",
        )
        for line in report.lines
    ]
    lines = [table(rows), ""]
    if report.boots:
        lines.append(table(_boot_rows(report.boots), headers=("SECONDS", *_boot_names(report)), right=(1, 2)))
    if report.memory_used_bytes is not None and report.memory_total_bytes is not None:
        lines.append(f"\nmemory in use: {amount(report.memory_used_bytes)} of {amount(report.memory_total_bytes)}")
    passed = sum(line.verdict == "passed" for line in report.lines)
    failed = sum(line.verdict == "failed" for line in report.lines)
    verdict = f"{failed} of {passed + failed} do NOT hold" if failed else f"all {passed} hold"
    lines.append(f"{report.image}: {verdict} ({report.accelerator}, {report.seconds:.0f} s)")
    return "\n".join(lines)


def _boot_names(report: CheckReport) -> list[str]:
    first = "after the update" if report.updated_from else "first boot"
    return [first, "second"][: len(report.boots)]


def _boot_rows(boots: tuple[BootTimes, ...]) -> list[tuple[str, ...]]:
    stages = (
        ("firmware", "firmware"),
        ("loader", "boot loader"),
        ("kernel", "kernel"),
        ("initrd", "initrd"),
        ("userspace", "userspace"),
        ("containerd", "kernel's start to containerd ready"),
        ("multi_user", "kernel's start to multi-user.target"),
    )
    return [(title, *(_seconds(getattr(boot, name)) for boot in boots)) for name, title in stages]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _show(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()
