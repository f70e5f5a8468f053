# SPDX-License-Identifier: Apache-2.0
"""The packages that a build left, as the lock keeps them: each kind of source gives packages of its family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zaffre.component.debfile import built_deb, unpack_deb
from zaffre.component.rpmfile import built_rpm, unpack_rpm
from zaffre.definition import Component, RpmSource
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.lock import BuiltPackage


def built_packages(
    component: Component, files: Sequence[Path], *, store: Store, sandbox: Sandbox
) -> list[BuiltPackage]:
    """Put package files into the store, and say of them what the lock keeps. Raises IntegrityError for a bad one."""
    built = built_rpm if isinstance(component.source, RpmSource) else built_deb
    found = [built(component.name, file, store=store, sandbox=sandbox) for file in files]
    return sorted(found, key=lambda one: one.package.key)


def unpack_built(component: Component, file: Path, folder: Path, *, sandbox: Sandbox) -> None:
    """The files of a package, and what it says of itself, in the absent `folder`, to be held against another's."""
    unpack = unpack_rpm if isinstance(component.source, RpmSource) else unpack_deb
    unpack(file, folder, sandbox=sandbox)
