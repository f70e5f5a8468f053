# SPDX-License-Identifier: Apache-2.0
"""The same host built by mkosi: same packages, files, pruning, modules, compression, signed UKI and dm-verity.

What mkosi does in its own way stays so: its default initrd (a package installation of its own), its
presets and its order of steps. Nothing is kept from run to run (`Incremental=no`). Source: mkosi(1), version 25.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab import PROFILE, Lab
from measure import Cost, measure

from repository import INSIDE, PROVIDES
from zaffre.sandbox import Mount

INITRD_PACKAGES = (
    "bash",
    "btrfs-progs",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "kmod",
    "less",
    "libcryptsetup12",
    "libfido2-1",
    "libtss2-esys-3.0.2-0t64",
    "libtss2-mu-4.0.1-0t64",
    "libtss2-rc0t64",
    "libtss2-tcti-device0t64",
    "lvm2",
    "p11-kit",
    "systemd",
    "systemd-cryptsetup",
    "systemd-repart",
    "udev",
    "util-linux",
)
"""What mkosi 25 installs into its default initrd on Debian 13 (its resources/mkosi-initrd)."""

LOADER_PACKAGE = "systemd-boot-efi"
"""mkosi takes systemd-boot and the stub of the UKI from the image, we take them from the tools tree."""

_SECONDS = 1200.0
_PLACE = "/run/mkosi"
_FOLDERS = ("output", "cache", "workspace")


class Mkosi:
    """mkosi with a definition that is made from ours."""

    def __init__(self, lab: Lab, repository: Path) -> None:
        self._lab = lab
        self._repository = repository
        self._folder = lab.folder / "mkosi"
        self._definition = self._folder / "definition"
        for tree in lab.image.files.trees:
            shutil.copytree(lab.definition / tree, self._definition / "mkosi.extra", symlinks=True, dirs_exist_ok=True)
        for name, text in configuration(lab).items():
            path = self._definition / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def build(self) -> Cost:
        """Build once, from nothing."""
        for name in _FOLDERS:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            (self._folder / name).mkdir()
        mounts = [
            Mount(self._folder, _PLACE, writable=True),
            # It wants a /var/tmp beside its workspace.
            Mount(self._folder / "workspace", "/var/tmp", writable=True),
            Mount(self._repository, INSIDE),
            Mount(self._lab.keys.db_key, "/run/keys/db.key"),
            Mount(self._lab.keys.db_certificate, "/run/keys/db.crt"),
        ]
        argv = self._lab.boxed(["mkosi", "--force", "build"], mounts=mounts, cwd=f"{_PLACE}/definition")
        return measure(argv, log=self._lab.log("mkosi"), timeout=_SECONDS)


def configuration(lab: Lab) -> dict[str, str]:
    """The files of the definition."""
    image = lab.image
    compressor = image.compression.release if PROFILE == "release" else image.compression.dev
    algorithm, _, level = compressor.partition(",")
    compression = [] if algorithm == "none" else [f"Compression={algorithm}"]
    compression += [f"CompressionLevel={level}"] if level else []
    main = {
        "Distribution": {
            "Distribution": "debian",
            "Release": lab.suite,
            "Architecture": {"amd64": "x86-64"}.get(lab.architecture.name, lab.architecture.name),
            "LocalMirror": f"file://{INSIDE}",
        },
        "Output": {
            "Format": "disk",
            "Output": "host",
            "OutputDirectory": f"{_PLACE}/output",
            "SplitArtifacts": "uki",
            "ManifestFormat": "",
        },
        "Build": {
            "Incremental": "no",
            "WithNetwork": "no",
            "WorkspaceDirectory": f"{_PLACE}/workspace",
            "CacheDirectory": f"{_PLACE}/cache",
            "PackageCacheDirectory": f"{_PLACE}/cache",
            "Environment": f"SYSTEMD_REPART_MKFS_OPTIONS_EROFS=-C{image.compression.cluster}",
        },
        "Content": {
            "Packages": _lines((*lab.asked, PROVIDES, LOADER_PACKAGE)),
            "WithRecommends": "yes" if image.recommends else "no",
            "WithDocs": "no",
            "CleanPackageMetadata": "yes",
            "RemoveFiles": _lines(removed(image.prune.paths)),
            "Bootable": "yes",
            "Bootloader": "systemd-boot",
            "UnifiedKernelImages": "yes",
            "KernelCommandLine": " ".join(image.kernel.command_line),
            "KernelModulesExclude": ".*",
            "KernelModulesInclude": _lines(module_patterns((*image.kernel.modules, *image.kernel.load))),
            "KernelModulesInitrdExclude": ".*",
            "KernelModulesInitrdInclude": _lines(module_patterns(image.initrd.modules)),
        },
        "Validation": {
            "SecureBoot": "yes",
            "SecureBootAutoEnroll": "no",
            "SecureBootKey": "/run/keys/db.key",
            "SecureBootCertificate": "/run/keys/db.crt",
            "SignExpectedPcr": "no",
        },
    }
    root = {"Type": "root", "Format": "erofs", "CopyFiles": "/", "Verity": "data", "VerityMatchKey": "root"}
    return {
        "mkosi.conf": "\n".join(_section(name, settings) for name, settings in main.items()),
        "mkosi.repart/10-esp.conf": _partition(
            {"Type": "esp", "Format": "vfat"}, image.disk.esp, "CopyFiles=/boot:/", "CopyFiles=/efi:/"
        ),
        "mkosi.repart/20-verity.conf": _partition(
            {"Type": "root-verity", "Verity": "hash", "VerityMatchKey": "root"}, image.disk.verity
        ),
        "mkosi.repart/30-root.conf": _partition(root, image.disk.root, *compression),
    }


def removed(prune: Iterable[str]) -> Sequence[str]:
    """`prune.paths` for RemoveFiles: a folder goes whole. /boot stays, as mkosi puts its kernel images there."""
    return [pattern.removesuffix("/**") for pattern in prune if not pattern.startswith("/boot")]


def module_patterns(globs: Iterable[str]) -> Sequence[str]:
    """Our globs of module names as mkosi's regular expressions of paths; `-` and `_` are one in a module's name."""
    return [f"/{re.sub('[-_]', '[-_]', name).replace('*', '[^/]*')}[.]ko" for name in globs]


def _lines(words: Iterable[str]) -> str:
    return "".join(f"\n        {word}" for word in words)


def _section(name: str, settings: dict[str, str]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())


def _partition(settings: dict[str, str], size: int, *more: str) -> str:
    sizes = (f"SizeMinBytes={size}", f"SizeMaxBytes={size}")
    return _section("Partition", settings) + "".join(f"{line}\n" for line in (*sizes, *more))
