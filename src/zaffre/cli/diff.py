# SPDX-License-Identifier: Apache-2.0
"""`zaffre diff`: what differs between two locks, images or builds, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.compare import Knowledge, Subject
    from zaffre.compare.subject import PackageSet
    from zaffre.definition import Distribution
    from zaffre.definition.explain import Explained

SideArgument = Annotated[
    str, typer.Argument(metavar="A", help="The one side: a lock, a build, an image, git:REVISION.")
]


def diff(
    context: typer.Context,
    a: SideArgument,
    b: Annotated[str, typer.Argument(metavar="B", help="The other side, of the same or another kind.")],
    image: Annotated[
        str | None, typer.Option("--image", metavar="NAME", help="Of a lock, only the packages of this image.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="ARCH", help="Of a lock or an image: this architecture.")
    ] = None,
    top: Annotated[
        int,
        typer.Option("--top", metavar="N", help="How many files, packages and folders to list of each kind.", min=1),
    ] = 20,
    all_: Annotated[bool, typer.Option("--all", help="List everything.")] = False,
    json: JsonOption = False,
) -> None:
    """Say what differs between two locks, images or builds, and why: first what gives anybody new rights.

    A side is a lock file; git:REVISION (or REVISION:), the distribution's lock as it was then; the folder of a build or
    an artifact in it; or the name of an image, which stands for its packages in the lock now. Two builds are compared
    whole: packages, files, setuid, units, kernel settings, users, sizes. Where a side is no build, packages and users
    are all that both have. Nothing is built, fetched or changed; `zaffre verify` says whether a build is genuine.

    Exit code 0: no difference; 1: there is one, as diff(1) has it.

    Examples: zaffre diff out/node-1.20261101.1-amd64 out/node-1.20261122.1-amd64; zaffre diff git:HEAD~1 zaffre.lock;
    zaffre diff git:v1 node --json
    """
    from zaffre.cli.differing import words
    from zaffre.compare import Reader, compare

    work = workspace(context)
    distribution = _distribution(work)
    reader = Reader(distribution, image, arch)
    one, other = reader.read(a), reader.read(b)
    found = compare(
        one,
        other,
        learn=lambda subject, chosen: _learn(work, distribution, subject, chosen),
        settings=_settings(distribution, one, other),
    )
    work.emit(found, lambda: words(found, None if all_ else top), as_json=json)
    if not found.same:
        raise typer.Exit(ExitCode.FINDING)


def _distribution(work: Workspace) -> Distribution | None:
    """The distribution, if there is one here: two builds can be compared without."""
    return work.distribution if work.find_distribution() is not None else None


def _settings(
    distribution: Distribution | None, one: Subject, other: Subject
) -> tuple[list[Explained], list[Explained]] | None:
    from zaffre.compare.report import SideKind
    from zaffre.definition import explain

    if distribution is None or not one.side.kind == other.side.kind == SideKind.IMAGE:
        return None
    if one.image is None or other.image is None:
        return None
    return explain(distribution, one.image), explain(distribution, other.image)


def _learn(work: Workspace, distribution: Distribution | None, subject: Subject, chosen: PackageSet) -> Knowledge:
    """What the definition asks for, of a set that answers the definition, and who needs whom, from the store."""
    from zaffre.compare import Knowledge
    from zaffre.tree.dependants import dependants

    if distribution is None or (subject.lock is not None and subject.lock.distribution != distribution.identity.id):
        return Knowledge()
    asked = _asked(distribution, chosen) if _answers(distribution, subject, chosen) else None
    locked = chosen.locked
    if locked is None or locked.upstream not in distribution.upstreams or not work.store_path.is_dir():
        return Knowledge(asked)
    upstream = distribution.upstreams[locked.upstream]
    return Knowledge(asked, dependants(locked.packages, upstream=upstream, store=work.store))


def _answers(distribution: Distribution, subject: Subject, chosen: PackageSet) -> bool:
    """Whether the set was made from the definition as it is now: what that asks for explains no other."""
    from zaffre.definition import OWN, digest
    from zaffre.upstream.requests import image_wanted, is_called_for, repository_wanted, staleness

    if chosen.name == OWN and is_called_for(distribution, OWN):
        return staleness(repository_wanted(distribution, chosen.architecture), chosen.locked) is None
    if chosen.name not in distribution.images:
        return False
    image = distribution.image(chosen.name)
    if subject.manifest is not None:
        return subject.manifest.definition == digest(distribution, image)
    return staleness(image_wanted(distribution, image, chosen.architecture), chosen.locked) is None


def _asked(distribution: Distribution, chosen: PackageSet) -> dict[str, str]:
    """Where the definition asks for each package of an image, or of the repository."""
    from zaffre.definition import DISTRIBUTION_FILE, OWN, explain

    if chosen.name == OWN:
        return dict.fromkeys(distribution.repository_packages, f"{DISTRIBUTION_FILE}: {OWN}.packages")
    image = distribution.image(chosen.name)
    rows = {
        str(row.value).replace("{arch}", chosen.architecture): f"{row.origin}: {row.origin_key}"
        for row in explain(distribution, image.name)
        if row.key.startswith("packages[") or row.key == "kernel.package"
    }
    names = image.requested_packages(distribution.architecture(chosen.architecture))
    return {name: rows.get(name, f"the definition of {image.name}") for name in names}
