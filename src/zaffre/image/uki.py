# SPDX-License-Identifier: Apache-2.0
"""The signed boot chain: systemd-boot and a unified kernel image (UAPI group specification), by ukify(1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.image.encryption import PCR_BANK
from zaffre.measured.prediction import KEY_PHASE
from zaffre.sandbox import Mount, Sandbox, faketime_library

_SIGN_SECONDS = 120.0
_EFI_NAMES = {"amd64": "x64", "arm64": "aa64"}


@dataclass(frozen=True)
class PcrKey:
    """PEM files of the key (RSA) that signs what a TPM finds measured."""

    private: Path
    public: Path


@dataclass(frozen=True)
class SigningKeys:
    """PEM files of the owner: `db` signs what the firmware starts, `verity` signs extension images, `pcr` what the TPM
    gives the key of /var to; an older set has none.
    """

    db_key: Path
    db_certificate: Path
    verity_key: Path
    verity_certificate: Path
    pcr: PcrKey | None = None


def command_line(arguments: Sequence[str], *, root_hash: str) -> str:
    """The kernel command line of a host whose root is named by nothing but its dm-verity root hash."""
    fixed = (f"roothash={root_hash}", "root=/dev/mapper/root", "rootfstype=erofs", "ro")
    return " ".join((*fixed, *arguments))


def build_uki(
    target: Path,
    *,
    kernel: Path,
    kernel_version: str,
    initrd: Path,
    os_release: Path,
    arguments: str,
    architecture: str,
    keys: SigningKeys,
    epoch: int,
    scratch: Path,
    sandbox: Sandbox,
    pcr: PcrKey | None = None,
) -> None:
    """Write `target`: kernel, initrd, os-release and command line in one file, signed with the db key. With `pcr`, it
    carries that key's public half and a signature over what PCR 11 holds when the initrd has begun.
    """
    unsigned = scratch / "unsigned.efi"
    join_uki(
        unsigned,
        kernel=kernel,
        kernel_version=kernel_version,
        initrd=initrd,
        os_release=os_release,
        arguments=arguments,
        architecture=architecture,
        epoch=epoch,
        sandbox=sandbox,
        pcr=pcr,
    )
    sign_pe(unsigned, target, keys=keys, epoch=epoch, sandbox=sandbox)
    unsigned.unlink()


def join_uki(
    target: Path,
    *,
    kernel: Path,
    kernel_version: str,
    initrd: Path,
    os_release: Path,
    arguments: str,
    architecture: str,
    epoch: int,
    sandbox: Sandbox,
    pcr: PcrKey | None = None,
) -> None:
    """Write `target`, which is to be signed: kernel, initrd, os-release and command line in one file. Equal inputs give
    equal bytes, a PCR signature among them (RSA by PKCS #1, version 1.5).
    """
    target.touch()
    measured, keys = _pcr_arguments(pcr) if pcr is not None else ([], [])
    sandbox.run(
        [
            "ukify",
            "build",
            "--linux=/job/vmlinuz",
            "--initrd=/job/initrd",
            "--os-release=@/job/os-release",
            f"--cmdline={arguments}",
            f"--uname={kernel_version}",
            f"--efi-arch={_EFI_NAMES[architecture]}",
            *measured,
            "--output=/job/out.efi",
        ],
        mounts=[
            Mount(kernel, "/job/vmlinuz"),
            Mount(initrd, "/job/initrd"),
            Mount(os_release, "/job/os-release"),
            *keys,
            Mount(target, "/job/out.efi", writable=True),
        ],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
        timeout=_SIGN_SECONDS,
    )


def _pcr_arguments(key: PcrKey) -> tuple[list[str], list[Mount]]:
    arguments = [
        "--pcr-private-key=/keys/pcr.key",
        "--pcr-public-key=/keys/pcr.pub",
        f"--pcr-banks={PCR_BANK}",
        f"--phases={KEY_PHASE}",
        "--tools=/usr/lib/systemd",
    ]
    return arguments, [Mount(key.private, "/keys/pcr.key"), Mount(key.public, "/keys/pcr.pub")]


def sign_boot_loader(target: Path, *, architecture: str, keys: SigningKeys, epoch: int, sandbox: Sandbox) -> None:
    """Write `target`: the tools tree's systemd-boot, signed with the db key."""
    source = sandbox.tools.root / f"usr/lib/systemd/boot/efi/{boot_loader_name(architecture)}"
    sign_pe(source, target, keys=keys, epoch=epoch, sandbox=sandbox)


def boot_loader_name(architecture: str) -> str:
    """The name of systemd-boot's file where distributions keep it (bootctl(1), "update")."""
    return f"systemd-boot{_EFI_NAMES[architecture]}.efi"


def boot_loader_path(architecture: str) -> str:
    """The removable-media path of the UEFI specification (3.5.1.1), relative to the ESP."""
    return f"EFI/BOOT/BOOT{_EFI_NAMES[architecture].upper()}.EFI"


def sign_pe(source: Path, target: Path, *, keys: SigningKeys, epoch: int, sandbox: Sandbox) -> None:
    """Sign a PE file (Authenticode). The time in the signature is `epoch`, so equal inputs give equal bytes.

    sbsign takes that time from the clock and knows no SOURCE_DATE_EPOCH: it is shown a clock that stands still.
    """
    target.touch()
    moment = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")
    sandbox.run(
        ["sbsign", "--key", "/keys/db.key", "--cert", "/keys/db.crt", "--output", "/job/signed.efi", "/job/in.efi"],
        mounts=[
            Mount(source, "/job/in.efi"),
            Mount(target, "/job/signed.efi", writable=True),
            Mount(keys.db_key, "/keys/db.key"),
            Mount(keys.db_certificate, "/keys/db.crt"),
        ],
        env={"LD_PRELOAD": _faketime(sandbox), "FAKETIME": moment, "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        timeout=_SIGN_SECONDS,
    )


def _faketime(sandbox: Sandbox) -> str:
    try:
        found = faketime_library(sandbox.tools)
    except FileNotFoundError as error:
        raise DefinitionError(
            "the tools tree has no libfaketime, without which a signature holds the time of the build",
            where="zaffre.toml: tools.packages",
            resolution='add "libfaketime" to tools.packages and run `zaffre lock`',
        ) from error
    return f"/{found.relative_to(sandbox.tools.root)}"
