# SPDX-License-Identifier: Apache-2.0
"""What a check found, as `zaffre check --json` prints it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Verdict(StrEnum):
    """NOTED: a fact that is told and not judged."""

    PASSED = "passed"
    FAILED = "failed"
    NOTED = "noted"


class CheckLine(_Model):
    """One fact. `found` is in words; `wanted` is there when it was not found."""

    name: str
    title: str
    verdict: Verdict
    found: str
    wanted: str | None = None


class BootTimes(_Model):
    """Seconds that each stage took, and seconds from the kernel's start until what is named was reached.

    Firmware and loader (which includes the kernel's decompression) are measured from outside, since
    systemd-boot does not trust a virtual machine's clock; the others are the manager's properties,
    org.freedesktop.systemd1(5), counted as systemd-analyze(1) does. None: not known.
    """

    firmware: float | None
    loader: float | None
    kernel: float | None
    initrd: float | None
    userspace: float | None
    multi_user: float | None = Field(description="from the kernel's start to multi-user.target")
    containerd: float | None = Field(description="from the kernel's start to containerd's readiness")

    @property
    def since_kernel(self) -> float:
        """Until multi-user.target was reached and containerd was ready."""
        return max(self.multi_user or 0.0, self.containerd or 0.0)


class CheckReport(_Model):
    """`boots` has the first boot, in which /var was made, unless an earlier version did that, and the one after the
    restart.
    """

    image: str
    accelerator: str
    lines: tuple[CheckLine, ...]
    boots: tuple[BootTimes, ...]
    memory_used_bytes: int | None = Field(description="MemTotal less MemAvailable, after the first boot has settled")
    memory_total_bytes: int | None
    seconds: float = Field(description="wall time of the whole check")
    updated_from: str | None = Field(
        default=None, description="the earlier version with which the machine began; the disk image was not booted then"
    )
    denials: tuple[str, ...] = Field(default=(), description="what SELinux has refused, in lines of the kernel's log")

    @property
    def passed(self) -> bool:
        return all(line.verdict is not Verdict.FAILED for line in self.lines)
