# SPDX-License-Identifier: Apache-2.0
"""The clean root that a component is built in: just the locked packages, no network, an ordinary user, one folder.

The root is configured once for a set of packages and kept; every build gets a copy of its own, which is thrown
away. Where the build happens, as whom and at what path is always the same, so none of it shows in the result.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zaffre.component.model import Bench
from zaffre.definition import Distribution
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, DiskFullError, ToolError
from zaffre.sandbox import Mount
from zaffre.tree.configure import configured_root
from zaffre.tree.memory import scratch_for
from zaffre.tree.policy import STRIP_ALL
from zaffre.tree.restore import extract_root
from zaffre.tree.rootfs import make_folder, read_text, write_text
from zaffre.upstream.lock import LockedSet, Users
from zaffre.upstream.requests import host_architecture

BUILDER = 1000
"""User and group of every build."""
PLACE = "/build/reproducible-path"
"""Where Debian's own builders build since 2022, so that a path that a program keeps is the one that theirs kept."""

# The same packages are the same root, whenever they are locked.
_ROOT_EPOCH = 0
_ROOM = 1 << 30
_LOGS = "/run/zaffre-log"
_RUN = r"""
cd "$1"
shift
setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --no-new-privs -- "$@" 2>&1 </dev/null |
    tee /run/zaffre-log/build.log >&2
"""
_ASK = r"""
cd "$1"
shift
exec setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --no-new-privs -- "$@" </dev/null
"""
_ENVIRONMENT = {"HOME": "/build", "LC_ALL": "C.UTF-8", "USER": "build", "LOGNAME": "build"}
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Could not resolve|Name or service not known|Network is unreachable"
    r"|dial tcp|lookup \S+ on \S+: |Connection refused",
)
_OUTSIDE = re.compile(r"(?P<path>/[^\s:'\"]+)['\"]?:? (?:Permission denied|Read-only file system)")


@dataclass(frozen=True)
class BuildRoot:
    """A root in which one build may run; `root` is its directory on this machine, `place` the build's folder inside."""

    bench: Bench
    root: Path
    place: str

    @property
    def folder(self) -> Path:
        """The build's folder, on this machine."""
        return self.root / self.place.lstrip("/")

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str], scratch: Path, mounts: Sequence[Mount] = ()
    ) -> Sha256:
        """Run the build in its folder as the builder; the log is kept, however it ends, and returned as a blob.

        Raises ToolError when it fails or does not end in time, DiskFullError.
        """
        bench = self.bench
        logs = scratch / "log"
        logs.mkdir(exist_ok=True)
        _give(self.folder, BUILDER)
        limit = bench.component.build.time_limit_minutes * 60.0
        begun = time.monotonic()
        try:
            bench.sandbox.run(
                ["/bin/bash", "-euo", "pipefail", "-c", _RUN, "bash", self.place, *argv],
                root=self.root,
                mounts=[*mounts, Mount(logs, _LOGS, writable=True)],
                env={**_ENVIRONMENT, **env},
                timeout=limit,
            )
        except ToolError as error:
            keep_log(bench, logs / "build.log")
            raise _build_error(bench, error, over=time.monotonic() - begun >= limit) from error
        except DiskFullError:
            keep_log(bench, logs / "build.log")
            raise
        return keep_log(bench, logs / "build.log")

    def ask(self, argv: Sequence[str], *, env: Mapping[str, str]) -> bytes:
        """What a program prints that reads the source in its folder, as the builder; no log is kept of it.

        Raises ToolError, DiskFullError.
        """
        _give(self.folder, BUILDER)
        done = self.bench.sandbox.run(
            ["/bin/bash", "-euc", _ASK, "bash", self.place, *argv],
            root=self.root,
            env={**_ENVIRONMENT, **env},
            timeout=self.bench.component.build.time_limit_minutes * 60.0,
        )
        return done.stdout


@contextmanager
def build_root(bench: Bench, installed: LockedSet, name: str) -> Iterator[BuildRoot]:
    """A fresh root with the packages of a set, and an empty folder `name` to build in.

    Raises DefinitionError for a set of another architecture: under an emulator a compiler takes hours.
    """
    if installed.architecture != host_architecture():
        raise DefinitionError(
            f"the component '{bench.component.name}' has to be compiled for {installed.architecture}, which takes a "
            "machine of that architecture",
            where=f"components/{bench.component.name}",
            resolution=f"build it on a machine of {installed.architecture}, from the same lock; or take the image that "
            f"wants it off {installed.architecture}: `architectures` in its file",
        )
    performed = configured_root(
        installed.packages,
        upstream=bench.distribution.upstreams[installed.upstream],
        provides=(),
        users=Users(),
        setuid=STRIP_ALL,
        epoch=_ROOT_EPOCH,
        architecture=installed.architecture,
        store=bench.store,
        sandbox=bench.sandbox,
        progress=bench.progress,
        label=f"configure {installed.name}",
        judged=int(bench.time.timestamp()),
    )
    archive = bench.store.path(performed.result.outputs["root"])
    with scratch_for(bench.store, "build", expected=archive.stat().st_size + _ROOM) as scratch:
        root = scratch / "root"
        extract_root(archive, root)
        for file, line in (
            ("passwd", f"build:x:{BUILDER}:{BUILDER}::/build:/bin/sh"),
            ("group", f"build:x:{BUILDER}:"),
        ):
            write_text(root, f"etc/{file}", f"{read_text(root, f'etc/{file}')}{line}\n")
        place = f"{PLACE}/{name}"
        make_folder(root, place)
        for folder in ("build", PLACE.lstrip("/")):
            os.chown(root / folder, BUILDER, BUILDER)
        yield BuildRoot(bench, root, place)


def keep_log(bench: Bench, path: Path) -> Sha256:
    """Put a log into the store and remember it as the last one of the component."""
    digest = bench.store.add_file(path) if path.is_file() else bench.store.add_bytes(b"")
    remember_log(bench, digest)
    return digest


def remember_log(bench: Bench, digest: Sha256) -> None:
    """Have this log of the store be the one that is shown for the component."""
    bench.store.remember(log_label(bench.distribution, bench.component.name, bench.architecture), {"log": digest})


def log_label(distribution: Distribution, name: str, architecture: str) -> str:
    """Under which the store remembers where the last log of a component is. Several distributions share a store."""
    return f"log of component {name} {architecture} of {distribution.root.resolve()}"


def _give(folder: Path, owner: int) -> None:
    os.chown(folder, owner, owner)
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(here, name), owner, owner, follow_symlinks=False)  # noqa: PTH118


def _build_error(bench: Bench, error: ToolError, *, over: bool) -> ToolError:
    """The same failure, in words about the component, with what most often is behind it."""
    name, text = bench.component.name, error.details or ""
    log = f"`zaffre component log {name}` shows all that it said"
    brief, resolution = f"the build of '{name}' failed (exit {error.returncode})", log
    if over:
        limit = bench.component.build.time_limit_minutes
        brief = f"the build of '{name}' did not end within its {limit} minutes and was stopped"
        resolution = f"{log}; `build.time_limit_minutes` of the component gives it more time"
    elif _NETWORK.search(text):
        resolution = f"the build wants the network, which no build has: bring what it fetches as a source, or take \
that step out by an overlay; {log}"
    elif match := _OUTSIDE.search(text):
        resolution = f"a build may write to its own folder and /tmp only, not to {match['path']}; {log}"
    return ToolError(
        brief,
        where=f"{bench.component.folder} ({bench.architecture})",
        command=error.command,
        returncode=error.returncode,
        details=text,
        resolution=resolution,
    )
