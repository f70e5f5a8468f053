# SPDX-License-Identifier: Apache-2.0
"""The same packages by dpkg alone: the oracle that the fast path is held against, and nothing else.

dpkg needs a system to run in, so the essential packages are laid down first by dpkg-deb, as debootstrap does; then dpkg
itself unpacks every package and configures it. What is the same by design is shared with the fast path: the order of
packages, the removal of traces, the policy on setuid files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.tree.cleanup import clean
from zaffre.tree.deb.configure import configure, lay_database
from zaffre.tree.deb.merge import Plan
from zaffre.tree.deb.ordering import dependency_order, needed_by
from zaffre.tree.deb.unpack import Unpacked
from zaffre.tree.root import Settings, apply_setuid
from zaffre.tree.tarball import scan
from zaffre.tree.treecompare import Explained

EXPLAINED: tuple[Explained, ...] = (
    Explained(("/**/__pycache__/*.pyc",), "valid by the time of the source, not by its hash: see zaffre.tree.bytecode"),
)
"""Differences that are known, each with its reason."""

_DEBS = "/run/debs"
_TIMEOUT = 3600.0
_EXTRACT = 'for deb; do dpkg-deb --extract "$deb" /run/target; done'
_UNPACK = 'exec dpkg --force-unsafe-io --force-depends --log=/dev/null --unpack "$@" >&2'


def reference_root(
    unpacked: Sequence[Unpacked], root: Path, settings: Settings, *, store: Store, sandbox: Sandbox
) -> None:
    """Fill the empty directory `root` with what dpkg makes of the packages. The sandbox needs tools with dpkg-deb."""
    ordered = dependency_order([(one.index, one) for one in unpacked])
    packages = [index for index, _ in ordered]
    debs = {index.label: f"{_DEBS}/{index.name}.deb" for index in packages}
    mounts = [Mount(store.path(one.package.digest), debs[index.label]) for index, one in ordered]
    needed = needed_by(packages, [index for index in packages if index.fields.get("Essential") == "yes"])
    sandbox.run(
        ["/bin/sh", "-euc", _EXTRACT, "sh", *(debs[index.label] for index in needed)],
        mounts=[*mounts, Mount(root, "/run/target", writable=True)],
        timeout=_TIMEOUT,
    )
    lay_database(root, [], Plan((), ()), settings)
    sandbox.run(
        ["/bin/sh", "-euc", _UNPACK, "sh", *debs.values()],
        root=root,
        mounts=mounts,
        env={"DEBIAN_FRONTEND": "noninteractive", "SOURCE_DATE_EPOCH": str(settings.epoch)},
        timeout=_TIMEOUT,
    )
    configure(root, packages, settings, sandbox=sandbox, preinsts=False)
    clean(root)
    apply_setuid(root, scan(root), settings.setuid)
