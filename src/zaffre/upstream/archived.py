# SPDX-License-Identifier: Apache-2.0
"""The source packages of a lock, chosen from the upstreams' indexes of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zaffre.definition import DISTRIBUTION_FILE, OWN
from zaffre.errors import DefinitionError
from zaffre.upstream.assemble import Job
from zaffre.upstream.family import Repositories
from zaffre.upstream.lock import ArchivedSource, LockedComponent, LockedSet
from zaffre.upstream.sourcing import SourceKey, given_on, made_from


def choose_sources(
    job: Job,
    sets: Sequence[LockedSet],
    components: Sequence[LockedComponent],
    repositories: Mapping[str, Repositories],
) -> tuple[ArchivedSource, ...]:
    """The sources of all that is given on, sorted. Those that are locked already are not looked for again.

    The packages' own control files are read for it, so they are fetched. Raises DefinitionError for sources that no
    suite has any more.
    """
    distribution, world = job.distribution, job.world
    if not distribution.gives_sources or world.control is None:
        return ()
    packages = list(given_on(distribution, sets, components))
    world.fetch([package for _, package, control in packages if control is None], distribution, job.now)
    wanted: dict[SourceKey, set[str]] = {}
    for upstream, package, control in packages:
        for name, version in made_from(package, control if control is not None else world.control(package)):
            wanted.setdefault((upstream, name, version), set()).add(package.name)
    known = {one.key: one for one in job.old.sources} if job.old else {}
    found = {key: known[key] for key in wanted if key in known}
    gone: dict[SourceKey, set[str]] = {}
    with world.progress.step("sources of all packages") as remark:
        for key in sorted(wanted.keys() - found.keys()):
            upstream, name, version = key
            source = repositories[upstream].source_at(name, version) if upstream in repositories else None
            if source is None:
                gone[key] = wanted[key]
            else:
                found[key] = ArchivedSource(upstream=upstream, name=name, version=version, files=source.files)
        remark(f"{len(found)} source packages, {sum(one.size for one in found.values()) / 1e6:.1f} MB")
    if gone:
        raise _gone(gone)
    return tuple(found[key] for key in sorted(found))


def _gone(gone: Mapping[SourceKey, Iterable[str]]) -> DefinitionError:
    names = sorted({name for packages in gone.values() for name in packages})
    return DefinitionError(
        "no suite has the source of what is locked any more",
        where=f"{DISTRIBUTION_FILE}: {OWN}.sources",
        details="\n".join(f"{key[1]} {key[2]}: {', '.join(sorted(gone[key]))}" for key in gone),
        resolution=f"run `zaffre lock --update {' '.join(names)}` to lock what there is now",
    )
