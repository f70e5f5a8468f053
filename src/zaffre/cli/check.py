# SPDX-License-Identifier: Apache-2.0
"""`zaffre check`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.machine import CpusOption, MemoryOption, accelerator_for, booting_image, owner_certificates
from zaffre.cli.output import amount, table
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.definition import Distribution
    from zaffre.image import Build
    from zaffre.machine.report import BootTimes, CheckReport

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
    memory: MemoryOption = 1024,
    cpus: CpusOption = 2,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Limit for the whole check.", min=10)] = 600.0,
    console: Annotated[bool, typer.Option("--console", help="Show the machine's console while it runs.")] = False,
    json: JsonOption = False,
) -> None:
    """Boot or run an image as it ships, and prove what it promises.

    Two boots in one machine with Secure Boot and your keys. A host: units, verity, read-only root, what a restart
    keeps, a container. A server: cloud-init, SSH, firewall, packages, the growing root. Both: addresses, boot times,
    memory. A container image: its user, what runs in it, certificates, apt. An image for WSL, and a .wsl file: the
    rules of WSL's documentation, without a boot. Exit code 1 if anything fails. The report is left beside the build,
    <build>.check.json, signed by the release key: 'zaffre release create' asks for it.

    Examples: zaffre check container-host --profile release; zaffre check other.wsl
    """
    from zaffre.cli.making import Making
    from zaffre.cli.wsl import check_file, is_wsl_file
    from zaffre.machine import Subject, architecture_named, check_image

    require_profile(profile)
    work = workspace(context)
    if is_wsl_file(image):
        check_file(work, Path(image), as_json=json)
        return
    making = Making(work)
    kind = work.distribution.image(image).kind
    if kind == "container":
        from zaffre.cli.container import check_container

        built = making.build(image, architecture=arch, profile=profile, out=out)
        with _evidence(work, built) as leave:
            report = check_container(making, work.distribution.image(image), built, seconds=timeout)
            leave(report)
        _emit_report(work, report, json)
        return
    if kind == "wsl":
        folder = making.build(image, architecture=arch, profile=profile, out=out).folder
        check_file(work, folder / "image.wsl", as_json=json)
        return
    chosen = booting_image(making, image)
    server = chosen.kind == "server"
    extension = "" if server else _probes(work.distribution, image, extension)
    built = making.build(image, architecture=arch, profile=profile, out=out)
    folder, manifest = built.folder, built.manifest
    probes = None if server else making.build(extension, architecture=arch, profile=profile, out=out).folder
    medium = None
    if (configuration := _configuration(work.distribution, image)) is not None:
        made = making.build(configuration, architecture=arch, profile=profile, out=out)
        medium = (configuration, made.folder / "extension.raw")
    accelerator = accelerator_for(making, folder, manifest.architecture)
    work.progress.note(f"accelerator: {accelerator.accelerator} ({accelerator.why})")
    subject = Subject(
        name=image,
        image=folder / "image.raw",
        extension=probes / "extension.raw" if probes else None,
        extension_name=extension,
        certificates=owner_certificates(making),
        architecture=architecture_named(manifest.architecture),
        root_hash=manifest.root_hash,
        settings={key: str(value) for key, value in chosen.sysctl.items()},
        modules=chosen.kernel.load,
        debug=chosen.debug,
        containers="containerd" in chosen.packages,
        updates=bool(chosen.update.tries),
        configuration=medium,
        memory_mib=memory,
        cpus=cpus,
    )
    with _evidence(work, built) as leave:
        report = check_image(
            subject,
            accelerator.accelerator,
            store=work.store,
            sandbox=making.sandbox_for(manifest.architecture),
            progress=work.progress,
            seconds=timeout,
            console=_show if console else None,
        )
        leave(report)
    _emit_report(work, report, json)


@contextmanager
def _evidence(work: Workspace, built: Build) -> Iterator[Callable[[CheckReport], None]]:
    """While a build is checked, nothing beside it says that it was; the yielded function writes down what was found."""
    from zaffre.release.evidence import forget_evidence, leave_evidence

    forget_evidence(built.folder)

    def leave(report: CheckReport) -> None:
        signer = work.keys.release_signer()
        path = leave_evidence(built.folder, built.manifest, report, signer, now=work.now)
        work.progress.note(f"report: {path}")

    yield leave


def _emit_report(work: Workspace, report: CheckReport, as_json: bool) -> None:
    work.emit(report, lambda: report_words(report), as_json=as_json)
    if not report.passed:
        raise typer.Exit(ExitCode.FINDING)


def _probes(distribution: Distribution, image: str, given: str | None) -> str:
    """The extension that looks around in an image. DefinitionError for one that is made for another."""
    own = f"check-{image}"
    name = given or (own if own in distribution.images else "check")
    if distribution.image(name).base != image:
        raise DefinitionError(
            f"the extension '{name}' is made for another image than '{image}'",
            where=f"images/{name}.toml: base",
            resolution=f'make a sysext with base = "{image}" that has the probes, and name it by --with',
        )
    return name


def _configuration(distribution: Distribution, image: str) -> str | None:
    """The confext that a device gets on a medium while it is checked: `<image>-check`, if there is one."""
    found = distribution.images.get(f"{image}-check")
    return found.name if found is not None and found.kind == "confext" and found.base == image else None


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
        lines.append(table(_boot_rows(report.boots), headers=("SECONDS", *_boot_names(report.boots)), right=(1, 2)))
    if report.memory_used_bytes is not None and report.memory_total_bytes is not None:
        lines.append(f"\nmemory in use: {amount(report.memory_used_bytes)} of {amount(report.memory_total_bytes)}")
    passed = sum(line.verdict == "passed" for line in report.lines)
    failed = sum(line.verdict == "failed" for line in report.lines)
    verdict = f"{failed} of {passed + failed} do NOT hold" if failed else f"all {passed} hold"
    lines.append(f"{report.image}: {verdict} ({report.accelerator}, {report.seconds:.0f} s)")
    return "\n".join(lines)


def _boot_names(boots: tuple[BootTimes, ...]) -> list[str]:
    return ["first boot", "second"][: len(boots)]


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
