# SPDX-License-Identifier: Apache-2.0
"""`zaffre run`, and what it shares with `zaffre check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, ImageArgument, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.definition import Image
    from zaffre.digest import JSON
    from zaffre.machine import Choice, OwnerCertificates

_READY_SECONDS = 600.0

MemoryOption = Annotated[int, typer.Option(metavar="MIB", help="Memory of the machine.", min=128)]
CpusOption = Annotated[int, typer.Option(metavar="N", help="Its processors.", min=1)]


def run(
    context: typer.Context,
    image: ImageArgument,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="What a container runs instead of its own command, after --."),
    ] = None,
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    memory: MemoryOption = 1024,
    cpus: CpusOption = 2,
    network: Annotated[
        bool, typer.Option("--network", help="Let it reach the host's network. Else: a network of its own.")
    ] = False,
    forward: Annotated[
        list[str] | None,
        typer.Option(metavar="PORT:GUEST", help="Have a port of this host lead to one of the machine. Repeatable."),
    ] = None,
    ssh_key: Annotated[
        Path | None,
        typer.Option("--ssh-key", metavar="FILE", help="Public key that cloud-init gives a server's user, 'admin'."),
    ] = None,
    until_ready: Annotated[bool, typer.Option("--until-ready", help="End when the system is up.")] = False,
    json: JsonOption = False,
) -> None:
    """Boot an image in a virtual machine, with its console in this terminal; or run a container image in this terminal.

    Secure Boot is on with your keys enrolled, and there is a TPM. The image itself is not changed: what the machine
    writes is thrown away. End it with Ctrl-C (debug image: Ctrl-]), which presses its power button. Of a container, the
    exit code is that of its command.

    Examples: zaffre run container-host; zaffre run container-host --until-ready --json; zaffre run base -- cat
    /etc/os-release; zaffre run server --ssh-key ~/.ssh/id_ed25519.pub --forward 2222:22, and in another terminal:
    ssh -p 2222 admin@localhost
    """
    from dataclasses import asdict

    from zaffre.cli.making import Making
    from zaffre.machine import Guest, Network, Terminal, architecture_named, run_image

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    if work.distribution.image(image).kind == "container":
        from zaffre.cli.container import run_container

        built = making.build(image, architecture=arch, profile=profile, out=out)
        raise typer.Exit(run_container(making, built, command or (), network=network))
    chosen = booting_image(making, image)
    if command:
        raise typer.BadParameter("a machine runs what its image has", param_hint="COMMAND")
    built = making.build(image, architecture=arch, profile=profile, out=out)
    folder, manifest = built.folder, built.manifest
    accelerator = accelerator_for(making, folder, manifest.architecture)
    work.progress.note(f"accelerator: {accelerator.accelerator} ({accelerator.why})")
    forwards = dict(_forward(one) for one in forward or ())
    guest = Guest(
        image=folder / "image.raw",
        architecture=architecture_named(manifest.architecture),
        certificates=owner_certificates(making),
        disks=_seed(making, ssh_key) if ssh_key is not None else {},
        memory_mib=memory,
        cpus=cpus,
        network=Network.HOST if network or forwards else Network.ISOLATED,
        forwards=forwards,
    )
    how = "Ctrl-]" if chosen.debug else "Ctrl-C"
    report = run_image(
        guest,
        accelerator.accelerator,
        store=work.store,
        sandbox=making.sandbox_for(manifest.architecture),
        terminal=Terminal(output=sys.stderr.fileno(), input=sys.stdin.fileno() if chosen.debug and not json else None),
        on_ready=lambda state, seconds: work.progress.note(f"up after {seconds:.0f} s: {state}; {how} ends it"),
        seconds_to_ready=_READY_SECONDS,
        stop_when_ready=until_ready,
    )
    work.emit(
        asdict(report),
        lambda: f"{image} was {report.state or 'not up'}, ran for {report.seconds:.0f} s",
        as_json=json,
    )
    if until_ready and report.state != "running":
        raise typer.Exit(ExitCode.FINDING)


def _forward(text: str) -> tuple[int, int]:
    outside, _, within = text.partition(":")
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in (outside, within)):
        raise DefinitionError(
            f"{text!r} is not two ports", where="--forward", resolution="write the host's port, a colon, the machine's"
        )
    return int(outside), int(within)


def _seed(making: Making, key: Path) -> dict[str, Path]:
    """A disk for cloud-init with that public key, which lasts as long as the command."""
    from zaffre.machine.seed import SEED_DISK, make_seed

    work = making.work
    try:
        text = key.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"the key cannot be read: {error}", where=f"--ssh-key {key}") from error
    if not text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise DefinitionError(
            "the file has no public SSH key", where=f"--ssh-key {key}", resolution="give the file that ends in .pub"
        )
    scratch = work.cleanup.enter_context(work.store.scratch("seed"))
    settings: dict[str, JSON] = {"ssh_authorized_keys": [text]}
    make_seed(scratch / "seed.img", instance="zaffre-run", settings=settings, scratch=scratch, sandbox=making.sandbox)
    return {SEED_DISK: scratch / "seed.img"}


def booting_image(making: Making, name: str) -> Image:
    image = making.work.distribution.image(name)
    if not image.kind.boots:
        how = (
            "install it on Windows by 'wsl --install --from-file'"
            if image.kind == "wsl"
            else "name the image it is for"
        )
        raise DefinitionError(f"'{name}' is a {image.kind}, which does not boot by itself", resolution=how)
    return image


def accelerator_for(making: Making, folder: Path, architecture: str) -> Choice:
    from zaffre.machine import architecture_named, choose_accelerator

    with making.work.progress.step("choose an accelerator") as remark:
        choice = choose_accelerator(
            kernel=folder / "uki.efi",
            architecture=architecture_named(architecture),
            store=making.work.store,
            sandbox=making.sandbox_for(architecture),
        )
        remark(str(choice.accelerator))
    return choice


def owner_certificates(making: Making) -> OwnerCertificates:
    from zaffre.machine import OwnerCertificates
    from zaffre.trust import Role

    keys = making.work.keys
    return OwnerCertificates(pk=keys.public_path(Role.PK), kek=keys.public_path(Role.KEK), db=keys.public_path(Role.DB))
