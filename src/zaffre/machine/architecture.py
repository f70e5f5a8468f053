# SPDX-License-Identifier: Apache-2.0
"""What differs between machines of different processors, as values.

Paths are those of Debian's packages `qemu-system-x86` and `ovmf`, `qemu-system-arm` and `qemu-efi-aarch64`, inside the
tools tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.errors import DefinitionError


@dataclass(frozen=True)
class Architecture:
    """`variables` is the empty NVRAM that belongs to `firmware`; `native` are names of uname(2) that can run it by KVM.

    `machine` includes System Management Mode where the firmware guards its variables with it: without, a
    kernel could write db itself and Secure Boot would prove nothing (edk2, OvmfPkg/README, "SMM support"). Arm has no
    such mode, and edk2's firmware for QEMU keeps its variables where a kernel could reach them: there, Secure Boot
    proves that what was started was signed, and not that a hostile kernel could not change db for the next start.

    `emulated_cpu` is the processor that QEMU translates: all that it can do, without what it does slowly. On one that
    promises fast string moves (ERMS) a kernel clears each page by one `rep stosb`, which is translated byte by byte: a
    tenth of a boot. Pointer authentication is QEMU's own quick one (qemu, docs/system/arm/cpu-features.rst).
    """

    name: str
    program: str
    machine: str
    emulated_cpu: str
    firmware: str
    variables: str
    guarded_flash: bool
    tpm_device: str
    console: str
    native: tuple[str, ...]


AMD64 = Architecture(
    name="amd64",
    program="qemu-system-x86_64",
    machine="q35,smm=on",
    emulated_cpu="max,-erms,-fsrm",
    firmware="/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    variables="/usr/share/OVMF/OVMF_VARS_4M.fd",
    guarded_flash=True,
    tpm_device="tpm-crb",
    console="ttyS0",
    native=("x86_64",),
)

ARM64 = Architecture(
    name="arm64",
    program="qemu-system-aarch64",
    machine="virt,gic-version=3",
    emulated_cpu="max,pauth-impdef=on",
    firmware="/usr/share/AAVMF/AAVMF_CODE.secboot.fd",
    variables="/usr/share/AAVMF/AAVMF_VARS.fd",
    guarded_flash=False,
    tpm_device="tpm-tis-device",
    console="ttyAMA0",
    native=("aarch64",),
)

_KNOWN = {architecture.name: architecture for architecture in (AMD64, ARM64)}


def architecture_named(name: str) -> Architecture:
    """By the name that Debian gives it. Raises DefinitionError."""
    try:
        return _KNOWN[name]
    except KeyError:
        raise DefinitionError(
            f"no machine is known for the architecture {name!r}",
            resolution=f"machines can be run for: {', '.join(_KNOWN)}; building and verifying works for others too",
        ) from None
