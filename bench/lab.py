# SPDX-License-Identifier: Apache-2.0
"""Where the measurements are made: a folder of our own with everything that they need, so that none uses the network.

The definition is the reference one with the peers' programs added to its tools, locked by `zaffre lock`: all
builders run from one tools tree and build from the very same package files. What is fetched or made on the
way to that is kept in the user's store; what is measured happens in a store in the lab, which goes with it.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure import BenchError, tail

import zaffre
from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.definition import Architecture, Image
from zaffre.digest import Sha256
from zaffre.image import SigningKeys
from zaffre.machine import Architecture as Processor
from zaffre.machine import OwnerCertificates, architecture_named
from zaffre.sandbox import Mount, Sandbox
from zaffre.sandbox.command import Request, bwrap_arguments
from zaffre.sandbox.namespace import current_privilege
from zaffre.store import ActionKey, Store
from zaffre.trust import Role
from zaffre.upstream import COMPONENTS, Lock, LockedComponent, LockedPackage
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.deb.solve import Solver
from zaffre.upstream.fetch import DroppedError
from zaffre.upstream.solving import SetRequest

IMAGE = "container-host"
PROFILE = "dev"
EXTRA_TOOLS = (
    "apt-utils",
    "debian-archive-keyring",
    "iproute2",
    "libsolv-tools",
    "mkosi",
    "mmdebstrap",
    "nghttp2-client",
    "nginx-light",
    "openssh-client",
    "sbuild",
    "uidmap",
)
"""What the peers need besides our own tools; apt-utils makes the index of the local archive, openssh-client logs in to
servers, iproute2 and uidmap are sbuild's, and nghttp2's client asks nginx what agents ask for."""
CONTAINERS = ("base", "base-again", "distroless", "distroless-static")
"""Container images that are built to be measured; the second is made for that (containers.py)."""
COMPONENTS_BUILT = ("lz4",)
"""Components that are built to be measured."""
PERMISSIVE, CHECK_PERMISSIVE = "permissive-host", "check-permissive-host"
UNCONFINED, CHECK_UNCONFINED = "unconfined-host", "check-unconfined-host"
"""The host with a policy that refuses nothing and the one without, and the probes for each: made to be measured beside
the host as it is (confining.py)."""

_MADE = {
    PERMISSIVE: f'extends = ["{IMAGE}"]\n[selinux]\nmode = "permissive"\n',
    CHECK_PERMISSIVE: f'extends = ["check"]\nbase = "{PERMISSIVE}"\n',
    UNCONFINED: f'extends = ["{IMAGE}"]\n[selinux]\nmode = "off"\n',
    CHECK_UNCONFINED: f'extends = ["check"]\nbase = "{UNCONFINED}"\n',
}
_ROOT = Path(__file__).resolve().parent.parent
_TOOLS_TABLE = re.compile(r"^\[tools\]\s*\npackages = \[\s*\n", re.MULTILINE)
_COMMAND_SECONDS = 1800.0
_COMPONENTS = tuple(word for name in COMPONENTS_BUILT for word in ("--component", name))

Say = Callable[[str], None]
Extra = Callable[[Indexes, str, tuple[str, ...]], Iterable[SetRequest]]
"""What is to be at hand besides the image's own packages, by indexes, architecture and the names it asks for."""


@dataclass(frozen=True)
class Lab:
    """`packages`: the locked packages of the image; `others`: what the peers' images have besides, or in the upstream's
    own form where ours is a component; `sets`: the names of all packages of each request that was made for them.
    """

    folder: Path
    definition: Path
    store: Path
    keys_folder: Path
    image: Image
    architecture: Processor
    suite: str
    epoch: int
    keys: SigningKeys
    certificates: OwnerCertificates
    sandbox: Sandbox
    packages: tuple[LockedPackage, ...]
    others: tuple[LockedPackage, ...]
    sets: Mapping[str, tuple[str, ...]]
    package_files: Store
    lock: Lock

    def zaffre(self, *words: str) -> list[str]:
        """The command line of our own program, as a user would type it."""
        places = ("--distro", str(self.definition), "--store", str(self.store), "--keys", str(self.keys_folder))
        return [_program(), *places, "--quiet", *words]

    def boxed(self, argv: Sequence[str], *, mounts: Sequence[Mount], cwd: str = "/") -> list[str]:
        """The command line of a peer, in the same sandbox that our own steps run in."""
        request = Request(
            argv=argv,
            tools=self.sandbox.tools,
            root=None,
            privilege=current_privilege(),
            mounts=mounts,
            cwd=cwd,
        )
        return bwrap_arguments(request, bwrap=shutil.which("bwrap") or "bwrap")

    @property
    def same(self) -> tuple[LockedPackage, ...]:
        """What a builder of the very same image takes: its packages, and of the others what it has not got."""
        have = {package.name for package in self.packages}
        return (*self.packages, *(one for one in self.others if one.name not in have))

    @property
    def stock(self) -> tuple[LockedPackage, ...]:
        """The upstream's own packages only."""
        return (*(one for one in self.packages if one.archive != COMPONENTS), *self.others)

    def component(self, name: str) -> LockedComponent:
        """A component as it is locked."""
        found = self.lock.component(name, self.architecture.name)
        if found is None:
            raise BenchError(f"the component {name} is not locked")
        return found

    def build_packages(self, name: str, request: str) -> tuple[LockedPackage, ...]:
        """What a component is built with, and what the set of a request that was made besides has."""
        built_with = self.lock.set(self.component(name).build_set, self.architecture.name).packages
        have = {package.name for package in built_with}
        wanted = set(self.sets[request]) - have
        return (*built_with, *(one for one in (*self.packages, *self.others) if one.name in wanted))

    @property
    def asked(self) -> tuple[str, ...]:
        """The packages that the definition asks for, the kernel included."""
        return self.image.requested_packages(Architecture(self.architecture.name))

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def lab(folder: Path, *, extra: Extra, say: Say, images: Sequence[str] = ()) -> Iterator[Lab]:
    """A lab in the empty `folder`. `images` are to be built there too, besides the one that it is about.

    When mirrors have moved on from the project's lock, all is locked anew, in the lab. Raises BenchError, ZaffreError.
    """
    definition = folder / "definition"
    copy_definition(definition)
    _compile_program()
    keys = folder / "keys"
    _run([_program(), "--keys", str(keys), "keys", "init", "--owner", "bench"], folder / "keys.log")
    say("locking the definition and the peers' programs")
    _run([_program(), "--distro", str(definition), "lock", *_COMPONENTS], folder / "lock.log")
    try:
        with _made(folder, extra, images, say) as found:
            yield found
        return
    except _MovedOnError as reason:
        say(f"{reason}: locking anew, in the lab only")
    _run([_program(), "--distro", str(definition), "lock", "--update", *_COMPONENTS], folder / "lock.log")
    with _made(folder, extra, images, say) as found:
        yield found


class _MovedOnError(BenchError):
    """The mirrors have no longer what is locked."""


@contextmanager
def _made(folder: Path, extra: Extra, images: Sequence[str], say: Say) -> Iterator[Lab]:
    with ExitStack() as stack:
        work = stack.enter_context(Workspace())
        work.distro = folder / "definition"
        work.keys_directory = folder / "keys"
        making = Making(work)
        image = work.distribution.image(IMAGE)
        architecture = architecture_named(making.tools_architecture)
        locked = making.lock.set(image.name, architecture.name)
        further = {one.key: one for name in images for one in making.lock.set(name, architecture.name).packages}
        components = [making.lock.component(name, architecture.name) for name in COMPONENTS_BUILT]
        try:
            making.fetch(locked.packages)
            making.fetch(further.values())
            for component in components:
                if component is not None:
                    making.fetch_component(component)
            sandbox = making.sandbox
            have = _versions(locked.packages)
            keep = _versions(further.values()) | have
            others, sets = _others(making, image, extra, have=have, keep=keep)
            making.fetch(others)
        except DroppedError as error:
            raise _MovedOnError(str(error)) from error
        say("filling the lab's own store")
        store = _own_store(folder / "store", making, _needed(making, (image.name, *images), architecture.name))
        certificates = work.certificates
        upstream = work.distribution.upstream_of(image)
        yield Lab(
            folder=folder,
            definition=work.distribution.root,
            store=store,
            keys_folder=work.keys_path,
            image=image,
            architecture=architecture,
            suite=upstream.suites[0].suite,
            epoch=making.lock.epoch,
            keys=making.signing_keys,
            certificates=OwnerCertificates(*(certificates[role].path for role in (Role.PK, Role.KEK, Role.DB))),
            sandbox=sandbox,
            packages=locked.packages,
            others=others,
            sets=sets,
            package_files=work.store,
            lock=making.lock,
        )


def _others(
    making: Making, image: Image, extra: Extra, *, have: Mapping[str, str], keep: Mapping[str, str]
) -> tuple[tuple[LockedPackage, ...], dict[str, tuple[str, ...]]]:
    """What `extra` asks for and is not at hand as what we `have`, and the names in each request's set.

    What is named in `keep` comes in that version.
    """
    work = making.work
    architecture = making.tools_architecture
    indexes = refresh(
        work.distribution.upstream_of(image),
        making.mirrors,
        work.store,
        architectures=[architecture],
        now=work.now,
        progress=work.progress,
    )
    found: dict[tuple[str, str], LockedPackage] = {}
    sets: dict[str, tuple[str, ...]] = {}
    with Solver(indexes, making.sandbox, work.store) as solver:
        # A package that is split off here comes to a peer, if it needs it, with the one that it is split off from.
        known = {name for index in indexes.universe(architecture).indexes for name in index.stanzas}
        asked = [name for name in image.requested_packages(Architecture(architecture)) if name in known]
        for request in extra(indexes, architecture, asked):
            solution = solver.solve(request, keep=keep)
            if moved := sorted(set(solution.released) & keep.keys()):
                raise _MovedOnError(f"mirrors have other versions of {', '.join(moved)}")
            sets[request.name] = tuple(one.name for one in solution.packages)
            found |= {one.key: one for one in solution.packages if one.name not in have}
    return tuple(found[key] for key in sorted(found)), sets


def _versions(packages: Iterable[LockedPackage]) -> dict[str, str]:
    """Of the upstream's own packages."""
    return {package.name: package.version for package in packages if package.archive != COMPONENTS}


def _needed(making: Making, images: Iterable[str], architecture: str) -> set[Sha256]:
    """Packages of the images and of the tools, and all that the components are made of and with."""
    lock = making.lock
    sets = (*(lock.set(image, architecture) for image in images), making.tools_set)
    found = {one.digest for packages in sets for one in packages.packages}
    for name in COMPONENTS_BUILT:
        component = lock.component(name, architecture)
        if component is not None:
            found |= {file.digest for file in component.source.files}
            found |= {one.digest for one in lock.set(component.build_set, architecture).packages}
    return found


def _own_store(root: Path, making: Making, blobs: Iterable[Sha256]) -> Path:
    """A store with these files and the tools tree, and nothing that was made of the image."""
    theirs = making.work.store
    store = Store(root)
    for digest in blobs:
        store.add_file(theirs.path(digest), expected=digest)
    tools = making.sandbox.tools
    store.add_tree(ActionKey(tools.key), lambda place: _copy_tree(tools.root, place))
    return root


def _copy_tree(source: Path, target: Path) -> None:
    """By links where that is possible: the files of a tools tree are never changed."""
    linked = subprocess.run(["cp", "-al", f"{source}/.", target], capture_output=True, check=False)
    if linked.returncode != 0:
        for entry in target.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        subprocess.run(["cp", "-a", f"{source}/.", target], capture_output=True, check=True)
    shutil.copystat(source, target)


def copy_definition(target: Path) -> None:
    """The reference definition, with the peers' programs among its tools and images that are made to be measured."""
    shutil.copytree(_ROOT / "distro", target, symlinks=True)
    file = target / "zaffre.toml"
    lines = "".join(f'  "{name}",\n' for name in EXTRA_TOOLS)
    text, count = _TOOLS_TABLE.subn(lambda match: match[0] + lines, file.read_text())
    if count != 1:
        raise BenchError(f"{file}: there is no [tools] table that packages could be added to")
    file.write_text(text)
    for name, image in ({"base-again": again_text(0)} | _MADE).items():
        (target / f"images/{name}.toml").write_text(image)


def again_text(number: int) -> str:
    """`base` under settings that no other round has."""
    return f'extends = ["base"]\n[setuid]\nstrip = ["/round/{number}"]\n[os_release]\nBUILD_ID = "{number}"\n'


def _compile_program() -> None:
    """As it is installed, whatever PYTHONDONTWRITEBYTECODE says here: no start of it compiles its own modules."""
    compileall.compile_dir(Path(zaffre.__file__).parent, quiet=1)


def _program() -> str:
    return str(Path(sys.executable).parent / "zaffre")


def _run(argv: Sequence[str], log: Path) -> None:
    """A step that is not measured."""
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed (exit {done.returncode})\n{tail(log)}")
