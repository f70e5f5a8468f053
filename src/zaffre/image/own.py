# SPDX-License-Identifier: Apache-2.0
"""The two packages of ours that make a set of packages a server of this distribution.

`<system>-kernel` carries the signed kernel image, which its scripts put on the EFI system partition; `<system>` has the
definition's files and settings, and depends on the kernel and on all that the definition asks for. Both have the
version of the lock, so an upgrade of the machine brings it to what a new image would be.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from zaffre.definition import Architecture, Image, SelinuxMode, Upstream, tree_digest
from zaffre.digest import JSON, Sha256, sha256_bytes, sha256_file
from zaffre.errors import DefinitionError
from zaffre.image import uki
from zaffre.image.greeting import EXCLUDED, greeting_files
from zaffre.image.output import place
from zaffre.image.ownscripts import kernel_scripts, system_scripts
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan, signed_loader
from zaffre.store import Action, ActionResult
from zaffre.tree import extract_root
from zaffre.tree.customise import SYSUSERS, lay_definition, sysusers_text
from zaffre.tree.identity import OS_RELEASE, os_release
from zaffre.tree.installed import installed_packages, owners
from zaffre.tree.overlay import ids_of, lay_files
from zaffre.tree.own import OwnPackage, asked_about, make_own_package, stripped_files
from zaffre.tree.policy import setuid_policy
from zaffre.tree.rootfs import read_text, walk, write_bytes
from zaffre.upstream import LockedPackage

_KERNEL = "usr/lib/zaffre/kernel"
_INSTALL = f"/{_KERNEL}/install-kernel"
_LOADERS = "usr/lib/systemd/boot/efi"
_DATABASE = "var/lib/dpkg"
_SETTINGS = {
    *("files", "users", "units", "sysctl", "setuid", "tmpfiles", "prune", "kernel", "selinux", "os_release", "debug"),
}
_NEEDED = {
    *("", "/", "/etc", "/usr", "/usr/lib", "/var", "/var/lib", f"/{_DATABASE}"),
    *("/bin", "/lib", "/lib64", "/sbin"),
    *("/etc/passwd", "/etc/group", f"/{OS_RELEASE}"),
}


@dataclass(frozen=True)
class KernelFacts:
    """A kernel image as a package: the locked package that has its modules, and how its boot entry is called."""

    release: str
    modules: LockedPackage
    version: str

    @property
    def entry(self) -> str:
        """The version in the name of a file on the ESP. A `+` there begins the count of tries."""
        return self.version.replace("+", ".")


def kernel_facts(plan: SystemPlan, packages: tuple[LockedPackage, ...], release: str) -> KernelFacts:
    """Of the kernel with the release (uname -r) that the initrd was made for."""
    for package in packages:
        if package.name.endswith(release):
            return KernelFacts(release, package, plan.own.kernel_version(package))
    raise DefinitionError(
        f"no locked package is the one of the kernel {release}",
        where=f"images/{plan.image.name}.toml: kernel.package",
        resolution="name the package by which the distribution installs its kernel",
    )


def kernel_package(
    plan: SystemPlan, facts: KernelFacts, kernel: ActionResult, shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    """The step that makes `uki` and the package `deb` that brings it to a machine."""
    words = plan.image.kernel_arguments(Architecture(shop.architecture))
    arguments = " ".join(("root=gpt-auto", "rw", *words))
    release = os_release(
        plan.distribution.identity, plan.image, version=facts.entry, architecture=shop.architecture, base=""
    )
    loader = signed_loader(shop)
    package = OwnPackage(
        name=plan.own.kernel,
        version=facts.version,
        architecture=shop.architecture,
        maintainer=plan.distribution.identity.maintainer,
        description=f"kernel {facts.release} of {plan.distribution.identity.name}, signed for Secure Boot",
        depends=plan.own.kernel_depends(facts.modules),
        provides=plan.image.provides,
        conflicts=(f"systemd-boot-efi-{shop.architecture}-signed",),
        scripts=kernel_scripts(_INSTALL, enforced=plan.image.selinux.mode is not SelinuxMode.OFF),
    )
    action = Action(
        kind="kernel-package",
        label=f"kernel package {plan.image.name}",
        inputs={
            "kernel": kernel.outputs["kernel"],
            "initrd": kernel.outputs["initrd"],
            "loader": loader,
            "os-release": release,
            "arguments": arguments,
            "server": plan.image.server.model_dump(mode="json"),
            "package": _plain(package),
            "certificate": sha256_file(shop.keys.db_certificate),
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="kernel and initrd in one signed file, as a package that the machine's package manager upgrades",
    )

    def produce(scratch: Path) -> ActionResult:
        folder = scratch / "package"
        made, text = scratch / "kernel.efi", scratch / "os-release"
        text.write_text(release)
        uki.build_uki(
            made,
            kernel=shop.store.verified(kernel.outputs["kernel"]),
            kernel_version=facts.release,
            initrd=shop.store.verified(kernel.outputs["initrd"]),
            os_release=text,
            arguments=arguments,
            architecture=shop.architecture,
            keys=shop.keys,
            epoch=shop.epoch,
            scratch=scratch,
            sandbox=shop.sandbox,
        )
        digest = shop.store.add_file(made, move=True)
        for blob, name in (
            (digest, f"{_KERNEL}/kernel.efi"),
            (loader, f"{_LOADERS}/{uki.boot_loader_name(shop.architecture)}.signed"),
        ):
            (folder / name).parent.mkdir(parents=True)
            place(shop.store.verified(blob), folder / name)
        # Where systemd mounts the EFI system partition; up to version 252 only if it is there.
        (folder / "efi").mkdir()
        (folder / _KERNEL / "entry").write_text(_entry(plan, facts))
        script = folder / _KERNEL / "install-kernel"
        script.write_bytes(resources.files("zaffre.image").joinpath("scripts", "install-kernel.sh").read_bytes())
        script.chmod(0o755)
        return ActionResult({"uki": digest, "package": _packed(plan, package, folder, scratch, shop)}, {})

    return action, produce


def system_package(
    plan: SystemPlan,
    kernel: KernelFacts | None,
    generated: Mapping[str, bytes],
    shop: Workshop,
    *,
    links: Mapping[str, str] | None = None,
) -> tuple[Action, Callable[[Path], ActionResult]]:
    """The step that makes the package of the definition's own files and of `generated` ones, by relative path.

    `kernel` is what it is started by, if that comes as a package of ours; `links` are by relative path, with `->`
    before their targets.
    """
    image = plan.image
    depends = plan.own.system_depends(Architecture(shop.architecture), kernel.version if kernel is not None else None)
    settings = image.model_dump(mode="json", include=_SETTINGS)
    action = Action(
        kind="system-package",
        label=f"system package {image.name}",
        inputs={
            "root": plan.root,
            "settings": settings,
            "identity": plan.distribution.identity.model_dump(mode="json"),
            "trees": [[tree, tree_digest(plan.distribution.path(tree))] for tree in image.files.trees],
            "generated": {path: sha256_bytes(content) for path, content in generated.items()},
            "links": dict(links or {}),
            "depends": list(depends),
            "version": plan.version,
            "architecture": shop.architecture,
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="the definition's own files, as a package that the machine's package manager upgrades",
    )

    def produce(scratch: Path) -> ActionResult:
        base, folder = scratch / "root", scratch / "package"
        folder.mkdir()
        extract_root(shop.store.verified(plan.root), base, skip=lambda path: not _needed(path))
        lay_files(folder, greeting_files(plan.distribution.identity))
        lay_definition(
            folder,
            image,
            distribution=plan.distribution,
            version=plan.version,
            architecture=shop.architecture,
            base=read_text(base, OS_RELEASE),
        )
        lay_files(folder, {**package_manager_files(image), **(links or {})})
        for path, content in generated.items():
            write_bytes(folder, path, content)
        if image.users:
            lay_files(folder, {SYSUSERS: sysusers_text(image.users)})
        scripts = system_scripts(
            plan.own.system,
            image,
            diverted=diverted(base, folder, plan.distribution.upstream_of(image)),
            owners={**_stripped(plan, base, shop), **image.files.owners},
            install=_INSTALL,
        )
        package = OwnPackage(
            name=plan.own.system,
            version=plan.version,
            architecture=shop.architecture,
            maintainer=plan.distribution.identity.maintainer,
            description=f"{plan.distribution.identity.name}: {image.description or image.name}",
            depends=depends,
            scripts=scripts,
        )
        return ActionResult({"package": _packed(plan, package, folder, scratch, shop)}, {})

    return action, produce


def _needed(path: str) -> bool:
    """Of the configured root: its database, its users, and who the upstream says that it is."""
    return path in _NEEDED or path.startswith(f"/{_DATABASE}/")


def package_manager_files(image: Image) -> dict[str, str]:
    """What the image leaves out of packages stays out when they are upgraded (dpkg(1), `--path-exclude`)."""
    lines = [f"path-exclude={_dpkg_glob(path)}" for path in (*EXCLUDED, *image.prune.paths)]
    lines += [f"path-include={_dpkg_glob(path)}" for path in image.prune.keep]
    return {"etc/dpkg/dpkg.cfg.d/zaffre": "".join(f"{line}\n" for line in lines)}


def _dpkg_glob(pattern: str) -> str:
    """Dpkg's `*` goes over slashes, as our `**` does."""
    return pattern.replace("**", "*")


def diverted(base: Path, folder: Path, upstream: Upstream) -> list[str]:
    """Absolute paths of our files that are another package's too: theirs gets another name.

    Raises DefinitionError for one that the administrator may change, since dpkg would lose track of it.
    """
    theirs = owners(base, installed_packages(base))
    asked = asked_about(base, upstream=upstream)
    found = [path for path, status in walk(folder) if not stat.S_ISDIR(status.st_mode) and path in theirs]
    for path in found:
        if f"/{path}" in asked:
            raise DefinitionError(
                f"/{path} is a configuration file of the package {theirs[path][0]}",
                where="files.trees",
                resolution="say the same in a drop-in file that the program reads too, or make a component of the "
                "package with an overlay",
            )
    return [f"/{path}" for path in found]


def _stripped(plan: SystemPlan, base: Path, shop: Workshop) -> Mapping[str, str]:
    """As "user:group:mode", files whose setuid or setgid bit the image takes away: no upgrade may bring it back."""
    users, groups = ids_of(base, "etc/passwd"), ids_of(base, "etc/group")
    names = {number: name for name, number in reversed(users.items())}
    group_names = {number: name for name, number in reversed(groups.items())}
    found = stripped_files(shop.store.path(plan.root), setuid_policy(plan.image))
    return {
        path: f"{names.get(uid, 'root')}:{group_names.get(gid, 'root')}:{mode:04o}"
        for path, (uid, gid, mode) in found.items()
    }


def _entry(plan: SystemPlan, facts: KernelFacts) -> str:
    """What `install-kernel` reads; each value is of characters that a shell takes as they are."""
    return f"NAME={plan.slug}\nVERSION={facts.entry}\nTRIES={plan.image.server.tries}\n"


def _packed(plan: SystemPlan, package: OwnPackage, folder: Path, scratch: Path, shop: Workshop) -> Sha256:
    target = scratch / "target"
    target.mkdir()
    upstream = plan.distribution.upstream_of(plan.image)
    made = make_own_package(package, folder, target, upstream=upstream, epoch=shop.epoch, sandbox=shop.sandbox)
    return shop.store.add_file(made, move=True)


def _plain(package: OwnPackage) -> dict[str, JSON]:
    return {name: str(value) for name, value in vars(package).items()}
