# SPDX-License-Identifier: Apache-2.0
"""The definition applied to a configured root: what an image takes away, lays over and switches on.

The order matters: pruning before files are laid over (a file of the definition is never pruned), users before the
owners of files, units after the files that may bring them, /var last, when all that writes there has run.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path

from zaffre.definition import Distribution, Image, Kernel, Kind, User
from zaffre.errors import DefinitionError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.cleanup import clean
from zaffre.tree.identity import OS_RELEASE, os_release
from zaffre.tree.kmod import KernelModules, plain_content, plain_name
from zaffre.tree.overlay import give_owners, lay_files, lay_tree
from zaffre.tree.policy import setuid_policy
from zaffre.tree.prune import pruned_paths
from zaffre.tree.restore import extract_root
from zaffre.tree.rootfs import inside, read_text, remove, walk
from zaffre.tree.tarball import read_tar
from zaffre.tree.units import apply_units, preset
from zaffre.tree.variable import make_var_recreatable

_TARGET = "/run/target"
_SECONDS = 120.0
_MODULES = "usr/lib/modules"
TMPFILES = "usr/lib/tmpfiles.d/zaffre.conf"
SYSUSERS = "usr/lib/sysusers.d/zaffre.conf"
_BOOT = ("vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old")
_BESIDE_MODULES = (".vmlinuz.hmac", "System.map", "config", "vmlinuz")
"""The same, where a distribution keeps it with the modules."""

_DEBUG_SHELL = {
    "usr/lib/systemd/system/zaffre-debug-shell.service": (
        "[Unit]\nDescription=Root shell on the console, for development\n"
        "After=systemd-user-sessions.service\nConflicts=shutdown.target\nBefore=shutdown.target\n\n"
        "[Service]\nExecStart=/bin/sh -l\nEnvironment=TERM=linux HOME=/root\nWorkingDirectory=/root\n"
        "StandardInput=tty\nStandardOutput=tty\nTTYPath=/dev/console\nTTYReset=yes\nRestart=always\n"
        "IgnoreSIGPIPE=no\nKillMode=process\n"
    ),
    "usr/lib/systemd/system/multi-user.target.wants/zaffre-debug-shell.service": "->../zaffre-debug-shell.service",
}


def prune(archive: Path, root: Path, image: Image, *, architecture: str, sandbox: Sandbox) -> None:
    """Extract the configured root `archive` below `root` without what `image` takes away: paths and modules.

    The sandbox needs depmod. Raises DefinitionError for modules that are not there.
    """
    extract_root(archive, root, skip=prune_files(archive, image))
    _empty_boot(root)
    prune_modules(root, image.kernel, architecture=architecture, sandbox=sandbox)


def customise(
    archive: Path,
    root: Path,
    image: Image,
    *,
    distribution: Distribution,
    version: str,
    generated: Mapping[str, str],
    architecture: str,
    epoch: int,
    sandbox: Sandbox,
) -> None:
    """Extract the pruned root `archive` below `root` and make it the tree of `image`.

    `generated` are further files by relative path (a content `->target` makes a link), laid over last. The sandbox
    needs the tools tree (systemctl, systemd-sysusers, systemd-tmpfiles). Times are not normalised: the
    file system that is made of the tree has but one. Raises DefinitionError for what the definition asks in vain.
    """
    extract_root(archive, root)
    base = read_text(root, OS_RELEASE)
    lay_definition(root, image, distribution=distribution, version=version, architecture=architecture, base=base)
    identity = distribution.identity
    lay_files(root, {"etc/issue": f"{identity.name} {identity.version} \\n \\l\n\n", **generated})
    make_users(root, image.users, epoch=epoch, sandbox=sandbox)
    give_owners(root, image.files.owners, setuid=setuid_policy(image))
    apply_units(root, image.units, sandbox=sandbox)
    clean(root)
    make_var_recreatable(root, sandbox=sandbox)


def lay_definition(
    root: Path, image: Image, *, distribution: Distribution, version: str, architecture: str, base: str
) -> None:
    """Lay over `root` what the definition says in files: its trees, its settings, its name.

    `base` is the text of the upstream's os-release.
    """
    for tree in image.files.trees:
        lay_tree(root, distribution.path(tree))
    lay_files(root, settings_files(image))
    identity = distribution.identity
    text = os_release(identity, image, version=version, architecture=architecture, base=base)
    lay_files(root, {OS_RELEASE: text})


def prune_files(archive: Path, image: Image) -> Callable[[str], bool]:
    """Which absolute paths of a configured root the image does not want."""
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        paths = [f"/{entry.path}" for entry in read_tar(content) if entry.path]
    gone = pruned_paths(paths, prune=image.prune.paths, keep=image.prune.keep)
    return lambda path: path in gone


def settings_files(image: Image) -> dict[str, str]:
    """Files that stand for single settings of the definition, by relative path. Pure."""
    files: dict[str, str] = {}
    if image.sysctl:
        files["usr/lib/sysctl.d/99-zaffre.conf"] = "".join(f"{key} = {value}\n" for key, value in image.sysctl.items())
    if image.kernel.load and image.kind is not Kind.HOST:
        files["usr/lib/modules-load.d/zaffre.conf"] = "".join(f"{name}\n" for name in image.kernel.load)
    if image.tmpfiles.lines:
        files[TMPFILES] = "".join(f"{line}\n" for line in image.tmpfiles.lines)
    if text := preset(image.units):
        files["usr/lib/systemd/system-preset/00-zaffre.preset"] = text
    if image.debug:
        files |= _DEBUG_SHELL
    return files


def _empty_boot(root: Path) -> None:
    """The kernel is in the UKI, which is made from the configured root itself."""
    for name in _BOOT:
        remove(inside(root, name, follow=False))
    for folder in sorted((root / _MODULES).glob("*/")):
        for name in _BESIDE_MODULES:
            remove(folder / name)
    boot = inside(root, "boot")
    if boot.is_dir():
        for entry in list(boot.iterdir()):
            remove(entry)


def prune_modules(root: Path, wanted: Kernel, *, architecture: str, sandbox: Sandbox) -> None:
    """Keep only the modules that match, with all that they need, unpacked, and write modules.dep and its kin anew.

    A root without a kernel, or an image that names no module, is left as it is.
    """
    if not (wanted.modules or wanted.load) or not inside(root, _MODULES).is_dir():
        return
    kernel = KernelModules.of_root(root)
    kept: frozenset[str] = frozenset()
    for key, patterns in (("kernel.modules", wanted.modules), ("kernel.load", wanted.load)):
        kept |= kernel.closure(patterns, key=key, architecture=architecture)
    folder = root / _MODULES / kernel.version
    for path in frozenset(kernel.paths.values()) - kept:
        (folder / path).unlink(missing_ok=True)
    for path in kept:
        if (plain := plain_name(path)) != path:
            (folder / plain).write_bytes(plain_content(folder / path))
            (folder / plain).chmod(0o644)
            (folder / path).unlink()
    for path, _ in reversed([*walk(folder)]):
        place = folder / path
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
    sandbox.run(
        ["depmod", "--basedir", _TARGET, "--", kernel.version],
        mounts=[Mount(root, _TARGET, writable=True)],
        timeout=_SECONDS,
    )


def make_users(
    root: Path, users: tuple[User, ...], *, epoch: int, sandbox: Sandbox, configuration: str = SYSUSERS
) -> None:
    """Make the image's own users by systemd-sysusers(8), from the file `configuration`, which is written.

    Raises DefinitionError for a number that is taken.
    """
    if not users:
        return
    taken = {"uid": _owners(root, "etc/passwd"), "gid": _owners(root, "etc/group")}
    for number, user in enumerate(users):
        gid = user.gid if user.gid is not None else user.uid
        for kind, value in (("uid", user.uid), ("gid", gid)):
            other = taken[kind].get(value)
            if other is not None and other != user.name:
                raise DefinitionError(
                    f"the {kind} {value} of {user.name} belongs to {other} already",
                    where=f"users[{number}].{kind}",
                    resolution="choose another number",
                )
            taken[kind][value] = user.name
    lay_files(root, {configuration: sysusers_text(users)})
    sandbox.run(
        ["systemd-sysusers", f"--root={_TARGET}", f"{_TARGET}/{configuration}"],
        mounts=[Mount(root, _TARGET, writable=True)],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
        timeout=_SECONDS,
    )


def sysusers_text(users: tuple[User, ...]) -> str:
    """The users in the form of sysusers.d(5)."""
    lines = []
    for user in users:
        gid = user.gid if user.gid is not None else user.uid
        lines.append(f"g {user.name} {gid}")
        lines.append(f'u {user.name} {user.uid}:{gid} "{user.name}" {user.home} {user.shell}')
        lines.extend(f"m {user.name} {group}" for group in user.groups)
    return "".join(f"{line}\n" for line in lines)


def _owners(root: Path, path: str) -> dict[int, str]:
    rows = [line.split(":") for line in read_text(root, path).splitlines()]
    return {int(row[2]): row[0] for row in rows if len(row) > 2}
