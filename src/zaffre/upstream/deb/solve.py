# SPDX-License-Identifier: Apache-2.0
"""Which packages belong to a set: apt's own answer, from the tools tree, over the verified indexes.

apt sees a repository of the indexes that were verified (the texts of the Releases too, for their pins), an
empty system with one synthetic package that provides what the image supplies by itself, and nothing of the
host. The simulated installation is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store, copy_sparse, disk_full_guard
from zaffre.upstream.deb.aptwords import plain_reason
from zaffre.upstream.deb.control import parse_stanza
from zaffre.upstream.deb.index import Index, Indexes, Universe
from zaffre.upstream.deb.offered import offered_names, preferences
from zaffre.upstream.lock import LockedPackage, LockedSuite
from zaffre.upstream.solving import SetRequest, Solution, near_names, with_fewest_released

_HERE = "/tmp/solve"  # noqa: S108 - inside the sandbox, whose /tmp is its own
_PROVIDER = "zaffre-provides"
_TIME_LIMIT = 300.0
_INSTALL = re.compile(
    r"Inst (?P<name>[^\s:]+)(?::\S+)? (?:\[[^\]]*\] )?\((?P<version>\S+) .*\[(?P<architecture>[^\]\s]+)\]\)"
)
# Sums of other files, and what was judged when the Release was verified.
_NOT_HERE = {"MD5Sum", "SHA1", "SHA256", "SHA512", "Acquire-By-Hash", "Valid-Until", "Signed-By"}
_WORD = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_CONFIGURATION = """\
Dir::State "{here}/state";
Dir::State::status "{here}/status";
Dir::Cache "{here}/cache";
Dir::Log "{here}/log";
Dir::Etc "{here}/etc";
Dir::Etc::sourcelist "{here}/sources.list";
Dir::Etc::sourceparts "{here}/etc";
Dir::Etc::preferences "{here}/preferences";
Dir::Etc::preferencesparts "{here}/etc";
Dir::Etc::parts "{here}/etc";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Install-Suggests "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
"""


class Solver:
    """apt with its caches, for several sets of the same indexes; they are loaded once an architecture."""

    def __init__(self, indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
        self._indexes = indexes
        self._sandbox = sandbox
        self._store = store
        self._stack = ExitStack()
        self._workshops: dict[str, _Workshop] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def solve(self, request: SetRequest, *, keep: Mapping[str, str] | None = None) -> Solution:
        """The set that apt would install. `keep` maps names to versions that should stay as they are.

        A kept version that the indexes no longer have, or that makes the set impossible, is released.
        Raises DefinitionError for unknown packages and for sets that cannot be installed together.
        """
        universe = self._indexes.universe(request.architecture)
        _check_names(request, universe)
        workshop = self._workshops.get(request.architecture)
        if workshop is None:
            directory = self._stack.enter_context(self._store.scratch("solve"))
            workshop = _Workshop(directory, universe, self._sandbox, self._store)
            self._workshops[request.architecture] = workshop
        # What is offered here replaces what was kept from the upstream.
        wanted = {name: version for name, version in (keep or {}).items() if name not in offered_names(self._indexes)}
        pins = {
            name: version
            for name, version in wanted.items()
            if any(one.version == version for one in universe.candidates(name))
        }
        packages = with_fewest_released(lambda kept: workshop.install(request, kept), pins, _blamed)
        got = {package.name: package.version for package in packages}
        released = tuple(sorted(name for name, version in wanted.items() if got.get(name, version) != version))
        return Solution(packages, released)


def _blamed(error: DefinitionError) -> list[str]:
    """What may be names of packages in apt's words."""
    return _WORD.findall(error.details or "")


def resolve(
    request: SetRequest,
    indexes: Indexes,
    sandbox: Sandbox,
    *,
    store: Store,
    keep: Mapping[str, str] | None = None,
) -> tuple[LockedPackage, ...]:
    """One set, solved once: see `Solver.solve`."""
    with Solver(indexes, sandbox, store) as solver:
        return solver.solve(request, keep=keep).packages


class _Workshop:
    """A directory in which apt works for one architecture."""

    def __init__(self, directory: Path, universe: Universe, sandbox: Sandbox, store: Store) -> None:
        self._directory = directory
        self._universe = universe
        self._sandbox = sandbox
        for name in ("etc", "log", "state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        configuration = _CONFIGURATION.format(here=_HERE, architecture=universe.architecture)
        (directory / "apt.conf").write_text(configuration)
        self._mounts = [Mount(directory, _HERE, writable=True)]
        suites: dict[LockedSuite, list[Index]] = {}
        for index in universe.indexes:
            suites.setdefault(index.suite, []).append(index)
        sources = ""
        for suite, indexes in suites.items():
            below = f"{suite.archive}/dists/{suite.suite}"
            release = directory / below / "Release"
            release.parent.mkdir(parents=True)
            release.write_text(_release(store.path(Sha256(suite.release_sha256)).read_text(), indexes))
            for index in indexes:
                _copy_index(index, directory / below / _path(index))
            components = " ".join(dict.fromkeys(index.component for index in indexes))
            options = f"trusted=yes arch={universe.architecture}"
            sources += f"deb [{options}] file:{_HERE}/{suite.archive} {suite.suite} {components}\n"
        (directory / "sources.list").write_text(sources)
        self._write_status(())
        completed = self._apt("apt-get", "-q", "update")
        if completed.returncode != 0:
            raise ToolError(
                "apt cannot read the indexes",
                command="apt-get update",
                returncode=completed.returncode,
                details=completed.text,
            )

    def install(self, request: SetRequest, pins: Mapping[str, str]) -> tuple[LockedPackage, ...]:
        self._write_status(request.provides)
        (self._directory / "preferences").write_text(
            preferences(self._universe.indexes)
            + "\n".join(
                f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n"
                for name, version in sorted(pins.items())
            )
        )
        names = sorted({*(self._universe.essential if request.essential else ()), *request.packages})
        completed = self._apt(
            "apt-get",
            "--simulate",
            "-q",
            "-y",
            "-o",
            f"APT::Install-Recommends={str(request.recommends).lower()}",
            "satisfy" if request.relations else "install",
            *names,
            *request.relations,
        )
        if completed.returncode != 0:
            raise DefinitionError(
                f"the packages of '{request.name}' cannot be installed together on {request.architecture}",
                where=f"{request.name}: packages",
                details=plain_reason(completed.stdout, completed.stderr),
                resolution="take one of the packages that exclude each other out of the image "
                "(`zaffre show` says where each comes from), or name another that does the same",
            )
        if re.search(rf"^Remv {_PROVIDER}\b", completed.stdout, re.MULTILINE):
            raise DefinitionError(
                f"a package of '{request.name}' conflicts with what the image provides by itself",
                where=f"{request.name}: provides",
                details=", ".join(request.provides),
                resolution="take the virtual package out of `provides`, or the package out of `packages`",
            )
        return tuple(sorted(self._locked(completed.stdout), key=lambda package: package.key))

    def _locked(self, output: str) -> Iterator[LockedPackage]:
        for line in output.splitlines():
            if not line.startswith("Inst "):
                continue
            match = _INSTALL.match(line)
            found = match and self._universe.find(match["name"], match["version"], match["architecture"])
            if not found:
                raise IntegrityError("apt chose a package that the verified indexes do not have", details=line)
            yield found.locked()

    def _write_status(self, provides: Sequence[str]) -> None:
        """Write dpkg's status: an empty system, but for one package that provides what the image has by itself."""
        stanza = (
            f"Package: {_PROVIDER}\nStatus: install ok installed\nPriority: required\nSection: admin\n"
            "Maintainer: Zaffre\nArchitecture: all\nMulti-Arch: foreign\nVersion: 1\n"
            f"Provides: {', '.join(provides)}\nDescription: what the image supplies by itself\n\n"
        )
        (self._directory / "status").write_text(stanza if provides else "")

    def _apt(self, *argv: str) -> _Answer:
        completed = self._sandbox.run(
            argv,
            mounts=self._mounts,
            env={"APT_CONFIG": f"{_HERE}/apt.conf"},
            timeout=_TIME_LIMIT,
            check=False,
        )
        return _Answer(completed.returncode, completed.stdout.decode(errors="replace"), completed.stderr_tail)


def _copy_index(index: Index, target: Path) -> None:
    """A copy, since apt loses what it knows of a file whose time changes, as the store's does when it is used."""
    target.parent.mkdir(parents=True)
    with disk_full_guard(target):
        copy_sparse(index.path, target)


def _path(index: Index) -> str:
    return f"{index.component}/binary-{index.architecture}/Packages"


def _release(verified: str, indexes: Sequence[Index]) -> str:
    """The verified Release with its origin, pins and names, announcing just the indexes that are here."""
    fields = parse_stanza(verified)
    kept = "".join(f"{name}: {value}\n" for name, value in fields.items() if name not in _NOT_HERE)
    sums = "".join(f" {index.sha256} {index.path.stat().st_size} {_path(index)}\n" for index in indexes)
    return f"{kept}SHA256:\n{sums}"


@dataclass(frozen=True)
class _Answer:
    returncode: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"{self.stdout.strip()}\n{self.stderr.strip()}".strip()


def _check_names(request: SetRequest, universe: Universe) -> None:
    """Say what apt would say of unknown and virtual names, but with help."""
    lines: list[str] = []
    suggestions: list[str] = []
    for name in sorted(set(request.packages)):
        if universe.candidates(name):
            continue
        providers = [provider for provider, _ in universe.providers.get(name, ())]
        if len(providers) == 1:
            continue
        if providers:
            lines.append(f"'{name}' is a virtual package, provided by {', '.join(sorted(providers)[:8])}")
            suggestions.append("name one of the packages that provide it")
            continue
        near = near_names(name, universe.names)
        lines.append(f"'{name}' is in no suite of the upstream for {request.architecture}")
        if near:
            suggestions.append(f"did you mean {' or '.join(repr(one) for one in near)}?")
    if lines:
        raise DefinitionError(
            lines[0] if len(lines) == 1 else f"{len(lines)} packages of '{request.name}' do not exist",
            where=f"{request.name}: packages",
            details="\n".join(lines) if len(lines) > 1 else None,
            resolution="; ".join(dict.fromkeys(suggestions)) or "mend the name, or name the suite that has it",
        )
