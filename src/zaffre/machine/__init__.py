# SPDX-License-Identifier: Apache-2.0
"""Machines in QEMU: run an image, have it prove what is claimed for it, measure it. Always from the tools tree."""

from zaffre.machine.accelerator import Choice, choose_accelerator
from zaffre.machine.architecture import AMD64, Architecture, architecture_named
from zaffre.machine.boot import Guest, boot, furnish, power_on
from zaffre.machine.check import CHECK_SECONDS, Subject, check_image
from zaffre.machine.console import ConsoleLog, Stage
from zaffre.machine.firmware import OwnerCertificates, enrolled_variables
from zaffre.machine.qemu import ConsoleOutput, Ended, Event, Machine, Message, MonitorEvent, start
from zaffre.machine.report import BootTimes, CheckLine, CheckReport, Verdict
from zaffre.machine.run import RunReport, Terminal, run_image
from zaffre.machine.spec import Accelerator, DirectKernel, Disk, DiskFormat, Firmware, MachineSpec, Network
from zaffre.machine.watch import Watch

__all__ = [
    "AMD64",
    "CHECK_SECONDS",
    "Accelerator",
    "Architecture",
    "BootTimes",
    "CheckLine",
    "CheckReport",
    "Choice",
    "ConsoleLog",
    "ConsoleOutput",
    "DirectKernel",
    "Disk",
    "DiskFormat",
    "Ended",
    "Event",
    "Firmware",
    "Guest",
    "Machine",
    "MachineSpec",
    "Message",
    "MonitorEvent",
    "Network",
    "OwnerCertificates",
    "RunReport",
    "Stage",
    "Subject",
    "Terminal",
    "Verdict",
    "Watch",
    "architecture_named",
    "boot",
    "check_image",
    "choose_accelerator",
    "enrolled_variables",
    "furnish",
    "power_on",
    "run_image",
    "start",
]
