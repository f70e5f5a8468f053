# SPDX-License-Identifier: Apache-2.0
"""`zaffre component why`: each input that can change is named, down to the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.lab import Lab
from support.sources import LIMIT, write
from zaffre.cli.tools import tools_sandbox
from zaffre.component.engine import build_action
from zaffre.definition import component_digest, component_inputs, load_distribution
from zaffre.digest import sha256_bytes
from zaffre.upstream import load_lock, save_lock
from zaffre.upstream.lock import LockedComponent, LockedSource, Outcome

pytestmark = pytest.mark.tools

# A name of its own: what was built last is remembered by name, in a store that others use too.
NAME = "why-is-this-built"
FILES = {
    "component.toml": 'description = "XML parser"\n[source]\nkind = "deb-source"\npackage = "expat"\n',
    "overlays/0001-limit.toml": """
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = 2099-01-01
[[operations]]
op = "patch-add"
file = "patches/limit.patch"
""",
    "patches/limit.patch": LIMIT,
}


def test_why(lab: Lab, tmp_path: Path) -> None:
    site = Lab(tmp_path)
    shutil.copytree(lab.distro, site.distro, symlinks=True)
    shutil.copytree(lab.keys, site.keys)
    folder = write(site.distro / "components" / NAME, FILES)
    distribution = load_distribution(site.distro)
    component = distribution.component(NAME)
    lock = load_lock(distribution.lock_file)
    assert lock
    locked = LockedComponent(
        name=NAME,
        architecture="amd64",
        upstream="debian",
        key=component_digest(distribution, component),
        outcome=Outcome.LOCKED,
        gives=("expat",),
        source=LockedSource(name="expat", version="2.7.1-2"),
    )
    lock = lock.model_copy(update={"components": (*lock.components, locked)})
    save_lock(lock, distribution.lock_file)

    def changed() -> list[str]:
        return [str(one) for one in site.json("component", "why", NAME)["changed"]]

    with site.workspace() as work:
        action = build_action(locked, None, tools_sandbox(work, lock), component_inputs(distribution, component))
        work.store.remember(action.label, action.inputs)
        assert changed() == ["its packages are no longer in the store"]
    write(folder, {"patches/limit.patch": LIMIT + "\n"})
    (line,) = changed()
    assert line.startswith("definition.files.patches/limit.patch.sha256: ")
    assert sha256_bytes((LIMIT + "\n").encode())[:8] in line
    write(
        folder,
        {
            "patches/limit.patch": LIMIT,
            "overlays/0001-limit.toml": FILES["overlays/0001-limit.toml"].replace("2099", "2100"),
        },
    )
    assert changed() == ["its packages are no longer in the store"]
