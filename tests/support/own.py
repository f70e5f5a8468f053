# SPDX-License-Identifier: Apache-2.0
"""A distribution of one's own, made by `zaffre init`, with a store of its own that has what the user's store has.

Nothing is built in that store yet, but packages are there unpacked, and so are the tools: a build takes as long as
the build, and tests may spoil what lies there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from support.program import Place
from zaffre.definition import load_distribution
from zaffre.digest import Sha256
from zaffre.store import Action, ActionKey, ActionResult, Store
from zaffre.tree.tools import tools_key
from zaffre.upstream import Lock, LockedPackage, load_lock
from zaffre.upstream.toolsets import own_tools

_TOOLS_EPOCH = 0


def make_own(folder: Path) -> Place:
    """`zaffre init`, `zaffre keys init` and `zaffre lock`, by the user's own store, and the new store."""
    place = Place(folder / "own-linux", folder / "keys", Store.default_root(), folder / "out")
    place.run("init", str(place.distro), "--name", "Own Linux")
    place.run("keys", "init")
    place.run("lock")
    own = place.at(store=folder / "store")
    seed(own, trees=True)
    return own


def variant(place: Place, folder: Path) -> Place:
    """The same with a copy of the definition, to be changed, and other builds; `folder` is made."""
    folder.mkdir(parents=True)
    shutil.copytree(place.distro, folder / "distro", symlinks=True)
    return place.at(distro=folder / "distro", out=folder / "out")


def edit(path: Path, old: str, new: str) -> None:
    """Change a definition; what is changed must be there, once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {text.count(old)} times {old}"
    path.write_text(text.replace(old, new))


def locked(place: Place) -> Lock:
    lock = load_lock(place.distro / "zaffre.lock")
    assert lock is not None
    return lock


def packages(place: Place, *sets: str) -> dict[Sha256, LockedPackage]:
    """Locked packages by digest: of all sets, or of those that are named, for this machine."""
    chosen = [one for one in locked(place).sets if not sets or (one.name in sets and one.architecture == "amd64")]
    return {package.digest: package for one in chosen for package in one.packages}


def seed(place: Place, *sets: str, trees: bool, unpacked: bool = True) -> None:
    """Fill a store from the user's: packages of the lock, as they were fetched and unpacked, and the tools tree.

    An ordinary user's store is another's at the outside: there, nothing is taken, and tests fetch anew.
    """
    target = Store(place.store)
    if os.geteuid() != 0:
        return
    source = Store(Store.default_root())
    wanted = packages(place, *sets)
    for digest in wanted:
        if source.has(digest):
            target.add_file(source.path(digest), expected=digest)
    if unpacked:
        for action, result in recorded(source, "unpack"):
            if action.inputs["package"] in wanted:
                copy_result(source, target, action, result)
    if trees:
        tools = next(one for one in locked(place).sets if one.name == "tools")
        made_of = own_tools(load_distribution(place.distro), tools)
        key = tools_key(made_of.programs, architecture=made_of.machine, epoch=_TOOLS_EPOCH, unpacked=made_of.unpacked)
        held = source.tree(key)
        if held is not None:
            with held as tree:
                target.add_tree(key, lambda root: _copy_tree(tree, root))


def unbuilt(place: Place, folder: Path) -> Place:
    """The same, or with a new store in `folder`, so that no step of a build is done."""
    if not any(recorded(Store(place.store), "configure")):
        return place
    other = place.at(store=folder / "store", out=folder / "out")
    seed(other, trees=True)
    return other


def copy_result(source: Store, target: Store, action: Action, result: ActionResult) -> None:
    for digest in result.outputs.values():
        target.add_file(source.path(digest), expected=digest)
    target.record(action.key, action, result)


def recorded(store: Store, kind: str) -> Iterator[tuple[Action, ActionResult]]:
    """What a store knows of one kind of step, whose outputs are all there."""
    for record in _records(store):
        if record["kind"] == kind:
            action = Action(kind, record["label"], record["inputs"], record["reason"])
            result = store.lookup(ActionKey(record["key"]))
            if result is not None:
                yield action, result


def _records(store: Store) -> Iterable[Mapping[str, Any]]:
    for path in (store.root / "actions").glob("*/*.json"):
        try:
            record = json.loads(path.read_bytes())
        except FileNotFoundError:  # whoever uses the store beside may make room in it
            continue
        yield record


def _copy_tree(source: Path, target: Path) -> None:
    """With owners and modes; as further names of the same files where the file system allows that."""
    link = ["--link"] if source.stat().st_dev == target.stat().st_dev else []
    subprocess.run(["cp", "--archive", *link, f"{source}/.", str(target)], check=True)
