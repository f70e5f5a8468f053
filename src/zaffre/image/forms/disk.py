# SPDX-License-Identifier: Apache-2.0
"""A raw disk becomes another form of the same disk, by qemu-img(1) and zstd(1) of the tools tree; holes stay holes.

The same disk and epoch give the same bytes. What qemu-img lets nobody fix is settled afterwards, by each format's
rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Form
from zaffre.errors import DefinitionError, ToolError
from zaffre.image.forms import vhd, vhdx, vmdk
from zaffre.image.forms.stamp import Stamp
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import copy_sparse, disk_full_error

_SECONDS = 7200.0
_DISK = "/job/disk"
_OUT = "/job/out"
_LEVEL = "-10"
_FULL = "No space left on device"
_REQUEST = 2 << 20  # what qemu-img writes at once, in bytes


@dataclass(frozen=True)
class QemuForm:
    """How qemu-img writes a form. `settle` gives the file identities and a time of ours."""

    driver: str
    options: str = ""
    compressed: bool = False
    settle: Callable[[Path, Stamp], None] | None = None


QEMU_FORMS: dict[Form, QemuForm] = {
    # One cluster is one request of qemu-img: smaller ones are compressed side by side, and land in the order of chance.
    Form.QCOW2: QemuForm("qcow2", "cluster_size=2M,compression_type=zstd", compressed=True),
    # The size that is asked for, not the nearest one of whole cylinders.
    Form.VHD: QemuForm("vpc", "subformat=fixed,force_size=on", settle=vhd.settle_vhd),
    Form.VHDX: QemuForm("vhdx", "subformat=dynamic", settle=vhdx.settle_vhdx),
    # What vSphere and an OVA take.
    Form.VMDK: QemuForm("vmdk", "subformat=streamOptimized,adapter_type=lsilogic,compat6=on", settle=vmdk.settle_vmdk),
}


def write_disk_form(form: Form, raw: Path, target: Path, *, stamp: Stamp, sandbox: Sandbox) -> None:
    """Write `target`, which is absent, from the raw disk. Raises DefinitionError for a disk that the form can't hold.

    `target` is removed when it fails. Raises DiskFullError, ToolError.
    """
    try:
        if form is Form.RAW:
            copy_sparse(raw, target)
        elif form is Form.RAW_ZST:
            compress(raw, target, sandbox=sandbox)
        elif form is Form.VHD:
            _write_vhd(raw, target, stamp=stamp, sandbox=sandbox)
        else:
            _write_by_qemu(form, raw, target, stamp=stamp, sandbox=sandbox)
        target.chmod(0o644)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def compress(source: Path, target: Path, *, sandbox: Sandbox) -> None:
    """By zstd, with a checksum. How many threads there are does not show in what it writes."""
    sandbox.run(
        ["zstd", "--quiet", "--stdout", "-T0", _LEVEL, _DISK],
        mounts=[Mount(source, _DISK)],
        stdout=target,
        timeout=_SECONDS,
    )


def _write_vhd(raw: Path, target: Path, *, stamp: Stamp, sandbox: Sandbox) -> None:
    """A disk that is no whole number of MiB is made one: its second partition table moves to the new end."""
    size = raw.stat().st_size
    if size > vhd.LARGEST:
        raise DefinitionError(
            f"a disk of {size / (1 << 30):.0f} GiB does not fit a VHD, which ends at 2,040 GiB",
            where=str(raw),
            resolution="take vhdx, or a smaller disk",
        )
    if size % vhd.ALIGNMENT == 0:
        _write_by_qemu(Form.VHD, raw, target, stamp=stamp, sandbox=sandbox)
        return
    grown = target.with_name(f".{target.name}.raw")
    try:
        copy_sparse(raw, grown)
        with grown.open("r+b") as file:
            file.truncate(-(-size // vhd.ALIGNMENT) * vhd.ALIGNMENT)
        sandbox.run(
            ["sfdisk", "--quiet", "--relocate", "gpt-bak-std", _DISK],
            mounts=[Mount(grown, _DISK, writable=True)],
            timeout=_SECONDS,
        )
        _write_by_qemu(Form.VHD, grown, target, stamp=stamp, sandbox=sandbox)
    finally:
        grown.unlink(missing_ok=True)


def _write_by_qemu(form: Form, raw: Path, target: Path, *, stamp: Stamp, sandbox: Sandbox) -> None:
    how = QEMU_FORMS[form]
    # The descriptor of a VMDK has the name of its file: a fixed one, in a folder of its own.
    folder = target.parent / f".{target.name}.folder"
    folder.mkdir()
    made = folder / form.file_name
    try:
        sandbox.run(
            [
                *("qemu-img", "convert", "-q", "-f", "raw", "-O", how.driver),
                *(("-c",) if how.compressed else ()),
                *(("-o", how.options) if how.options else ()),
                *(_DISK, f"{_OUT}/{made.name}"),
            ],
            mounts=[Mount(raw, _DISK), Mount(folder, _OUT, writable=True)],
            timeout=_SECONDS,
        )
        if how.settle is not None:
            how.settle(made, stamp)
        made.rename(target)
    except ToolError as error:
        # For a VMDK, qemu-img calls a full disk an invalid argument.
        usage = os.statvfs(folder)
        if _FULL in (error.details or "") or usage.f_bavail * usage.f_frsize < _REQUEST:
            raise disk_full_error(target.parent) from error
        raise
    finally:
        made.unlink(missing_ok=True)
        folder.rmdir()


def read_back(driver: str, source: Path, target: Path, *, sandbox: Sandbox) -> None:
    """Write the raw disk that `source`, an image of that qemu driver, holds. Raises ToolError if it does not read.

    `target` is alone in its folder.
    """
    sandbox.run(
        ["qemu-img", "convert", "-q", "-f", driver, "-O", "raw", _DISK, f"{_OUT}/{target.name}"],
        mounts=[Mount(source, _DISK), Mount(target.parent, _OUT, writable=True)],
        timeout=_SECONDS,
    )
