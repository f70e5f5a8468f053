# SPDX-License-Identifier: Apache-2.0
"""The definition of a distribution: typed models of its TOML files, inheritance, and what can be said about them.

Pure data: nothing here runs a program or reaches the network.
"""

from __future__ import annotations

from zaffre.definition.advisories import Advisories, FeedKind, FeedSource
from zaffre.definition.component import (
    BuildSettings,
    Component,
    DebBinary,
    DebSource,
    FilesSource,
    GoModule,
    OwnPackage,
    RpmSource,
)
from zaffre.definition.digests import (
    component_digest,
    component_inputs,
    digest,
    packages_digest,
    request_digest,
    tree_digest,
)
from zaffre.definition.distribution import (
    DISTRIBUTION_FILE,
    LOCK_FILE,
    MACHINES,
    TOOLS,
    Defaults,
    Distribution,
    Identity,
    PackageList,
    Tools,
)
from zaffre.definition.explain import Explained, explain, explain_repository
from zaffre.definition.forms import FORMS_OF, Form, forms_in_words
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
    VarEncryption,
)
from zaffre.definition.ipe import Ipe, IpeMode
from zaffre.definition.loader import load_distribution
from zaffre.definition.locate import located, place_of
from zaffre.definition.merge import Origin
from zaffre.definition.overlay import Category, Overlay, UpstreamStatus
from zaffre.definition.release import Halt, Release, Waves, WaveStep
from zaffre.definition.repository import OWN, OwnRepository
from zaffre.definition.schema import json_schema
from zaffre.definition.selinux import Selinux, SelinuxMode
from zaffre.definition.starter import init_distribution, reference, reference_root
from zaffre.definition.surface import Surface
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
from zaffre.definition.values import (
    Architecture,
    KeyPath,
    Kind,
    Size,
    Verification,
    dotted,
    for_architecture,
    format_size,
    parse_duration,
)
from zaffre.definition.vex import Justification, Statement, Status

__all__ = [
    "DISTRIBUTION_FILE",
    "FORMS_OF",
    "LOCK_FILE",
    "MACHINES",
    "OWN",
    "TOOLS",
    "Advisories",
    "Architecture",
    "Archive",
    "BuildSettings",
    "Category",
    "Component",
    "Compression",
    "DebBinary",
    "DebSource",
    "DebUpstream",
    "Defaults",
    "Disk",
    "Distribution",
    "Etc",
    "Explained",
    "Extract",
    "FeedKind",
    "FeedSource",
    "Files",
    "FilesSource",
    "Form",
    "Fragment",
    "GoModule",
    "Halt",
    "Identity",
    "Image",
    "Initrd",
    "Ipe",
    "IpeMode",
    "Justification",
    "Kernel",
    "KeyPath",
    "Kind",
    "Oci",
    "Origin",
    "Overlay",
    "OwnPackage",
    "OwnRepository",
    "PackageList",
    "Prune",
    "PublishedArchive",
    "Release",
    "Repository",
    "RpmSource",
    "RpmUpstream",
    "Selinux",
    "SelinuxMode",
    "Setuid",
    "Size",
    "Statement",
    "Status",
    "Suite",
    "Surface",
    "Tmpfiles",
    "Tools",
    "Units",
    "Upstream",
    "UpstreamStatus",
    "User",
    "VarEncryption",
    "Verification",
    "WaveStep",
    "Waves",
    "component_digest",
    "component_inputs",
    "digest",
    "dotted",
    "explain",
    "explain_repository",
    "for_architecture",
    "format_size",
    "forms_in_words",
    "init_distribution",
    "json_schema",
    "load_distribution",
    "located",
    "packages_digest",
    "parse_duration",
    "place_of",
    "reference",
    "reference_root",
    "request_digest",
    "rpm_architecture",
    "tree_digest",
]
