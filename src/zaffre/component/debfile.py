# SPDX-License-Identifier: Apache-2.0
"""Debian package files: taken apart and packed by dpkg-deb of the tools tree, and described for the lock."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from zaffre.component.halves import read_control
from zaffre.errors import IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.tree.deb.package import CONTROL, file_name
from zaffre.tree.rootfs import is_plain
from zaffre.upstream.deb.control import parse_stanza, source_of
from zaffre.upstream.lock import COMPONENTS, BuiltPackage, LockedPackage, LockedSource, is_package_name

_WORK = "/run/work"
_DEB = "/run/package.deb"
_TIMEOUT = 900.0
_MAX_CONTROL = 1 << 20


def unpack_deb(deb: Path, folder: Path, *, sandbox: Sandbox) -> None:
    """The files of a package with owners, modes and times in the absent `folder`, its control files in `DEBIAN/`.

    Raises IntegrityError when those are not plain files of a folder: what is in a package must not lead out of it.
    """
    sandbox.run(
        ["dpkg-deb", "--raw-extract", _DEB, f"{_WORK}/{folder.name}"],
        mounts=[Mount(deb, _DEB), Mount(folder.parent, _WORK, writable=True)],
        timeout=_TIMEOUT,
    )
    control = folder / CONTROL
    real = control.is_dir() and not control.is_symlink()
    odd = [one.name for one in control.iterdir() if not is_plain(control, one.name)] if real else [""]
    if odd or not is_plain(control, "control"):
        raise IntegrityError(
            "a package has control files that are no plain files", where=f"{CONTROL}/{', '.join(sorted(odd))}"
        )


def unpack_packages(
    source: LockedSource, target: Path, *, names: Collection[str], store: Store, sandbox: Sandbox
) -> dict[str, Path]:
    """Unpack the packages that a source consists of, each into a folder of its name below `target`.

    Raises IntegrityError for a package that has another name than one of `names`, each of which is there once.
    """
    folders: dict[str, Path] = {}
    for number, file in enumerate(source.files):
        folder = target / f"{number}.unpacked"
        unpack_deb(store.path(file.digest), folder, sandbox=sandbox)
        name = read_control(folder).get("Package", "")
        if name in folders or name not in names or not is_package_name(name):
            raise IntegrityError(
                f"a package calls itself {name!r}",
                where=file.path,
                details=f"expected was one of {', '.join(sorted(set(names) - set(folders)))}",
            )
        folders[name] = folder.rename(target / name)
    return folders


def built_deb(component: str, deb: Path, *, store: Store, sandbox: Sandbox) -> BuiltPackage:
    """Put a package file into the store, and say of it what the lock keeps. Raises IntegrityError for a bad one."""
    try:
        done = sandbox.run(["dpkg-deb", "--field", _DEB], mounts=[Mount(deb, _DEB)], timeout=_TIMEOUT)
    except ToolError as error:
        raise IntegrityError(
            "the build left a file that is no package", where=deb.name, details=error.details
        ) from error
    if len(done.stdout) > _MAX_CONTROL:
        raise IntegrityError("the control file of a package is too large to be one", where=deb.name)
    control = done.stdout.decode()
    try:
        fields = parse_stanza(control)
        source, source_version = source_of(fields)
        size = deb.stat().st_size
        return BuiltPackage(
            package=LockedPackage(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                sha256=store.add_file(deb),
                size=size,
                path=f"{component}/{file_name(fields)}",
                suite=COMPONENTS,
                archive=COMPONENTS,
                source=source,
                source_version=source_version,
            ),
            control=control.strip() + "\n",
        )
    except (KeyError, ValueError) as error:
        raise IntegrityError(
            "the control file of a package is malformed", where=deb.name, details=str(error)
        ) from error
