# SPDX-License-Identifier: Apache-2.0
"""The definition of a distribution: typed models of its TOML files, inheritance, and what can be said about them.

Pure data: nothing here runs a program or reaches the network.
"""

from __future__ import annotations

from zaffre.definition.digests import digest, packages_digest, request_digest, tree_digest
from zaffre.definition.distribution import (
    DISTRIBUTION_FILE,
    LOCK_FILE,
    Defaults,
    Distribution,
    Identity,
    PackageList,
    Tools,
)
from zaffre.definition.explain import Explained, explain
from zaffre.definition.image import (
    Compression,
    Disk,
    Etc,
    Extract,
    Files,
    Fragment,
    Image,
    Initrd,
    Kernel,
    Oci,
    Prune,
    Setuid,
    Tmpfiles,
    Units,
    User,
)
from zaffre.definition.loader import load_distribution
from zaffre.definition.locate import located, place_of
from zaffre.definition.merge import Origin
from zaffre.definition.schema import json_schema
from zaffre.definition.starter import init_distribution, reference_root
from zaffre.definition.upstream import (
    Archive,
    DebUpstream,
    PublishedArchive,
    Repository,
    RpmUpstream,
    Suite,
    Upstream,
    rpm_architecture,
)
from zaffre.definition.values import Architecture, KeyPath, Kind, Size, Verification, dotted, format_size

__all__ = [
    "DISTRIBUTION_FILE",
    "LOCK_FILE",
    "Architecture",
    "Archive",
    "Compression",
    "DebUpstream",
    "Defaults",
    "Disk",
    "Distribution",
    "Etc",
    "Explained",
    "Extract",
    "Files",
    "Fragment",
    "Identity",
    "Image",
    "Initrd",
    "Kernel",
    "KeyPath",
    "Kind",
    "Oci",
    "Origin",
    "PackageList",
    "Prune",
    "PublishedArchive",
    "Repository",
    "RpmUpstream",
    "Setuid",
    "Size",
    "Suite",
    "Tmpfiles",
    "Tools",
    "Units",
    "Upstream",
    "User",
    "Verification",
    "digest",
    "dotted",
    "explain",
    "format_size",
    "init_distribution",
    "json_schema",
    "load_distribution",
    "located",
    "packages_digest",
    "place_of",
    "reference_root",
    "request_digest",
    "rpm_architecture",
    "tree_digest",
]
