# SPDX-License-Identifier: Apache-2.0
"""The one door to external programs: the tools tree, bubblewrap, mounts, environment, limits. See `Sandbox`."""

from zaffre.sandbox.command import TRIPLETS, faketime_library
from zaffre.sandbox.doctor import Check, doctor
from zaffre.sandbox.model import Completed, Mount, ToolsTree
from zaffre.sandbox.namespace import become_root_in_namespace
from zaffre.sandbox.process import SandboxProcess
from zaffre.sandbox.sandbox import Sandbox

__all__ = [
    "TRIPLETS",
    "Check",
    "Completed",
    "Mount",
    "Sandbox",
    "SandboxProcess",
    "ToolsTree",
    "become_root_in_namespace",
    "doctor",
    "faketime_library",
]
