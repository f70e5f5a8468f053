# SPDX-License-Identifier: Apache-2.0
"""Locked packages become one configured root file tree, and the definition is applied to it."""

from zaffre.tree.configure import configured_root, package_files
from zaffre.tree.customise import customise, prune
from zaffre.tree.inventory import Inventory, inventory_of, inventory_text
from zaffre.tree.kmod import KernelModules, kernel_image
from zaffre.tree.memory import scratch_for
from zaffre.tree.policy import STRIP_ALL, SetuidPolicy, setuid_policy
from zaffre.tree.restore import extract_root
from zaffre.tree.tarball import pack, scan
from zaffre.tree.tools import tools_key, tools_tree
from zaffre.tree.treecompare import Difference, Explained, compare_trees, unexplained

__all__ = [
    "STRIP_ALL",
    "Difference",
    "Explained",
    "Inventory",
    "KernelModules",
    "SetuidPolicy",
    "compare_trees",
    "configured_root",
    "customise",
    "extract_root",
    "inventory_of",
    "inventory_text",
    "kernel_image",
    "pack",
    "package_files",
    "prune",
    "scan",
    "scratch_for",
    "setuid_policy",
    "tools_key",
    "tools_tree",
    "unexplained",
]
