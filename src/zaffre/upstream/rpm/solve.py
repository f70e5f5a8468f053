# SPDX-License-Identifier: Apache-2.0
"""Which packages belong to a set: libsolv's answer over the verified repositories.

libsolv sees packages of one architecture and of none (`noarch`), so there is no multilib; an empty system; and
one synthetic package that provides what the image supplies by itself. Weak dependencies count when recommends
are asked for. Names of files that `primary` leaves out are read only when a set cannot be solved without them:
until then, a package that needs such a file does not count as a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import solv

from zaffre.definition import Architecture, rpm_architecture
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.upstream.lock import LockedPackage, LockedSuite
from zaffre.upstream.rpm.index import FILELISTS, Metadata, RpmIndex, RpmIndexes
from zaffre.upstream.rpm.package import architecture_of
from zaffre.upstream.rpm.reasons import Reasons, reasons_of
from zaffre.upstream.rpm.solvfile import solv_file
from zaffre.upstream.solving import SetRequest, Solution, near_names, with_fewest_released

_PROVIDER = "zaffre-provides"
_PROVIDED = re.compile(r"(?P<name>\S+)(?: \(= (?P<version>\S+)\))?")
_SOURCE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?:no)?src\.rpm")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


class ImpossibleError(DefinitionError):
    """A set that cannot be installed. `involved` names the packages that have to do with it."""

    def __init__(self, request: SetRequest, reasons: Reasons) -> None:
        super().__init__(
            f"the packages of '{request.name}' cannot be installed together on {request.architecture}",
            where=f"{request.name}: packages",
            details=reasons.text,
            resolution="take one of the packages that exclude each other out of the image (`zaffre show` says where "
            "each comes from), or name the repository that has what is missing",
        )
        self.involved = reasons.involved
        self.lacks_a_file = reasons.lacks_a_file


class RpmSolver:
    """libsolv with its pools, for several sets of the same repositories; they are loaded once an architecture."""

    def __init__(self, indexes: RpmIndexes, metadata: Metadata) -> None:
        self._indexes = indexes
        self._metadata = metadata
        self._worlds: dict[str, _World] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worlds.clear()

    def solve(self, request: SetRequest, *, keep: Mapping[str, str] | None = None) -> Solution:
        """The set that a new system would get. `keep` maps names to versions that should stay as they are.

        A kept version that the repositories no longer have, or that makes the set impossible, is released.
        Raises DefinitionError for unknown packages and for sets that cannot be installed together.
        """
        indexes = self._indexes.of(request.architecture)
        world = self._worlds.get(request.architecture)
        if world is None:
            world = self._worlds[request.architecture] = _World(request.architecture, indexes, self._metadata)
        try:
            return world.solve(request, keep or {})
        except ImpossibleError as error:
            if world.complete or not error.lacks_a_file:
                raise
        world = _World(request.architecture, indexes, self._metadata, complete=True)
        self._worlds[request.architecture] = world
        return world.solve(request, keep or {})


class _World:
    """A pool of all packages for one architecture; `complete`: with the names of all their files."""

    def __init__(
        self, architecture: str, indexes: Sequence[RpmIndex], metadata: Metadata, *, complete: bool = False
    ) -> None:
        self.complete = complete
        self._indexes = indexes
        self._pool = solv.Pool()
        # Twice, so that it is no name of a table of compatible architectures but the list itself.
        basearch = rpm_architecture(Architecture(architecture))
        self._pool.setarch(f"{basearch}:{basearch}")
        for number, index in enumerate(indexes):
            repository = self._pool.add_repo(str(number))
            repository.subpriority = -number
            listed = complete and FILELISTS in index.repomd.files
            file = solv.xfopen(str(solv_file(index, metadata, file_lists=listed)))
            try:
                if not repository.add_solv(file):
                    raise IntegrityError(
                        "libsolv cannot read what it wrote itself",
                        where=index.where,
                        details=str(self._pool.errstr),
                        resolution="`zaffre store verify --repair` takes damaged files out of the store",
                    )
            finally:
                file.close()
        self._pool.addfileprovides()
        self._pool.createwhatprovides()

    def solve(self, request: SetRequest, keep: Mapping[str, str]) -> Solution:
        self._check_names(request)
        pins = {name: version for name, version in keep.items() if self._others(name, version) is not None}
        packages = with_fewest_released(lambda kept: self._install(request, kept), pins, _blamed)
        got = {package.name: package.version for package in packages}
        released = tuple(sorted(name for name, version in keep.items() if got.get(name, version) != version))
        return Solution(packages, released)

    def _install(self, request: SetRequest, pins: Mapping[str, str]) -> tuple[LockedPackage, ...]:
        # A disabled package is no choice, and pins are kept by disabling all other versions of theirs.
        excluded = [one.id for name, version in pins.items() for one in self._others(name, version) or ()]
        provider = self._provider(request.provides) if request.provides else None
        try:
            self._pool.set_disabled_list(excluded)
            jobs = [job for name in request.packages for job in self._jobs(name)]
            if provider is not None:
                jobs.append(self._pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, provider.id))
            solver = self._pool.Solver()
            solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, int(not request.recommends))
            problems = solver.solve(jobs)
            if problems:
                raise self._impossible(request, problems)
            chosen = [one for one in solver.transaction().newsolvables() if one.name != _PROVIDER]
            return tuple(sorted((self._locked(one) for one in chosen), key=lambda package: package.key))
        finally:
            self._pool.set_disabled_list([])
            if provider is not None:
                provider.repo.free(reuseids=True)
                self._pool.createwhatprovides()

    def _jobs(self, name: str) -> list[solv.Job]:
        """What installs a name: a package of that name, or what obsoletes its newest version, or what provides it."""
        named = self._named(name)
        if named:
            newest = max(named, key=_Newest)
            heirs = {one.name for one in self._pool.whatmatchessolvable(solv.SOLVABLE_OBSOLETES, newest)} - {name}
            if heirs:
                ids = [one.id for heir in sorted(heirs) for one in self._named(heir)]
                return [
                    self._pool.Job(
                        solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE_ONE_OF, int(self._pool.towhatprovides(ids))
                    )
                ]
            return list(self._pool.select(name, solv.Selection.SELECTION_NAME).jobs(solv.Job.SOLVER_INSTALL))
        return list(self._pool.select(name, solv.Selection.SELECTION_PROVIDES).jobs(solv.Job.SOLVER_INSTALL))

    def _named(self, name: str) -> list[solv.XSolvable]:
        """All versions of a package, those that are disabled for the moment too."""
        flags = solv.Selection.SELECTION_NAME | solv.Selection.SELECTION_WITH_DISABLED
        return [one for one in self._pool.select(name, flags).solvables() if one.name == name]

    def _others(self, name: str, version: str) -> list[solv.XSolvable] | None:
        """Other versions of a package than the one; None when there is no such version."""
        named = self._named(name)
        return [one for one in named if one.evr != version] if any(one.evr == version for one in named) else None

    def _provider(self, provides: Iterable[str]) -> solv.XSolvable:
        """A package of what the image has by itself."""
        package = self._pool.add_repo(_PROVIDER).add_solvable()
        package.name, package.evr, package.arch = _PROVIDER, "1-1", "noarch"
        for word in provides:
            match = _PROVIDED.fullmatch(word)
            if match is None:
                raise DefinitionError(f"'{word}' is not what a package can provide", where="provides")
            dependency = self._pool.Dep(match["name"])
            if match["version"]:
                dependency = dependency.Rel(solv.REL_EQ, self._pool.Dep(match["version"]))
            package.add_deparray(solv.SOLVABLE_PROVIDES, dependency)
        self._pool.createwhatprovides()
        return package

    def _impossible(self, request: SetRequest, problems: Iterable[solv.Problem]) -> DefinitionError:
        reasons = reasons_of(problems)
        if _PROVIDER in reasons.involved:
            return DefinitionError(
                f"a package of '{request.name}' conflicts with what the image provides by itself",
                where=f"{request.name}: provides",
                details=f"{', '.join(request.provides)}\n{reasons.text}",
                resolution="take the virtual package out of `provides`, or the package out of `packages`",
            )
        return ImpossibleError(request, reasons)

    def _check_names(self, request: SetRequest) -> None:
        lines: list[str] = []
        suggestions: list[str] = []
        for name in sorted(set(request.packages)):
            if self._named(name):
                continue
            providers = sorted({one.name for one in self._pool.whatprovides(self._pool.Dep(name))})
            if len(providers) == 1:
                continue
            if providers:
                lines.append(f"'{name}' is a virtual package, provided by {', '.join(providers[:8])}")
                suggestions.append("name one of the packages that provide it")
                continue
            near = near_names(name, {one.name for one in self._pool.solvables_iter()})
            lines.append(f"'{name}' is in no repository of the upstream for {request.architecture}")
            if near:
                suggestions.append(f"did you mean {' or '.join(repr(one) for one in near)}?")
        if lines:
            raise DefinitionError(
                lines[0] if len(lines) == 1 else f"{len(lines)} packages of '{request.name}' do not exist",
                where=f"{request.name}: packages",
                details="\n".join(lines) if len(lines) > 1 else None,
                resolution="; ".join(dict.fromkeys(suggestions)) or "mend the name, or name the repository that has it",
            )

    def _locked(self, one: solv.XSolvable) -> LockedPackage:
        """What the lock keeps of a package. Raises IntegrityError for metadata that lacks something or is senseless."""
        index = self._indexes[int(one.repo.name)]
        try:
            return _locked(one, index.suite)
        except (ValueError, TypeError) as error:  # pydantic's too
            raise IntegrityError(
                f"the metadata of '{one.name}' is malformed",
                where=index.where,
                details=str(error),
                resolution="tell the repository's owner; it was published like this",
            ) from error


def _locked(one: solv.XSolvable, suite: LockedSuite) -> LockedPackage:
    location, _ = one.lookup_location()
    checksum = _SHA256.fullmatch(str(one.lookup_checksum(solv.SOLVABLE_CHECKSUM)))
    if checksum is None:
        raise ValueError("its metadata has no SHA-256 of it")
    if base := one.lookup_str(solv.SOLVABLE_MEDIABASE):
        raise ValueError(f"it is at another place ({base[:200]!r})")
    source = _SOURCE.fullmatch(one.lookup_sourcepkg() or "")
    return LockedPackage(
        name=one.name,
        version=one.evr,
        architecture=architecture_of(one.arch),
        sha256=checksum[1],
        size=one.lookup_num(solv.SOLVABLE_DOWNLOADSIZE),
        path=f"{suite.suite}/{location}",
        suite=suite.suite,
        archive=suite.archive,
        source=source["name"] if source else one.name,
        source_version=source["version"] if source else one.evr,
    )


class _Newest:
    """The order of versions, for `max`: libsolv's own comparison."""

    def __init__(self, one: solv.XSolvable) -> None:
        self._one = one

    def __lt__(self, other: _Newest) -> bool:
        return bool(self._one.evrcmp(other._one) < 0)


def _blamed(error: DefinitionError) -> Iterator[str]:
    if isinstance(error, ImpossibleError):
        yield from error.involved
