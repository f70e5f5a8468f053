# SPDX-License-Identifier: Apache-2.0
"""The source package of a component, as it is built here: its `.dsc` and the files that names, to be given on.

Where overlays change a Debian source, dpkg-source of the tools tree packs it again with them in it: the upstream's own
archive, and what differs as the packaging's. The same lock and tools give the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from debian.deb822 import Deb822

from zaffre.component.overlay import apply_overlays
from zaffre.component.pristine import unpack_deb_source
from zaffre.component.version import said
from zaffre.definition import Component, DebBinary, DebSource, Distribution, component_inputs
from zaffre.digest import source_digest
from zaffre.errors import IntegrityError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Action, ActionResult, Store, remove_tree
from zaffre.tree.rootfs import is_plain, write_text
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.lock import LockedComponent, LockedFile

_PLACE = "/run/place"
_TIMEOUT = 900.0
_QUILT = "3.0 (quilt)"
_HEADER = "debian/source/local-patch-header"
"""What dpkg-source puts before such a patch, in the place of a text with the time of day. It does not pack it."""


def source_inputs(distribution: Distribution, locked: LockedComponent) -> tuple[LockedFile, ...]:
    """Files of the upstream's that have to be in the store for `own_source`."""
    component = distribution.component(locked.name)
    return locked.source.files if isinstance(component.source, DebSource) else ()


def own_source(
    distribution: Distribution, locked: LockedComponent, *, store: Store, sandbox: Sandbox
) -> Mapping[str, FileFact] | None:
    """The files of its source package by name, in the store; None for a kind of component that has none.

    Empty for the upstream's binaries in other halves, whose source is the upstream's.
    Raises ToolError when dpkg-source cannot pack it, and what applying overlays raises.
    """
    component = distribution.component(locked.name)
    match component.source:
        case DebBinary():
            return {}
        case DebSource() if component.overlays:
            return _packed(distribution, component, locked, store=store, sandbox=sandbox)
        case DebSource():
            return {one.path.rpartition("/")[2]: FileFact(one.digest, one.size) for one in locked.source.files}
        case _:
            return None


def _packed(
    distribution: Distribution, component: Component, locked: LockedComponent, *, store: Store, sandbox: Sandbox
) -> Mapping[str, FileFact]:
    action = Action(
        kind="source package",
        label=f"source package of {locked.name}",
        inputs={
            "code": source_digest("component", "definition"),
            "definition": component_inputs(distribution, component),
            "source": locked.source.model_dump(mode="json", exclude_none=True),
            "tools": sandbox.tools.key,
        },
        reason="who gives a package on may have to give on its source",
    )

    def produce(scratch: Path) -> ActionResult:
        files = _pack(distribution, component, locked, scratch, store=store, sandbox=sandbox)
        outputs = {path.name: store.add_file(path) for path in files}
        return ActionResult(outputs=outputs, facts={path.name: path.stat().st_size for path in files})

    result = store.perform(action, produce).result
    return {name: FileFact(digest, int(str(result.facts[name]))) for name, digest in result.outputs.items()}


def _pack(
    distribution: Distribution,
    component: Component,
    locked: LockedComponent,
    scratch: Path,
    *,
    store: Store,
    sandbox: Sandbox,
) -> list[Path]:
    upstreams, tree = scratch / "upstream", scratch / "tree"
    unpack_deb_source(locked.source, upstreams, store=store, sandbox=sandbox)
    apply_overlays(
        component,
        folder=distribution.path(component.folder),
        source=upstreams,
        target=tree,
        maintainer=distribution.identity.maintainer,
    )
    remove_tree(upstreams)
    for file in locked.source.files:  # the upstream's own archives, which dpkg-source takes as they are
        name = file.path.rpartition("/")[2]
        if ".orig" in name and not (scratch / name).exists():
            shutil.copyfile(store.path(file.digest), scratch / name)
    mounts = [Mount(scratch, _PLACE, writable=True)]
    words = ["dpkg-parsechangelog", "--file", f"{_PLACE}/tree/debian/changelog", "--show-field", "Timestamp"]
    time = sandbox.run(words, mounts=mounts, timeout=_TIMEOUT).stdout.decode().strip()
    commit = []
    if _format_of(tree) == _QUILT:  # what overlays changed outside of patches becomes a patch, with this said of it
        commit = ["--auto-commit"]
        write_text(tree, _HEADER, _header(distribution, component))
    # One thread: how many there are shows in what xz writes.
    sandbox.run(
        ["dpkg-source", "--threads-max=1", *commit, "--build", "tree"],
        mounts=mounts,
        cwd=_PLACE,
        # libfaketime, which is there when a build is reproduced, refuses utime(2) without a time unless it fakes it.
        env={"SOURCE_DATE_EPOCH": time, "FAKE_UTIME": "1"},
        timeout=_TIMEOUT,
    )
    return _made(scratch, locked)


def _header(distribution: Distribution, component: Component) -> str:
    """In the form of DEP-3."""
    lines = "".join(f" * {line}\n" for line in said(component.overlays))
    return (
        f"Description: what overlays change outside of patches\n{lines}Author: {distribution.identity.maintainer}\n\n"
    )


def _format_of(tree: Path) -> str:
    path = "debian/source/format"
    return (tree / path).read_text("utf-8").strip() if is_plain(tree, path) else "1.0"


def _made(folder: Path, locked: LockedComponent) -> list[Path]:
    """The .dsc and what it names. Raises IntegrityError when dpkg-source left something else."""
    descriptions = [path for path in folder.glob("*.dsc") if is_plain(folder, path.name)]
    own = [path for path in descriptions if Deb822(path.read_text("utf-8")).get("Source") == locked.source.name]
    if len(own) != 1:
        raise IntegrityError("dpkg-source made no source package", where=f"{locked.name} {locked.source.version}")
    sums = Deb822(own[0].read_text("utf-8")).get("Checksums-Sha256", "")
    names = [line.split()[2] for line in sums.splitlines() if line.strip()]
    return [own[0], *(folder / name for name in names if is_plain(folder, name))]
