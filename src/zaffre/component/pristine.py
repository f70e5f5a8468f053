# SPDX-License-Identifier: Apache-2.0
"""The upstream's source of a component, unpacked and unchanged, kept in the store as a tree.

Unpacking is done by the tools tree, once for a set of files. What a network would be needed for is not fetched
here: `pristine` says what it lacks, and whoever may use the network fetches it first.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from zaffre.component.debfile import unpack_packages
from zaffre.component.gosum import GoFile, unpack_zip
from zaffre.component.rpmfile import unpack_rpm_source
from zaffre.definition import Component, DebBinary, DebSource, GoModule, RpmSource
from zaffre.digest import sha256_json
from zaffre.errors import IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store, remove_tree
from zaffre.store.action import ActionKey
from zaffre.upstream.lock import LockedSource

_TIMEOUT = 900.0


def missing_files(source: LockedSource, store: Store) -> tuple[str, ...]:
    """Names of the files of a source that the store does not have."""
    return tuple(file.path.rpartition("/")[2] for file in source.files if not store.has(file.digest))


def pristine_key(component: Component, source: LockedSource) -> ActionKey:
    """The tree's name in the store. A source is unpacked the same way by every dpkg, so tools are not part of it."""
    digests = sorted(file.sha256 for file in source.files)
    return ActionKey(sha256_json({"kind": f"pristine {component.source.kind}", "files": digests}))


def held(component: Component, source: LockedSource, store: Store) -> AbstractContextManager[Path] | None:
    """The unpacked source if the store has it; it stays until the block ends."""
    return store.tree(pristine_key(component, source))


def pristine(
    component: Component, source: LockedSource, store: Store, sandbox: Sandbox
) -> AbstractContextManager[Path]:
    """The unpacked source, made if it is not there. All its files must be in the store."""
    key = pristine_key(component, source)

    def produce(root: Path) -> None:
        match component.source:
            case DebSource():
                whole = root / "unpacked"
                unpack_deb_source(source, whole, store=store, sandbox=sandbox)
                whole.rename(root.with_name("unpacked"))
                remove_tree(root)  # dpkg-source lays the original archives beside what it unpacks
                root.with_name("unpacked").rename(root)
            case DebBinary(packages=names):
                unpack_packages(source, root, names=names, store=store, sandbox=sandbox)
            case GoModule(module=module):
                unpack_zip(store.path(source.files[0].digest), GoFile(module, source.version), root)
            case RpmSource():
                root.rmdir()
                unpack_rpm_source(source, root, store=store, sandbox=sandbox)
            case _:
                message = f"a {component.source.kind} has no source of the upstream's to unpack"
                raise AssertionError(message)

    tree = store.tree(key)
    if tree is None:
        store.add_tree(key, produce)
        tree = store.tree(key)
    if tree is None:
        message = "a tree that was just made is not there"
        raise AssertionError(message)
    return tree


def can_be_examined(component: Component) -> bool:
    """Whether the upstream's files show what overlays would do. (A spec of our own is no upstream's.)"""
    source = component.source
    of_theirs = isinstance(source, RpmSource) and source.package is not None
    return of_theirs or isinstance(source, DebSource | DebBinary | GoModule)


def unpack_deb_source(source: LockedSource, target: Path, *, store: Store, sandbox: Sandbox) -> None:
    """A Debian source, from files in the store, unpacked with its patches applied into the absent `target`.

    Raises IntegrityError for what is no source, ToolError when dpkg-source refuses it.
    """
    names = {file.path.rpartition("/")[2]: file for file in source.files}
    descriptions = [one for one in names if one.endswith(".dsc")]
    if len(descriptions) != 1:
        raise IntegrityError(
            f"the source '{source.name}' has {len(descriptions)} files that describe it, not one",
            where=f"{source.name} {source.version}",
        )
    mounts = [Mount(store.path(file.digest), f"/run/source/{one}") for one, file in names.items()]
    try:
        sandbox.run(
            ["dpkg-source", "--extract", f"/run/source/{descriptions[0]}", f"/run/target/{target.name}"],
            mounts=[*mounts, Mount(target.parent, "/run/target", writable=True)],
            timeout=_TIMEOUT,
        )
    except ToolError as error:
        raise ToolError(
            f"the source '{source.name}' cannot be unpacked",
            where=descriptions[0],
            command=error.command,
            returncode=error.returncode,
            details=error.details,
            resolution="what dpkg-source says of it is above; the file is the one that the upstream signed",
        ) from error
