# SPDX-License-Identifier: Apache-2.0
"""Which packages belong to a set: libsolv's answer over the verified repositories.

libsolv sees packages of one architecture and of none (`noarch`), so there is no multilib; an empty system; and
one synthetic package that provides what the image supplies by itself, or needs what a source is built with. What was
built here stands in a repository above the others. Weak dependencies count when recommends are asked for. Names of
files that `primary` leaves out are read only when a set cannot be solved without them: until then, a package that
needs such a file does not count as a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import solv

from zaffre.definition import Architecture, rpm_architecture
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import BuiltPackage, LockedPackage
from zaffre.upstream.rpm.index import Metadata, RpmIndex, RpmIndexes
from zaffre.upstream.rpm.offered import Offered
from zaffre.upstream.rpm.pool import Newest, locked_package, read_into
from zaffre.upstream.rpm.reasons import Reasons, reasons_of
from zaffre.upstream.solving import SetRequest, Solution, near_names, with_fewest_released

_PROVIDER = "zaffre-provides"
_PROVIDED = re.compile(r"(?P<name>\S+)(?: \(= (?P<version>\S+)\))?")
_RELATION = re.compile(r"(?P<name>\S+)(?: (?P<operator><=|>=|<|>|=) (?P<version>\S+))?")
_OPERATORS = {
    "<": solv.REL_LT,
    ">": solv.REL_GT,
    "=": solv.REL_EQ,
    "<=": solv.REL_LT | solv.REL_EQ,
    ">=": solv.REL_GT | solv.REL_EQ,
}
_EXCLUDED = "Conflicts: "
"""Before a relation, that nothing may be installed which it holds for."""


class ImpossibleError(DefinitionError):
    """A set that cannot be installed. `involved` names the packages that have to do with it."""

    def __init__(self, request: SetRequest, reasons: Reasons) -> None:
        image = (
            "take one of the packages that exclude each other out of the image (`zaffre show` says where each comes "
            "from), or name the repository that has what is missing"
        )
        component = (
            "change what the source says that it is built with by an overlay, or name the repository that has what is "
            "missing"
        )
        super().__init__(
            f"the packages of '{request.name}' cannot be installed together on {request.architecture}",
            where=f"{request.name}: packages",
            details=reasons.text,
            resolution=component if request.relations else image,
        )
        self.involved = reasons.involved
        self.lacks_a_file = reasons.lacks_a_file


class RpmSolver:
    """libsolv with its pools, for several sets of the same repositories; they are loaded once an architecture."""

    def __init__(self, indexes: RpmIndexes, metadata: Metadata, built: Sequence[BuiltPackage] = ()) -> None:
        self._indexes = indexes
        self._metadata = metadata
        self._offered = Offered(built)
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
        # What is offered here replaces what was kept from the upstream.
        kept = {name: version for name, version in (keep or {}).items() if name not in self._offered.names}
        world = self._worlds.get(request.architecture) or self._world(request.architecture)
        try:
            return world.solve(request, kept)
        except ImpossibleError as error:
            if world.complete or not error.lacks_a_file:
                raise
        return self._world(request.architecture, complete=True).solve(request, kept)

    def _world(self, architecture: str, *, complete: bool = False) -> _World:
        indexes = self._indexes.of(architecture)
        self._worlds[architecture] = _World(architecture, indexes, self._metadata, self._offered, complete=complete)
        return self._worlds[architecture]


class _World:
    """A pool of all packages for one architecture; `complete`: with the names of all their files."""

    def __init__(
        self,
        architecture: str,
        indexes: Sequence[RpmIndex],
        metadata: Metadata,
        offered: Offered,
        *,
        complete: bool = False,
    ) -> None:
        self.complete = complete
        self._indexes = indexes
        self._offered = offered
        self._pool = solv.Pool()
        # Twice, so that it is no name of a table of compatible architectures but the list itself.
        basearch = rpm_architecture(Architecture(architecture))
        self._pool.setarch(f"{basearch}:{basearch}")
        read_into(self._pool, indexes, metadata, file_lists=complete)
        offered.read_into(self._pool)
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
        synthetic = self._synthetic(request) if request.provides or request.relations else None
        try:
            self._pool.set_disabled_list(excluded)
            jobs = [job for name in request.packages for job in self._jobs(name)]
            if synthetic is not None:
                jobs.append(self._pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, synthetic.id))
            solver = self._pool.Solver()
            solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, int(not request.recommends))
            problems = solver.solve(jobs)
            if problems:
                raise self._impossible(request, problems)
            chosen = [one for one in solver.transaction().newsolvables() if synthetic is None or one.id != synthetic.id]
            return tuple(sorted((self._locked(one) for one in chosen), key=lambda package: package.key))
        finally:
            self._pool.set_disabled_list([])
            if synthetic is not None:
                synthetic.repo.free(reuseids=True)
                self._pool.createwhatprovides()

    def _jobs(self, name: str) -> list[solv.Job]:
        """What installs a name: a package of that name, or what obsoletes its newest version, or what provides it."""
        named = self._named(name)
        if named:
            newest = max(named, key=Newest)
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

    def _synthetic(self, request: SetRequest) -> solv.XSolvable:
        """A package of what the image has by itself; or one that needs what a source does, in its set's name."""
        package = self._pool.add_repo(_PROVIDER).add_solvable()
        package.name, package.evr, package.arch = request.name if request.relations else _PROVIDER, "1-1", "noarch"
        try:
            self._say(package, request)
        except DefinitionError:
            package.repo.free(reuseids=True)
            raise
        if request.relations:
            self._pool.addfileprovides()
        self._pool.createwhatprovides()
        return package

    def _say(self, package: solv.XSolvable, request: SetRequest) -> None:
        for word in request.provides:
            match = _PROVIDED.fullmatch(word)
            if match is None:
                raise DefinitionError(f"'{word}' is not what a package can provide", where="provides")
            relation = match["name"] + (f" = {match['version']}" if match["version"] else "")
            package.add_deparray(solv.SOLVABLE_PROVIDES, self._dependency(relation))
        for word in request.relations:
            kind = solv.SOLVABLE_CONFLICTS if word.startswith(_EXCLUDED) else solv.SOLVABLE_REQUIRES
            package.add_deparray(kind, self._dependency(word.removeprefix(_EXCLUDED)))

    def _dependency(self, text: str) -> solv.Dep:
        """A relation in rpm's words. Raises DefinitionError for what is none."""
        if text.startswith("("):
            dependency = self._pool.parserpmrichdep(text)
            if dependency is not None:
                return dependency
        elif match := _RELATION.fullmatch(text):
            dependency = self._pool.Dep(match["name"])
            if match["operator"]:
                dependency = dependency.Rel(_OPERATORS[match["operator"]], self._pool.Dep(match["version"]))
            return dependency
        raise DefinitionError(f"'{text}' is not a relation of packages", resolution="see rpm-dependencies(7)")

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
        """What the lock keeps of a package."""
        return self._offered.package(one) or locked_package(one, self._indexes[int(one.repo.name)])


def _blamed(error: DefinitionError) -> Iterator[str]:
    if isinstance(error, ImpossibleError):
        yield from error.involved
