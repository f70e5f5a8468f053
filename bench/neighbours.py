# SPDX-License-Identifier: Apache-2.0
"""Versions of the container host that differ by one thing, built from the project's lock."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import BenchError, tail

from zaffre.definition import reference_root

IMAGE = "container-host"
ARCHITECTURE = "amd64"
Like = Callable[[Mapping[str, Any]], str | None]
"""The name under which a package of what is to change has its like in another set; None for all others."""
CHANGES: Mapping[str, Like] = {
    "one security fix (openssl)": lambda package: str(package["name"]) if package["source"] == "openssl" else None,
    "a new kernel": lambda package: _kernel(str(package["name"])),
}
"""By what has changed."""
_SECONDS = 1800.0


def _kernel(name: str) -> str | None:
    """Its package has the kernel's release in its name."""
    if name.startswith("linux-image-cloud"):
        return "the newest kernel"
    return "a kernel" if name.startswith("linux-image-") and "-cloud-" in name else None


def swapped(lock: Mapping[str, Any], like: Like) -> list[dict[str, Any]] | None:
    """The image's packages, with those that are alike from another set that has them in other versions; None when no
    set has.
    """
    sets = [one for one in lock["sets"] if one["architecture"] == ARCHITECTURE]
    mine = next(one["packages"] for one in sets if one["name"] == IMAGE)
    have = {key: package["version"] for package in mine if (key := like(package)) is not None}
    for other in sets:
        theirs = {key: package for package in other["packages"] if (key := like(package)) in have}
        if have and theirs.keys() == have.keys() and all(theirs[key]["version"] != have[key] for key in have):
            changed = [theirs[key] if (key := like(package)) is not None else package for package in mine]
            return sorted(changed, key=lambda package: str(package["name"]))
    return None


def make_definition(target: Path, number: int, like: Like | None) -> Path:
    """The reference distribution with other packages in its lock, as a lock that is `number` later."""
    shutil.copytree(reference_root(), target, symlinks=True)
    path = target / "zaffre.lock"
    lock = json.loads(path.read_text())
    lock["serial"] += number
    if like is not None:
        packages = swapped(lock, like)
        if packages is None:
            raise BenchError(
                f"no image of the lock has these packages in another version than {IMAGE}: lock one of them anew, "
                "and not the others (zaffre lock --update --image NAME)"
            )
        host = next(one for one in lock["sets"] if (one["name"], one["architecture"]) == (IMAGE, ARCHITECTURE))
        host["packages"] = packages
    path.write_text(json.dumps(lock))
    return target


def build(definition: Path, place: Path, image: str, log: Path) -> Path:
    """A build in the user's store, which has most of its steps."""
    out = place / f"out-{definition.name}"
    words = ["--distro", str(definition), "--keys", str(place / "keys"), "--quiet"]
    run([program(), *words, "build", image, "--profile", "release", "--out", str(out)], log)
    return next(out.glob(f"{image}-*"))


def program() -> str:
    return str(Path(sys.executable).parent / "zaffre")


def run(argv: Sequence[str], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False
        )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed (exit {done.returncode})\n{tail(log)}")
