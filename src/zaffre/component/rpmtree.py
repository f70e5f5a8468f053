# SPDX-License-Identifier: Apache-2.0
"""The files that an RPM is built from, laid side by side where rpmbuild finds them, with the overlays applied."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import datetime
from pathlib import Path

from zaffre.component.buildroot import BuildRoot
from zaffre.component.model import Bench
from zaffre.component.overlay import apply_overlays
from zaffre.component.rpmfile import unpack_rpm_source
from zaffre.definition import RpmUpstream
from zaffre.definition.component import COMPONENT_FILE, RpmSource
from zaffre.errors import DefinitionError
from zaffre.store import Store, remove_tree
from zaffre.upstream.lock import LockedSource
from zaffre.upstream.rpm.header import Tag
from zaffre.upstream.rpm.package import verify_source

_SPEC = ".spec"


def lay_sources(bench: Bench, given: RpmSource, source: LockedSource | None, root: BuildRoot) -> str:
    """Fill the build's folder; the path of the spec in the root. A spec of our own may have no source yet.

    Raises DefinitionError for overlays that cannot be applied, IntegrityError for what is no source.
    """
    target = root.folder
    target.rmdir()
    if given.spec is None:
        if source is None:
            raise AssertionError
        unpack_rpm_source(source, target, store=bench.store, sandbox=bench.sandbox)
    else:
        epoch = source.epoch if source is not None and source.epoch is not None else 0
        _lay_ours(bench.folder / given.spec, target, epoch=epoch)
    if bench.component.overlays:
        before = target.rename(target.with_name("before-overlays"))
        apply_overlays(
            bench.component,
            folder=bench.folder,
            source=before,
            target=target,
            maintainer=bench.distribution.identity.maintainer,
        )
        remove_tree(before)
    specs = sorted(path.name for path in target.iterdir() if path.name.endswith(_SPEC))
    if len(specs) != 1:
        raise DefinitionError(
            f"an RPM source has one spec file, and that of '{bench.component.name}' has {', '.join(specs) or 'none'}",
            where=bench.component.file,
            resolution="look where the source comes from",
        )
    return f"{root.place}/{specs[0]}"


def _lay_ours(spec: Path, target: Path, *, epoch: int) -> None:
    """The plain files beside the spec. They get one time, in seconds, since theirs is that of a clone."""
    target.mkdir()
    for path in sorted(spec.parent.iterdir()):
        other = path.name == COMPONENT_FILE or (path.name.endswith(_SPEC) and path.name != spec.name)
        if other or not stat.S_ISREG(path.lstat().st_mode):
            continue
        place = target / path.name
        shutil.copyfile(path, place)
        place.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        os.utime(place, (epoch, epoch))


def verify_rpm_source(source: LockedSource, upstream: RpmUpstream, *, store: Store, now: datetime) -> int:
    """Check a source package, in the store, as every package is; the time at which it was made, in seconds.

    Raises IntegrityError for one that no key of the upstream's signed, or that is another one.
    """
    from zaffre.upstream.keyring import Keyring  # noqa: PLC0415 - an OpenPGP library, seldom needed

    keyring = Keyring.load(upstream.keyring_file)
    (file,) = source.files
    header = verify_source(store.path(file.digest), source, keyring, now=now)
    return header.number(Tag.BUILD_TIME) or 0
