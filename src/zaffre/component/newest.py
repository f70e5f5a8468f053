# SPDX-License-Identifier: Apache-2.0
"""The newest source of a component that an upstream has, before any overlay is looked at."""

from __future__ import annotations

from zaffre.definition import Component, DebBinary, DebSource, RpmSource
from zaffre.errors import DefinitionError
from zaffre.upstream.family import Repositories
from zaffre.upstream.lock import LockedFile, LockedSource


def newest_source(component: Component, repositories: Repositories, architecture: str) -> LockedSource:
    """Its files are those that the upstream's index vouches for. DefinitionError if the upstream does not have it."""
    match component.source:
        case DebSource(package=str(name)) | RpmSource(package=str(name)):
            found = repositories.source(name)
            if found is not None:
                return found.source
            key = "source.package"
        case DebBinary(packages=names):
            packages = [repositories.newest(one, architecture) for one in names]
            known = [one for one in packages if one is not None]
            if len(known) == len(names):
                files = (
                    LockedFile(path=one.path, sha256=one.sha256, size=one.size, archive=one.archive) for one in known
                )
                return LockedSource(name=known[0].source, version=known[0].version, files=tuple(files))
            name = next(name for name, one in zip(names, packages, strict=True) if one is None)
            key = "source.packages"
        case _:
            message = f"a {component.source.kind} is not of the upstream's packages"
            raise AssertionError(message)
    raise DefinitionError(
        f"the upstream has no {name!r} any more",
        where=f"{component.file}: {key}",
        resolution="see whether it was renamed there; 'zaffre drift' lists what depends on it",
    )
