# SPDX-License-Identifier: Apache-2.0
"""Contradictions: what each value alone allows and all of them together do not."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from zaffre.definition.forms import FORMS_OF, forms_in_words
from zaffre.definition.image import Image, VarEncryption
from zaffre.definition.merge import Origin, origin_of
from zaffre.definition.problems import Problem, near
from zaffre.definition.selinux import SelinuxMode
from zaffre.definition.upstream import Upstream
from zaffre.definition.values import KeyPath, Kind, dotted

SYSTEM_ONLY = (
    *("kernel", "initrd", "users", "units", "sysctl", "setuid", "tmpfiles", "disk", "selinux", "provides", "surface"),
)
BOOT_ONLY = ("kernel", "initrd", "disk", "selinux")
HOST_ONLY = ("etc", "compression", "update", "ipe", "fips")
SERVER_ONLY = ("server",)
SYSEXT_ONLY = ("extract", "oci", "agent")
EXTENSION_ONLY = ("base", *SYSEXT_ONLY)
CONTAINER_ONLY = ("container",)
MACHINE_ONLY = ("kernel", "initrd", "units", "sysctl", "tmpfiles", "disk", "selinux", "debug")
MISPLACED = {
    Kind.HOST: (*SERVER_ONLY, *EXTENSION_ONLY, *CONTAINER_ONLY),
    Kind.SERVER: (*HOST_ONLY, *EXTENSION_ONLY, *CONTAINER_ONLY),
    Kind.SYSEXT: (*SYSTEM_ONLY, *SERVER_ONLY, *CONTAINER_ONLY, "etc", "update", "ipe", "fips"),
    Kind.CONFEXT: (*SYSTEM_ONLY, *SERVER_ONLY, *HOST_ONLY, *SYSEXT_ONLY, *CONTAINER_ONLY, "packages"),
    Kind.CONTAINER: (*MACHINE_ONLY, *SERVER_ONLY, *HOST_ONLY, *EXTENSION_ONLY),
    Kind.WSL: (*BOOT_ONLY, *HOST_ONLY, *EXTENSION_ONLY, *CONTAINER_ONLY),
}
"""What each kind of image has no use for."""
_LABELLER = "policycoreutils"
_EXCLUSIVE = {"apparmor", "selinux", "smack"}
"""Those with LSM_FLAG_EXCLUSIVE: the kernel's security/security.c takes the first."""
_NO_MACHINE = 'a container image boots nowhere: what goes on a disk is of the kind "host" or "server"'

Origins = Mapping[KeyPath, Origin]


def _problem(origins: Origins, key: KeyPath, message: str, suggestion: str | None = None) -> Problem:
    origin = origin_of(origins, key)
    return Problem(origin.file, origin.key, message, suggestion)


def _said(origins: Origins, key: KeyPath) -> str:
    origin = origin_of(origins, key)
    return f"{origin.file}: {dotted(origin.key)}"


def check_image(image: Image, origins: Origins) -> Iterator[Problem]:
    """Contradictions within one merged image."""
    yield from _exclusive(origins, ("units", "enable"), image.units.enable, ("units", "mask"), image.units.mask)
    yield from _exclusive(origins, ("units", "enable"), image.units.enable, ("units", "disable"), image.units.disable)
    yield from _exclusive(origins, ("setuid", "allow"), image.setuid.allow, ("setuid", "strip"), image.setuid.strip)
    yield from _exclusive(origins, ("prune", "paths"), image.prune.paths, ("prune", "keep"), image.prune.keep)
    for index, path in enumerate(image.etc.persistent):
        if not path.startswith("/etc/"):
            yield _problem(origins, ("etc", "persistent", index), f"{path!r} is not below /etc")
    yield from _unique(origins, "users", "name", [user.name for user in image.users])
    yield from _unique(origins, "users", "uid", [user.uid for user in image.users])
    yield from _unique(origins, "oci", "name", [item.name for item in image.oci])
    if image.kind.boots and image.kernel.package is None:
        yield _problem(origins, ("kernel",), f"a {image.kind} needs a kernel: package is required")
    if image.kind in {Kind.SYSEXT, Kind.CONFEXT} and image.base is None:
        yield _problem(origins, ("base",), f"a {image.kind} needs the host image that it extends")
    for index, form in enumerate(image.forms):
        if form not in FORMS_OF[image.kind]:
            message = f"a {image.kind} has no form {str(form)!r}"
            yield _problem(origins, ("forms", index), message, forms_in_words(image.kind))
    for key in MISPLACED[image.kind]:
        if (key,) in origins:
            suggestion = _NO_MACHINE if image.kind is Kind.CONTAINER and key in MACHINE_ONLY else None
            yield _problem(origins, (key,), f"is not for a {image.kind}", suggestion)
    if image.kind is Kind.SERVER and image.disk.var_encryption is not VarEncryption.NONE:
        yield _problem(
            origins, ("disk", "var_encryption"), "is for a host alone: a server's /var is a folder of its root"
        )
    if image.kind is Kind.SERVER and image.selinux.mode is not SelinuxMode.OFF and _LABELLER not in image.packages:
        message = f"takes the package {_LABELLER!r} on a server, which labels files when labels change"
        yield _problem(origins, ("selinux", "mode"), message, 'the profile "selinux-server" has it')
    if image.kind.boots:
        yield from _check_security_modules(image, origins)
    if image.kind is Kind.CONTAINER:
        yield from _check_container(image, origins)


def _check_security_modules(image: Image, origins: Origins) -> Iterator[Problem]:
    """`lsm=` names all security modules of a kernel, whatever `security=` says (the kernel's
    Documentation/admin-guide/kernel-parameters.txt), and of some only the first is on. With it and without a new
    policy, a server keeps to the one that it has. libselinux takes the mode from the first `enforcing=`, and only
    without one from /etc/selinux/config (selinux_init_load_policy): one that is here goes before `selinux.mode`.
    """
    mode = str(image.selinux.mode)
    enabled = image.selinux.mode is not SelinuxMode.OFF
    arguments = enumerate(image.kernel.command_line)
    for index, word in ((index, word) for index, argument in arguments for word in argument.replace('"', "").split()):
        where: KeyPath = ("kernel", "command_line", index)
        key, _, value = word.partition("=")
        if key == "enforcing" or (key == "security" and (enabled or value == "selinux")):
            message = f"{key}= is what selinux.mode says, and that is {mode!r}"
            yield _problem(origins, where, message, "take it away, and set selinux.mode")
            continue
        if key == "lsm":
            first = next((one for one in value.split(",") if one in _EXCLUSIVE), None)
            named = first == "selinux"
        elif key == "selinux" and value == "0":
            named = False
        else:
            continue
        if named != enabled:
            message = f"turns SELinux {'on' if named else 'off'}, and selinux.mode is {mode!r}"
            yield _problem(origins, where, message, "both say it, or none does")


def _check_container(image: Image, origins: Origins) -> Iterator[Problem]:
    """What a container image without a package manager has no use for, or cannot have."""
    if not image.packages:
        yield _problem(origins, ("packages",), "a container needs at least one package")
    if image.container.bare and image.container.channel is not None:
        yield _problem(
            origins, ("container", "channel"), "is for a package manager, and container.bare says that none comes"
        )
    if not image.container.bare and image.provides:
        yield _problem(
            origins,
            ("provides",),
            "is not for a container with a package manager, which would find a dependency missing",
            "name the package itself, or set container.bare",
        )


def check_files(image: Image, origins: Origins, root: Path) -> Iterator[Problem]:
    """Directories and files that the image names must be there, and what `files.owners` names in one of them."""
    for index, policy in enumerate(image.selinux.files):
        if not (root / policy).is_file():
            yield _problem(origins, ("selinux", "files", index), f"there is no file {policy!r}")
    trees: list[tuple[KeyPath, str]] = [
        (("files", "trees", index), tree) for index, tree in enumerate(image.files.trees)
    ]
    if image.initrd.tree:
        trees.append((("initrd", "tree"), image.initrd.tree))
    complete = True
    for key, tree in trees:
        if not (root / tree).is_dir():
            complete = False
            parent = (root / tree).parent
            beside = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
            yield _problem(origins, key, f"there is no directory {tree!r}", near(Path(tree).name, beside))
            continue
        for path in sorted((root / tree).rglob("*")):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                name = path.relative_to(root)
                yield _problem(origins, key, f"{name} is neither a file, a directory nor a symbolic link")
    if not complete:
        return
    holders: dict[str, list[int]] = {}
    for index, tree in enumerate(image.files.trees):
        for path in (root / tree).rglob("*"):
            if path.is_symlink() or not path.is_dir():
                holders.setdefault("/" + path.relative_to(root / tree).as_posix(), []).append(index)
    for path_in_image, indexes in sorted(holders.items()):
        # An heir may replace a file of its parent; a file that names two trees with the same path contradicts itself.
        first, *others = indexes
        for index in others:
            if origins[("files", "trees", index)].file == origins[("files", "trees", first)].file:
                trees_named = f"{image.files.trees[first]!r} and {image.files.trees[index]!r}"
                yield _problem(origins, ("files", "trees", index), f"{path_in_image} is in {trees_named}")
    for path_in_image in image.files.owners:
        if not any(_there(root / tree / path_in_image[1:]) for tree in image.files.trees):
            yield _problem(origins, ("files", "owners", path_in_image), "no directory of files.trees has this path")


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def check_references(
    image: Image, origins: Origins, images: Mapping[str, Image], known_images: set[str], known_upstreams: set[str]
) -> Iterator[Problem]:
    """Names of other parts of the distribution. Faulty parts are known too, but say nothing further."""
    if origins[("upstream",)].file != "zaffre.toml" and image.upstream not in known_upstreams:
        message = f"there is no upstream {image.upstream!r} in upstreams/"
        yield _problem(origins, ("upstream",), message, near(image.upstream, known_upstreams))
    if image.base is None:
        return
    if image.base not in known_images:
        yield _problem(origins, ("base",), f"there is no image {image.base!r}", near(image.base, known_images))
    elif (base := images.get(image.base)) and base.kind is not Kind.HOST:
        yield _problem(origins, ("base",), f"image {image.base!r} is a {base.kind}, not a host")


def check_architectures(
    image: Image, origins: Origins, images: Mapping[str, Image], upstream: Upstream | None
) -> Iterator[Problem]:
    """An image is for machines that its upstream has packages for, a sysext for those that its base is for."""
    base = images.get(image.base) if image.base is not None else None
    for index, architecture in enumerate(image.architectures):
        key: KeyPath = ("architectures", index)
        if upstream is not None and architecture not in upstream.architectures:
            having = f"it has {', '.join(upstream.architectures)}"
            yield _problem(origins, key, f"upstream {upstream.name!r} has no {architecture}", having)
        if base is not None and base.architectures and architecture not in base.architectures:
            yield _problem(origins, key, f"its base {base.name!r} is not for {architecture}")


def _exclusive(
    origins: Origins, key: KeyPath, values: Iterable[str], other_key: KeyPath, other_values: Iterable[str]
) -> Iterator[Problem]:
    others = {value: index for index, value in enumerate(other_values)}
    for index, value in enumerate(values):
        if value in others:
            other = _said(origins, (*other_key, others[value]))
            yield _problem(
                origins,
                (*key, index),
                f"{value!r} is in {dotted(key)} and in {dotted(other_key)} ({other})",
                f'remove one of them; "-{value}" takes an inherited item away',
            )


def _unique(origins: Origins, table: str, key: str, values: Iterable[str | int]) -> Iterator[Problem]:
    seen: dict[str | int, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            first = _said(origins, (table, seen[value], key))
            yield _problem(origins, (table, index, key), f"{value!r} is used twice, first by {first}")
        seen.setdefault(value, index)
