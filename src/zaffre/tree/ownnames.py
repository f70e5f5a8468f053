# SPDX-License-Identifier: Apache-2.0
"""How the two packages of ours that make a server are called, versioned and tied to the upstream's (ADR 21). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.definition import Architecture, Distribution, Image
from zaffre.upstream.lock import LockedPackage

_BOOT_LOADER = "systemd-boot"


@dataclass(frozen=True)
class OwnNames:
    """For a release of an image. `version` is the system package's, and the image's."""

    distribution: Distribution
    image: Image
    version: str

    @property
    def system(self) -> str:
        return f"{self.distribution.identity.id}-{self.image.name}"

    @property
    def kernel(self) -> str:
        return f"{self.system}-kernel"

    def kernel_version(self, modules: LockedPackage) -> str:
        """That of the locked package with the kernel's modules, then the lock's, as a new initrd is an upgrade too."""
        return f"{modules.version}.{self.version.partition('.')[2]}"

    def kernel_depends(self, modules: LockedPackage) -> tuple[str, ...]:
        return (f"{modules.name} (= {modules.version})", _BOOT_LOADER)

    def system_depends(self, architecture: Architecture, kernel_version: str | None) -> tuple[str, ...]:
        """All that the definition asks for. The kernel comes by the package that carries it, if there is one."""
        wanted = set(self.image.requested_packages(architecture)) - {self.image.kernel_package(architecture)}
        started_by = (f"{self.kernel} (>= {kernel_version})",) if kernel_version is not None else ()
        return (*started_by, *sorted(one for one in wanted if one))
