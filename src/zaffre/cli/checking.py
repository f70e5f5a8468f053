# SPDX-License-Identifier: Apache-2.0
"""The check of a build, whichever command asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.cli.machine import accelerator_for, booting_image, owner_certificates
from zaffre.definition import VarEncryption
from zaffre.errors import DefinitionError, FindingError

if TYPE_CHECKING:
    from zaffre.cli.context import Workspace
    from zaffre.cli.making import Making
    from zaffre.definition import Distribution, Image
    from zaffre.image import Build
    from zaffre.machine.judging import Laid, Step
    from zaffre.machine.report import CheckReport
    from zaffre.manifest import Manifest
    from zaffre.measured.prediction import Prediction

_POD = {"pause", "probe"}
"""Container images of probes that a kubelet is given a pod of."""


@dataclass(frozen=True)
class CheckOrder:
    """What is checked, and how: `extension` carries the probes, where it is not the usual one; `before` is an earlier
    build of the host, from which it is updated first; `memory` is in MiB.
    """

    image: str
    architecture: str | None
    profile: str
    out: Path
    extension: str | None = None
    before: Path | None = None
    memory: int = 1024
    cpus: int = 2
    seconds: float = 600.0
    console: Callable[[bytes], None] | None = None


def build_for(making: Making, order: CheckOrder, image: str | None = None) -> Build:
    """The build that is checked, or another `image` for it, of the same order."""
    return making.build(image or order.image, architecture=order.architecture, profile=order.profile, out=order.out)


def require_check(making: Making, order: CheckOrder) -> None:
    """Raise DefinitionError, before anything is built, for what has no check, for probes of another image, and for
    an earlier build of what is not updated in slots.
    """
    distribution = making.work.distribution
    if order.before is not None:
        _require_earlier(distribution.image(order.image), order.before)
    if distribution.image(order.image).kind not in {"container", "wsl"} and _host(making, order).kind != "server":
        _probes(distribution, _host(making, order).name, order.extension)


def check_build(making: Making, order: CheckOrder, built: Build) -> CheckReport:
    """Boot or run what was built, and leave the signed report beside it.

    An extension is laid over the host that it is for, of the same order. Raises DefinitionError for what neither boots
    nor runs nor is laid over anything, and for probes that are made for another image; and as `_step` does.
    """
    image = making.work.distribution.image(order.image)
    step = None if order.before is None else _step(making, order.before, built)
    with evidence(making.work, built) as leave:
        if image.kind == "container":
            from zaffre.cli.container import check_container

            report = check_container(making, image, built, seconds=order.seconds)
        else:
            report = _booted(making, order, built, step)
        leave(report)
    return report


def _booted(
    making: Making, order: CheckOrder, built: Build, step: tuple[Step, Mapping[str, Path]] | None
) -> CheckReport:
    from zaffre.machine import Subject, architecture_named, check_image

    work = making.work
    chosen = _host(making, order)
    extension = "" if chosen.kind == "server" else _probes(work.distribution, chosen.name, order.extension)
    probes = build_for(making, order, extension).folder if extension else None
    medium = None
    if (configuration := _configuration(work.distribution, chosen.name)) is not None:
        medium = (configuration, build_for(making, order, configuration).folder / "extension.raw")
    host = built if chosen.name == order.image else build_for(making, order, chosen.name)
    folder, manifest = host.folder, host.manifest
    accelerator = accelerator_for(making, folder, manifest.architecture)
    work.progress.note(f"accelerator: {accelerator.accelerator} ({accelerator.why})")
    subject = Subject(
        name=order.image,
        image=(order.before or folder) / "image.raw",
        extension=probes / "extension.raw" if probes else None,
        extension_name=extension,
        certificates=owner_certificates(making),
        architecture=architecture_named(manifest.architecture),
        root_hash=manifest.root_hash,
        settings={key: str(value) for key, value in chosen.sysctl.items()},
        modules=chosen.kernel.load,
        debug=chosen.debug,
        containers="containerd" in chosen.packages,
        kubelet="kubelet" in chosen.packages and _brings_pod(work.distribution, extension),
        updates=bool(chosen.update.tries),
        every_boot=chosen.update.every_boot,
        encrypted=chosen.disk.var_encryption is VarEncryption.TPM2,
        configuration=medium,
        selinux=str(chosen.selinux.mode),
        ipe=str(chosen.ipe.mode),
        fips=chosen.fips,
        prediction=_prediction(folder),
        earlier=_prediction(order.before) if order.before is not None else None,
        checked=None if host is built else _checked(making, built, host),
        update=step,
        memory_mib=order.memory,
        cpus=order.cpus,
    )
    return check_image(
        subject,
        accelerator.accelerator,
        store=work.store,
        sandbox=making.sandbox_for(manifest.architecture),
        progress=work.progress,
        seconds=order.seconds,
        console=order.console,
    )


def _require_earlier(image: Image, before: Path) -> None:
    from zaffre.manifest import MANIFEST_NAME

    if image.kind != "host" or not image.update.tries:
        raise DefinitionError(
            f"'{image.name}' is not updated in slots, so it can't be checked as an update of an earlier build",
            where="--from",
            resolution="leave --from out, or name a host that counts its boots ([update] tries)",
        )
    if not (before / MANIFEST_NAME).is_file():
        raise DefinitionError(
            f"there is no {MANIFEST_NAME} here, so this is no build to start from",
            where=f"--from {before}",
            resolution="give the folder that 'zaffre build' made of an earlier lock: DIR/<image>-<version>-<arch>",
        )


def _step(making: Making, before: Path, built: Build) -> tuple[Step, Mapping[str, Path]]:
    """The update from an earlier build, and what systemd-sysupdate gets for it. Raises DefinitionError for a build from
    which nothing is updated to this one, FindingError for one that does not hold.
    """
    from zaffre.slots import incoming_names

    new = built.manifest
    step = step_between(_verified(making, before), new, before)
    names = incoming_names(new.image, new.version, new.root_hash or "")
    return step, {name: built.folder / file for file, name in names.items()}


def step_between(old: Manifest, new: Manifest, where: Path) -> Step:
    """Raises DefinitionError unless `new` is a later version of the same."""
    from zaffre.machine.judging import Step
    from zaffre.offer.version import compare_versions

    if (old.kind, old.image, old.architecture) != (new.kind, new.image, new.architecture):
        raise DefinitionError(
            f"that is {old.image} for {old.architecture}, and what is checked is {new.image} for {new.architecture}",
            where=f"--from {where}",
            resolution="give a build of the same image; --arch says for which architecture one is checked",
        )
    if compare_versions(old.version, new.version) >= 0:
        raise DefinitionError(
            f"hosts only go forward, and {new.version} is not later than {old.version}",
            where=f"--from {where}",
            resolution="give a build of an earlier lock",
        )
    return Step(new.image, old.version, new.version)


def _verified(making: Making, build: Path) -> Manifest:
    """The manifest of a build of which each link holds."""
    from zaffre.manifest import MANIFEST_NAME, Manifest
    from zaffre.trust.verify import verify_build

    work = making.work
    report = verify_build(build, certificates=work.certificates, sandbox=making.sandbox, progress=work.progress)
    if not report.ok:
        raise FindingError(
            "the earlier build does not hold, so nothing is started from it",
            where=str(build),
            details="\n".join(f"{one.name}: {one.detail}" for one in report.checks if not one.ok),
            resolution=f"'zaffre verify {build}' says all of it",
        )
    return Manifest.model_validate_json((build / MANIFEST_NAME).read_bytes())


def _brings_pod(distribution: Distribution, extension: str) -> bool:
    """Whether the probes have what the kubelet makes a pod of."""
    return bool(extension) and {one.name for one in distribution.image(extension).oci} >= _POD


def _prediction(folder: Path) -> Prediction | None:
    """What the build says that its boot will measure; a server's does not."""
    from zaffre.measured.prediction import ATTESTATION_NAME, read_prediction

    path = folder / ATTESTATION_NAME
    return read_prediction(path.read_bytes(), str(path)) if path.is_file() else None


@contextmanager
def evidence(work: Workspace, built: Build) -> Iterator[Callable[[CheckReport], None]]:
    """While a build is checked, nothing beside it says that it was; the yielded function writes down what was found."""
    from zaffre.release.evidence import forget_evidence, leave_evidence

    forget_evidence(built.folder)

    def leave(report: CheckReport) -> None:
        signer = work.keys.release_signer()
        path = leave_evidence(built.folder, built.manifest, report, signer, now=work.now)
        work.progress.note(f"report: {path}")

    yield leave


def _host(making: Making, order: CheckOrder) -> Image:
    """What is booted: the image itself, or the host that an extension is for."""
    image = making.work.distribution.image(order.image)
    return booting_image(making, image.base or image.name)


def _checked(making: Making, built: Build, host: Build) -> tuple[Laid, Path]:
    from zaffre.machine.judging import Laid

    image, below = built.manifest, host.manifest
    agent = making.work.distribution.image(image.image).agent
    laid = Laid(image.kind, image.image, f"{below.image} {below.version}", agent)
    return laid, built.folder / "extension.raw"


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
