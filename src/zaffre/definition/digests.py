# SPDX-License-Identifier: Apache-2.0
"""What identifies a definition: digests over its normalised content, the files that it names included.

Everything counts except, with reasons: `extends` and `profiles` (how a value got into an image does not change
the image), where things are on this machine, and what feeds of vulnerabilities call an upstream.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from zaffre.definition.component import Component, GoModule
from zaffre.definition.distribution import Distribution
from zaffre.definition.image import Image
from zaffre.definition.upstream import DebUpstream, RpmUpstream, Upstream
from zaffre.definition.values import Architecture
from zaffre.digest import JSON, Sha256, sha256_file, sha256_json


def digest(distribution: Distribution, image: Image) -> Sha256:
    """Digest of all that the definition says of an image: identity, merged settings, files, upstream, keyring.

    Raises OSError if a file that the definition names cannot be read.
    """
    upstream = distribution.upstream_of(image)
    trees = [*image.files.trees, *([image.initrd.tree] if image.initrd.tree else [])]
    trusted, policies = image.update.trusted, image.selinux.files
    return sha256_json(
        {
            "identity": distribution.identity.model_dump(mode="json"),
            "image": image.model_dump(mode="json", exclude={"extends", "profiles"}),
            "trees": {tree: tree_digest(distribution.path(tree)) for tree in trees},
            "upstream": upstream.model_dump(mode="json", exclude={"keyring_file", "ecosystem"}),
            "keyring": sha256_file(upstream.keyring_file),
            **({"trusted": sha256_file(distribution.path(trusted))} if trusted is not None else {}),
            **({"selinux": [sha256_file(distribution.path(one)) for one in policies]} if policies else {}),
        }
    )


def request_digest(distribution: Distribution, image: Image, architecture: Architecture) -> Sha256:
    """Digest of all that the choice of packages for an image depends on. A lock holds it and is stale without it."""
    return packages_digest(
        distribution.upstream_of(image),
        image.requested_packages(architecture),
        architecture=architecture,
        provides=image.provides,
        recommends=image.recommends,
        essential=image.essential,
    )


def packages_digest(
    upstream: Upstream,
    packages: Iterable[str],
    *,
    architecture: Architecture,
    provides: Iterable[str] = (),
    recommends: bool = False,
    essential: bool = True,
) -> Sha256:
    """The same for any set of packages, such as those of the tools tree. Their order says nothing."""
    return sha256_json(
        {
            "family": upstream.family,
            **_places(upstream),
            "architecture": architecture,
            "packages": sorted(set(packages)),
            "provides": sorted(set(provides)),
            "recommends": recommends,
            **({} if essential else {"essential": False}),
        }
    )


def component_digest(distribution: Distribution, component: Component) -> Sha256:
    """Digest of `component_inputs`. Raises OSError if a file that the component names cannot be read."""
    return sha256_json(component_inputs(distribution, component))


def component_inputs(distribution: Distribution, component: Component) -> dict[str, JSON]:
    """All that a component's result depends on, as far as the definition says it, so that a change can be named.

    Left out: the description, an overlay's category, status and `until`, time limits, and how far an update may go.
    They are for people: an end that moves on is no reason to build anew. What a changelog says counts: an overlay's
    reason, `since` and links, and who maintains what is no upstream's any more. (The packages of a Go module have no
    changelog.)
    """
    folder = distribution.path(component.folder)
    told = {"reason", "operations"} | (set() if isinstance(component.source, GoModule) else {"since", "links"})
    identity = distribution.identity
    upstream = distribution.upstream_of_component(component)
    return {
        "maintainer": None if component.inherited else {"id": identity.id, "name": identity.name},
        "component": component.model_dump(
            mode="json",
            exclude={"description": True, "overlays": True, "source": {"within"}, "build": {"time_limit_minutes"}},
        ),
        "upstream": component.upstream or distribution.defaults.upstream,
        "overlays": [overlay.model_dump(mode="json", include=told) for overlay in component.overlays],
        "files": {name: _file_digest(folder / name) for name in component.named_files()},
        **({"build_packages": list(upstream.build_packages)} if isinstance(upstream, RpmUpstream) else {}),
    }


def _file_digest(path: Path) -> JSON:
    if path.is_dir():
        return tree_digest(path)
    return {"sha256": sha256_file(path), "executable": bool(path.stat().st_mode & stat.S_IXUSR)}


def _places(upstream: Upstream) -> dict[str, JSON]:
    """Where packages are chosen from: not who vouches for them, which changes nothing in the choice."""
    if isinstance(upstream, DebUpstream):
        suites: list[JSON] = [
            {"archive": suite.archive, "suite": suite.suite, "components": suite.components}
            for suite in upstream.suites
        ]
        return {"suites": suites}
    repositories: list[JSON] = [{"archive": one.archive, "path": one.path} for one in upstream.repositories]
    return {"repositories": repositories}


def tree_digest(directory: Path) -> Sha256:
    """Digest of a directory of files: names, content, targets of links, and whether a file is executable.

    Times, owners and other modes do not count, as they differ between clones and never reach an image.
    """
    entries: dict[str, JSON] = {}
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(directory).as_posix()
            if stat.S_ISLNK(mode):
                entries[relative] = {"link": str(path.readlink())}
            elif stat.S_ISDIR(mode):
                entries[relative] = {"directory": True}
            else:
                entries[relative] = {"sha256": sha256_file(path), "executable": bool(mode & stat.S_IXUSR)}
    return sha256_json(entries)
